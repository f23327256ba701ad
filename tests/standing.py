"""What holds, for tests: the committed lists, the shipped schemas, a secret, with any list changed by text."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chopar.avro import SchemaFiles, encode_body, frame
from chopar.messages.demand import Demand, FetchMode
from chopar.messages.law import AcceptedSchema, ListActivated, ListMark
from gateway.bundle import list_files, with_schemas
from gateway.list_version import ListVersion, bundle_digest
from gateway.standing import ACCEPTED, OUTPUTS, RULES_NUMBER, Standing, secret_check
from tests.builders import NOW

LISTS = Path(__file__).resolve().parent.parent / "gateway" / "lists"
COMMITTED = ListVersion.from_files(list_files(LISTS))
"""Held for as long as tests run, so that none of those that activate these lists reads them again."""
FILES = SchemaFiles.shipped()
SECRET = b"a secret for tests, of 32 bytes."
RECORDS = sorted({model.RECORD for model in (*ACCEPTED, *OUTPUTS, ListActivated, ListMark)})
IDS = {record: number for number, record in enumerate(RECORDS, start=1)}


def bundle(changes: Mapping[str, bytes] | None = None) -> dict[str, bytes]:
    """The committed lists with the shipped schemas."""
    files = {**list_files(LISTS), **(changes or {})}
    return with_schemas(files, {record: FILES.texts[record] for record in RECORDS})


def activation(files: Mapping[str, bytes], ids: Mapping[str, int] = IDS, **changes: Any) -> ListActivated:
    """An activation of a bundle."""
    fields: dict[str, Any] = {
        "list_digest": bundle_digest(files),
        "fetch_mode": FetchMode.INFERRED,
        "secret_version": 1,
        "secret_check": secret_check(SECRET),
        "rules_number": RULES_NUMBER,
        "schemas": tuple(
            AcceptedSchema(record=r, sha256=hashlib.sha256(FILES.texts[r].encode()).digest(), id=ids[r])
            for r in RECORDS
        ),
        "effective_at": NOW,
        "lead_seconds": 60,
        "activated_by": "test",
    }
    return ListActivated.model_validate({**fields, **changes})


def standing(changes: Mapping[str, bytes] | None = None, **activated: Any) -> Standing:
    """What holds by a bundle."""
    files = bundle(changes)
    return Standing(activation(files, **activated), files, SECRET)


def demand_value(demand: Demand) -> bytes:
    """A demand as it lies on the topic."""
    return frame(IDS[Demand.RECORD], encode_body(FILES.parsed(Demand.RECORD), demand))
