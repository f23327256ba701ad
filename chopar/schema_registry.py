"""Client of a schema registry (the field's REST API), and its in-memory twin.

Schemas are registered by deployment (`chopar schema push`), never by a process that writes, and a process never asks
for "latest": it looks up the id of the text that it was built with. Ids and texts are for ever, so they are kept on
disk.
"""

import asyncio
import json
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import quote

import structlog

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
from chopar.avro.canonical import InvalidSchemaError, canonical_form
from chopar.avro.compatibility import DEFAULT_LEVEL, reasons
from chopar.avro.writer import Writer, make_writer
from chopar.errors import (
    ConfigurationError,
    IncompatibleSchemaError,
    SchemaNotYetKnownError,
    SchemaRegistryUnavailableError,
    TooLargeError,
    UnknownSchemaError,
)
from chopar.messages.record import Message

if TYPE_CHECKING:
    import httpx2

_M = TypeVar("_M", bound=Message)
_log = structlog.get_logger()

_ASK_AGAIN_SECONDS = 10.0
"""A follower of the registry may lag: an unknown id is asked again this long before it counts as unknown."""

_NEGATIVE_SECONDS = 30.0
"""How long "unknown" is believed without asking again."""

_NEXT_WAIT_SECONDS = 300.0
"""From one wait for unknown ids to the next: who writes a new one each time holds a partition up once, not for ever."""

_MOST_BELIEVED = 10_000
"""Unknown ids that are remembered; what is forgotten is asked again."""


class SchemaRegistry(Protocol):
    """What writers and readers need of a schema registry. The subject is the full name of the record."""

    async def id_of(self, subject: str, text: str) -> int:
        """The id of a schema that was registered.

        Raises:
            SchemaRegistryUnavailableError: it does not answer, or does not know the schema yet.
        """

    async def text_of(self, schema_id: int) -> str:
        """The text of a schema, by id.

        Raises:
            SchemaNotYetKnownError: unknown so far; ask again.
            UnknownSchemaError: unknown for good.
            SchemaRegistryUnavailableError: it does not answer.
        """

    async def register(self, subject: str, text: str) -> int:
        """Register a schema; the same text gets the same id.

        Raises:
            SchemaRegistryUnavailableError: it does not answer.
            IncompatibleSchemaError: it does not fit the earlier versions of this subject.
            ConfigurationError: it refuses the schema; the message says why.
        """


class _Patience:
    """How long unknown ids are waited for: all that come up during one wait share it, and for a while none follows."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began: float | None = None
        self._waited: set[int] = set()
        self._is_said = False
        self._refused: dict[int, float] = {}

    def unknown(self, schema_id: int) -> Exception:
        """What to raise for an id that the registry does not know."""
        now = self._clock()
        if self._began is None or now - self._began >= _NEXT_WAIT_SECONDS:
            self._began, self._waited, self._is_said = now, set(), False
        if now - self._began < _ASK_AGAIN_SECONDS:
            self._waited.add(schema_id)
            return SchemaNotYetKnownError("the schema registry does not know this schema id yet")
        if schema_id not in self._waited and not self._is_said:
            self._is_said = True
            _log.warning("schema_id.not_waited_for", schema_id=schema_id, seconds=_NEXT_WAIT_SECONDS)
        if len(self._refused) >= _MOST_BELIEVED:
            del self._refused[next(iter(self._refused))]
        self._refused[schema_id] = now
        return UnknownSchemaError("the schema registry does not know this schema id")

    def raise_believed(self, schema_id: int) -> None:
        """Raise UnknownSchemaError while "unknown for good" holds without asking; forget it after that."""
        refused = self._refused.get(schema_id)
        if refused is None:
            return
        if self._clock() - refused < _NEGATIVE_SECONDS:
            raise UnknownSchemaError("the schema registry does not know this schema id")
        del self._refused[schema_id]


class InMemorySchemaRegistry:
    """The twin: same promises, no network. `available = False` makes it unreachable; `level` holds for all subjects."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.available = True
        self.level = DEFAULT_LEVEL
        self._ids: dict[str, int] = {}
        self._texts: dict[int, str] = {}
        self._versions: dict[str, list[str]] = {}
        self._patience = _Patience(clock)

    def _check(self) -> None:
        if not self.available:
            raise SchemaRegistryUnavailableError("the schema registry does not answer")

    async def id_of(self, subject: str, text: str) -> int:
        """See `SchemaRegistry`."""
        self._check()
        content = _content(subject, text)
        if content not in self._versions.get(subject, ()):
            raise SchemaRegistryUnavailableError(
                f"{subject} is not registered: `chopar schema push FOLDER`, with the folder of its .avsc file"
            )
        return self._ids[content]

    async def text_of(self, schema_id: int) -> str:
        """See `SchemaRegistry`."""
        if schema_id in self._texts:
            return self._texts[schema_id]
        self._patience.raise_believed(schema_id)
        self._check()
        raise self._patience.unknown(schema_id)

    async def register(self, subject: str, text: str) -> int:
        """See `SchemaRegistry`."""
        self._check()
        content = _content(subject, text)
        versions = self._versions.setdefault(subject, [])
        if content not in versions:
            said = reasons(self.level, content, dict(enumerate(versions, start=1)))
            if said:
                raise IncompatibleSchemaError({subject: said})
            versions.append(content)
        schema_id = self._ids.setdefault(content, len(self._ids) + 1)
        self._texts.setdefault(schema_id, text)
        return schema_id


