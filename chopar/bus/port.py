"""What Chopar needs of a bus, as Protocols: records, producers, consumers of a group, readers without one, an admin.

Two implementations keep these promises and run one contract suite: `chopar.bus.kafka` and `chopar.bus.memory`. The
port knows nothing of Avro, agencies or demands; what may be sent where stands in `chopar.topics`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache
from struct import Struct
from typing import NamedTuple, Protocol, TypeAlias

from chopar.errors import ChoparError
from chopar.topics import TopicLayout

Headers: TypeAlias = tuple[tuple[str, bytes], ...]

_CORRELATION_LENGTH = 36  # a demand id as its ASCII characters


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


class Record(NamedTuple):
    """A record as it was read. `timestamp_ms` is the broker's own time (log append time), Unix milliseconds."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()

    @property
    def topic_partition(self) -> TopicPartition:
        """Where it was read."""
        return TopicPartition(self.topic, self.partition)

    def header(self, name: str) -> bytes | None:
        """The first header of this name, or None."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    @property
    def correlation_id(self) -> str | None:
        """The key, if it is text that can be shown: a demand id's 36 ASCII characters."""
        key = self.key
        return key.decode("ascii") if key is not None and len(key) == _CORRELATION_LENGTH and key.isascii() else None

    @property
    def message_id(self) -> str | None:
        """The CloudEvents id, if there is one."""
        value = self.header("ce_id")
        return value.decode("ascii", "replace") if value else None

    def log_context(self) -> dict[str, str | None]:
        """What every log line says that is written while this record is handled."""
        return {"correlation_id": self.correlation_id, "message_id": self.message_id, "topic": self.topic}


class Outgoing(NamedTuple):
    """A record to be sent. The partition is always named: nobody hashes a key twice."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Sent(NamedTuple):
    """The broker's acknowledgement."""

    offset: int
    timestamp_ms: int


Assigned: TypeAlias = Callable[[Mapping[TopicPartition, int]], Awaitable[None]]
Revoked: TypeAlias = Callable[[frozenset[TopicPartition]], Awaitable[None]]


class Producer(Protocol):
    """Sends batches, idempotently, acknowledged by all in-sync replicas."""

    async def start(self) -> None:
        """Connect.

        Raises:
            BrokerUnavailableError: no broker answers, after retries; the message says as far as can be told whether the
                address is wrong, the port closed or the credentials refused.
        """

    async def stop(self) -> None:
        """Flush what was handed over and disconnect."""

    async def send(self, records: Sequence[Outgoing]) -> list[Sent | ChoparError]:
        """Send, and wait for every single delivery.

        Records of one topic and partition keep their order. The call has a deadline of its own and never hangs.

        Returns:
            One entry per record, in the order given: its acknowledgement, or why it was not acknowledged
            (`DeliveryError`: unknown whether it was written; `NoSuchTopicError`: it was not, as the broker knows no
            such topic or partition now; `TooLargeError`: it was not and never will be).
        """


class Fetcher(Protocol):
    """What consumers of a group and readers share."""

    async def start(self) -> None:
        """Connect. Raises BrokerUnavailableError."""

    async def stop(self) -> None:
        """Leave and disconnect; a fetch under way returns nothing."""

    async def fetch(self, max_records: int, timeout_seconds: float) -> dict[TopicPartition, list[Record]]:
        """Take what there is, waiting at most `timeout_seconds` for a first record.

        Only records of partitions that are held now and not paused, each partition in offset order, from its position.

        Raises:
            OffsetOutOfRangeError: the position lies outside what the broker holds; nothing is skipped silently.
            TopicReplacedError: a topic was deleted and made again since it was read first, or since the group's offset
                in it was committed; within seconds where the new one goes on behind the position.
            BrokerUnavailableError: the broker does not answer.
        """

    def held(self) -> frozenset[TopicPartition]:
        """The partitions held now."""

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """The next fetch of this partition starts at `offset`, whatever has been buffered."""

    def position(self, partition: TopicPartition) -> int:
        """The offset of the next record that a fetch would give."""

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset after the last record, asked of the broker now."""

    async def beginning_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """The first offset that the broker still holds, asked now."""


class Consumer(Fetcher, Protocol):
    """A member of a consumer group.

    A partition without a commit starts at its beginning. `assigned` is awaited with the start offset of each partition
    before any of its records is given out; `revoked` is awaited before another member may get it. `assigned` may take
    long (the group does not wait for it); it is cancelled if the partitions are revoked meanwhile. Neither callback is
    called by `stop`.
    """

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Store the next offsets to read. Partitions no longer held are left out.

        Raises:
            NoLongerMemberError: the group has gone on without us, or is being divided: what we hold is revoked next.
            BrokerUnavailableError: it could not be stored.
        """

    @property
    def member(self) -> str:
        """By which name the group knows this member; empty while it knows none."""

    @property
    def settled(self) -> bool:
        """Whether it is known what this member holds, and `assigned` has returned for it."""

    @property
    def answered(self) -> bool:
        """Whether the broker that coordinates the group has answered when it was asked last (once a second or so)."""

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Give out nothing of these until they are resumed; the position stays."""

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Give them out again."""


