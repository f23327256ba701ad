"""Avro decoding as Python source made from a schema: plain data, or our frozen models without a check in between.

A reader takes a value and the place where its body begins. What it gives is what fastavro gives for the same bytes, and
for a model what pydantic makes of that (tests compare both, on every schema). It knows the types that our schemas use
and what our models ask of them; for another schema or model there is none. On bytes that it does not expect it raises,
whatever comes: the caller then decodes by fastavro and validates by pydantic, which stay the reference and say what is
wrong. The writer's schema must be the reader's: nothing is resolved here. What a body may hold by a schema is bounded
by `chopar.avro`.
"""

import keyword
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any, TypeAlias
from uuid import UUID, SafeUUID

from pydantic import BaseModel

from chopar.avro.checks import Check, UnsupportedError, model_check

Reader: TypeAlias = Callable[[bytes, int], Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = _EPOCH.toordinal()
_MOST_TIMES = 4096
_MOST_LINES = 2000  # of source: a stranger's schema is not worth more
_DEEPEST = 16  # levels of indentation: Python allows 20 loops in one another


class UnexpectedError(Exception):
    """These bytes are not what was expected. Never leaves the caller of a reader."""


def _number(value: bytes, at: int) -> tuple[int, int]:
    """A varint, zigzag as it is, and the place of its last byte."""
    byte = value[at]
    number, shift = byte & 0x7F, 7
    while byte > 0x7F:
        at += 1
        byte = value[at]
        number |= (byte & 0x7F) << shift
        shift += 7
    if number >> 64 or shift > 70:  # more than a long, or more bytes than one takes
        raise UnexpectedError
    return number, at


def _length(value: bytes, at: int) -> tuple[int, int]:
    """A length or count of at least one, and the place of its last byte."""
    number, at = _number(value, at)
    if number & 1 or not number:
        raise UnexpectedError  # a negative one, or a nought of many bytes
    return number >> 1, at


# Of the first byte of a length: the length, or -1 where there is more to see.
_LENGTHS = tuple(byte >> 1 if byte < 0x80 and not byte & 1 else -1 for byte in range(256))

_times: dict[bytes, datetime] = {}
"""Times met lately, by the six bytes that hold them from 1970-07 to 2039: what follows from one batch shares them."""


def _time(value: bytes, at: int) -> tuple[datetime, int]:
    """A time, and the place behind it."""
    number, end = _number(value, at)
    found = _EPOCH + timedelta(0, 0, 0, (number >> 1) ^ -(number & 1))
    end += 1
    if end - at == 6:
        if len(_times) >= _MOST_TIMES:
            _times.clear()
        _times[value[at:end]] = found
    return found, end


def _day(number: int) -> date:
    return date.fromordinal(number + _EPOCH_DAY)


_SLOTS = [BaseModel.__dict__[name].__set__ for name in ("__dict__", "__pydantic_fields_set__")]
_EMPTY_SLOTS = [BaseModel.__dict__[name].__set__ for name in ("__pydantic_extra__", "__pydantic_private__")]


def unchecked(
    model: Any,
    values: dict[str, Any],
    names: set[str],
    new: Any = object.__new__,
    set_values: Any = _SLOTS[0],
    set_names: Any = _SLOTS[1],
    set_extra: Any = _EMPTY_SLOTS[0],
    set_private: Any = _EMPTY_SLOTS[1],
) -> Any:
    """A model of values that need no check, as pydantic leaves it after validating all fields."""
    made = new(model)
    set_values(made, values)
    set_names(made, names)
    set_extra(made, None)
    set_private(made, None)
    return made


_UUID_SLOTS = [UUID.__dict__[name].__set__ for name in ("int", "is_safe")]


def _uuid(
    text: str,
    new: Any = object.__new__,
    set_number: Any = _UUID_SLOTS[0],
    set_is_safe: Any = _UUID_SLOTS[1],
    is_safe: Any = SafeUUID.unknown,
) -> UUID:
    """`UUID(text)` in half the time: what it strips and checks besides cannot be in 32 characters that are a number."""
    digits = text.replace("-", "")
    if len(digits) != 32:
        return UUID(text)
    made: UUID = new(UUID)
    set_number(made, int(digits, 16))
    set_is_safe(made, is_safe)
    return made


_NAMES = {
    "number": _number,
    "length": _length,
    "lengths": _LENGTHS,
    "time": _time,
    "times": _times.get,
    "day": _day,
    "model": unchecked,
    "uuid": _uuid,
    "UnexpectedError": UnexpectedError,
}


def make_reader(schema: Any, model: type[BaseModel] | None = None) -> Reader | None:
    """The decoder of a parsed schema, to plain data or to a model.

    Args:
        schema: of a record, as fastavro parsed it.
        model: what to make of it; plain data if None.

    Returns:
        Takes a value and the place where its body begins; gives the datum or the model, and raises anything if the
        bytes from there to the end are not exactly one. None if there is a type or a condition that no source is made
        for.
    """
    maker = _Maker()
    try:
        check = model_check(model) if model is not None else None
        lines = list(maker.value(schema, check, "found", 1))
    except UnsupportedError:
        return None
    if len(lines) > _MOST_LINES:
        return None
    source = "\n".join(["def read(b, p):", *lines, " if p != len(b): raise UnexpectedError", " return found"])
    # Of the schema's own text only names of fields stand in the source, each checked to be an identifier.
    made: dict[str, Any] = {**_NAMES, **maker.objects}
    exec(compile(source, f"<decoder of {schema['name']}>", "exec"), made)  # noqa: S102
    reader: Reader = made["read"]
    return reader


class _Maker:
    """Makes the lines that decode one schema. In them `b` is the value and `p` the place in it."""

    def __init__(self) -> None:
        self.objects: dict[str, Any] = {}
        self._known: dict[str, Any] = {}
        self._number = count()

    def _name(self) -> str:
        return f"v{next(self._number)}"

    def _object(self, thing: Any) -> str:
        name = f"o{next(self._number)}"
        self.objects[name] = thing
        return name

    def value(self, schema: Any, check: Check | None, target: str, depth: int) -> Iterator[str]:
        """Lines that read one value into a name and check it."""
        if depth > _DEEPEST:
            raise UnsupportedError
        pad = " " * depth
        if isinstance(schema, str) and schema in self._known:
            schema = self._known[schema]
        if isinstance(schema, list):
            yield from self._nullable(schema, check, target, depth)
        else:
            if not isinstance(schema, dict):
                schema = {"type": schema}
            check = None if check is None else check.never_null()
            yield from self._one(schema, check, target, depth)
        for function in check.functions if check is not None else ():
            yield f"{pad}{target} = {self._object(function)}({target})"

    def _nullable(self, branches: list[Any], check: Check | None, target: str, depth: int) -> Iterator[str]:
        if len(branches) != 2 or branches[0] != "null":
            raise UnsupportedError
        pad = " " * depth
        yield f"{pad}n = b[p]; p += 1"
        yield f"{pad}if n == 2:"
        yield from self.value(branches[1], None if check is None else check.inner(), target, depth + 1)
        if check is None or check.nullable:
            yield f"{pad}elif n == 0: {target} = None"
        yield f"{pad}else: raise UnexpectedError"

    def _one(self, schema: Mapping[str, Any], check: Check | None, target: str, depth: int) -> Iterator[str]:
        kind, logical, pad = schema["type"], schema.get("logicalType"), " " * depth
        if not isinstance(kind, str):
            raise UnsupportedError
        if kind in self._known and logical is None:
            yield from self._one(self._known[kind], check, target, depth)
        elif (kind, logical) in _SIMPLE:
            of, lines = _SIMPLE[kind, logical]
            if check is not None and check.kind != of and not (of == "str" and check.words is not None):
                raise UnsupportedError
            yield from (pad + line.format(v=target) for line in lines)
            yield from self._conditions(check, target, pad)
        elif logical is not None:
            raise UnsupportedError
        elif kind == "enum":
            self._known[schema["name"]] = schema
            yield from self._enum(schema["symbols"], check, target, pad)
        elif kind == "record":
            self._known[schema["name"]] = schema
            yield from self._record(schema, check, target, depth)
        elif kind in ("array", "map"):
            yield from self._items(schema, check, target, depth)
        else:
            raise UnsupportedError

    def _conditions(self, check: Check | None, target: str, pad: str) -> Iterator[str]:
        if check is None:
            return
        if check.words is not None:
            yield f"{pad}{target} = {self._object(check.words)}[{target}]"
        if check.least is not None and check.least == check.most:
            yield f"{pad}if len({target}) != {check.least}: raise UnexpectedError"
        elif check.least is not None and check.most is not None:
            yield f"{pad}if not {check.least} <= len({target}) <= {check.most}: raise UnexpectedError"
        elif check.least is not None:
            yield f"{pad}if len({target}) < {check.least}: raise UnexpectedError"
        elif check.most is not None:
            yield f"{pad}if len({target}) > {check.most}: raise UnexpectedError"
        if check.smallest is not None:
            yield f"{pad}if {target} < {check.smallest}: raise UnexpectedError"

    def _enum(self, symbols: list[str], check: Check | None, target: str, pad: str) -> Iterator[str]:
        words: Mapping[str, Any] = {symbol: symbol for symbol in symbols}
        if check is not None:
            if check.words is not None:
                words = check.words
            elif check.kind != "str" or check.least is not None or check.most is not None:
                raise UnsupportedError
        # By the byte of the symbol's number; of what has more than one byte fastavro knows.
        known = {number << 1: words[one] for number, one in enumerate(symbols[:64]) if one in words}
        yield f"{pad}{target} = {self._object(known)}[b[p]]; p += 1"

    def _record(self, schema: Mapping[str, Any], check: Check | None, target: str, depth: int) -> Iterator[str]:
        if check is not None and (
            check.kind != "model" or check.fields.keys() != {f["name"] for f in schema["fields"]}
        ):
            raise UnsupportedError
        pad = " " * depth
        repeated = check is not None and getattr(check.model, "REPEATED", False)
        if repeated:
            # What the same bytes gave the last time they give again, whatever follows them.
            last, began = self._object([b"", None]), self._name()
            yield f"{pad}{began} = p"
            yield f"{pad}if {last}[1] is not None and b.startswith({last}[0], p):"
            yield f"{pad} {target} = {last}[1]; p += len({last}[0])"
            yield f"{pad}else:"
            depth += 1
        held: dict[str, str] = {}
        for field in schema["fields"]:
            name = field["name"]
            if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("__"):
                raise UnsupportedError
            held[name] = self._name()
            yield from self.value(field["type"], None if check is None else check.fields[name], held[name], depth)
        # The fields of a model stand in its own order, as pydantic has them.
        shown = ", ".join(f'"{name}": {held[name]}' for name in (held if check is None else check.fields))
        pad = " " * depth
        if check is None:
            yield f"{pad}{target} = {{{shown}}}"
        else:
            names = self._object(set(check.fields))
            yield f"{pad}{target} = model({self._object(check.model)}, {{{shown}}}, {names})"
        if repeated:
            yield f"{pad}if p <= len(b): {last}[:] = b[{began}:p], {target}"  # else it was cut short

    def _items(self, schema: Mapping[str, Any], check: Check | None, target: str, depth: int) -> Iterator[str]:
        array, pad, items, item = schema["type"] == "array", " " * depth, self._name(), self._name()
        if check is not None and check.kind != ("tuple" if array else "dict"):
            raise UnsupportedError
        left = self._name()
        yield f"{pad}{items} = {'[]' if array else '{}'}"
        yield f"{pad}{left} = lengths[b[p]]"
        yield f"{pad}while {left}:"
        yield f"{pad} if {left} < 0: {left}, p = length(b, p)"
        yield f"{pad} p += 1"
        yield f"{pad} for _ in range({left}):"
        if array:
            yield from self.value(schema["items"], None if check is None else check.items, item, depth + 2)
            yield f"{pad}  {items}.append({item})"
        else:
            key = self._name()
            yield from self.value("string", None if check is None else check.keys, key, depth + 2)
            yield from self.value(schema["values"], None if check is None else check.items, item, depth + 2)
            yield f"{pad}  {items}[{key}] = {item}"
        yield f"{pad} {left} = lengths[b[p]]"
        yield f"{pad}p += 1"
        yield f"{pad}{target} = {f'tuple({items})' if array and check is not None else items}"
        yield from self._conditions(check, target, pad)


_LENGTH = ("n = lengths[b[p]]", "if n < 0: n, p = length(b, p)")
_WHOLE = ("n = b[p]", "if n > 127: n, p = number(b, p)", "p += 1; {v} = (n >> 1) ^ -(n & 1)")

# By Avro's type: what pydantic calls it, and the lines that read it. A text that is cut short is noticed at the end.
_SIMPLE: dict[tuple[str, str | None], tuple[str, tuple[str, ...]]] = {
    ("string", None): ("str", (*_LENGTH, "{v} = b[p + 1:(p := p + n + 1)].decode()")),
    ("bytes", None): ("bytes", (*_LENGTH, "{v} = b[p + 1:(p := p + n + 1)]")),
    ("string", "uuid"): ("uuid", (*_LENGTH, "{v} = uuid(b[p + 1:(p := p + n + 1)].decode())")),
    ("int", None): ("int", _WHOLE),
    ("long", None): ("int", _WHOLE),
    ("int", "date"): ("date", (*_WHOLE, "{v} = day({v})")),
    ("long", "timestamp-millis"): (
        "datetime",
        ("{v} = times(b[p:p + 6])", "if {v} is None: {v}, p = time(b, p)", "else: p += 6"),
    ),
    ("boolean", None): ("bool", ("n = b[p]; p += 1", "if n > 1: raise UnexpectedError", "{v} = n == 1")),
}
