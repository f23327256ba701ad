"""What is handled at the same time is worked on together, once: one piece of work for all of it, not one for each.

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
        together = self._together
        if together.over is None:
            yield from together.work_off().__await__()
        else:
            yield from together.over
            if together.error is not None:
                raise together.error  # whatever ended the work as a whole
        if self.error is not None:
            raise self.error
        if self.told is None:
            raise RuntimeError("the work has left one out")
        return self.told


Work = Callable[[Sequence[Turn[Asked, Told]]], Awaitable[None]]


class _Together(Generic[Asked, Told]):
    """Those who have joined one another."""

    __slots__ = ("_begun", "_work", "error", "over", "turns")

    def __init__(self, work: Work[Asked, Told], begun: Callable[[], None]) -> None:
        self._work = work
        self._begun = begun
        self.turns: list[Turn[Asked, Told]] = []
        self.over: asyncio.Future[None] | None = None
        self.error: BaseException | None = None

    async def work_off(self) -> None:
        """Done by who is awaited first. Cancelled, it ends for all: they are of one batch, given up as a whole."""
        self._begun()
        over = self.over = asyncio.get_running_loop().create_future()
        handled = BEING_HANDLED.get()
        BEING_HANDLED.set(None)  # a log line is of no single record
        turns, self.turns = self.turns, []  # they know us: else the whole batch stays until garbage is looked for
        try:
            await self._work(turns)
        except BaseException as error:
            self.error = error
            raise
        finally:
            BEING_HANDLED.set(handled)
            if not over.done():  # who waits for it may have been cancelled
                over.set_result(None)


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
