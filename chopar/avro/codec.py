"""The frame and the codec: magic byte 0, a 4-byte schema id, the Avro body.

A process writes with the schemas it was built with (the `.avsc` files of this distribution) and learns their ids from
the schema registry; what it reads is decoded with the writer's schema, by id, and resolved to its own. Where ids and
texts come from is left to the caller: `chopar.schema_registry` for agencies, the activated law for the gateway.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

import fastavro

from chopar.avro.reader import Reader, make_reader
from chopar.avro.writer import Writer, make_writer
from chopar.errors import ConfigurationError, NotOurFramingError, TooLargeError, UndecodableError, WrongRecordError
from chopar.messages.record import Message

MAX_VALUE_BYTES = 1024 * 1024
"""The largest value of a record; what is larger goes by reference and hash."""

_HEADER = struct.Struct(">bI")

# What a strange writer's schema may make of a body is bounded before any of it is read: fastavro follows schema and
# counts wherever they lead, down a recursive record until the C stack ends, and along an array of a billion nulls.
_DEEPEST = 32
_MOST_VALUES = 10_000
_VALUES_PER_BYTE = 4  # of an array's or map's items; ours need two
_SHORT_BODY = 64 * 1024  # a longer one is fastavro's alone: it is rare, and if it is bad it is not decoded twice
_M = TypeVar("_M", bound=Message)
ParsedSchema: TypeAlias = Any  # fastavro's parsed form; it has no type of its own


class SchemaFiles:
    """The schemas that this process was built with, by the full name of their record.

    Args:
        texts: full record name to the text of its `.avsc` file.
        paths: where those texts that are files lie, by the same names.
    """

    def __init__(self, texts: Mapping[str, str], paths: Mapping[str, Path] | None = None) -> None:
        self.texts = dict(texts)
        self.paths = dict(paths or {})
        self._parsed: dict[str, ParsedSchema] = {}

    @classmethod
    def shipped(cls) -> "SchemaFiles":
        """Those of this distribution: `chopar/schemas` in a wheel, `schemas/` in a checkout."""
        library = Path(str(resources.files("chopar")))
        folder = library / "schemas"
        if not folder.is_dir():
            folder = library.parent / "schemas"
        return cls.from_folder(folder)

    @classmethod
    def from_folder(cls, folder: Path) -> "SchemaFiles":
        """All `.avsc` files below a folder.

        Raises:
            ConfigurationError: there are none, or one is not an Avro record.
        """
        texts: dict[str, str] = {}
        paths: dict[str, Path] = {}
        for path in sorted(folder.rglob("*.avsc")):
            try:
                text = path.read_text(encoding="utf-8")
                schema = json.loads(text)
                record, fields = f"{schema['namespace']}.{schema['name']}", schema["fields"]
                if not all(isinstance(field["name"], str) and field["type"] for field in fields):
                    raise TypeError
            except json.JSONDecodeError as error:
                raise ConfigurationError(
                    f"{path}: no JSON, at line {error.lineno} column {error.colno}: {error.msg}"
                ) from None
            except (OSError, ValueError) as error:
                raise ConfigurationError(f"{path} cannot be read: {type(error).__name__}") from error
            except (KeyError, TypeError):
                raise ConfigurationError(
                    f"{path}: not an Avro record schema; namespace, name and fields are due, each with name and type"
                ) from None
            texts[record], paths[record] = text, path
        if not texts:
            raise ConfigurationError(f"no .avsc files below {folder}")
        return cls(texts, paths)

    def with_texts(self, texts: Mapping[str, str]) -> "SchemaFiles":
        """These and others, for records of somebody's own."""
        return SchemaFiles({**self.texts, **texts}, {n: p for n, p in self.paths.items() if n not in texts})

    def text(self, record: str) -> str:
        """The text of a record's schema.

        Raises:
            ConfigurationError: there is no such schema among these.
        """
        if record not in self.texts:
            raise ConfigurationError(
                f"there is no schema of {record}: its .avsc file is due, with that namespace and name"
            )
        return self.texts[record]

    def parsed(self, record: str) -> ParsedSchema:
        """The parsed schema of a record.

        Raises:
            ConfigurationError: there is no such schema among these, or it is no valid one.
        """
        schema = self._parsed.get(record)
        if schema is None:
            if record not in self.texts:
                raise ConfigurationError(f"no schema {record} among those that this process was built with")
            try:
                schema = self._parsed[record] = parse_schema(self.texts[record])
            except UndecodableError as error:
                raise ConfigurationError(
                    f"the .avsc of {record} is no Avro that can be read: {error.__cause__ or error}"
                ) from None
        return schema


