"""Avro encoding as Python source made from a schema: half the time of the general encoder, for our own messages.

An encoder takes the values from a message's attributes, so that no dict is made first. It knows the types that our
schemas use; for a schema with others there is none, and on a value that it does not expect it raises, whatever comes:
in both cases the caller encodes by fastavro, which stays the reference (a test compares the two on every schema). What
is read is decoded by fastavro alone.
"""

import keyword
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import count
from typing import Any, TypeAlias
from uuid import UUID

Writer: TypeAlias = Callable[[Any], bytes]

_SHORT = 4096  # lengths and numbers below it are looked up


class _UnsupportedError(Exception):
    """The schema has what no source is made for."""


def zigzag(number: int) -> bytes:
    """A long as Avro writes it."""
    rest = (number << 1) ^ (number >> 63)
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


_LENGTHS = tuple(zigzag(number) for number in range(_SHORT))


def _length(number: int) -> bytes:
    return _LENGTHS[number] if number < _SHORT else zigzag(number)


def _whole(value: Any, bits: int) -> bytes:
    if value.__class__ is not int or not -(1 << bits - 1) <= value < 1 << bits - 1:
        raise TypeError("not a whole number of this size")
    return zigzag(value)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = _EPOCH.toordinal()


def _milliseconds(value: Any) -> bytes:
    since = value - _EPOCH  # a naive time fails here
    return zigzag((since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000)


def _day(value: Any) -> bytes:
    return zigzag(value.toordinal() - _EPOCH_DAY)


def _text_of_uuid(value: Any) -> bytes:
    if value.__class__ is not UUID:
        raise TypeError("not a UUID")
    return b"\x48%b" % str(value).encode()  # 36 characters, always


def _boolean(value: Any) -> bytes:
    if value.__class__ is not bool:
        raise TypeError("not a truth value")
    return _LENGTHS[0] if not value else b"\x01"


_NAMES = {
    "lengths": _LENGTHS,
    "length": _length,
    "whole": _whole,
    "milliseconds": _milliseconds,
    "day": _day,
    "text_of_uuid": _text_of_uuid,
    "boolean": _boolean,
    "join": b"".join,
}


def make_writer(schema: Any) -> Writer | None:
    """The encoder of a parsed schema; None if it has a type that no source is made for.

    Args:
        schema: of a record, as fastavro parsed it.

    Returns:
        Takes a message, gives its body; raises anything on a value that does not fit the schema.
    """
    maker = _Maker()
    try:
        lines = list(maker.value(schema, "m", 1))
    except _UnsupportedError:
        return None
    source = "\n".join(["def write(m):", " parts = []", " a = parts.append", *lines, " return join(parts)"])
    # Of the schema's own text only names of fields stand in the source, and each was checked to be an identifier.
    made: dict[str, Any] = {**_NAMES, **maker.symbols}
    exec(compile(source, f"<encoder of {schema['name']}>", "exec"), made)  # noqa: S102
    writer: Writer = made["write"]
    return writer


class _Maker:
    """Makes the lines that encode one schema."""

    def __init__(self) -> None:
        self.symbols: dict[str, Mapping[str, bytes]] = {}
        self._known: dict[str, Any] = {}
        self._number = count()

    def value(self, schema: Any, value: str, depth: int) -> Iterator[str]:
        """Lines that append the value of an expression, which is a name and evaluated as often as is convenient."""
        pad = " " * depth
        if isinstance(schema, list):
            yield from self._nullable(schema, value, depth)
            return
        if isinstance(schema, str):
            if schema in self._known:
                yield from self.value(self._known[schema], value, depth)
                return
            schema = {"type": schema}
        kind, logical = schema["type"], schema.get("logicalType")
        simple = _SIMPLE.get((kind, logical)) if isinstance(kind, str) else None
        if simple is not None:
            yield pad + simple.format(value=value)
        elif (kind, logical) == ("string", None):
            text = self._name()
            yield f"{pad}{text} = {value}.encode()"
            yield f"{pad}a(length(len({text}))); a({text})"
        elif (kind, logical) == ("bytes", None):
            yield f"{pad}a(length(len({value}))); a({value})"
        elif logical is not None:
            raise _UnsupportedError
        elif kind == "enum":
            self._known[schema["name"]] = schema
            symbols = f"symbols{next(self._number)}"
            self.symbols[symbols] = {symbol: zigzag(number) for number, symbol in enumerate(schema["symbols"])}
            yield f"{pad}a({symbols}[{value}])"
        elif kind == "record":
            self._known[schema["name"]] = schema
            for field in schema["fields"]:
                yield from self._field(field, value, depth)
        elif kind in ("array", "map"):
            yield from self._items(schema, value, depth)
        else:
            raise _UnsupportedError

    def _name(self) -> str:
        return f"v{next(self._number)}"

    def _field(self, field: Mapping[str, Any], value: str, depth: int) -> Iterator[str]:
        name = field["name"]
        if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("__"):
            raise _UnsupportedError
        held = self._name()
        yield f"{' ' * depth}{held} = {value}.{name}"
        yield from self.value(field["type"], held, depth)

    def _nullable(self, branches: list[Any], value: str, depth: int) -> Iterator[str]:
        if len(branches) != 2 or branches[0] != "null":
            raise _UnsupportedError
        pad = " " * depth
        yield f"{pad}if {value} is None: a(lengths[0])"
        yield f"{pad}else:"
        yield f"{pad} a(lengths[1])"
        yield from self.value(branches[1], value, depth + 1)

    def _items(self, schema: Mapping[str, Any], value: str, depth: int) -> Iterator[str]:
        pad, item = " " * depth, self._name()
        yield f"{pad}if {value}:"
        yield f"{pad} a(length(len({value})))"
        if schema["type"] == "array":
            yield f"{pad} for {item} in {value}:"
            yield from self.value(schema["items"], item, depth + 2)
        else:
            key = self._name()
            yield f"{pad} for {key}, {item} in {value}.items():"
            yield from self.value("string", key, depth + 2)
            yield from self.value(schema["values"], item, depth + 2)
        yield f"{pad}a(lengths[0])"


_SIMPLE = {
    ("boolean", None): "a(boolean({value}))",
    ("int", None): "a(whole({value}, 32))",
    ("long", None): "a(whole({value}, 64))",
    ("long", "timestamp-millis"): "a(milliseconds({value}))",
    ("int", "date"): "a(day({value}))",
    ("string", "uuid"): "a(text_of_uuid({value}))",
}
