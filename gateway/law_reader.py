"""Follows `law.activated`: reads it from its beginning, keeps what holds ready, and appends the gateway's marks.

What the records mean is `gateway.law`'s; what is made of an activation is `gateway.standing`'s.
"""

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator
from datetime import UTC, date, datetime
from pathlib import Path

import structlog

from chopar.avro import SchemaFiles, decode_body, encode_body, frame, unframe
from chopar.bus.between import between
from chopar.bus.port import Bus, Outgoing, Producer, Record, TopicPartition
from chopar.errors import ChoparError, LawNotReadError, LawUnreadableError, RecordError
from chopar.messages.law import ListActivated, ListMark
from chopar.topics import LAW_ACTIVATED
from gateway.law import MARK_KEY, MARKS_PER_LEAD, Activation, Law
from gateway.standing import Standing
from gateway.tashkent import day_of

PARTITION = TopicPartition(LAW_ACTIVATED.of(), 0)

_BATCH = 500
_LISTEN_SECONDS = 0.5
_WAIT_SECONDS = 5.0
"""How long a batch waits for the law to be read far enough before it is given back to be read again: less than the time
that a process has to end in, as it does not end in mid-wait."""

MOST_STANDINGS = 16
"""Kept ready, those that were used last: what holds, what comes, what held when waiting demands and demands that are
disputed were taken. Others are read again, each 20 ms during which nothing is answered: whoever disputes old demands in
turn must not have that done for each."""

_log = structlog.get_logger()


def read_activation(files: SchemaFiles, record: Record) -> ListActivated | None:
    """An activation from its record; None for a mark.

    Raises:
        LawUnreadableError: it is neither.
    """
    if record.key == MARK_KEY or record.value is None:
        return None
    try:
        _, body = unframe(record.value)
        return ListActivated.from_avro(decode_body(body, files.parsed(ListActivated.RECORD)))
    except RecordError as error:
        raise LawUnreadableError(
            f"law.activated, offset {record.offset}: {error}. Find out who wrote it; if it is to say nothing: "
            f"chopar prohibited pass-over {record.offset}"
        ) from error


async def understood(bus: Bus, files: SchemaFiles, record: Record) -> ListActivated | None:
    """The same; None too for a record that nobody understands and whose key was given no value later.

    No gateway has ever come past it before that, so all say the same whether the broker has compacted it away or not.

    Raises:
        LawUnreadableError: it is neither, and stands.
        BrokerUnavailableError: the broker does not answer.
    """
    try:
        return read_activation(files, record)
    except LawUnreadableError:
        async with contextlib.aclosing(_later(bus, record)) as later:
            async for one in later:
                if one.key == record.key and one.value is None:
                    _log.warning("law.passed_over", offset=record.offset)
                    return None
        raise


async def _later(bus: Bus, record: Record) -> AsyncGenerator[Record, None]:
    """What lies behind a record now."""
    reader = bus.reader({PARTITION: record.offset})
    await reader.start()
    try:
        ends = await reader.end_offsets([PARTITION])
    finally:
        await reader.stop()
    async with contextlib.aclosing(between(bus, {PARTITION: record.offset + 1}, ends)) as found:
        async for one in found:
            yield one