@cache
def parse_schema(text: str) -> ParsedSchema:
    """Parse the text of a schema. Texts of the same JSON give the same object, so that nothing is resolved needlessly.

    Raises:
        UndecodableError: it is no valid Avro schema, or one by which a small body may hold more than there is memory
            for: recursive, nested too deep, or with items that take no bytes.
    """
    try:
        return _parse_json(json.dumps(json.loads(text)))
    except (ValueError, KeyError, TypeError, RecursionError, fastavro.schema.SchemaParseException) as error:
        raise UndecodableError("the writer's schema is no valid Avro schema") from error


@cache
def _parse_json(content: str) -> ParsedSchema:
    parsed = fastavro.parse_schema(json.loads(content))
    _Bounds().require(parsed)
    return parsed


class _Least(NamedTuple):
    """Of a value: the fewest bytes, the most values in it (items of arrays and maps aside), how deep it is."""

    size: int
    values: int
    depth: int


class _Bounds:
    """How much a body can hold by a schema: at most `_MOST_VALUES`, and `_VALUES_PER_BYTE` for each of its bytes."""

    def __init__(self) -> None:
        self._known: dict[str, _Least | None] = {}

    def require(self, schema: ParsedSchema) -> None:
        """Raise UndecodableError if there is no such bound."""
        if self._least(schema).values > _MOST_VALUES:
            raise UndecodableError("the writer's schema holds too many values")

    def _least(self, schema: ParsedSchema) -> _Least:
        if isinstance(schema, str):
            return self._named(schema)
        if isinstance(schema, list):
            branches = [self._least(branch) for branch in schema] or [_Least(0, 1, 0)]
            return self._around(branches, 1 + min(one.size for one in branches), max(one.values for one in branches))
        kind = schema["type"]
        if kind in ("array", "map"):
            item = self._least(schema["items" if kind == "array" else "values"])
            if item.values > (item.size + (kind == "map")) * _VALUES_PER_BYTE:  # an item of a map has a key
                raise UndecodableError("the writer's schema has items that take next to no bytes")
            return self._around([item], 1, 1)
        if kind in ("record", "error"):
            self._known[schema["name"]] = None
            fields = [self._least(field["type"]) for field in schema["fields"]]
            found = self._around(fields, sum(one.size for one in fields), 1 + sum(one.values for one in fields))
        elif kind in ("fixed", "enum"):
            found = _Least(schema["size"] if kind == "fixed" else 1, 1, 0)
        else:
            return self._least(kind)
        self._known[schema["name"]] = found
        return found

    @staticmethod
    def _around(parts: Sequence[_Least], size: int, values: int) -> _Least:
        depth = 1 + max((one.depth for one in parts), default=0)
        if depth > _DEEPEST:
            raise UndecodableError("the writer's schema is nested too deep")
        return _Least(size, values, depth)

    def _named(self, name: str) -> _Least:
        if name not in self._known:
            return _Least({"null": 0, "float": 4, "double": 8}.get(name, 1), 1, 0)
        found = self._known[name]
        if found is None:
            raise UndecodableError("the writer's schema is recursive")
        return found


def schema_name(schema: ParsedSchema) -> str:
    """The full name of a parsed record schema; empty if it is no record."""
    return schema.get("name", "") if isinstance(schema, dict) else ""


def frame(schema_id: int, body: bytes) -> bytes:
    """Put the magic byte and the schema id before a body."""
    return _HEADER.pack(0, schema_id) + body


def unframe(value: bytes) -> tuple[int, bytes]:
    """Split a value into schema id and body.

    Raises:
        NotOurFramingError: shorter than five bytes, or another magic byte.
    """
    if len(value) < _HEADER.size:
        raise NotOurFramingError("shorter than the five bytes of the frame")
    magic, schema_id = _HEADER.unpack_from(value)
    if magic != 0:
        raise NotOurFramingError("the first byte is not the magic byte 0")
    return schema_id, value[_HEADER.size :]


def encode_body(schema: ParsedSchema, message: Message) -> bytes:
    """Encode a message, without the frame.

    Raises:
        TooLargeError: more than `MAX_VALUE_BYTES`.
    """
    body = _written(schema, message)
    if body is None:
        out = BytesIO()
        fastavro.schemaless_writer(out, schema, message.to_avro(), disable_tuple_notation=True)
        body = out.getvalue()
    if len(body) + _HEADER.size > MAX_VALUE_BYTES:
        size = len(body) + _HEADER.size
        raise TooLargeError(f"{type(message).__name__} of {size} bytes; {MAX_VALUE_BYTES} at most")
    return body


