"""Look-ups made at the same time become one: a register is asked once for a batch, not once for each request.

Evidence functions ask for one key each and run concurrently. Their look-ups are queued, and on the next turn of the
event loop one call takes all that have gathered; what comes while it runs goes into the next. How a call reaches the
register, and how long it may take, is left to the `lookup` that is given.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeAlias, TypeVar

from chopar.errors import RegisterUnavailableError

Key = TypeVar("Key")
Value = TypeVar("Value")
Lookup: TypeAlias = Callable[[Sequence[Key]], Awaitable[Mapping[Key, Value]]]

# One IN of 500 costs little more a key than one of 100, and stays far below every database's limit of parameters.
MOST_AT_ONCE = 500


class CoalescedLookups(Generic[Key, Value]):
    """Gathers look-ups into calls of `lookup`; one call runs at a time.

    Args:
        lookup: gives the values of those keys that exist. It must end: whoever waits for it waits as long.
        most_at_once: how many different keys one call may have.
    """

    def __init__(self, lookup: "Lookup[Key, Value]", *, most_at_once: int = MOST_AT_ONCE) -> None:
        self._lookup = lookup
        self._most_at_once = most_at_once
        self._waiting: dict[Key, list[asyncio.Future[Value | None]]] = {}
        self._scheduled = False
        self._running: asyncio.Task[Mapping[Key, Value]] | None = None
        self._closed = False

    async def get(self, key: Key) -> Value | None:
        """The value of a key, or None if there is none.

        Raises:
            RegisterUnavailableError: closed, or the call was cancelled; and whatever `lookup` raises.
        """
        if self._closed:
            raise RegisterUnavailableError("the register is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Value | None] = loop.create_future()
        self._waiting.setdefault(key, []).append(future)
        if self._running is None and not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._start)
        return await future

    async def close(self) -> None:
        """End the running call; everybody who waits gets RegisterUnavailableError."""
        self._closed = True
        running = self._running
        if running is not None:
            running.cancel()
            await asyncio.wait((running,))
        waiting, self._waiting = self._waiting, {}
        _fail(waiting, RegisterUnavailableError("the register is closed"))

    def _start(self) -> None:
        self._scheduled = False
        batch: dict[Key, list[asyncio.Future[Value | None]]] = {}
        while self._waiting and len(batch) < self._most_at_once:
            key = next(iter(self._waiting))
            futures = self._waiting.pop(key)
            if not all(future.done() for future in futures):  # who was cancelled meanwhile is not looked up
                batch[key] = futures
        if batch:
            self._running = asyncio.ensure_future(self._call(tuple(batch)))
            # A callback and not the end of the call: it comes whatever the call does, so nobody is left waiting.
            self._running.add_done_callback(lambda call: self._settle(batch, call))

    async def _call(self, keys: Sequence[Key]) -> Mapping[Key, Value]:
        return await self._lookup(keys)

    def _settle(
        self, batch: dict[Key, list[asyncio.Future[Value | None]]], call: asyncio.Task[Mapping[Key, Value]]
    ) -> None:
        self._running = None
        error = RegisterUnavailableError("the look-up was cancelled") if call.cancelled() else call.exception()
        if error is not None:
            _fail(batch, error)
        else:
            found = call.result()
            for key, futures in batch.items():
                for future in futures:
                    if not future.done():
                        future.set_result(found.get(key))
        if self._waiting and not self._closed:
            self._start()


def _fail(waiting: Mapping[Key, Sequence[asyncio.Future[Value | None]]], error: BaseException) -> None:
    for futures in waiting.values():
        for future in futures:
            if not future.done():
                future.set_exception(error)
