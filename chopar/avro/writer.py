"""Avro encoding as Python source made from a schema: a quarter of the time of the general encoder, for our messages.

An encoder takes the values from a message's attributes, so that no dict is made first. It knows the types that our
schemas use; for a schema with others there is none, and on a value that it does not expect it raises, whatever comes:
in both cases the caller encodes by fastavro, which stays the reference (a test compares the two on every schema). What
is the same in many messages can be named when the encoder is made; it is then encoded only once.
"""

import keyword
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from itertools import count
from types import CodeType
from typing import Any, TypeAlias
from uuid import UUID

Writer: TypeAlias = Callable[[Any], bytes]

_SHORT = 1024  # lengths below it are looked up
_MOST_TIMES = 4096


class UnsupportedError(Exception):
    """The schema has what no source is made for. Never leaves a maker of encoders."""


def zigzag(number: int) -> bytes:
    """A long as Avro writes it."""
    rest = (number << 1) ^ (number >> 63)
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


class _Lengths(dict[int, bytes]):
    """How Avro writes a length: looked up if it is short."""

    def __missing__(self, number: int) -> bytes:
        return zigzag(number)


_LENGTHS = _Lengths((number, zigzag(number)) for number in range(_SHORT))


def _whole(value: Any, bits: int) -> bytes:
    if value.__class__ is not int or not -(1 << bits - 1) <= value < 1 << bits - 1:
        raise TypeError("not a whole number of this size")
    return zigzag(value)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = _EPOCH.toordinal()


