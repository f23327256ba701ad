"""An event loop whose clock jumps: when nobody has anything to do, it is at once the time for which somebody waits.

There is no outside, so it has no selector, no sockets and no threads: a turn of it costs less than half of what one of
asyncio's own does, and simulations are mostly turns.
"""

import asyncio
import contextvars
import heapq
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from itertools import count
from typing import Any, TypeVar, TypeVarTuple

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")


def _nothing() -> None: ...


class _Call(asyncio.TimerHandle):
    """What is to be called, at once or at a time."""

    __slots__ = ()

    def __init__(
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: asyncio.AbstractEventLoop,
        context: contextvars.Context | None,
        when: float,
    ) -> None:
        self._when = when
        self._callback = callback
        self._args = args
        self._loop = loop
        self._context = contextvars.copy_context() if context is None else context
        self._cancelled = False
        self._repr = self._source_traceback = None

    def cancel(self) -> None:
        """Call it never."""
        self._cancelled = True
        self._callback, self._args = _nothing, ()  # what it held is let go


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop that begins at 0 seconds; calls of one time are made in the order in which they were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._soon: deque[_Call] = deque()
        self._later: list[tuple[float, int, _Call]] = []
        self._numbers = count()
        self._ended = False
        self._tasks: list[asyncio.Task[Any]] = []

    def time(self) -> float:
        """Virtual seconds."""
        return self._now

    def create_task(self, coro: Generator[Any, None, _T] | Coroutine[Any, Any, _T], **named: Any) -> asyncio.Task[_T]:
        """See `asyncio`."""
        task = super().create_task(coro, **named)
        self._tasks.append(task)
        return task

    def running(self) -> list[asyncio.Task[Any]]:
        """The tasks that are not done. `asyncio.all_tasks` looks for them among all that any loop has had."""
        self._tasks = [task for task in self._tasks if not task.done()]
        return self._tasks.copy()

    def call_soon(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """See `asyncio`."""
        call = _Call(callback, args, self, context, self._now)
        self._soon.append(call)
        return call

    def call_later(
        self, delay: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """See `asyncio`."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """See `asyncio`."""
        call = _Call(callback, args, self, context, when)
        heapq.heappush(self._later, (when, next(self._numbers), call))
        return call

    def stop(self) -> None:
        """See `asyncio`."""
        self._ended = True
        super().stop()

    def _run_once(self) -> None:
        """What `run_forever` calls until somebody stops it; all turns up to then are made in one."""
        soon, later = self._soon, self._later
        self._ended = False
        while not self._ended:
            while later and later[0][2]._cancelled:
                heapq.heappop(later)
            if not soon:
                if not later:
                    raise RuntimeError("everybody waits for somebody else")
                self._now = max(self._now, later[0][0])
            while later and later[0][0] <= self._now:
                soon.append(heapq.heappop(later)[2])
            for _ in range(len(soon)):  # what these ask for is the next turn's
                call = soon.popleft()
                if not call._cancelled:
                    call._run()


def run_virtually(main: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine in virtual time, and end what it left running."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main)
    finally:
        while left := loop.running():  # who is cancelled may start others
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.wait(left))
        loop.close()
