"""Cuts evidence to what an access ground lets through and encodes it, without making the cut copy.

The same bytes as `entitlement.cut`, validated and encoded, gives (a test compares them): which fields are cut is known
from the record's schema and the ground's fields, so an encoder is made for each such pair, in which what is cut is null
for good. Where that cannot be (a map cut by its keys, a record with a datum of its own, a value that does not fit) the
general way is taken.
"""

import contextlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from chopar.avro import ParsedSchema
from chopar.avro.writer import Writer
from chopar.messages.entitlement import ALWAYS, cut, tree
from chopar.messages.evidence import Evidence
from chopar.messages.record import Message
from chopar.schema_registry import Encoder

_MISFITS = (TypeError, ValueError, AttributeError, KeyError)  # what an encoder raises on a value that does not fit
_MOST_WRITERS = 1024  # evidence types times the grounds of the list; some hundreds


class EvidenceBodies:
    """Makes the framed values of evidence.

    Args:
        encoder: prepared for the records of the evidence.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._writers: dict[tuple[type[Evidence], tuple[str, ...]], Writer | None] = {}

    def value(self, answer: Evidence, fields: tuple[str, ...], as_of: datetime) -> bytes:
        """Evidence, cut, as of the time of the request.

        Raises:
            TooLargeError: see `chopar.avro.encode_body`.
            pydantic.ValidationError: the record does not allow null in a field that is cut.
        """
        key = (type(answer), fields)
        try:
            writer = self._writers[key]
        except KeyError:
            writer = self._make(*key)
        if writer is not None:
            if answer.as_of is not as_of and answer.as_of != as_of:
                answer = answer.model_copy(update={"as_of": as_of})
            try:
                return self._encoder.bounded(writer(answer), type(answer).__name__)
            except _MISFITS:
                pass  # said below
        datum = cut(answer.to_avro(), fields)
        return self._encoder.encode(type(answer).model_validate({**datum, "as_of": as_of}))

    def _make(self, kind: type[Evidence], fields: tuple[str, ...]) -> Writer | None:
        if len(self._writers) >= _MOST_WRITERS:
            self._writers.clear()
        writer = None
        schema = self._encoder.schema(kind)
        names = {field["name"] for field in schema["fields"]}
        if kind.to_avro is Message.to_avro and names == set(kind.model_fields) and not _looked_at_as_a_whole(kind):
            with contextlib.suppress(*_MISFITS, _NotKnownError):  # said by the general way
                writer = self._encoder.writer(kind, same=_same(schema, fields))
        self._writers[kind, fields] = writer
        return writer


def _looked_at_as_a_whole(kind: type[Evidence]) -> bool:
    """Whether a record's class has something of its own to say when it is written or read again, cut."""
    own = kind.__pydantic_decorators__
    return bool(own.model_validators or own.field_serializers or own.model_serializers or own.computed_fields)


class _NotKnownError(Exception):
    """What is cut is not seen from the schema."""


def _same(schema: ParsedSchema, fields: tuple[str, ...]) -> Mapping[str, Any]:
    """What is the same in all evidence that is cut to these fields."""
    allowed = tree(sorted(set(fields)))
    same: dict[str, Any] = {"fields_given": sorted(set(fields))}
    named: dict[str, Any] = {}
    for field in schema["fields"]:
        name = field["name"]
        shape, below = _shape(field["type"], named)
        if name in ALWAYS or (name in allowed and not allowed[name]):
            continue
        if name in allowed and shape == "other":
            raise _NotKnownError
        if name in allowed and shape == "record":
            same.update({f"{name}.{part}": None for part in below if part not in allowed[name]})
        else:
            same[name] = None
    return same


def _shape(kind: Any, named: dict[str, Any]) -> tuple[str, list[str]]:
    """What a value is that is cut below its name: a record or a list of such (with their fields), scalar, other."""
    if isinstance(kind, list):
        kind = next((branch for branch in kind if branch != "null"), "null")
    if isinstance(kind, str):
        kind = named.get(kind, {"type": kind})
    if isinstance(kind["type"], (dict, list)):
        return _shape(kind["type"], named)
    if kind["type"] == "array":
        shape, below = _shape(kind["items"], named)
        return ("record" if shape == "record" else "other"), below  # an empty list of texts stays one
    if kind["type"] == "record":
        named[kind["name"]] = kind
        return "record", [field["name"] for field in kind["fields"]]
    return ("other" if kind["type"] == "map" else "scalar"), []
