"""The one consume loop of the gateway and of every service: read a batch, handle, send, await every delivery, commit.

At-least-once: an offset is committed when all that its record led to is acknowledged: a moment later, with all that was
done meanwhile and beside the loop (`commits.py`), so that no record waits for a commit. What a record leads to is its
handler's (`trial.py` asks it, `release.py` sends it); how records travel is the bus's. A partition pauses (`pauses.py`)
for a failing dependency, and for a topic that takes no record of what is to be released: no record, no document. A
record that cannot be handled, or that kills its process, becomes a dead letter; an answer that is not acknowledged has
the producer built anew and the rest read again, a failing consumer both; three times in a row without progress ends the
run, and the supervisor starts over. The consumer outlives its producer, because one that joins anew waits until its own
former session has expired.
"""

import asyncio
import contextlib
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import structlog

from chopar.bus.commits import Commits
from chopar.bus.consume_metrics import ConsumeMetrics
from chopar.bus.consume_settings import ConsumeSettings
from chopar.bus.failures import Failures, Handled, Verdict, shown
from chopar.bus.handler import Handler, Outputs
from chopar.bus.pauses import LETTER_REFUSED, Pauses
from chopar.bus.port import Bus, Consumer, Producer, Record, TopicPartition
from chopar.bus.release import Release
from chopar.bus.replay import Replays
from chopar.bus.report import Report
from chopar.bus.trial import Trial
from chopar.bus.tried import Tried
from chopar.errors import ChoparError, DeliveryError, NoLongerMemberError, UnavailableError

__all__ = ["ConsumeLoop", "ConsumeMetrics", "ConsumeSettings", "Handler", "Outputs"]