_canonical_form = lru_cache(maxsize=256)(canonical_form)


def _content(subject: str, text: str) -> str:
    try:
        return _canonical_form(text)
    except InvalidSchemaError as error:
        raise ConfigurationError(f"{subject}: the schema registry refuses it: {error}") from error


class HttpSchemaRegistry:
    """The client. One connection pool, opened when something is asked that is not known; close it with `aclose`.

    Args:
        url: base address of the registry.
        cache: folder that keeps texts by id and ids by text; None: memory only.
        clock: monotonic seconds, for how long an unknown id is asked again.
        timeout_seconds: of one request.
    """

    def __init__(
        self,
        url: str,
        *,
        cache: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
        timeout_seconds: float = 5.0,
    ) -> None:
        self._client: httpx2.AsyncClient | None = None
        self._timeout_seconds = timeout_seconds
        self._url = url
        self._cache = cache
        self._patience = _Patience(clock)
        self._texts: dict[int, str] = {}
        self._ids: dict[tuple[str, str], int] = {}
        if cache is not None:
            try:
                cache.mkdir(parents=True, exist_ok=True)
                for path in cache.glob("*.json"):
                    self._read_cached(path)
            except OSError as error:
                self._do_without_cache(error)

    def _read_cached(self, path: Path) -> None:
        try:
            row = json.loads(path.read_text(encoding="utf-8"))
            schema_id, subject, text = int(row["id"]), row["subject"], str(row["schema"])
        except (ValueError, KeyError, TypeError):
            path.unlink(missing_ok=True)  # a half-written file is only a cache miss
            return
        self._texts[schema_id] = text
        if subject is not None:
            self._ids[str(subject), text] = schema_id

    def _keep(self, schema_id: int, text: str, subject: str | None) -> None:
        self._texts[schema_id] = text
        if subject is not None:
            self._ids[subject, text] = schema_id
        if self._cache is not None:
            name = f"{schema_id}.json" if subject is None else f"{schema_id}-{subject}.json"
            temporary = self._cache / f".{name}.{os.getpid()}"
            row = {"id": schema_id, "subject": subject, "schema": text}
            try:
                temporary.write_text(json.dumps(row), encoding="utf-8")
                temporary.replace(self._cache / name)
            except OSError as error:
                self._do_without_cache(error)

    def _do_without_cache(self, error: OSError) -> None:
        """What is known is known as long as this process lives; only a start without the registry needs the files."""
        _log.warning("schema_cache.unwritable", folder=str(self._cache), reason=error.strerror)
        self._cache = None

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()

    async def _call(self, method: str, path: str, body: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:
        import httpx2  # only here: what is in the cache needs neither the connection nor the three megabytes

        try:
            if self._client is None:
                self._client = httpx2.AsyncClient(base_url=self._url, timeout=self._timeout_seconds)
            answer = await self._client.request(method, path, json=body)
            content = answer.json()
        except (httpx2.HTTPError, ValueError) as error:
            raise SchemaRegistryUnavailableError(f"the schema registry at {self._url} does not answer") from error
        if answer.status_code >= 500 or not isinstance(content, dict):
            raise SchemaRegistryUnavailableError(f"the schema registry at {self._url} answers {answer.status_code}")
        return answer.status_code, content

    async def id_of(self, subject: str, text: str) -> int:
        """See `SchemaRegistry`."""
        if (subject, text) in self._ids:
            return self._ids[subject, text]
        status, content = await self._call("POST", f"/subjects/{quote(subject, safe='')}", {"schema": text})
        if status != 200:
            raise SchemaRegistryUnavailableError(
                f"{subject} is not registered: `chopar schema push FOLDER`, with the folder of its .avsc file"
            )
        self._keep(int(content["id"]), text, subject)
        return int(content["id"])

    async def text_of(self, schema_id: int) -> str:
        """See `SchemaRegistry`."""
        if schema_id in self._texts:
            return self._texts[schema_id]
        self._patience.raise_believed(schema_id)
        status, content = await self._call("GET", f"/schemas/ids/{schema_id}")
        if status != 200:
            raise self._patience.unknown(schema_id)
        self._keep(schema_id, str(content["schema"]), None)
        return self._texts[schema_id]

    async def register(self, subject: str, text: str) -> int:
        """See `SchemaRegistry`."""
        path = f"/subjects/{quote(subject, safe='')}"
        status, content = await self._call("POST", f"{path}/versions", {"schema": text})
        if status == HTTPStatus.CONFLICT:
            raise IncompatibleSchemaError({subject: [str(content.get("message", status))]})
        if status != 200:
            raise ConfigurationError(f"{subject}: the schema registry refuses it: {content.get('message', status)}")
        self._keep(int(content["id"]), text, subject)
        return int(content["id"])


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
