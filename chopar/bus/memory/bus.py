"""The in-memory bus itself: makes clients, and lets tests hold back, delete, expel and look."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from chopar.bus.memory.clients import MemoryAdmin, MemoryConsumer, MemoryProducer, MemoryReader
from chopar.bus.memory.faults import Faults
from chopar.bus.memory.group import Group
from chopar.bus.memory.log import Log, Partition, Signal
from chopar.bus.port import Assigned, Record, Revoked, TopicPartition
from chopar.errors import BrokerUnavailableError


class MemoryBus:
    """A bus in this process.

    Args:
        clock: Unix milliseconds; gives records their broker time.
        send_timeout_seconds: the deadline of a send whose record is held back.
    """

    def __init__(self, clock: Callable[[], int], *, send_timeout_seconds: float = 30.0) -> None:
        self.changed = Signal()
        self.log = Log(clock, self.changed)
        self.faults = Faults()
        self.send_timeout_seconds = send_timeout_seconds
        self.epochs: dict[str, int] = {}
        self._groups: dict[str, Group] = {}

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
        for group in list(self._groups.values()):  # while this waits, others may join groups that are new
            if consumer in group.members:
                group.members.remove(consumer)
                await asyncio.shield(group.rebalance(self.partition_counts()))

    def members(self, group: str) -> tuple[MemoryConsumer, ...]:
        """The members of a group, in the order in which they joined."""
        return tuple(member for member in self.group(group).members if isinstance(member, MemoryConsumer))

    def records(self, topic: str, partition: int | None = None) -> list[Record]:
        """What is readable of a topic, or of one partition of it, partition by partition."""
        places = sorted(place for place in self.log.partitions if place.topic == topic)
        return [
            record
            for place in places
            if partition is None or place.partition == partition
            for record in self.log.partitions[place].read(
                self.log.partitions[place].start, self.log.partitions[place].shown
            )
        ]

    def group(self, name: str) -> Group:
        """A group, made when it is first named."""
        return self._groups.setdefault(name, Group())

    def partition(self, place: TopicPartition) -> Partition:
        """A partition, as a client sees it.

        Raises:
            BrokerUnavailableError: there is none.
        """
        found = self.log.partitions.get(place)
        if found is None:
            raise BrokerUnavailableError(f"topic {place.topic} has no partition {place.partition}")
        return found

    def partition_counts(self) -> dict[str, int]:
        """All topics and how many partitions each has."""
        return {name: layout.partitions for name, layout in self.log.layouts.items()}

    def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset after the last readable record, or what a stale leader says."""
        self.require_up()
        return {place: self.faults.stale_ends.get(place, self.partition(place).shown) for place in partitions}

    def require_up(self) -> None:
        """Raise BrokerUnavailableError if the bus was told to be down."""
        if self.faults.down:
            raise BrokerUnavailableError("no broker answers (the in-memory bus was told so)")
