"""What the in-memory bus is made of: the log, the groups and what is to fail. Its clients work on this."""

from collections.abc import Callable, Sequence

from chopar.bus.memory.faults import Faults
from chopar.bus.memory.group import Group
from chopar.bus.memory.log import Log, Partition, Signal
from chopar.bus.port import TopicPartition
from chopar.errors import BrokerUnavailableError


class MemoryState:
    """The state that all clients of one bus share.

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
        self.groups: dict[str, Group] = {}

    def group(self, name: str) -> Group:
        """A group, made when it is first named."""
        return self.groups.setdefault(name, Group())

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
