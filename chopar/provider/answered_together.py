"""What is handled at the same time is worked on together, once: a task for all of it, not one for each.

`join` gives something to await. What has joined until the first of these is awaited is worked on in one go; a handler
that joins each record of a batch while it is asked for them so sees the batch whole. What the work is, is the
handler's (`provider`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any, Generic, TypeVar

from chopar.observe import BEING_HANDLED

Asked = TypeVar("Asked")
Told = TypeVar("Told")


class Turn(Generic[Asked, Told]):
    """One that has joined; awaiting it gives what the work told of it, or raises its error."""

    __slots__ = ("_together", "asked", "error", "told")

    def __init__(self, asked: Asked, together: "_Together[Asked, Told]") -> None:
        self.asked = asked
        self.told: Told | None = None
        self.error: Exception | SystemExit | None = None
        self._together = together

    def __await__(self) -> Generator[Any, None, Told]:
        task = self._together.task or self._together.begin()
        if task.done():
            task.result()  # whatever ended the work as a whole
        else:
            yield from task
        if self.error is not None:
            raise self.error
        if self.told is None:
            raise RuntimeError("the work has left one out")
        return self.told


Work = Callable[[Sequence[Turn[Asked, Told]]], Awaitable[None]]


class _Together(Generic[Asked, Told]):
    """Those who have joined one another."""

    __slots__ = ("_over", "_work", "task", "turns")

    def __init__(self, work: Work[Asked, Told], over: Callable[[], None]) -> None:
        self._work = work
        self._over = over
        self.turns: list[Turn[Asked, Told]] = []
        self.task: asyncio.Task[None] | None = None

    def begin(self) -> asyncio.Task[None]:
        self._over()
        # Who cancels the awaiting of one cancels this: they are of one batch, which is given up as a whole.
        self.task = asyncio.get_running_loop().create_task(self._all())
        return self.task

    async def _all(self) -> None:
        BEING_HANDLED.set(None)  # a log line is of no single record
        turns, self.turns = self.turns, []  # they know us: else the whole batch stays until garbage is looked for
        await self._work(turns)


class Gathering(Generic[Asked, Told]):
    """Gathers what joins.

    Args:
        work: is given all who have joined one another; sets `told` or `error` of each, and raises what ends all.
    """

    def __init__(self, work: Work[Asked, Told]) -> None:
        self._work = work
        self._open: _Together[Asked, Told] | None = None

    def join(self, asked: Asked) -> Turn[Asked, Told]:
        """Something to await."""
        together = self._open
        if together is None:
            together = self._open = _Together(self._work, self._close)
        turn = Turn(asked, together)
        together.turns.append(turn)
        return turn

    def _close(self) -> None:
        self._open = None
