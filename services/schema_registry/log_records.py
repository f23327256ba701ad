"""Keys and values of `_schemas`, byte for byte as the field writes them, since compaction goes by bytes. Pure."""

import json
from typing import Any

from chopar.avro.compatibility import Level


def schema_key(subject: str, version: int) -> bytes:
    """The key of a version."""
    return render({"keytype": "SCHEMA", "subject": subject, "version": version, "magic": 1})


def level_key(subject: str | None) -> bytes:
    """The key of a compatibility level; None: that for all."""
    return render({"keytype": "CONFIG", "subject": subject, "magic": 0})


def level_value(level: Level) -> bytes:
    """The value that sets it."""
    return render({"compatibilityLevel": level})


def deletion_key(subject: str) -> bytes:
    """The key of the record that marks all versions of a subject so far as deleted."""
    return render({"keytype": "DELETE_SUBJECT", "subject": subject, "magic": 0})


def deletion_value(subject: str, up_to: int) -> bytes:
    """The value of that record."""
    return render({"subject": subject, "version": up_to})


NOOP_KEY = b'{"keytype":"NOOP","magic":0}'
"""A record that says nothing, but for the highest id in its value; who has read it has read everything before it."""


def render(value: Any) -> bytes:
    """Compact JSON in UTF-8."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "backslashreplace")
