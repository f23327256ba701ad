"""The in-memory bus as one process sees it that can be stopped where it stands, and woken (SIGSTOP, SIGCONT).

While it sleeps none of its calls begins or returns: what it had sent may lie on the log, and what it had fetched waits
to be handled by what was known then. Everybody else goes on.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

from chopar.bus.memory import MemoryBus
from chopar.bus.port import Admin, Assigned, Consumer, Producer, Reader, Revoked, TopicPartition
from chopar.errors import ChoparError

_CALLS = frozenset({"start", "send", "fetch", "commit", "end_offsets", "beginning_offsets"})


class SleepingBus:
    """A bus for one process.

    Args:
        bus: the one that all share.
    """

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus
        self._awake = asyncio.Event()
        self._awake.set()

    @property
    def sleeps(self) -> bool:
        """Whether it was stopped, and not woken since."""
        return not self._awake.is_set()

    def stop(self) -> None:
        """Stop it where it stands."""
        self._awake.clear()

    def wake(self) -> None:
        """Let it go on."""
        self._awake.set()

    def producer(self, name: str) -> Producer:
        """As the bus's."""
        return cast(Producer, _Sleeping(self._bus.producer(name), self._awake))

    def fenced_producer(self, transactional_id: str) -> Producer:
        """As the bus's."""
        return cast(Producer, _Sleeping(self._bus.fenced_producer(transactional_id), self._awake))

    def consumer(self, group: str, topics: Sequence[str], *, assigned: Assigned, revoked: Revoked) -> Consumer:
        """As the bus's."""
        inner = self._bus.consumer(group, topics, assigned=assigned, revoked=revoked)
        return cast(Consumer, _Sleeping(inner, self._awake))

    def reader(self, start: Mapping[TopicPartition, int | None], *, read_committed: bool = False) -> Reader:
        """As the bus's."""
        return cast(Reader, _Sleeping(self._bus.reader(start, read_committed=read_committed), self._awake))

    def admin(self) -> Admin:
        """As the bus's."""
        return self._bus.admin()


class _Sleeping:
    """A client whose calls wait while its process sleeps, before they begin and before they return."""

    def __init__(self, inner: Any, awake: asyncio.Event) -> None:
        self._inner = inner
        self._awake = awake

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in _CALLS:
            return found

        async def call(*arguments: Any) -> Any:
            await self._awake.wait()
            try:
                result = await found(*arguments)
            except ChoparError:
                await self._awake.wait()
                raise
            await self._awake.wait()
            return result

        return call
