"""Consumer groups of the in-memory bus: members, committed offsets, eager rebalance as aiokafka's assignors do it.

A rebalance first takes everything from every member (each `revoked` is awaited, under a bound), then deals the
partitions out anew, in turn. It runs in a task of its own, as a coordinator would.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Protocol

from chopar.bus.port import TopicPartition

REBALANCE_TIMEOUT_SECONDS = 30.0  # as Kafka's: a member whose `revoked` takes longer is not waited for


class Member(Protocol):
    """What a group asks of a consumer."""

    topics: tuple[str, ...]

    async def give_up(self) -> None:
        """Await `revoked` for everything held."""

    def take_up(self, partitions: Mapping[TopicPartition, int | None]) -> None:
        """Hold these, each from its committed offset, if there is one."""


class Group:
    """One group."""

    def __init__(self) -> None:
        self.committed: dict[TopicPartition, int] = {}
        self.topic_ids: dict[TopicPartition, int] = {}
        """Beside what is committed: of which topic of this name it is an offset."""
        self.notes: dict[TopicPartition, str] = {}
        self.members: list[Member] = []
        self.generation = 0
        self._lock = asyncio.Lock()
        self._changes = self._dealt = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def forget(self, topic: str) -> None:
        """A topic is deleted, and with it what was committed of it."""
        for place in [place for place in self.committed if place.topic == topic]:
            del self.committed[place]
            self.topic_ids.pop(place, None)
        self.notes = {place: text for place, text in self.notes.items() if place.topic != topic}

    def rebalance(self, partitions: Mapping[str, int]) -> asyncio.Task[None]:
        """Deal the partitions out anew.

        Args:
            partitions: how many each topic has.
        """
        self._changes += 1
        task = asyncio.create_task(self._rebalance(partitions))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _rebalance(self, partitions: Mapping[str, int]) -> None:
        async with self._lock:
            if self._dealt == self._changes:
                return  # the rebalance before this one has seen the same members
            self._dealt = self._changes
            self.generation += 1
            members = list(self.members)
            await asyncio.gather(*(self._take_from(member) for member in members))
            members = [member for member in members if member in self.members]
            shares: dict[int, dict[TopicPartition, int | None]] = {index: {} for index in range(len(members))}
            turn = 0
            for topic in sorted({topic for member in members for topic in member.topics}):
                able = [index for index, member in enumerate(members) if topic in member.topics]
                for number in range(partitions.get(topic, 0)):
                    place = TopicPartition(topic, number)
                    shares[able[turn % len(able)]][place] = self.committed.get(place)
                    turn += 1
            for index, member in enumerate(members):
                member.take_up(shares[index])

    async def _take_from(self, member: Member) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REBALANCE_TIMEOUT_SECONDS):
                await member.give_up()
