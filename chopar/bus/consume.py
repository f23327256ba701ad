"""The one consume loop of the gateway and of every service: read a batch, handle, send, await every delivery, commit.

At-least-once: an offset is committed when all that its record led to is acknowledged. What a record leads to is its
handler's (`handling.py` calls it); how records travel is the bus's. A failing dependency pauses a partition, a record
that cannot be handled becomes a dead letter, a delivery without acknowledgement has the producer built anew and the
rest read again, a failing consumer both; three times in a row without progress ends the run, and the supervisor starts
over. The consumer outlives its producer, because one that joins anew waits until its own former session has expired.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from chopar.bus.consume_metrics import ConsumeMetrics
from chopar.bus.dead_letter import dead_letter
from chopar.bus.handling import (
    Failures,
    Handled,
    Handler,
    Handling,
    Outputs,
    Verdict,
    correlation_id,
    message_id,
)
from chopar.bus.port import Bus, Consumer, Outgoing, Producer, Record, Sent, TopicPartition
from chopar.bus.replay import Replays
from chopar.errors import ChoparError, DeliveryError, TooLargeError, UnavailableError

__all__ = ["ConsumeLoop", "ConsumeMetrics", "ConsumeSettings", "Handler", "Outputs"]

_LETTER_REFUSED = "dead_letter_refused"

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ConsumeSettings:
    """How a loop behaves. Defaults suit every process of ours."""

    max_records: int = 500
    """A batch at most: measured, more cost no less."""

    max_concurrency: int = 64
    """Handlings that wait for something at once."""

    fetch_timeout_seconds: float = 0.5
    """How long one fetch waits; `stop` is noticed after it."""

    retry_first_seconds: float = 0.2
    retry_most_seconds: float = 10.0
    """A partition that waits for a dependency is tried again after the first, then after twice that, up to the most."""

    handler_tries: int = 3
    """How often a record on which our own code fails is tried."""

    restarts: int = 3
    """Failures of the bus in a row, without progress, after which the run ends."""

    revoke_timeout_seconds: float = 4.0
    """How long a revoke waits for the batch in flight: under the session time-out of 6 s."""

    close_timeout_seconds: float = 10.0
    """For leaving the group and disconnecting."""


@dataclass(slots=True)
class _Pause:
    """A partition that waits."""

    code: str
    until: float = 0.0
    times: int = 0
    paused: bool = False


class ConsumeLoop:
    """Consumes topics in a group and runs a handler on them until it is stopped.

    Args:
        bus: Kafka or its twin.
        group: the consumer group.
        topics: what to read.
        handler: what to do with each record.
        settings: sizes and delays.
        metrics: shared by the loops of a process.
        replays: the dead letters to handle again, of the partitions that are held; none by default.
        clock: Unix milliseconds; only for the times in dead letters and the age of records.
        jitter: a number from 0 to 1, so that many processes do not come back at once.
    """

    def __init__(
        self,
        bus: Bus,
        group: str,
        topics: Sequence[str],
        handler: Handler,
        *,
        settings: ConsumeSettings | None = None,
        metrics: ConsumeMetrics | None = None,
        replays: Replays | None = None,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._bus = bus
        self._group = group
        self._topics = tuple(topics)
        self._handler = handler
        self._settings = settings or ConsumeSettings()
        self._metrics = metrics or ConsumeMetrics()
        self._replays = replays
        self._following: asyncio.Task[None] | None = None
        self._clock = clock
        self._jitter = jitter
        self._failures = Failures(clock, self._settings.handler_tries)
        self._stopping = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._sending = False
        self._epochs: dict[TopicPartition, int] = {}
        self._epoch = 0
        self._open: set[TopicPartition] = set()  # held, and the handler is ready for them
        self._pauses: dict[TopicPartition, _Pause] = {}
        self._callback_error: Exception | None = None
        self._progress = False
        self._in_a_row = 0
        self._connected = False
        self._producer: Producer
        self._consumer: Consumer

    async def run(self) -> None:
        """Consume until `stop`.

        Raises:
            StopError: the handler or the bus says that the process must not go on.
            UnavailableError: the bus failed three times in a row without progress in between.
        """
        if self._replays is not None:
            self._following = asyncio.create_task(self._replays.follow())
        try:
            while not self._stopping.is_set():
                try:
                    await self._session()
                except UnavailableError as error:
                    if self._in_a_row >= self._settings.restarts:
                        raise  # of a producer, and counted there
                    await self._failed(error)
        finally:
            if self._following is not None:
                self._following.cancel()
                await asyncio.gather(self._following, return_exceptions=True)

    def stop(self) -> None:
        """Finish the batch in flight, commit, leave; `run` then returns."""
        self._stopping.set()

    def missing(self) -> dict[str, str]:
        """What keeps this loop from working, for `/ready`; empty when nothing does."""
        missing = {} if self._connected else {"kafka": f"group {self._group} is not connected yet"}
        for pause in self._pauses.values():  # kept until the partition has gone on, not only while it is paused
            missing[pause.code] = "partitions wait for it"
        return missing

    async def _session(self) -> None:
        """One life of a producer and a consumer."""
        self._producer = self._bus.producer(self._group)
        self._consumer = self._bus.consumer(self._group, self._topics, assigned=self._assigned, revoked=self._revoked)
        try:
            await self._producer.start()
            await self._consumer.start()
            self._connected = True
            while not self._stopping.is_set():
                batch = await self._consumer.fetch(self._settings.max_records, self._resume_due())
                self._raise_callback_error()
                if batch:
                    try:
                        await self._batch(batch)
                    except DeliveryError as error:
                        await self._go_on_after(error)
                    self._raise_callback_error()
                if self._replays is not None:
                    await self._replay(self._replays)
        finally:
            self._connected = False
            await self._close()

    async def _failed(self, error: UnavailableError) -> None:
        """Count a failure of the bus, and wait a little; raises it if it was one too many in a row."""
        self._in_a_row = 1 if self._progress else self._in_a_row + 1
        self._progress = False
        self._metrics.rebuilt.labels(error.code).inc()
        _log.warning("bus.rebuilt", group=self._group, code=error.code, reason=str(error), in_a_row=self._in_a_row)
        if self._in_a_row >= self._settings.restarts:
            raise error
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._delay(self._in_a_row)):
                await self._stopping.wait()

    async def _go_on_after(self, error: DeliveryError) -> None:
        """What was not delivered is read again, by the same consumer, and sent by another producer."""
        self._connected = False
        await self._failed(error)
        if not self._stopping.is_set():
            await self._renew_producer()
            self._connected = True

    async def _close(self) -> None:
        await self._revoked(frozenset(self._epochs))
        closing = [self._consumer.stop, self._producer.stop]
        if self._replays is not None:
            closing.append(self._replays.close)
        for close in closing:
            with contextlib.suppress(ChoparError, TimeoutError):
                async with asyncio.timeout(self._settings.close_timeout_seconds):
                    await close()
        self._callback_error = None

    async def _assigned(self, partitions: Mapping[TopicPartition, int]) -> None:
        self._epoch += 1
        for partition, offset in partitions.items():
            self._epochs[partition] = self._epoch
            self._failures.forget_before(partition, offset)
        try:
            await self._handler.assigned(partitions)
            self._open.update(partition for partition in partitions if partition in self._epochs)
        except Exception as error:  # noqa: BLE001  carried to the loop: the bus could only log it
            self._callback_error = error

    async def _revoked(self, partitions: frozenset[TopicPartition]) -> None:
        if self._sending and not self._idle.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.revoke_timeout_seconds):
                    await self._idle.wait()
        held = frozenset(partition for partition in partitions if self._epochs.pop(partition, None) is not None)
        self._open -= held
        for partition in held:
            self._forget_pause(partition)
        if held:
            try:
                await self._handler.revoked(held)
            except Exception as error:  # noqa: BLE001  the same
                self._callback_error = error

    def _raise_callback_error(self) -> None:
        if self._callback_error is not None:
            error, self._callback_error = self._callback_error, None
            raise error

    async def _batch(self, batch: Mapping[TopicPartition, Sequence[Record]]) -> None:
        began = time.perf_counter()
        epochs = {partition: self._epochs.get(partition) for partition in batch}
        self._idle.clear()
        try:
            try:
                await self._handler.ready_for([record for records in batch.values() for record in records])
            except UnavailableError as error:
                for partition, records in batch.items():
                    if self._holds(partition, epochs):
                        self._wait(partition, records[0].offset, error.code)
                return
            self._sending = True
            held = {partition: records for partition, records in batch.items() if self._holds(partition, epochs)}
            handled = await Handling(self._handler, self._failures, self._settings.max_concurrency).run(held)
            await self._release(handled, epochs)
            await self._settle(handled, epochs, {place: records[-1].offset for place, records in held.items()})
        finally:
            self._sending = False
            self._idle.set()
            self._metrics.batch_seconds.observe(time.perf_counter() - began)

    async def _replay(self, replays: Replays) -> None:
        """Between two batches: handle again what operators asked for. A revoke waits for it as for a batch."""
        if self._following is not None and self._following.done():
            self._following.result()
        if replays.due(self._open):
            self._idle.clear()
            self._sending = True
            try:
                await replays.run(self._handler, self._open)
            finally:
                self._sending = False
                self._idle.set()

    def _holds(self, partition: TopicPartition, epochs: Mapping[TopicPartition, int | None]) -> bool:
        """Whether a partition is still held as it was when its batch was read."""
        epoch = epochs[partition]
        return epoch is not None and self._epochs.get(partition) == epoch

    async def _release(
        self, handled: Mapping[TopicPartition, list[Handled]], epochs: Mapping[TopicPartition, int | None]
    ) -> None:
        """Send dead letters, then all `before`, then `after` where `before` is acknowledged."""
        await self._send_letters(handled, epochs)
        await self._send(handled, epochs, lambda one: one.outputs.before)
        self._hold_back(handled)
        await self._send(handled, epochs, lambda one: one.outputs.after)
        await self._send_letters(handled, epochs)

    async def _send_letters(
        self, handled: Mapping[TopicPartition, list[Handled]], epochs: Mapping[TopicPartition, int | None]
    ) -> None:
        """Send the dead letters not sent yet; behind one that is refused nothing of its partition goes on."""
        letters: list[tuple[Handled, Outgoing]] = []
        for partition, ones in handled.items():
            if self._holds(partition, epochs):
                waiting = [one for one in ones if one.verdict is Verdict.DEAD_LETTER and not one.buried]
                letters += [(one, self._letter(one)) for one in waiting]
        if not letters:
            return
        await self._deliver(letters)
        for one, _ in letters:
            one.buried = True
        for ones in handled.values():
            refused = next((i for i, one in enumerate(ones) if one.buried and not one.acknowledged), len(ones))
            for behind in ones[refused + 1 :]:
                behind.acknowledged = False

    async def _send(
        self,
        handled: Mapping[TopicPartition, list[Handled]],
        epochs: Mapping[TopicPartition, int | None],
        part: Callable[[Handled], Sequence[Outgoing]],
    ) -> None:
        outgoing: list[tuple[Handled, Outgoing]] = []
        for partition, ones in handled.items():
            if self._holds(partition, epochs):
                for one in ones:
                    if one.verdict is Verdict.OK and one.acknowledged:
                        outgoing += [(one, record) for record in part(one)]
        await self._deliver(outgoing)

    async def _deliver(self, outgoing: Sequence[tuple[Handled, Outgoing]]) -> None:
        if not outgoing:
            return
        results = await self._producer.send([record for _, record in outgoing])
        sent: dict[str, int] = {}
        for (one, record), result in zip(outgoing, results, strict=True):
            if isinstance(result, Sent):
                sent[record.topic] = sent.get(record.topic, 0) + 1
            elif isinstance(result, TooLargeError) and one.verdict is Verdict.OK:
                one.verdict, one.code = Verdict.DEAD_LETTER, result.code
                self._failures.give_up(one.record, result.code)
            else:
                one.acknowledged = False
        for topic, count in sent.items():
            self._metrics.sent.labels(topic).inc(count)

    def _hold_back(self, handled: Mapping[TopicPartition, list[Handled]]) -> None:
        """What comes after an unacknowledged record of its key does not overtake it."""
        for ones in handled.values():
            behind = {one.record.key for one in ones if one.verdict is Verdict.OK and not one.acknowledged}
            if behind:
                seen: set[bytes | None] = set()
                for one in ones:
                    if one.record.key in seen:
                        one.acknowledged = False
                    elif one.record.key in behind and not one.acknowledged:
                        seen.add(one.record.key)

    def _letter(self, one: Handled) -> Outgoing:
        failure = self._failures.of(one.record)
        now = self._clock()
        one.attempt = failure.attempts if failure else one.attempt
        return dead_letter(
            one.record,
            code=one.code,
            group=self._group,
            first_failed_ms=failure.first_failed_ms if failure else now,
            last_failed_ms=failure.last_failed_ms if failure else now,
            attempts=one.attempt,
        )

    async def _settle(
        self,
        handled: Mapping[TopicPartition, list[Handled]],
        epochs: Mapping[TopicPartition, int | None],
        last: Mapping[TopicPartition, int],
    ) -> None:
        """Commit what is done, put back what is not, and complain if a delivery was not acknowledged."""
        offsets: dict[TopicPartition, int] = {}
        left: dict[TopicPartition, Handled] = {}
        for partition, ones in handled.items():
            if not self._holds(partition, epochs):
                ones.clear()
                continue
            done = 0
            while done < len(ones) and ones[done].done:
                done += 1
            if done:
                offsets[partition] = ones[done - 1].record.offset + 1
                self._forget_pause(partition)
            if done < len(ones):
                left[partition] = ones[done]
                del ones[done:]
            elif ones[-1].record.offset < last[partition]:
                self._consumer.seek(partition, ones[-1].record.offset + 1)  # those behind were not handled
        # If answers were not acknowledged either, it is not the dead letter topic that refuses.
        undelivered = any(one.verdict is Verdict.OK for one in left.values())
        refused = False
        for partition, one in left.items():
            if one.verdict is Verdict.RETRY:
                self._wait(partition, one.record.offset, one.code)
            elif undelivered:
                self._consumer.seek(partition, one.record.offset)
            else:
                refused = True
                self._stand_still(partition, one)
        if offsets:
            await self._consumer.commit(offsets)
            self._progress = True
            for partition, offset in offsets.items():
                self._failures.forget_before(partition, offset)
            for partition in offsets:
                self._report(handled[partition])
        for one in left.values():
            if one.verdict is not Verdict.RETRY:
                refusal = DeliveryError.code if undelivered else _LETTER_REFUSED
                one.verdict, one.code = Verdict.RETRY, refusal
            self._report([one])
        if undelivered:
            raise DeliveryError("the broker did not acknowledge all that was sent")
        if refused:
            await self._renew_producer()

    async def _renew_producer(self) -> None:
        """An idempotent producer may fail for good once a send of it failed."""
        await self._producer.stop()
        self._producer = self._bus.producer(self._group)
        await self._producer.start()

    def _delay(self, times: int) -> float:
        longest = min(self._settings.retry_most_seconds, self._settings.retry_first_seconds * 2.0 ** (times - 1))
        return longest * (0.5 + 0.5 * self._jitter())

    def _wait(self, partition: TopicPartition, offset: int, code: str) -> None:
        """Put a partition back to an offset and leave it alone for a while."""
        pause = self._pauses.setdefault(partition, _Pause(code))
        pause.code = code
        pause.times += 1
        delay = self._delay(pause.times)
        pause.until = asyncio.get_running_loop().time() + delay
        pause.paused = True
        self._consumer.pause([partition])
        self._consumer.seek(partition, offset)
        self._metrics.unavailable.labels(partition.topic, code).inc()
        self._metrics.paused.labels(partition.topic, str(partition.partition)).set(1)
        _log.warning(
            "partition.paused",
            topic=partition.topic,
            partition=partition.partition,
            offset=offset,
            code=code,
            times=pause.times,
            seconds=round(delay, 3),
        )

    def _stand_still(self, partition: TopicPartition, one: Handled) -> None:
        """The dead letter of a record was refused: nothing of its partition goes on, and nothing is lost."""
        failure = self._failures.of(one.record)
        if failure is not None:
            failure.refused = True
        self._wait(partition, one.record.offset, _LETTER_REFUSED)
        self._metrics.stopped.labels(partition.topic, str(partition.partition)).set(1)
        _log.error(
            "partition.stopped",
            topic=partition.topic,
            partition=partition.partition,
            offset=one.record.offset,
            code=one.code,
            reason="its dead letter topic does not take the record; look at that topic",
        )

    def _forget_pause(self, partition: TopicPartition) -> None:
        pause = self._pauses.pop(partition, None)
        if pause is not None:
            self._metrics.paused.labels(partition.topic, str(partition.partition)).set(0)
            self._metrics.stopped.labels(partition.topic, str(partition.partition)).set(0)

    def _resume_due(self) -> float:
        """Resume what has waited long enough; returns how long a fetch may wait."""
        longest = self._settings.fetch_timeout_seconds
        if not self._pauses:
            return longest
        now = asyncio.get_running_loop().time()
        for partition, pause in self._pauses.items():
            if not pause.paused:
                continue
            if pause.until <= now:
                pause.paused = False
                self._consumer.resume([partition])
                self._metrics.paused.labels(partition.topic, str(partition.partition)).set(0)
                _log.info("partition.resumed", topic=partition.topic, partition=partition.partition, code=pause.code)
            else:
                longest = min(longest, pause.until - now)
        return longest

    def _report(self, ones: Sequence[Handled]) -> None:
        """Count, and write the one line of each record."""
        if not ones:
            return
        topic = ones[0].record.topic
        outcomes: dict[Verdict, int] = {}
        for one in ones:
            outcomes[one.verdict] = outcomes.get(one.verdict, 0) + 1
            if one.verdict is Verdict.DEAD_LETTER:
                self._metrics.dead_letters.labels(topic, one.code).inc()
        for outcome, count in outcomes.items():
            self._metrics.handled.labels(topic, outcome.value).inc(count)
        self._metrics.record_age.labels(topic).set((self._clock() - ones[-1].record.timestamp_ms) / 1000)
        if _log.is_enabled_for(logging.INFO):
            for one in ones:
                record = one.record
                _log.info(
                    "record.handled",
                    correlation_id=correlation_id(record),
                    message_id=message_id(record),
                    topic=topic,
                    partition=record.partition,
                    offset=record.offset,
                    outcome=one.verdict.value,
                    code=one.code or one.verdict.value,
                    duration_ms=round(one.seconds * 1000, 3),
                    attempt=one.attempt,
                )
