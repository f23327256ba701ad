"""The topic `_schemas` as the registry's database: one reader that follows it, one writer that waits for the reader.

A write is answered after it was read back, so whoever was told an id finds it. The writer is fenced by its
transactional id: an older instance that wakes up cannot write any more, and stays a follower that answers reads. What
records mean is left to `model`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress

import structlog

from chopar.access import SCHEMA_WRITER
from chopar.bus.port import Bus, Outgoing, Producer, Reader, TopicPartition
from chopar.errors import ChoparError, FencedError, TooLargeError, UnavailableError
from chopar.topics import SCHEMAS
from services.schema_registry.log_records import NOOP_KEY
from services.schema_registry.model import Append, Changed, Configured, Refused, RequestRefusedError, Schemas

PARTITION = TopicPartition(SCHEMAS.name, 0)
WRITER = SCHEMA_WRITER
"""The transactional id: one for all instances, as there is one writer."""

_FETCH_RECORDS = 500
_FETCH_SECONDS = 1.0
_BACK_OFF_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)
_SUPERSEDED = "another instance has taken over writing"
_log = structlog.get_logger()


class SchemaTopic:
    """Follows the topic into `Schemas`, and writes to it. It is the `SchemaLog` of the handlers.

    Args:
        bus: where the topic is.
        schemas: what the records are applied to; nobody else does.
        write_timeout_seconds: how long a write may take, from waiting for its turn to being read back.
        back_off: waits so many seconds before the next try.
    """

    def __init__(
        self,
        bus: Bus,
        schemas: Schemas,
        *,
        write_timeout_seconds: float = 12.0,
        back_off: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._bus = bus
        self._schemas = schemas
        self._write_timeout_seconds = write_timeout_seconds
        self._back_off = back_off
        self._missing: dict[str, str] = {"broker": "not reached yet"}
        self._next: int | None = None
        self._applied = asyncio.Condition()
        self._turn = asyncio.Lock()
        self._producer: Producer | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._superseded = False

    def missing(self) -> Mapping[str, str]:
        """What stands between this process and its first answer; empty once the log was read to its end."""
        return self._missing

    async def follow(self) -> None:
        """Read the topic for ever, making it if it is not there. Ends only by cancellation or an error.

        Raises:
            StopError: the topic has other settings than it must have, or records were deleted before they were read.
        """
        failures = 0
        try:
            while True:
                try:
                    await self._make_topic()
                    async for _ in self._batches():
                        failures = 0
                except UnavailableError as error:
                    if self._missing:
                        self._missing = {"broker": str(error)}
                    _log.warning("schema_registry.broker_away", code=error.code, reason=str(error))
                await self._back_off(_BACK_OFF_SECONDS[min(failures, len(_BACK_OFF_SECONDS) - 1)])
                failures += 1
        finally:
            self._drop_producer()
            await asyncio.gather(*self._closing)

    async def _make_topic(self) -> None:
        admin = self._bus.admin()
        await admin.start()
        try:
            # A topic that is there with other settings (deleting instead of compacting) is refused here.
            await admin.create([SCHEMAS.layout()])
        finally:
            await admin.stop()

    async def _batches(self) -> AsyncIterator[None]:
        reader = self._bus.reader({PARTITION: self._next}, read_committed=True)
        await reader.start()
        try:
            end = (await reader.end_offsets([PARTITION]))[PARTITION]
            while True:
                await self._caught_up(reader, end)
                batch = await reader.fetch(_FETCH_RECORDS, _FETCH_SECONDS)
                for record in batch.get(PARTITION, ()):
                    self._take(record.offset, record.key, record.value)
                yield
        finally:
            await reader.stop()

    def _take(self, offset: int, key: bytes | None, value: bytes | None) -> None:
        outcome = self._schemas.apply(key, value)
        self._next = offset + 1
        if isinstance(outcome, Refused):
            _log.error("schema_registry.record_refused", offset=offset, reason=outcome.reason)
        elif isinstance(outcome, Changed) and not self._missing:
            self._say(outcome)
        elif isinstance(outcome, Configured) and not self._missing:
            level = outcome.level or "taken away"
            _log.info("schema_registry.level_set", schema_subject=outcome.subject, compatibility=level)

    @staticmethod
    def _say(changed: Changed) -> None:
        row = changed.version
        if row is None:
            _log.warning("schema_registry.deleted", schema_subject=changed.subject)
        else:
            said = _log.warning if row.deleted else _log.info
            event = "schema_registry.version_deleted" if row.deleted else "schema_registry.version_added"
            said(event, schema_subject=row.subject, version=row.version, id=row.schema_id)

    async def _caught_up(self, reader: Reader, end: int) -> None:
        position = reader.position(PARTITION)
        self._next = position
        if self._missing:
            self._missing = {} if position >= end else {"log": f"read to {position} of {end}"}
            if not self._missing:
                _log.info("schema_registry.ready", schemas=self._schemas.count, refused=self._schemas.refused)
        async with self._applied:
            self._applied.notify_all()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Append]:
        """See `SchemaLog`."""
        if self._missing:
            raise _unavailable("the log has not been read to its end yet")
        if self._superseded:
            # Fencing the other in turn would let two instances take the pen from each other for ever.
            raise _unavailable(_SUPERSEDED)
        try:
            async with asyncio.timeout(self._write_timeout_seconds), self._turn:
                if self._producer is None:
                    await self._open()
                yield self._append
        except TimeoutError:
            reason = "The write did not end in time, and may have been done: send it again, it gets one id only"
            raise RequestRefusedError(503, 50002, reason) from None

    async def _open(self) -> None:
        """Fence whoever wrote before, and read everything that got through: only then is `Schemas` complete."""
        producer = self._bus.fenced_producer(WRITER)
        self._producer = producer
        try:
            await producer.start()
        except ChoparError as error:
            self._drop_producer()
            raise _unavailable(str(error)) from error
        except BaseException:
            self._drop_producer()
            raise
        written = b""
        while written != (mark := self._schemas.mark()):  # what was read meanwhile counts too
            await self._append(NOOP_KEY, mark)
            written = mark

    async def _append(self, key: bytes, value: bytes | None) -> None:
        producer = self._producer
        if producer is None:
            raise _unavailable("the writer was closed")
        try:
            [sent] = await producer.send([Outgoing(PARTITION.topic, PARTITION.partition, key, value)])
            if isinstance(sent, ChoparError):
                raise sent
            async with self._applied:
                await self._applied.wait_for(lambda: self._next is not None and self._next > sent.offset)
        except FencedError as error:
            self._superseded = True
            self._drop_producer()
            _log.error("schema_registry.superseded", code=error.code, reason=str(error))
            raise _unavailable(_SUPERSEDED) from error
        except TooLargeError as error:
            self._drop_producer()
            raise RequestRefusedError(422, 42209, "The schema is too large for a record of the log") from error
        except ChoparError as error:
            self._drop_producer()
            raise _unavailable(f"the write was not acknowledged: {error}") from error
        except BaseException:
            # Cut off in the middle: whether it was written is unknown. The next writer reads to the end first.
            self._drop_producer()
            raise

    def _drop_producer(self) -> None:
        """Close it behind the caller's back: it may take seconds to let go of a broker that does not answer."""
        producer, self._producer = self._producer, None
        if producer is not None:
            task = asyncio.create_task(_stop(producer))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


async def _stop(producer: Producer) -> None:
    with suppress(ChoparError):
        await producer.stop()


def _unavailable(reason: str) -> RequestRefusedError:
    return RequestRefusedError(503, 50003, f"Nothing can be written now: {reason}")
