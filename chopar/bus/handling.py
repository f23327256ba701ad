"""What the consume loop asks of a handler, and one pass of a batch through it: calls, order within a key, verdicts.

Nothing is sent or committed here; that is the loop's. Records of one key (within a partition) are handled one after
another, different keys concurrently under a bound, and a handler that returns its outputs at once costs no task.
"""

import asyncio
import inspect
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import structlog

from chopar.bus.port import Outgoing, Record, TopicPartition
from chopar.errors import ChoparError, HandlerFailedError, StopError

_CORRELATION_LENGTH = 36  # a demand id as its ASCII characters
_BOUND = ("correlation_id", "message_id", "topic")
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a record leads to. `after` is released when all of `before` is acknowledged: no record, no document."""

    before: Sequence[Outgoing] = ()
    after: Sequence[Outgoing] = ()


_NO_OUTPUTS = Outputs()


class Handler(Protocol):
    """What a process does with its records. It must give the same outputs if a record is handled again."""

    async def assigned(self, partitions: Mapping[TopicPartition, int]) -> None:
        """These partitions are ours now, each from this offset; no record of them comes before this returns."""

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """These are ours no longer."""

    async def ready_for(self, records: Sequence[Record]) -> None:
        """A gate before a batch; may wait for seconds.

        Raises:
            UnavailableError: not now; the batch is read again after a while.
        """

    def handle(self, record: Record) -> Outputs | Awaitable[Outputs]:
        """Handle one record; its value is never None.

        Raises:
            UnavailableError: (and whatever is `retriable`) its partition pauses, and the record is read again.
            ChoparError: (another one, above all RecordError) it becomes a dead letter at once.
            StopError: the process must not go on.
        """


class Watcher(Protocol):
    """What a handler has beside `Handler` if it folds a state from its log: it sees what it is not asked to handle.

    A record that was given up, a tombstone, one that another life of the session has answered: each is part of the log,
    so a fold must not depend on which of them are handled.
    """

    def seen(self, record: Record) -> None:
        """Take note of a record, in offset order within its partition, before any of its batch is handled.

        A record that is read again is seen again. It does not wait, and it does not fail: whatever it raises ends the
        run.
        """


class Verdict(StrEnum):
    """What became of a record. The words stand in logs and metrics."""

    PENDING = "pending"
    OK = "ok"
    SKIPPED = "skipped"
    RETRY = "retry"
    DEAD_LETTER = "dead_letter"


@dataclass(slots=True)
class Failure:
    """What is remembered of a record that failed, until its offset is committed."""

    attempts: int
    first_failed_ms: int
    last_failed_ms: int
    given_up: str | None = None
    """The code for which it is a dead letter; then the handler is not asked again."""
    refused: bool = False
    """Its dead letter was not taken; until it is, nothing behind it is handled."""


@dataclass(slots=True)
class Handled:
    """A record on its way through a batch."""

    record: Record
    verdict: Verdict = Verdict.PENDING
    outputs: Outputs = _NO_OUTPUTS
    code: str = ""
    attempt: int = 1
    seconds: float = 0.0
    acknowledged: bool = True
    """False as soon as one of its outputs was not."""

    buried: bool = False
    """Whether its dead letter has been sent, acknowledged or not."""

    @property
    def done(self) -> bool:
        """Whether its offset may be committed."""
        return self.acknowledged and self.verdict in (Verdict.OK, Verdict.SKIPPED, Verdict.DEAD_LETTER)


def correlation_id(record: Record) -> str | None:
    """The record's key, if it is text that can be shown: a demand id's 36 ASCII characters."""
    key = record.key
    return key.decode("ascii") if key is not None and len(key) == _CORRELATION_LENGTH and key.isascii() else None


def message_id(record: Record) -> str | None:
    """The CloudEvents id, if there is one."""
    value = record.header("ce_id")
    return value.decode("ascii", "replace") if value else None


class Failures:
    """The records that failed and are not done with yet, by partition and offset.

    Args:
        clock: Unix milliseconds.
        tries: how often a record on which our own code fails is tried.
    """

    def __init__(self, clock: Callable[[], int], tries: int) -> None:
        self._clock = clock
        self._tries = tries
        self._by_place: dict[TopicPartition, dict[int, Failure]] = {}

    def of(self, record: Record) -> Failure | None:
        """What is remembered of a record."""
        by_offset = self._by_place.get(record.topic_partition)
        return by_offset.get(record.offset) if by_offset else None

    def note(self, record: Record, error: Exception) -> tuple[Failure, Verdict, str]:
        """Count a failure and judge it. The error's text goes nowhere: it may hold what must not be shown."""
        now = self._clock()
        by_offset = self._by_place.setdefault(record.topic_partition, {})
        failure = by_offset.setdefault(record.offset, Failure(0, now, now))
        failure.attempts += 1
        failure.last_failed_ms = now
        if isinstance(error, ChoparError):
            if error.retriable:
                return failure, Verdict.RETRY, error.code
            failure.given_up = error.code
            return failure, Verdict.DEAD_LETTER, error.code
        if failure.attempts < self._tries:
            return failure, Verdict.RETRY, HandlerFailedError.code
        failure.given_up = HandlerFailedError.code
        return failure, Verdict.DEAD_LETTER, HandlerFailedError.code

    def give_up(self, record: Record, code: str) -> None:
        """Make a record a dead letter for a reason that was found after handling."""
        failure, _, _ = self.note(record, HandlerFailedError())
        failure.given_up = code

    def forget_before(self, partition: TopicPartition, offset: int) -> None:
        """Offsets below this one are committed."""
        by_offset = self._by_place.get(partition)
        if by_offset:
            for done in [known for known in by_offset if known < offset]:
                del by_offset[done]