class _Times(dict[Any, bytes]):
    """Times met lately: what follows from one batch shares them."""

    def __missing__(self, value: Any) -> bytes:
        since = value - _EPOCH  # a naive time fails here
        found = zigzag((since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000)
        if len(self) >= _MOST_TIMES:
            self.clear()
        self[value] = found
        return found


def _day(value: Any) -> bytes:
    return zigzag(value.toordinal() - _EPOCH_DAY)


def _text_of_uuid(value: Any) -> bytes:
    if value.__class__ is not UUID:
        raise TypeError("not a UUID")
    return b"\x48%b" % str(value).encode()  # 36 characters, always


def _boolean(value: Any) -> bytes:
    if value.__class__ is not bool:
        raise TypeError("not a truth value")
    return b"\x01" if value else b"\x00"


_NAMES = {
    "lengths": _LENGTHS,
    "whole": _whole,
    "times": _Times(),
    "day": _day,
    "text_of_uuid": _text_of_uuid,
    "boolean": _boolean,
    "join": b"".join,
}


def make_writer(
    schema: Any,
    *,
    prefix: bytes = b"",
    same: Mapping[str, Any] | None = None,
    encoded: Collection[str] = (),
    flat: Collection[str] = (),
) -> Writer | None:
    """The encoder of a parsed schema; None if it has a type that no source is made for.

    Args:
        schema: of a record, as fastavro parsed it.
        prefix: put before every body.
        same: values that are the same in all messages, by the dotted names of their fields (of a field of the records
            in a list too); a message needs no such attributes.
        encoded: dotted names of fields whose attributes are bytes as Avro writes them.
        flat: dotted names of records that are there in every message; their fields are attributes of its own.

    Returns:
        Takes a message, gives its body; raises anything on a value that does not fit the schema.

    Raises:
        Exception: whatever comes, if one of `same` does not fit the schema.
    """
    maker = _Maker(same or {}, encoded, flat)
    try:
        parts = [maker.constant(prefix), *maker.value(schema, "m", "")] if prefix else maker.value(schema, "m", "")
    except UnsupportedError:
        return None
    source = [*maker.functions, f"def write(m): return {maker.joined(parts)}"]
    # Of the schema's own text only names of fields stand in the source, and each was checked to be an identifier.
    made: dict[str, Any] = {**_NAMES, **maker.objects}
    exec(_code("\n".join(source), f"<encoder of {schema['name']}>"), made)  # noqa: S102
    writer: Writer = made["write"]
    return writer


@lru_cache(maxsize=256)
def _code(source: str, name: str = "<constant>") -> CodeType:
    """Compiled: by far the dearest step, and most constants, and what a process makes after each start, are alike."""
    return compile(source, name, "exec")


class _Constant(str):
    """An expression whose value is known."""

    value: bytes


class _Maker:
    """Makes the expressions whose values, put together, are one encoded value."""

    def __init__(self, same: Mapping[str, Any], encoded: Collection[str], flat: Collection[str]) -> None:
        self.objects: dict[str, Any] = {}
        self.functions: list[str] = []
        self._same = same
        self._encoded = encoded
        self._flat = flat
        self._known: dict[str, Any] = {}
        self._number = count()

    def constant(self, value: bytes) -> _Constant:
        """An expression for bytes."""
        made = _Constant(repr(value))
        made.value = value
        return made

    def joined(self, parts: list[str]) -> str:
        """One expression of several; constants that stand side by side become one."""
        merged: list[str] = []
        for part in parts:
            if merged and isinstance(part, _Constant) and isinstance(merged[-1], _Constant):
                merged[-1] = self.constant(merged[-1].value + part.value)
            else:
                merged.append(part)
        return merged[0] if len(merged) == 1 else f"join(({', '.join(merged)},))"

    def value(self, schema: Any, value: str, path: str) -> list[str]:
        """The expressions of a value that a name or attribute holds; each is evaluated once, in this order."""
        if isinstance(schema, list):
            return self._nullable(schema, value, path)
        if isinstance(schema, str):
            if schema in self._known:
                return self.value(self._known[schema], value, path)
            schema = {"type": schema}
        kind, logical = schema["type"], schema.get("logicalType")
        simple = _SIMPLE.get((kind, logical)) if isinstance(kind, str) else None
        if simple is not None:
            return [simple.format(value=value)]
        if (kind, logical) == ("string", None):
            text = self._name()
            return [f"lengths[len({text} := {value}.encode())]", text]
        if (kind, logical) == ("bytes", None):
            held = self._name()
            return [f"lengths[len({held} := {value})]", held]
        if logical is not None:
            raise UnsupportedError
        if kind == "enum":
            self._known[schema["name"]] = schema
            symbols = {symbol: zigzag(number) for number, symbol in enumerate(schema["symbols"])}
            return [f"{self._object(symbols)}[{value}]"]
        if kind == "record":
            self._known[schema["name"]] = schema
            return self._record(schema, value, path)
        if kind in ("array", "map"):
            return [self._items(schema, value, path)]
        raise UnsupportedError

    def _name(self) -> str:
        return f"v{next(self._number)}"

    def _object(self, thing: Any) -> str:
        name = f"o{next(self._number)}"
        self.objects[name] = thing
        return name

    def _record(self, schema: Mapping[str, Any], value: str, path: str) -> list[str]:
        parts: list[str] = []
        held = value
        if not value.isidentifier():
            held = self._name()
        for field in schema["fields"]:
            name = field["name"]
            if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("__"):
                raise UnsupportedError
            place = f"{path}.{name}".lstrip(".")
            if place in self._same:
                parts.append(self.constant(self._written(field["type"], self._same[place])))
                continue
            if place in self._flat:
                parts += self._laid_flat(field["type"], value, place)
                continue
            reached = f"{held}.{name}"
            if held != value:  # the first that needs it takes the record out of what it lies in
                reached, value = f"({held} := {value}).{name}", held
            if place in self._encoded:
                parts.append(reached)
            else:
                parts += self.value(field["type"], reached, place)
        return parts

    def _laid_flat(self, schema: Any, value: str, path: str) -> list[str]:
        if not value.isidentifier():
            raise UnsupportedError
        if not isinstance(schema, list):
            return self.value(schema, value, path)
        if len(schema) != 2 or schema[0] != "null":
            raise UnsupportedError
        return [self.constant(_PRESENT), *self.value(schema[1], value, path)]

    def _written(self, schema: Any, value: Any) -> bytes:
        """A value that is known now."""
        maker = _Maker({}, (), ())
        maker._known = dict(self._known)
        parts = maker.value(schema, "m", "")
        made: dict[str, Any] = {**_NAMES, **maker.objects}
        exec(_code("\n".join([*maker.functions, f"def write(m): return {maker.joined(parts)}"])), made)  # noqa: S102
        found: bytes = made["write"](value)
        return found

    def _nullable(self, branches: list[Any], value: str, path: str) -> list[str]:
        if len(branches) != 2 or branches[0] != "null":
            raise UnsupportedError
        held = self._name()
        inner = [self.constant(_PRESENT), *self.value(branches[1], held, path)]
        return [f"({self.constant(_NULL)} if ({held} := {value}) is None else {self.joined(inner)})"]

    def _items(self, schema: Mapping[str, Any], value: str, path: str) -> str:
        """An array or map: a function for its items, called for each."""
        held, function = self._name(), f"f{next(self._number)}"
        if schema["type"] == "array":
            parts, items = self.value(schema["items"], "m", path), held
        else:
            key, item = self._name(), self._name()
            parts = [*self.value("string", key, "?"), *self.value(schema["values"], item, "?")]
            items = f"{held}.items()"
        made = f"def {function}(m): return {self.joined(parts)}"
        if schema["type"] == "map":
            made = f"def {function}(m):\n {key}, {item} = m\n return {self.joined(parts)}"
        self.functions.append(made)
        size, end = self._name(), self.constant(_NULL)
        filled = f"join((lengths[{size}], *map({function}, {items}), {end}))"
        return f"({filled} if ({size} := len({held} := {value})) else {end})"


_NULL, _PRESENT = b"\x00", b"\x02"
_SIMPLE = {
    ("boolean", None): "boolean({value})",
    ("int", None): "whole({value}, 32)",
    ("long", None): "whole({value}, 64)",
    ("long", "timestamp-millis"): "times[{value}]",
    ("int", "date"): "day({value})",
    ("string", "uuid"): "text_of_uuid({value})",
}