class Reader(Fetcher, Protocol):
    """Reads named partitions, of its own accord: no group, no commit."""


class Admin(Protocol):
    """Makes and describes topics."""

    async def start(self) -> None:
        """Connect. Raises BrokerUnavailableError."""

    async def stop(self) -> None:
        """Disconnect."""

    async def create(self, layouts: Sequence[TopicLayout]) -> list[str]:
        """Make the topics that are missing; returns their names.

        Raises:
            TopicLayoutError: one exists with another number of partitions or other settings (of those that are named).
        """

    async def delete(self, names: Sequence[str]) -> None:
        """Delete topics with all that is in them. Those that do not exist are left out.

        Raises:
            BrokerUnavailableError: one could not be deleted.
        """

    async def partitions(self) -> dict[str, int]:
        """All topics and how many partitions each has."""

    async def committed(self, group: str) -> dict[TopicPartition, int]:
        """The committed offsets of a group (empty where it has none)."""

    async def remove_member(self, group: str, member: str) -> bool:
        """Have a group go on without a member that is dead, and not wait for its session.

        Returns:
            Whether it had such a member: one that has left in order is gone already.

        Raises:
            BrokerUnavailableError: it could not be removed; its session will end.
        """

    async def note(self, group: str, place: TopicPartition, text: str) -> None:
        """Keep a text under the name of a group that nobody joins; it stays as long as committed offsets do.

        Raises:
            BrokerUnavailableError: it could not be kept.
        """

    async def noted(self, group: str, place: TopicPartition) -> str:
        """What was kept there last; empty if nothing was."""

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset after the last record of each."""

    async def offsets_at(self, partitions: Sequence[TopicPartition], timestamp_ms: int) -> dict[TopicPartition, int]:
        """For each, the first offset stamped at or after a time; the end offset where there is none."""


class Bus(Protocol):
    """Makes the four."""

    def producer(self, name: str) -> Producer:
        """A producer; `name` is the client id, for the broker's logs."""

    def consumer(self, group: str, topics: Sequence[str], *, assigned: Assigned, revoked: Revoked) -> Consumer:
        """A member of `group` on `topics`."""

    def reader(self, start: Mapping[TopicPartition, int | None], *, read_committed: bool = False) -> Reader:
        """A reader of the named partitions, each from an offset, or from its beginning if that is None.

        Args:
            start: where each begins.
            read_committed: leave out what a fenced producer has not committed.
        """

    def fenced_producer(self, transactional_id: str) -> Producer:
        """A producer of which only the newest incarnation may write.

        Its `start` fences every older one of the same id. One `send` is one transaction: all of it is written, or none.
        `send` raises FencedError once a newer incarnation has started. After a send that failed in any other way it is
        of no use any more; make a new one only if this process may still be the writer, for that fences the others.
        """

    def admin(self) -> Admin:
        """An admin."""


_BATCH_BYTES = 80  # 61 of a batch's own and up to 19 of a record's lengths
_HEADER_BYTES = 4  # the lengths of a header's name and value, below 8 KiB each


def size_bytes(record: Outgoing) -> int:
    """At least what a broker counts for a record alone in its batch, uncompressed."""
    headers = sum(len(name) + len(value) + _HEADER_BYTES for name, value in record.headers)
    return _BATCH_BYTES + len(record.key or b"") + len(record.value or b"") + headers


def partition_of(key: bytes, partitions: int) -> int:
    """Kafka's default partitioner (murmur2), so that every client puts a demand on the same partition.

    Chosen once by the asker; every later hop copies the number.
    """
    return (_murmur2(key) & 0x7FFFFFFF) % partitions


def _murmur2(data: bytes) -> int:
    length = len(data)
    value = 0x9747B28C ^ length
    whole = length & ~3
    for word in _words(whole >> 2)(data):
        word = word * 0x5BD1E995 & 0xFFFFFFFF
        # What stands above 32 bits in either product is cut once, after both have met.
        value = (value * 0x5BD1E995 ^ (word ^ (word >> 24)) * 0x5BD1E995) & 0xFFFFFFFF
    if whole < length:
        value = (value ^ int.from_bytes(data[whole:], "little")) * 0x5BD1E995 & 0xFFFFFFFF
    value = (value ^ (value >> 13)) * 0x5BD1E995 & 0xFFFFFFFF
    return value ^ (value >> 15)


@lru_cache(maxsize=64)
def _words(count: int) -> Callable[[bytes], tuple[int, ...]]:
    """Reads so many words of 32 bits from the beginning."""
    return Struct(f"<{count}I").unpack_from