class Handling:
    """One pass of one batch.

    Args:
        handler: is asked for each record; if it is a `Watcher` too, it sees them all first.
        failures: what earlier passes left; added to.
        concurrency: how many awaitable handlings may run at once.
    """

    def __init__(self, handler: Handler, failures: Failures, concurrency: int) -> None:
        self._handler = handler
        self._failures = failures
        self._slots = asyncio.Semaphore(concurrency)
        self._chains: dict[tuple[TopicPartition, bytes], deque[Handled]] = {}
        self._halted: dict[TopicPartition, int] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._awaitables: list[Awaitable[Outputs]] = []

    async def run(self, batch: Mapping[TopicPartition, Sequence[Record]]) -> dict[TopicPartition, list[Handled]]:
        """Handle a batch.

        Returns:
            For each partition its records in order, up to and including the first that holds up those behind it.

        Raises:
            StopError: from the handler.
        """
        seen: Callable[[Record], None] | None = getattr(self._handler, "seen", None)
        if seen is not None:
            for records in batch.values():
                for record in records:
                    seen(record)
        handled: dict[TopicPartition, list[Handled]] = {}
        try:
            for partition, records in batch.items():
                taken = handled[partition] = []
                for record in records:
                    if partition in self._halted:
                        break
                    taken.append(self._take(partition, record))
            if self._tasks:
                await asyncio.gather(*self._tasks)
        finally:
            structlog.contextvars.unbind_contextvars(*_BOUND)
            await self._clear()
        for partition, halted_at in self._halted.items():
            handled[partition] = [one for one in handled[partition] if one.record.offset <= halted_at]
        return handled

    async def _clear(self) -> None:
        unfinished = [task for task in self._tasks if not task.done()]
        for task in unfinished:
            task.cancel()
        if unfinished:
            await asyncio.gather(*unfinished, return_exceptions=True)
        for awaitable in self._awaitables:
            if inspect.iscoroutine(awaitable):
                awaitable.close()  # one whose task was cancelled before its first step was never awaited

    def _take(self, partition: TopicPartition, record: Record) -> Handled:
        one = Handled(record)
        if record.value is None:
            one.verdict = Verdict.SKIPPED
            return one
        failure = self._failures.of(record)
        if failure is not None:
            one.attempt = failure.attempts + 1
            if failure.given_up is not None:
                one.attempt, one.verdict, one.code = failure.attempts, Verdict.DEAD_LETTER, failure.given_up
                if failure.refused:
                    self._halted[partition] = record.offset
                return one
        chain = self._chains.get((partition, record.key)) if record.key is not None else None
        if chain is not None:
            chain.append(one)
            return one
        waiting = self._call(partition, one)
        if waiting is not None:
            queue: deque[Handled] = deque()
            if record.key is not None:
                self._chains[partition, record.key] = queue
            self._tasks.append(asyncio.create_task(self._chain(partition, one, waiting, queue)))
        return one

    async def _chain(
        self, partition: TopicPartition, first: Handled, waiting: Awaitable[Outputs], queue: deque[Handled]
    ) -> None:
        """Work off the records of one key: the first, whose handling has begun, and those that join meanwhile."""
        async with self._slots:
            await self._finish(partition, first, waiting)
            while queue:
                one = queue.popleft()
                if one.record.offset > self._halted.get(partition, one.record.offset):
                    return
                more = self._call(partition, one)
                if more is not None:
                    await self._finish(partition, one, more)
        if first.record.key is not None:
            self._chains.pop((partition, first.record.key), None)

    def _call(self, partition: TopicPartition, one: Handled) -> Awaitable[Outputs] | None:
        began = time.perf_counter()
        # Bound until the next record; a task made for this one takes a copy along.
        structlog.contextvars.bind_contextvars(**_context(one.record))
        try:
            result = self._handler.handle(one.record)
        except StopError:
            raise
        except Exception as error:  # noqa: BLE001  counted and judged, never swallowed
            self._fail(partition, one, error)
        else:
            if not isinstance(result, Outputs):
                self._awaitables.append(result)
                return result
            one.outputs, one.verdict = result, Verdict.OK
        finally:
            one.seconds += time.perf_counter() - began
        return None

    async def _finish(self, partition: TopicPartition, one: Handled, waiting: Awaitable[Outputs]) -> None:
        if one.record.offset > self._halted.get(partition, one.record.offset):
            return
        began = time.perf_counter()
        try:
            one.outputs = await waiting
            one.verdict = Verdict.OK
        except StopError:
            raise
        except Exception as error:  # noqa: BLE001  counted and judged, never swallowed
            self._fail(partition, one, error)
        finally:
            one.seconds += time.perf_counter() - began

    def _fail(self, partition: TopicPartition, one: Handled, error: Exception) -> None:
        failure, one.verdict, one.code = self._failures.note(one.record, error)
        one.attempt = failure.attempts
        if not isinstance(error, ChoparError):
            # The kind of error and where, but not its text, which may repeat a value.
            _log.error("handler.failed", **_context(one.record), error=type(error).__name__, place=_place(error))
        if one.verdict is Verdict.RETRY:
            self._halted[partition] = min(one.record.offset, self._halted.get(partition, one.record.offset))


def _place(error: Exception) -> str:
    """File and line where an error was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}" if trace else "?"


def _context(record: Record) -> dict[str, str | None]:
    return {"correlation_id": correlation_id(record), "message_id": message_id(record), "topic": record.topic}
