"""`dead-letter show`: one dead letter, without its key and bytes unless they are revealed, which is written down."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from chopar.avro import parse_schema, schema_name, unframe
from chopar.bus.dead_letter import read_dead_letter
from chopar.bus.port import Headers, Record
from chopar.cli.dead_letter_list import Decisions, Letter, row
from chopar.cli.output import cell, hide_rejected
from chopar.errors import NotOurFramingError, RecordError, UnavailableError
from chopar.schema_registry import SchemaRegistry

_LONGEST = 256  # of a header's value


async def record_name(value: bytes | None, registry: SchemaRegistry) -> str:
    """The full name of the record that a value's schema id stands for, or why there is none. Nothing is decoded."""
    try:
        schema_id, _ = unframe(value or b"")
    except NotOurFramingError:
        return "not in our framing"
    try:
        return schema_name(parse_schema(await registry.text_of(schema_id))) or f"schema {schema_id}, of no record"
    except RecordError:
        return f"schema {schema_id}, unknown to the schema registry"
    except UnavailableError:
        return f"schema {schema_id}, not known to the schema registry now"


async def details(record: Record, decided: Decisions, registry: SchemaRegistry) -> dict[str, Any]:
    """What is shown of a letter: its row, headers, sizes, the digest and the record's name."""
    letter = Letter.of(record)
    key, value, cut = record.key or b"", record.value or b"", letter.noted and letter.noted.cut
    return {
        **row(letter, decided),
        "replayable": letter.why_not_replayable is None,
        "why_not_replayable": letter.why_not_replayable,
        "record": await record_name(record.value, registry),
        "key_bytes": cut.key_bytes if cut else len(key),
        "value_bytes": cut.value_bytes if cut else len(value),
        "value_sha256": _as_digest(cut.value_sha256) if cut else hashlib.sha256(value).hexdigest(),
        "headers": _headers(record),
    }


def _as_digest(digest: str) -> str:
    """A digest that a header states, if it is one."""
    return digest if len(digest) == 64 and set(digest) <= set("0123456789abcdef") else "…"


def revealed(record: Record) -> dict[str, str | None]:
    """Key and value as hexadecimal digits: of the beginning, where the letter holds no more."""
    return {
        "key_hex": None if record.key is None else record.key.hex(),
        "value_hex": None if record.value is None else record.value.hex(),
    }


def to_text(shown: Mapping[str, Any]) -> Sequence[str]:
    """Line below line."""
    plain = {name: value for name, value in shown.items() if name != "headers"}
    width = max(map(len, plain)) + 2
    lines = [f"{name.replace('_', ' '):<{width}}{cell(value)}" for name, value in plain.items()]
    return [*lines, "headers of the original", *(f"  {name}: {value}" for name, value in shown["headers"].items())]


def _headers(record: Record) -> dict[str, str]:
    """The headers of the original that went along; of a stranger's record none, as they may say anything."""
    try:
        _, original = read_dead_letter(record)
    except RecordError:
        return {"(not shown)": f"{len(record.headers)} headers, none of a dead letter"}
    return _texts(original.headers)


def _texts(headers: Headers) -> dict[str, str]:
    return {
        hide_rejected(name): hide_rejected(value[:_LONGEST].decode("ascii", "replace")) if value else ""
        for name, value in headers
    }