class LawReader:
    """Knows what holds at a broker time.

    Args:
        bus: where the law is read and marked.
        files: the schemas of activations and marks; their records are known by key, so no registry is asked.
        home: where secrets lie.
        lists_folder: where bundles lie.
        instance: name of this gateway in its marks, for operations.
    """

    def __init__(self, bus: Bus, files: SchemaFiles, *, home: Path, lists_folder: Path, instance: str) -> None:
        self._bus = bus
        self._files = files
        self._home = home
        self._lists_folder = lists_folder
        self._instance = instance
        self._law = Law()
        self._standings: dict[int, Standing] = {}
        self._keeping = threading.Lock()  # for a moment; the other one for as long as a version is read
        self._loading = threading.Lock()
        self._changed = asyncio.Condition()
        self._next: int | None = None
        self.at_end = False
        self.alarm: str | None = None

    @property
    def law(self) -> Law:
        """What was read so far."""
        return self._law

    async def follow(self) -> None:
        """Read for ever: from the beginning, or from where an earlier call came to.

        Raises:
            LawUnreadableError: a record there cannot be understood; the gateway stops.
            BrokerUnavailableError: the broker does not answer.
        """
        reader = self._bus.reader({PARTITION: self._next})
        await reader.start()
        try:
            end = (await reader.end_offsets([PARTITION]))[PARTITION]
            while True:
                self.at_end = self.at_end or reader.position(PARTITION) >= end
                batch = await reader.fetch(_BATCH, _LISTEN_SECONDS)
                for record in batch.get(PARTITION, []):
                    message = await understood(self._bus, self._files, record)
                    self._law.read(record.offset, record.timestamp_ms, message)
                    self._next = record.offset + 1
                if batch:
                    async with self._changed:
                        self._changed.notify_all()
        finally:
            await reader.stop()

    async def mark(self) -> None:
        """Append a mark once there is an activation and then every sixth of the lead, for ever.

        Raises:
            BrokerUnavailableError, DeliveryError: the broker does not answer; call it again.
        """
        producer = self._bus.producer("gateway.marks")
        await producer.start()
        try:
            while True:
                async with self._changed:
                    await self._changed.wait_for(lambda: self._law.newest() is not None)
                await self._mark_once(producer)
                await asyncio.sleep(self._law.lead_ms / 1000 / MARKS_PER_LEAD)
        finally:
            await producer.stop()

    async def _mark_once(self, producer: Producer) -> None:
        newest = self._law.newest()
        if newest is None:
            return
        ids = {schema.record: schema.id for schema in newest.message.schemas}
        body = encode_body(self._files.parsed(ListMark.RECORD), ListMark(instance=self._instance))
        value = frame(ids.get(ListMark.RECORD, 0), body)
        [sent] = await producer.send([Outgoing(PARTITION.topic, PARTITION.partition, MARK_KEY, value)])
        if isinstance(sent, ChoparError):
            raise sent

    async def known_at(self, timestamp_ms: int) -> None:
        """Wait until it is settled what holds at a broker time, and everything that an answer needs is at hand.

        Raises:
            LawNotReadError: not within a while; read the batch again.
            LawIncompleteError: a list version, secret or schema in force is not on this machine.
            LawUnreadableError: a list version was changed or cannot be understood.
        """
        if not self._law.is_known_at(timestamp_ms):
            try:
                async with asyncio.timeout(_WAIT_SECONDS), self._changed:
                    await self._changed.wait_for(lambda: self._law.is_known_at(timestamp_ms))
            except TimeoutError:
                self.alarm = "law.activated holds nothing yet" if self._law.newest() is None else "the law is not read"
                raise LawNotReadError("law.activated was not read as far as this record's time") from None
        self.alarm = None

    def day(self) -> date:
        """The day, in Tashkent, of the last record read of `law.activated`."""
        return day_of(datetime.fromtimestamp(self._law.read_to_ms / 1000, UTC))

    def standing_at(self, timestamp_ms: int) -> Standing:
        """What holds at a broker time that `known_at` has settled; read here and now if it is not at hand.

        Raises:
            LawNotReadError: there is no activation yet.
            LawIncompleteError, LawUnreadableError: as of `known_at`.
        """
        held = self._held_at(timestamp_ms)
        return self._at_hand(held) or self._load(held)

    async def ready_at(self, timestamp_ms: int) -> Standing:
        """The same; what is not at hand is read beside the event loop, since large lists take seconds of a core.

        Raises:
            as of `standing_at`.
        """
        held = self._held_at(timestamp_ms)
        known = self._at_hand(held)
        return known if known is not None else await asyncio.to_thread(self._load, held)

    def newest_standing(self) -> Standing:
        """What holds at the stamp of the last mark or activation read; for who runs in a thread of its own.

        Raises:
            as of `standing_at`.
        """
        return self.standing_at(self._law.read_to_ms)

    async def newest_ready(self) -> Standing:
        """The same, read as by `ready_at`.

        Raises:
            as of `standing_at`.
        """
        return await self.ready_at(self._law.read_to_ms)

    def _held_at(self, timestamp_ms: int) -> Activation:
        held = self._law.held_at(timestamp_ms)
        if held is None:
            raise LawNotReadError("no list version was activated yet")
        return held

    def _at_hand(self, held: Activation) -> Standing | None:
        with self._keeping:
            standing = self._standings.pop(held.offset, None)
            if standing is not None:
                self._standings[held.offset] = standing  # behind all others: who is used least is let go
            return standing

    def _load(self, held: Activation) -> Standing:
        with self._loading:  # whoever else needs it waits for it and does not read it again
            known = self._at_hand(held)
            if known is not None:
                return known
            try:
                standing = Standing.from_disk(held.message, home=self._home, lists_folder=self._lists_folder)
            except ChoparError as error:
                self.alarm = str(error)
                _log.error("law.incomplete", code=error.code, reason=str(error))
                raise
            with self._keeping:
                if len(self._standings) >= MOST_STANDINGS:
                    del self._standings[next(iter(self._standings))]
                self._standings[held.offset] = standing
        _log.info("law.held", list_digest=held.message.list_digest, fetch_mode=str(held.message.fetch_mode))
        return standing