_log = structlog.get_logger()


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
        notes: the folder in which is noted what is being handled, so that a record that kills its process is found;
            nothing is noted by default.
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
        notes: Path | None = None,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._bus = bus
        self._group = group
        self._topics = tuple(topics)
        self._handler = handler
        self._rest: Callable[[], None] | None = getattr(handler, "rest", None)
        self._settings = settings = settings or ConsumeSettings()
        self._metrics = metrics = metrics or ConsumeMetrics()
        self._replays = replays
        self._following: asyncio.Task[None] | None = None
        self._jitter = jitter
        self._failures = Failures(clock, settings.handler_tries)
        self._tried = Tried(notes, group, clock, lambda refused: metrics.notes_refused.labels(group).set(refused))
        self._trial = Trial(handler, self._failures, self._tried, settings)
        self._commits = Commits(settings.commit_interval_seconds, self._committed)
        self._pauses = Pauses(settings, metrics, jitter)
        self._release = Release(self._failures, metrics, group, settings, clock)
        self._report = Report(metrics, clock, settings.alarm_age_seconds)
        self._stopping = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._epochs: dict[TopicPartition, int] = {}
        self._epoch = 0
        self._divided_at = -1
        """The epoch in which it was counted that the group had gone on without us."""
        self._open: set[TopicPartition] = set()  # held, and the handler is ready for them
        self._callback_error: Exception | None = None
        self._progress = False
        self._in_a_row = 0
        self._failed_at = -math.inf
        self._connected = False
        self._producer: Producer
        self._consumer: Consumer

    async def run(self) -> None:
        """Consume until `stop`.

        Raises:
            StopError: the handler or the bus says that the process must not go on.
            UnavailableError: the bus failed three times in a row without progress in between.
        """
        self._tried.open()
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
            self._tried.close()

    def stop(self) -> None:
        """Finish the batch in flight, commit, leave; `run` then returns."""
        self._stopping.set()

    def missing(self) -> dict[str, str]:
        """What keeps this loop from working, for `/ready`; empty when nothing does."""
        missing: dict[str, str] = {}
        if not self._connected:
            missing["kafka"] = f"group {self._group} is not connected yet"
        elif not self._consumer.answered:
            missing["kafka"] = f"no broker answers for group {self._group}"
        elif not self._consumer.settled:
            missing["partitions"] = f"group {self._group} is dividing them, or they are being taken over"
        return missing | self._pauses.reasons()

    async def _session(self) -> None:
        """One life of a producer and a consumer."""
        self._producer = self._bus.producer(self._group)
        self._consumer = self._bus.consumer(self._group, self._topics, assigned=self._assigned, revoked=self._revoked)
        try:
            await self._producer.start()
            await self._remove_former()
            await self._consumer.start()
            self._connected = True
            while not self._stopping.is_set():
                batch = await self._consumer.fetch(self._settings.max_records, self._patience())
                self._raise_callback_error()
                if batch:
                    try:
                        await self._batch(batch)
                    except DeliveryError as error:
                        await self._go_on_after(error)
                    self._raise_callback_error()
                self._commit_what_is_due()
                if self._replays is not None:
                    await self._replay(self._replays)
        except asyncio.CancelledError:
            self._commits.forget()  # nobody waits for an orderly end: this is a kill, and what was done is done again
            raise
        finally:
            self._connected = False
            await self._close()

    async def _remove_former(self) -> None:
        """A former life that was killed is still a member; the whole group would wait until its session has ended."""
        member = self._tried.former_member()
        if not member:
            return
        admin = self._bus.admin()
        try:
            async with asyncio.timeout(self._settings.close_timeout_seconds):
                await admin.start()
                removed = await admin.remove_member(self._group, member)
            if removed:
                _log.info("member.removed", group=self._group)
        except (UnavailableError, TimeoutError) as error:
            _log.info("member.left", group=self._group, reason=type(error).__name__)  # until its session ends
        finally:
            self._tried.note_member("")
            await admin.stop()

    def _patience(self) -> float:
        """How long a fetch may wait."""
        longest = self._pauses.resume_due(self._consumer, self._settings.fetch_timeout_seconds)
        due_in = self._commits.due_in(_now())
        return longest if due_in is None else min(longest, due_in)

    async def _failed(self, error: UnavailableError) -> None:
        """Count a failure of the bus, and wait a little; raises it if it was one too many in a row."""
        self._counted()
        self._metrics.rebuilt.labels(error.code).inc()
        _log.warning("bus.rebuilt", group=self._group, code=error.code, reason=str(error), in_a_row=self._in_a_row)
        if self._in_a_row >= self._settings.restarts:
            raise error
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.delay(self._in_a_row, self._jitter())):
                await self._stopping.wait()

    async def _go_on_after(self, error: DeliveryError) -> None:
        """What was not delivered is read again, by the same consumer, and sent by another producer."""
        self._connected = False
        await self._failed(error)
        if not self._stopping.is_set():
            await self._renew_producer()
            self._connected = True

    async def _close(self) -> None:
        try:
            await self._revoked(frozenset(self._epochs))
        finally:  # killed in the middle, it leaves the group all the same
            self._commits.forget()
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
        self._tried.note_member(self._consumer.member)
        for partition, offset in partitions.items():
            self._epochs[partition] = self._epoch
            self._failures.forget_before(partition, offset)
        try:
            await self._handler.assigned(partitions)
            self._open.update(partition for partition in partitions if partition in self._epochs)
        except Exception as error:  # noqa: BLE001  carried to the loop: the bus could only log it
            self._callback_error = error

    async def _revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """Let the batch in flight be finished, commit what is done, and let go."""
        held: frozenset[TopicPartition] = frozenset()
        try:
            async with asyncio.timeout(self._settings.revoke_timeout_seconds):
                await self._idle.wait()
                held = self._let_go(partitions)
                await self._commits.finish(self._consumer, held)
        except TimeoutError:
            _log.warning("revoke.unfinished", group=self._group, partitions=len(partitions))
        except NoLongerMemberError as error:
            try:
                self._divided_anew(error)
            except NoLongerMemberError as too_many:
                self._callback_error = too_many
        except UnavailableError as error:
            # Who has these partitions now does it again; the group goes on with us as before.
            self._metrics.commits_failed.labels(error.code).inc()
            _log.warning("commit.failed", group=self._group, code=error.code, reason=str(error))
        held |= self._let_go(partitions)
        self._commits.forget(held)
        if held:
            try:
                await self._handler.revoked(held)
            except Exception as error:  # noqa: BLE001  the same
                self._callback_error = error

    def _let_go(self, partitions: frozenset[TopicPartition]) -> frozenset[TopicPartition]:
        """From now on nothing of these is sent or committed; gives those that were held."""
        held = frozenset(partition for partition in partitions if self._epochs.pop(partition, None) is not None)
        self._open -= held
        for partition in held:
            self._pauses.forget(partition)
        return held

    def _raise_callback_error(self) -> None:
        if self._callback_error is not None:
            error, self._callback_error = self._callback_error, None
            raise error

    @contextlib.contextmanager
    def _busy(self) -> Iterator[None]:
        """What a revoke waits for."""
        self._idle.clear()
        try:
            yield
        finally:
            self._idle.set()

    async def _batch(self, batch: Mapping[TopicPartition, Sequence[Record]]) -> None:
        began = time.perf_counter()
        epochs = {partition: self._epochs.get(partition) for partition in batch}
        holds = partial(self._holds, epochs)
        try:
            # May take seconds, and nothing has begun: a revoke does not wait for it.
            wary = await self._trial.gate(batch)
        except UnavailableError as error:
            for partition, records in batch.items():
                if holds(partition):
                    self._pauses.wait(self._consumer, partition, records[0].offset, error.code, shown(error))
            return
        with self._busy():
            held = {partition: records for partition, records in batch.items() if holds(partition)}
            handled = await self._trial.run(held, wary)
            await self._release.run(self._producer, handled, holds)
            await self._settle({place: ones for place, ones in handled.items() if holds(place)}, held)
            if self._rest is not None:
                self._rest()
        self._metrics.batch_seconds.observe(time.perf_counter() - began)

    async def _replay(self, replays: Replays) -> None:
        """Between two batches: handle again what operators asked for. A revoke waits for it as for a batch."""
        if self._following is not None and self._following.done():
            self._following.result()
        if replays.due(self._open):
            with self._busy():
                await replays.run(self._handler, self._open, self._tried, self._settings.deaths)

    def _holds(self, epochs: Mapping[TopicPartition, int | None], partition: TopicPartition) -> bool:
        """Whether a partition is still held as it was when its batch was read."""
        epoch = epochs[partition]
        return epoch is not None and self._epochs.get(partition) == epoch

    async def _settle(
        self,
        handled: Mapping[TopicPartition, list[Handled]],
        read: Mapping[TopicPartition, Sequence[Record]],
    ) -> None:
        """Note what is done, put back what is not, and complain if a delivery was not acknowledged."""
        left: dict[TopicPartition, Handled] = {}
        for partition, ones in handled.items():
            done = next((number for number, one in enumerate(ones) if not one.done), len(ones))
            if done:
                self._commits.done(partition, ones[done - 1].record.offset + 1, _now())
                self._pauses.forget(partition)
            if done < len(ones):
                left[partition] = ones[done]
                ones = ones[:done]
            elif len(ones) < len(read[partition]):
                self._consumer.seek(partition, ones[-1].record.offset + 1)  # those behind were not handled
            self._report.of(ones)
        if not left:
            return
        # If answers were not acknowledged either, it is not the topics of records or of dead letters that refuse.
        undelivered = any(one.verdict is Verdict.OK and not one.unrecorded for one in left.values())
        unrecorded = any(one.verdict is Verdict.OK and one.unrecorded for one in left.values())
        refused = False
        for partition, one in left.items():
            offset = one.record.offset
            if one.verdict is Verdict.RETRY:
                known = self._failures.of(one.record)
                self._pauses.wait(self._consumer, partition, offset, one.code, known.reason if known else "")
            elif undelivered:
                self._consumer.seek(partition, offset)
            elif one.verdict is Verdict.OK:
                self._pauses.withhold(self._consumer, partition, offset)
            elif unrecorded:
                self._consumer.seek(partition, offset)
            else:
                refused = True
                failure = self._failures.of(one.record)
                if failure is not None:
                    failure.holds = True
                self._pauses.stand_still(self._consumer, partition, offset, one.code)
        self._commits.begin(self._consumer)  # what lies before it is done, and may not wait as long
        for one in left.values():
            if one.verdict is not Verdict.RETRY:
                delivery = undelivered or unrecorded
                one.verdict, one.code = Verdict.RETRY, DeliveryError.code if delivery else LETTER_REFUSED
            self._report.of([one])
        if undelivered:
            raise DeliveryError("the broker did not acknowledge all that was sent")
        if refused or unrecorded:
            await self._renew_producer()

    def _commit_what_is_due(self) -> None:
        """Look how the last commit ended, and begin the next when its time has come."""
        try:
            self._commits.look()
        except NoLongerMemberError as error:
            self._divided_anew(error)
        if self._commits.due_in(_now()) == 0:
            self._commits.begin(self._consumer)

    def _divided_anew(self, error: NoLongerMemberError) -> None:
        """What was done is done again by whoever gets it. The consumer joins again by itself, and is not built anew.

        Raises:
            NoLongerMemberError: that was one time too many in a row, without progress.
        """
        self._metrics.commits_failed.labels(error.code).inc()
        _log.warning("commit.failed", group=self._group, code=error.code, reason=str(error))
        if self._epoch != self._divided_at:  # what comes of one division counts once
            self._divided_at = self._epoch
            if self._counted() >= self._settings.restarts:
                raise error

    def _counted(self) -> int:
        """Count a failure of the bus; how many there were in a row."""
        now = _now()
        first = self._progress or now - self._failed_at >= self._settings.forgiven_seconds
        self._in_a_row = 1 if first else self._in_a_row + 1
        self._progress, self._failed_at = False, now
        return self._in_a_row

    def _committed(self, offsets: Mapping[TopicPartition, int]) -> None:
        self._progress = True
        for partition, offset in offsets.items():
            self._failures.forget_before(partition, offset)
            self._tried.forget_before(partition, offset)

    async def _renew_producer(self) -> None:
        """An idempotent producer may fail for good once a send of it failed."""
        await self._producer.stop()
        self._producer = self._bus.producer(self._group)
        await self._producer.start()


def _now() -> float:
    return asyncio.get_running_loop().time()
