"""Every holder that the lists call connected has a record for its evidence, with every field that a ground names."""

import json
import tomllib
from typing import Any

import pytest

from chopar.avro import SchemaFiles
from tests.oracle.asking import list_files


def tables(name: str, array: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tomllib.loads(list_files()[name].decode())[array]
    return found


CONNECTED = sorted(
    {
        (entry["provider"], entry["evidence_type"])
        for entry in tables("directory.toml", "holding")
        if entry.get("connected")
    }
)


def _fields(record: dict[str, Any], prefix: str = "") -> set[str]:
    """Names of fields, two levels, as grounds write them."""
    names: set[str] = set()
    for field in record["fields"]:
        names.add(prefix + field["name"])
        kinds = field["type"] if isinstance(field["type"], list) else [field["type"]]
        for kind in kinds:
            inner = kind.get("items", kind) if isinstance(kind, dict) else kind
            if not prefix and isinstance(inner, dict) and inner.get("type") == "record":
                names |= _fields(inner, f"{field['name']}.")
    return names


@pytest.mark.parametrize(("provider", "evidence_type"), CONNECTED)
def test_a_connected_holders_record_has_every_field_that_a_ground_lets_through(
    provider: str, evidence_type: str
) -> None:
    name = "".join(word.capitalize() for word in evidence_type.split("-"))
    record = json.loads(SchemaFiles.shipped().texts[f"chopar.evidence.{name}"])
    grounds = [
        ground
        for ground in tables("grounds.toml", "ground")
        if (ground["holder"], ground["evidence_type"]) == (provider, evidence_type)
    ]
    assert grounds
    for ground in grounds:
        assert set(ground["fields"]) <= _fields(record), ground["id"]