_writers: dict[str, list[tuple[ParsedSchema, Writer | None]]] = {}
"""Encoders made so far, by the name of the record; of one name there are as many schemas as are in use at once."""


def _writer(schema: ParsedSchema) -> Writer | None:
    name = schema_name(schema)
    for known, writer in _writers.get(name, ()):
        if known is schema:
            return writer
    writer = make_writer(schema)
    _writers.setdefault(name, []).append((schema, writer))
    return writer


def _written(schema: ParsedSchema, message: Message) -> bytes | None:
    """The body by the encoder made for this schema; None if there is none, or the message is not what it expects."""
    if type(message).to_avro is not Message.to_avro:  # a datum of its own, not its attributes
        return None
    writer = _writer(schema)
    try:
        return writer(message) if writer is not None else None
    except Exception:  # noqa: BLE001  not swallowed: fastavro encodes it, or says what is wrong
        return None


_FROM_AVRO = getattr(Message.from_avro, "__func__", None)  # a model with another one is made by that

_readers: dict[tuple[str, type[Message] | None], list[tuple[ParsedSchema, Reader | None]]] = {}
"""Decoders made so far, by the name of the record and what they make of it; as `_writers`."""


def _reader(schema: ParsedSchema, model: type[Message] | None) -> Reader | None:
    key = (schema_name(schema), model)
    for known, reader in _readers.get(key, ()):
        if known is schema:
            return reader
    own = model is None or getattr(model.from_avro, "__func__", None) is _FROM_AVRO
    reader = make_reader(schema, model) if own else None
    _readers.setdefault(key, []).append((schema, reader))
    return reader


def _require_readable(body: bytes, writer: ParsedSchema, reader: ParsedSchema | None) -> None:
    if len(body) + _HEADER.size > MAX_VALUE_BYTES:  # a broker counts compressed bytes
        raise UndecodableError("larger than any value of ours")
    if reader is not None and writer is not reader and schema_name(writer) != schema_name(reader):
        raise WrongRecordError(f"a {schema_name(writer)} where a {schema_name(reader)} is due")


def decode_body(body: bytes, writer: ParsedSchema, reader: ParsedSchema | None = None) -> dict[str, Any]:
    """Decode a body by its writer's schema, resolved to the reader's.

    Raises:
        WrongRecordError: the writer's schema is of another record than the reader's.
        UndecodableError: it is too large, is cut short, has bytes left over, or does not decode.
    """
    _require_readable(body, writer, reader)
    if (reader is None or reader is writer) and len(body) <= _SHORT_BODY:
        read = _reader(writer, None) if isinstance(writer, dict) else None
        if read is not None:
            try:
                found: dict[str, Any] = read(body, 0)
            except Exception:  # noqa: BLE001, S110  not swallowed: fastavro decodes it, or says what is wrong
                pass
            else:
                return found
    return _decoded(body, writer, reader)


def _decoded(body: bytes, writer: ParsedSchema, reader: ParsedSchema | None) -> dict[str, Any]:
    source = BytesIO(body)
    try:
        datum = fastavro.schemaless_reader(source, writer, None if reader is writer else reader)
    except Exception:  # noqa: BLE001
        # fastavro raises whatever its input made it stumble over, and says the value: the cause is not kept.
        raise UndecodableError("the body does not decode by its schema") from None
    if source.tell() != len(body):
        raise UndecodableError("bytes are left over after the record")
    if not isinstance(datum, dict):
        raise UndecodableError("the schema is not of a record")
    return datum


def decode_message(body: bytes, writer: ParsedSchema, reader: ParsedSchema, model: type[_M]) -> _M:
    """Decode a body into a message: what `model.from_avro(decode_body(body, writer, reader))` gives, for less.

    Args:
        body: without the frame.
        writer: the schema that it was written with.
        reader: the model's own.
        model: of the message.

    Raises:
        WrongRecordError: the writer's schema is of another record than the reader's.
        UndecodableError: it is too large, is cut short, has bytes left over, does not decode, or is no valid message.
    """
    _require_readable(body, writer, reader)
    if reader is writer and len(body) <= _SHORT_BODY:
        read = _reader(writer, model)
        if read is not None:
            try:
                found: _M = read(body, 0)
            except Exception:  # noqa: BLE001, S110  the same; pydantic too may have something to say
                pass
            else:
                return found
    return model.from_avro(_decoded(body, writer, reader))
