"""Messages to framed values and back: with the schemas that this process was built with, and ids from a registry."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

from chopar.avro import (
    MAX_VALUE_BYTES,
    ParsedSchema,
    SchemaFiles,
    decode_body,
    decode_message,
    encode_body,
    frame,
    parse_schema,
    schema_name,
    unframe,
)
from chopar.avro.writer import Writer, make_writer
from chopar.errors import (
    ConfigurationError,
    SchemaRegistryUnavailableError,
    TooLargeError,
)
from chopar.messages.record import Message
from chopar.schema_registry.port import SchemaRegistry

_M = TypeVar("_M", bound=Message)


class Encoder:
    """Writes messages with the schemas that this process was built with.

    `prepare` looks the ids up once; after it `encode` needs no network.
    """

    def __init__(self, files: SchemaFiles, registry: SchemaRegistry) -> None:
        self._files = files
        self._registry = registry
        self._ids: dict[str, int] = {}

    async def prepare(self, *records: type[Message] | str) -> None:
        """Look up the ids of these records.

        Raises:
            SchemaRegistryUnavailableError: see `SchemaRegistry.id_of`.
            ConfigurationError: there is no schema of this name among those that this process was built with.
        """
        names = [record if isinstance(record, str) else record.RECORD for record in records]
        for name in names:
            self._files.parsed(name)  # one that is not there is said by name, before anything is asked
        found = await asyncio.gather(
            *(self._registry.id_of(name, self._files.texts[name]) for name in names), return_exceptions=True
        )
        away: list[str] = []
        for name, answer in zip(names, found, strict=True):
            if isinstance(answer, int):
                self._ids[name] = answer
            elif isinstance(answer, SchemaRegistryUnavailableError):
                away.append(str(answer))
            else:
                raise answer
        if away:  # all that is missing is said at once
            raise SchemaRegistryUnavailableError("; ".join(dict.fromkeys(away)))

    def encode(self, message: Message) -> bytes:
        """The framed value of a message whose record was prepared.

        Raises:
            ConfigurationError: its record was not prepared.
            TooLargeError: see `chopar.avro.encode_body`.
        """
        record = message.RECORD
        return frame(self._id(record), encode_body(self._files.parsed(record), message))

    def schema(self, record: type[Message]) -> ParsedSchema:
        """The schema that a record is written with.

        Raises:
            ConfigurationError: there is none.
        """
        return self._files.parsed(record.RECORD)

    def writer(
        self,
        record: type[Message],
        *,
        same: Mapping[str, Any],
        encoded: Collection[str] = (),
        flat: Collection[str] = (),
    ) -> Writer | None:
        """An encoder of framed values in which much is the same; what it is given need not be a message.

        Args:
            record: that was prepared.
            same: see `chopar.avro.writer.make_writer`, like the others and what it gives.
            encoded: the same.
            flat: the same.

        Raises:
            ConfigurationError: the record was not prepared.
            Exception: whatever comes, if what is the same does not fit the schema.
        """
        prefix = frame(self._id(record.RECORD), b"")
        return make_writer(self.schema(record), prefix=prefix, same=same, encoded=encoded, flat=flat)

    @staticmethod
    def bounded(value: bytes, name: str) -> bytes:
        """A framed value that such an encoder gave.

        Raises:
            TooLargeError: more than `MAX_VALUE_BYTES`.
        """
        if len(value) > MAX_VALUE_BYTES:
            raise TooLargeError(f"{name} of {len(value)} bytes; {MAX_VALUE_BYTES} at most")
        return value

    def _id(self, record: str) -> int:
        try:
            return self._ids[record]
        except KeyError:
            raise ConfigurationError(f"{record}: its schema id was not looked up before writing") from None


class Decoder:
    """Reads framed values by their writer's schema, resolved to the schemas that this process was built with."""

    def __init__(self, files: SchemaFiles, registry: SchemaRegistry) -> None:
        self._files = files
        self._registry = registry
        self._writers: dict[int, ParsedSchema] = {}

    async def _writer(self, value: bytes) -> tuple[ParsedSchema, bytes]:
        schema_id, body = unframe(value)
        writer = self._writers.get(schema_id)
        if writer is None:
            writer = self._writers[schema_id] = parse_schema(await self._registry.text_of(schema_id))
        return writer, body

    async def datum(self, value: bytes) -> tuple[str, dict[str, Any]]:
        """Decode a value by its writer's schema alone: the full name of its record, and the datum.

        Raises:
            RecordError: it cannot be read; the subclass says why.
            SchemaNotYetKnownError, SchemaRegistryUnavailableError: not now; try again.
        """
        writer, body = await self._writer(value)
        return schema_name(writer), decode_body(body, writer)

    def datum_now(self, value: bytes) -> tuple[str, dict[str, Any]] | None:
        """As `datum`; None if the registry has to be asked first."""
        schema_id, body = unframe(value)
        writer = self._writers.get(schema_id)
        return None if writer is None else (schema_name(writer), decode_body(body, writer))

    async def message(self, value: bytes, model: type[_M]) -> _M:
        """Decode a value into a message; errors as of `datum`, and UndecodableError if it is no valid message."""
        writer, body = await self._writer(value)
        return decode_message(body, writer, self._files.parsed(model.RECORD), model)

    async def one_of(self, value: bytes, *models: type[_M]) -> _M:
        """As `message`, of the one of these models whose record it is; WrongRecordError if it is none of theirs."""
        writer, body = await self._writer(value)
        return self._one_of(writer, body, models)

    def one_of_now(self, value: bytes, *models: type[_M]) -> _M | None:
        """As `one_of`; None if the registry has to be asked first."""
        schema_id, body = unframe(value)
        writer = self._writers.get(schema_id)
        return None if writer is None else self._one_of(writer, body, models)

    def _one_of(self, writer: ParsedSchema, body: bytes, models: Sequence[type[_M]]) -> _M:
        name = schema_name(writer)
        model = next((model for model in models if name == model.RECORD), models[0])
        return decode_message(body, writer, self._files.parsed(model.RECORD), model)

    def message_now(self, value: bytes, model: type[_M]) -> _M | None:
        """As `message`; None if the registry has to be asked first."""
        schema_id, body = unframe(value)
        writer = self._writers.get(schema_id)
        return None if writer is None else decode_message(body, writer, self._files.parsed(model.RECORD), model)
