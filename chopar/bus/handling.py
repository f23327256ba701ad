"""One pass of a batch through a handler: calls, order within a key, verdicts.

Nothing is sent or committed here; that is the loop's. Records of one key (within a partition) are handled one after
another, unless the handler says that they are independent; different keys concurrently under a bound. A handler that
returns its outputs at once costs no task.
"""

import asyncio
import inspect
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from chopar.bus.failures import Failures, Handled, Verdict
from chopar.bus.handler import Handler, Outputs
from chopar.bus.port import Record, TopicPartition
from chopar.errors import ChoparError, StopError
from chopar.observe import BEING_HANDLED

_log = structlog.get_logger()


class Handling:
    """One pass of one batch.

    Args:
        handler: is asked for each record; it may be a `Watcher` and `Independent` too.
        failures: what earlier passes left; added to.
        concurrency: how many awaitable handlings may run at once.
    """

    def __init__(self, handler: Handler, failures: Failures, concurrency: int) -> None:
        self._handler = handler
        self._failures = failures
        self._concurrency = concurrency
        self._independent: bool = getattr(handler, "independent", False)
        self._halted: dict[TopicPartition, int] = {}
        self._chains: deque[_Chain] = deque()
        """Those whose turn has not come."""
        self._awaitables: list[Awaitable[Outputs]] = []
        self._workers: list[asyncio.Task[None]] = []
        self._working = 0
        self._over: asyncio.Future[None] | None = None

    @property
    def halted(self) -> bool:
        """Whether a record holds up those behind it."""
        return bool(self._halted)

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
        before = BEING_HANDLED.get()
        try:
            for partition, records in batch.items():
                handled[partition] = self._take(partition, records)
            workers = min(len(self._chains), self._concurrency)
            if workers == 1:
                await self._work()  # as a lone record's: a task would cost two turns of the loop
            elif workers:
                self._working = workers
                self._over = asyncio.get_running_loop().create_future()
                self._workers = [asyncio.create_task(self._worker()) for _ in range(workers)]
                await self._over
        except BaseException:
            await self._abandon()
            raise
        finally:
            BEING_HANDLED.set(before)
        for partition, halted_at in self._halted.items():
            handled[partition] = [one for one in handled[partition] if one.record.offset <= halted_at]
        return handled

    def _take(self, partition: TopicPartition, records: Sequence[Record]) -> list[Handled]:
        """Ask the handler for each; what it says later is awaited by workers."""
        handle, handling = self._handler.handle, BEING_HANDLED.set
        failures = self._failures.at(partition)
        by_key: dict[bytes, _Chain] = {}
        taken: list[Handled] = []
        began = time.perf_counter()
        for record in records:
            one = Handled(record)
            taken.append(one)
            if record.value is None:
                one.verdict = Verdict.SKIPPED
                continue
            if failures and self._failed_before(partition, one):
                if partition in self._halted:
                    break
                continue
            if by_key and record.key is not None and record.key in by_key:
                by_key[record.key].waiting.append(one)  # nobody works on it before all are taken
                continue
            handling(record)
            try:
                result = handle(record)
            except StopError:
                raise
            except (Exception, SystemExit) as error:  # noqa: BLE001  counted and judged, never swallowed
                self._fail(partition, one, error)
            else:
                if isinstance(result, Outputs):
                    one.outputs, one.verdict = result, Verdict.OK
                else:
                    chain = self._begin(partition, one, result)
                    if not self._independent and record.key is not None:
                        by_key[record.key] = chain
            now = time.perf_counter()
            one.seconds, began = now - began, now
            if partition in self._halted:
                break
        return taken

    def _failed_before(self, partition: TopicPartition, one: Handled) -> bool:
        """Take up what is remembered of a record; True if the handler is not to be asked any more."""
        failure = self._failures.of(one.record)
        if failure is None:
            return False
        one.attempt = failure.attempts + 1
        if failure.holds:
            self._halted[partition] = one.record.offset
        if failure.given_up is None:
            return False
        one.attempt, one.verdict, one.code = failure.attempts, Verdict.DEAD_LETTER, failure.given_up
        return True

    def _begin(self, partition: TopicPartition, one: Handled, waiting: Awaitable[Outputs]) -> "_Chain":
        """Have a handling that has begun awaited, when all records of the batch are taken."""
        chain = _Chain(partition, one, waiting)
        self._awaitables.append(waiting)
        self._chains.append(chain)
        return chain

    async def _work(self) -> None:
        """Work off chains until there are none."""
        while self._chains:
            await self._work_off(self._chains.popleft())

    async def _worker(self) -> None:
        """One of several: the last that ends, or the first that fails, says that it is over."""
        try:
            await self._work()
        except BaseException as error:
            if self._over is not None and not self._over.done():
                self._over.set_exception(error)
            raise
        else:
            self._working -= 1
            if not self._working and self._over is not None and not self._over.done():
                self._over.set_result(None)

    async def _work_off(self, chain: "_Chain") -> None:
        """The first record of a key, whose handling has begun, and those that joined meanwhile."""
        partition = chain.partition
        await self._finish(partition, chain.first, chain.begun)
        while chain.waiting:
            one = chain.waiting.popleft()
            if one.record.offset > self._halted.get(partition, one.record.offset):
                break
            BEING_HANDLED.set(one.record)
            try:
                result = self._handler.handle(one.record)
            except StopError:
                raise
            except (Exception, SystemExit) as error:  # noqa: BLE001  counted and judged, never swallowed
                self._fail(partition, one, error)
            else:
                if isinstance(result, Outputs):
                    one.outputs, one.verdict = result, Verdict.OK
                else:
                    self._awaitables.append(result)
                    await self._finish(partition, one, result)

    async def _finish(self, partition: TopicPartition, one: Handled, waiting: Awaitable[Outputs]) -> None:
        if one.record.offset > self._halted.get(partition, one.record.offset):
            _close(waiting)
            return
        began = time.perf_counter()
        BEING_HANDLED.set(one.record)
        try:
            one.outputs = await waiting
            one.verdict = Verdict.OK
        except StopError:
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001  counted and judged, never swallowed
            self._fail(partition, one, error)
        finally:
            one.seconds += time.perf_counter() - began

    async def _abandon(self) -> None:
        """Something ends the run: end what runs beside, and leave no coroutine behind that nobody awaited."""
        unfinished = [task for task in self._workers if not task.done()]
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        for awaitable in self._awaitables:
            _close(awaitable)

    def _fail(self, partition: TopicPartition, one: Handled, error: Exception | SystemExit) -> None:
        failure, one.verdict, one.code = self._failures.note(one.record, error)
        one.attempt = failure.attempts
        if not isinstance(error, ChoparError):
            # The kind of error and where, but not its text, which may repeat a value.
            _log.error("handler.failed", **one.record.log_context(), error=type(error).__name__, place=_place(error))
        if one.verdict is Verdict.RETRY:
            self._halted[partition] = min(one.record.offset, self._halted.get(partition, one.record.offset))


class _Chain:
    """Records of one key: the first, whose handling has begun, and those that wait for it."""

    __slots__ = ("begun", "first", "partition", "waiting")

    def __init__(self, partition: TopicPartition, first: Handled, begun: Awaitable[Outputs]) -> None:
        self.partition = partition
        self.first = first
        self.begun = begun
        self.waiting: deque[Handled] = deque()


def _close(awaitable: Awaitable[Outputs]) -> None:
    if inspect.iscoroutine(awaitable):
        awaitable.close()


def _place(error: BaseException) -> str:
    """File and line where an error was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}" if trace else "?"
