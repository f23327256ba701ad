"""Replays: dead letters handled again because an operator asked for it, as of their original offset and time.

Every process follows `operations.replayed`; the one that holds the partition that a letter came from reads the letter
and puts the original through its handler: outputs `before`, then `after`, each acknowledged, then a `LetterReplayed`.
So a replay that a kill interrupts is done again, with the same ids, and one that is done stays done. What fails again
is a new dead letter. A handler that folds its log has seen the record in its turn and does not see it again.

What is to be replayed is decided elsewhere, and when a replay may run (between two batches) is the loop's to say.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import structlog

from chopar.avro import SchemaFiles
from chopar.bus.dead_letter import DeadLetter, dead_letter, read_dead_letter
from chopar.bus.failures import Failures, Handled, Verdict
from chopar.bus.handler import Handler, Outputs
from chopar.bus.handling import Handling
from chopar.bus.port import Bus, Outgoing, Producer, Reader, Record, Sent, TopicPartition
from chopar.bus.tried import Tried
from chopar.errors import (
    BrokerUnavailableError,
    ChoparError,
    DeliveryError,
    KilledItsProcessError,
    OffsetOutOfRangeError,
    RecordError,
    TooLargeError,
    UnavailableError,
    WrongRecordError,
)
from chopar.identifiers import derived_uuid
from chopar.messages.operations import LetterReplayed, ReplayAction, ReplayOutcome, ReplayRequested
from chopar.schema_registry import Decoder, Encoder, SchemaRegistry
from chopar.topics import OPERATIONS_REPLAYED, dead_letter_topic

REQUESTS = TopicPartition(OPERATIONS_REPLAYED.of(), 0)

_BATCH = 500
_AT_ONCE = 50  # between two batches, so that replaying many does not keep live records waiting
_LISTEN_SECONDS = 0.5
_READ_SECONDS = 10.0  # for one letter that is there
_log = structlog.get_logger()


class _Place(NamedTuple):
    """Where a letter is."""

    topic: str
    partition: int
    offset: int


class _ImpossibleError(Exception):
    """There is no whole letter at the place that a request names; its text is the code."""


@dataclass(slots=True)
class _Pending:
    """A replay that was requested and is not done."""

    place: _Place
    request: ReplayRequested
    origin: TopicPartition
    failures: Failures
    not_before: float = 0.0
    tries: int = 0


@dataclass(slots=True)
class _Turn:
    """A replay that is being done."""

    pending: _Pending
    letter: DeadLetter
    one: Handled


class _Unseen:
    """A handler without what it may have to watch its log: a replayed record was folded when it was read first."""

    def __init__(self, handler: Handler) -> None:
        self.assigned = handler.assigned
        self.revoked = handler.revoked
        self.ready_for = handler.ready_for
        self._handler = handler

    def handle(self, record: Record) -> Outputs | Awaitable[Outputs]:
        return self._handler.handle(record)


class Replays:
    """The replays of one consume loop.

    Args:
        bus: Kafka or its twin.
        group: the loop's consumer group; only what this group gave up is its to replay.
        files: the schemas of this process.
        registry: where the schema ids of requests are looked up; a replay waits while it is away.
        clock: Unix milliseconds; only for the times in dead letters.
        tries: how often a letter on which our own code fails is tried.
        retry_first_seconds: a letter whose dependency is away is tried again after it, then after twice that,
        retry_most_seconds: up to this.
    """

    def __init__(
        self,
        bus: Bus,
        group: str,
        files: SchemaFiles,
        registry: SchemaRegistry,
        *,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        tries: int = 3,
        retry_first_seconds: float = 0.2,
        retry_most_seconds: float = 10.0,
    ) -> None:
        self._bus = bus
        self._group = group
        self._decoder = Decoder(files, registry)
        self._encoder = Encoder(files, registry)
        self._clock = clock
        self._tries = tries
        self._first_seconds = retry_first_seconds
        self._most_seconds = retry_most_seconds
        self._decided: set[_Place] = set()
        self._pending: dict[_Place, _Pending] = {}
        self._caught_up = False
        self._prepared = False
        self._producer: Producer | None = None

    async def follow(self) -> None:
        """Read the requests, for ever; begins anew while something is away. Runs beside the loop."""
        while True:
            try:
                await self._follow()
            except UnavailableError as error:
                _log.warning("replay.awaits", group=self._group, code=error.code, reason=str(error))
                await asyncio.sleep(self._most_seconds)

    async def _follow(self) -> None:
        self._decided.clear()
        self._pending.clear()
        self._caught_up = False
        reader = self._bus.reader({REQUESTS: None})
        await reader.start()
        try:
            end = (await reader.end_offsets([REQUESTS]))[REQUESTS]
            while True:
                # What is done stands behind what was asked for: nothing is begun before all of it is known.
                self._caught_up = self._caught_up or reader.position(REQUESTS) >= end
                for records in (await reader.fetch(_BATCH, _LISTEN_SECONDS)).values():
                    for record in records:
                        await self._take(record)
        finally:
            self._caught_up = False
            await reader.stop()

    async def _take(self, record: Record) -> None:
        value = record.value or b""
        try:
            request = await self._decoder.message(value, ReplayRequested)
        except WrongRecordError:
            with contextlib.suppress(RecordError):
                done = await self._decoder.message(value, LetterReplayed)
                self._pending.pop(_Place(done.topic, done.partition, done.offset), None)
            return
        except RecordError as error:
            _log.warning("replay.unreadable", offset=record.offset, code=error.code)
            return
        place = _Place(request.topic, request.partition, request.offset)
        if request.action is ReplayAction.REVEAL or place in self._decided:
            return
        self._decided.add(place)
        origin = request.origin
        if request.action is ReplayAction.REPLAY and origin is not None and origin.group == self._group:
            came_from = TopicPartition(origin.topic, origin.partition)
            self._pending[place] = _Pending(place, request, came_from, Failures(self._clock, self._tries))

    def due(self, held: Collection[TopicPartition]) -> bool:
        """Whether there is something to replay now for who holds these partitions; costs nothing if not."""
        return bool(self._pending) and self._caught_up and bool(self._chosen(held))

    def _chosen(self, held: Collection[TopicPartition]) -> list[_Pending]:
        now = asyncio.get_running_loop().time()
        chosen = [one for one in self._pending.values() if one.origin in held and one.not_before <= now]
        return sorted(chosen[:_AT_ONCE], key=lambda one: one.place)

    async def run(self, handler: Handler, held: Collection[TopicPartition], tried: Tried, deaths: int) -> None:
        """Replay some of what is due.

        Args:
            handler: the loop's.
            held: the partitions that are ours; looked at again before each step, as one may be lost meanwhile.
            tried: where the loop notes what it is handling; a letter is noted by its own place.
            deaths: how many processes may die of a letter before its replay has failed.

        Raises:
            StopError: from the handler.
        """
        chosen = self._chosen(held)
        try:
            await self._ready()
            turns = await self._handled(_Unseen(handler), chosen, tried, deaths)
            await self._release(turns, held)
        except UnavailableError as error:
            await self.close()
            for pending in chosen:
                self._wait(pending, error.code)

    async def close(self) -> None:
        """Let go of the producer; the next replay makes another."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(ChoparError):
                await producer.stop()

    async def _ready(self) -> None:
        if not self._prepared:
            await self._encoder.prepare(LetterReplayed)
            self._prepared = True
        if self._producer is None:
            producer = self._bus.producer(f"{self._group}.replay")
            await producer.start()
            self._producer = producer

    async def _handled(self, handler: Handler, chosen: Sequence[_Pending], tried: Tried, deaths: int) -> list[_Turn]:
        """Read the letters and ask the handler, one after another."""
        turns = []
        partitions = {
            TopicPartition(one.place.topic, one.place.partition): one.place.offset for one in reversed(chosen)
        }
        async with contextlib.AsyncExitStack() as stack:
            readers: dict[TopicPartition, Reader] = {}
            for pending in chosen:
                partition = TopicPartition(pending.place.topic, pending.place.partition)
                try:
                    if partition not in readers:
                        readers[partition] = await self._reader(stack, partition, partitions[partition])
                    letter, original = await self._letter(readers[partition], pending)
                except _ImpossibleError as impossible:
                    await self._done([(pending, ReplayOutcome.IMPOSSIBLE, str(impossible))])
                    continue
                place = original._replace(
                    topic=partition.topic, partition=partition.partition, offset=pending.place.offset
                )
                suspect = tried.suspicion(place)
                given_up = suspect is not None and suspect.deaths >= deaths
                if given_up:
                    pending.failures.give_up(original, KilledItsProcessError.code)
                with tried.noted({partition: [place]}):
                    if not given_up:
                        try:
                            await handler.ready_for([original])  # which may do all of it already
                        except UnavailableError as error:
                            self._wait(pending, error.code)
                            continue
                    handled = await Handling(handler, pending.failures, 1).run({pending.origin: [original]})
                if suspect is not None:
                    tried.forget(suspect)
                turns.append(_Turn(pending, letter, handled[pending.origin][0]))
        return turns

    async def _reader(self, stack: contextlib.AsyncExitStack, partition: TopicPartition, offset: int) -> Reader:
        admin = self._bus.admin()
        await admin.start()
        try:
            if (await admin.partitions()).get(partition.topic, 0) <= partition.partition:
                raise _ImpossibleError("no_such_topic")
        finally:
            await admin.stop()
        reader = self._bus.reader({partition: offset})
        await reader.start()
        stack.push_async_callback(reader.stop)
        return reader

    async def _letter(self, reader: Reader, pending: _Pending) -> tuple[DeadLetter, Record]:
        """The original of a letter, if it is there, whole, and the one that was meant."""
        place, origin = pending.place, pending.request.origin
        partition = TopicPartition(place.topic, place.partition)
        first, end = await reader.beginning_offsets([partition]), await reader.end_offsets([partition])
        if not first[partition] <= place.offset < end[partition]:
            raise _ImpossibleError("no_such_letter")
        try:
            letter, original = read_dead_letter(await _record_at(reader, partition, place.offset))
        except RecordError:
            raise _ImpossibleError("no_dead_letter") from None
        if letter.cut is not None:
            raise _ImpossibleError("cut")
        meant = origin is not None and (
            (letter.topic, letter.partition, letter.offset, letter.group)
            == (origin.topic, origin.partition, origin.offset, origin.group)
            and letter.timestamp_ms == round(origin.received_at.timestamp() * 1000)
            and dead_letter_topic(letter.topic) == place.topic
        )
        if not meant:
            raise _ImpossibleError("another_letter")
        return letter, original

    async def _release(self, turns: Sequence[_Turn], held: Collection[TopicPartition]) -> None:
        """Send what the handler gave, dead letters of what failed again, and write down what is done."""
        for turn in turns:
            if turn.one.verdict is Verdict.RETRY:
                self._wait(turn.pending, turn.one.code)
        for part in ("before", "after"):
            await self._send([(t, out) for t in _going_on(turns, held) for out in getattr(t.one.outputs, part)])
        failed = [turn for turn in turns if turn.one.verdict is Verdict.DEAD_LETTER and turn.pending.origin in held]
        await self._send([(turn, self._again(turn)) for turn in failed])
        await self._done(
            [(turn.pending, ReplayOutcome.HANDLED, None) for turn in _going_on(turns, held)]
            + [(turn.pending, ReplayOutcome.FAILED, turn.one.code) for turn in failed if turn.one.acknowledged]
        )
        undelivered = [turn for turn in turns if not turn.one.acknowledged]
        if undelivered:
            await self.close()  # an idempotent producer may fail for good once a send of it failed
        for turn in undelivered:
            self._wait(turn.pending, DeliveryError.code)

    async def _send(self, outgoing: Sequence[tuple[_Turn, Outgoing]]) -> None:
        if not outgoing:
            return
        results = await self._acknowledged([record for _, record in outgoing])
        for (turn, _), result in zip(outgoing, results, strict=True):
            if isinstance(result, TooLargeError) and turn.one.verdict is Verdict.OK:
                turn.one.verdict, turn.one.code = Verdict.DEAD_LETTER, result.code
            elif not isinstance(result, Sent):
                turn.one.acknowledged = False

    async def _acknowledged(self, records: Sequence[Outgoing]) -> list[Sent | ChoparError]:
        if self._producer is None:
            raise BrokerUnavailableError("the producer of replays is gone")
        return await self._producer.send(records)

    def _again(self, turn: _Turn) -> Outgoing:
        """The new dead letter: it began to fail when the old one did."""
        return dead_letter(
            turn.one.record,
            code=turn.one.code,
            group=self._group,
            first_failed_ms=turn.letter.first_failed_ms,
            last_failed_ms=self._clock(),
            attempts=turn.letter.attempts + _attempts(turn),
        )

    async def _done(self, ended: Sequence[tuple[_Pending, ReplayOutcome, str | None]]) -> None:
        """Write down what became of replays; what is not acknowledged is done again."""
        if not ended:
            return
        results = await self._acknowledged([self._mark(*one) for one in ended])
        for (pending, outcome, code), result in zip(ended, results, strict=True):
            if not isinstance(result, Sent):
                self._wait(pending, DeliveryError.code)
                continue
            self._pending.pop(pending.place, None)
            place = pending.place._asdict()
            _log.info("letter.replayed", **place, group=self._group, outcome=outcome.value, code=code)

    def _mark(self, pending: _Pending, outcome: ReplayOutcome, code: str | None) -> Outgoing:
        place = pending.place
        message = LetterReplayed(**place._asdict(), group=self._group, outcome=outcome, code=code)
        key = f"{place.topic}/{place.partition}/{place.offset}"
        # Not the envelope of a demand's way, with correlation id and trace: this is about a letter.
        headers = (
            ("ce_specversion", b"1.0"),
            ("ce_id", str(derived_uuid(key, LetterReplayed.RECORD)).encode()),
            ("ce_source", f"/groups/{self._group}".encode()),
            ("ce_type", LetterReplayed.RECORD.encode()),
            ("content-type", b"application/avro"),
        )
        return Outgoing(*REQUESTS, key.encode(), self._encoder.encode(message), headers)

    def _wait(self, pending: _Pending, code: str) -> None:
        pending.tries += 1
        seconds = min(self._most_seconds, self._first_seconds * 2.0 ** (pending.tries - 1))
        pending.not_before = asyncio.get_running_loop().time() + seconds
        place = pending.place._asdict()
        _log.warning("replay.waits", **place, group=self._group, code=code, times=pending.tries)


def _attempts(turn: _Turn) -> int:
    """How often a replayed record was tried."""
    failure = turn.pending.failures.of(turn.one.record)
    return failure.attempts if failure is not None else 1


def _going_on(turns: Sequence[_Turn], held: Collection[TopicPartition]) -> list[_Turn]:
    """Those of which all that was sent so far is acknowledged, and whose origin is still ours."""
    good = (Verdict.OK, Verdict.SKIPPED)
    return [t for t in turns if t.one.verdict in good and t.one.acknowledged and t.pending.origin in held]


async def _record_at(reader: Reader, partition: TopicPartition, offset: int) -> Record:
    """The record at an offset that is there."""
    if reader.position(partition) != offset:
        reader.seek(partition, offset)
    with contextlib.suppress(TimeoutError, OffsetOutOfRangeError):  # one that expires now is said to be, next time
        async with asyncio.timeout(_READ_SECONDS):
            while True:
                found: Mapping[TopicPartition, Sequence[Record]] = await reader.fetch(1, _LISTEN_SECONDS)
                for record in found.get(partition, ()):
                    if record.offset == offset:
                        return record
    raise BrokerUnavailableError("a dead letter that is there is not given out")
