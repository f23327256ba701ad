"""A message class that differs from its record is refused at the start, at every depth, and the difference is named."""

import json
from datetime import date
from typing import Any, ClassVar

import pytest
from pydantic import ConfigDict, Field

from chopar.avro import SchemaFiles
from chopar.errors import ConfigurationError
from chopar.messages.evidence import Evidence
from chopar.messages.record import Message, Part
from chopar.record_fields import require_equal_fields
from tests.unit.test_messages import MODELS

FILES = SchemaFiles.shipped()


def record(*periods: str, top: str = "periods") -> str:
    """A record with a list of records."""
    inner = {
        "type": "record",
        "name": "Period",
        "fields": [{"name": name, "type": ["null", {"type": "int", "logicalType": "date"}]} for name in periods],
    }
    fields: list[dict[str, Any]] = [{"name": top, "type": ["null", {"type": "array", "items": inner}]}]
    fields += [{"name": name, "type": "string"} for name in ("source_register",)]
    fields += [
        {"name": "fields_given", "type": {"type": "array", "items": "string"}},
        {"name": "as_of", "type": "long"},
    ]
    return json.dumps({"type": "record", "name": "Periods", "namespace": "test", "fields": fields})


class Silent(Part):
    from_: date | None = Field(default=None, alias="from")
    until: date | None = None


class Said(Part):
    model_config = ConfigDict(serialize_by_alias=True)
    from_: date | None = Field(default=None, alias="from")
    until: date | None = None


class LosesAName(Evidence):
    RECORD: ClassVar[str] = "test.Periods"
    periods: tuple[Silent, ...] | None = None


class KeepsIt(Evidence):
    RECORD: ClassVar[str] = "test.Periods"
    periods: tuple[Said, ...] | None = None


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.RECORD)
def test_every_message_of_ours_has_the_fields_of_its_record(model: type[Message]) -> None:
    require_equal_fields(model, FILES.text(model.RECORD))


def test_a_field_that_would_be_lost_below_is_named() -> None:
    require_equal_fields(KeepsIt, record("from", "until"))
    with pytest.raises(ConfigurationError, match="Silent lacks from and has from_, which the record has not"):
        require_equal_fields(LosesAName, record("from", "until"))
    with pytest.raises(ConfigurationError, match="Said lacks untill and has until"):
        require_equal_fields(KeepsIt, record("from", "untill"))


def test_a_field_that_would_be_lost_at_the_top_is_named() -> None:
    with pytest.raises(ConfigurationError, match="KeepsIt lacks period and has periods"):
        require_equal_fields(KeepsIt, record("from", "until", top="period"))


def test_a_record_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"no schema of test\.Periods"):
        FILES.text("test.Periods")
