"""The in-memory bus itself: makes clients, and lets tests hold back, delete, expel and look."""

import asyncio
from collections.abc import Mapping, Sequence

from chopar.bus.memory.clients import MemoryAdmin, MemoryConsumer, MemoryProducer, MemoryReader
from chopar.bus.memory.state import MemoryState
from chopar.bus.port import Assigned, Record, Revoked, TopicPartition


class MemoryBus(MemoryState):
    """A bus in this process; made with what `MemoryState` is made with."""

    def producer(self, name: str) -> MemoryProducer:
        """A producer."""
        return MemoryProducer(self)

    def fenced_producer(self, transactional_id: str) -> MemoryProducer:
        """A producer of which only the newest incarnation may write."""
        return MemoryProducer(self, transactional_id)

    def consumer(self, group: str, topics: Sequence[str], *, assigned: Assigned, revoked: Revoked) -> MemoryConsumer:
        """A member of a group."""
        return MemoryConsumer(self, group, topics, assigned, revoked)

    def reader(self, start: Mapping[TopicPartition, int | None], *, read_committed: bool = False) -> MemoryReader:
        """A reader; what is not committed is never written here, so both ways of reading are one."""
        return MemoryReader(self, start)

    def admin(self) -> MemoryAdmin:
        """An admin."""
        return MemoryAdmin(self)

    def hold(self, partition: TopicPartition) -> None:
        """From now on, records of a partition are stamped but not shown, and their senders wait."""
        self.log.partition(partition).held = True

    def show(self, partition: TopicPartition, count: int | None = None) -> None:
        """Show what is held back: the next `count` records, or all. The partition stays held."""
        self.log.partition(partition).show(count)
        self.changed.notify()

    def release(self, partition: TopicPartition) -> None:
        """Show everything, and hold back no more."""
        self.log.partition(partition).held = False
        self.show(partition)

    def delete_before(self, partition: TopicPartition, offset: int) -> None:
        """Delete the records before an offset, as retention does."""
        self.log.partition(partition).delete_before(offset)
        self.changed.notify()

    async def expel(self, consumer: MemoryConsumer) -> None:
        """Let a member's session expire: the others get its partitions, and it learns of it at its next fetch."""
        for group in list(self.groups.values()):  # while this waits, others may join groups that are new
            if consumer in group.members:
                group.members.remove(consumer)
                await asyncio.shield(group.rebalance(self.partition_counts()))

    def members(self, group: str) -> tuple[MemoryConsumer, ...]:
        """The members of a group, in the order in which they joined."""
        return tuple(member for member in self.group(group).members if isinstance(member, MemoryConsumer))

    def records(self, topic: str, partition: int | None = None) -> list[Record]:
        """What is readable of a topic, or of one partition of it, partition by partition."""
        layout = self.log.layouts.get(topic)
        found: list[Record] = []
        for number in range(layout.partitions if layout else 0):
            if partition is None or number == partition:
                part = self.log.partitions[TopicPartition(topic, number)]
                found += part.read(part.start, part.shown)
        return found
