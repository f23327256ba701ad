"""What the gateway has seen: the first record of every demand id, folded from the log in order.

The table is a cache of the log. It is rebuilt by keys and digests alone when a partition is assigned, complete up to
the committed offset before the next record is taken, and forgotten when the partition is revoked.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from uuid import UUID

from chopar.bus.port import Record, TopicPartition
from chopar.identifiers import parse_demand_id, uuid7_milliseconds

DAY_MS = 24 * 60 * 60 * 1000
OLDEST_MS = 30 * DAY_MS
"""A demand id lives 30 days; its topic keeps records 35, so its first record is there as long as the id is accepted."""
AHEAD_MS = 2 * 60 * 1000
"""How far an asker's clock may run ahead of the broker's."""


class First(NamedTuple):
    """The first record of a demand id in its partition."""

    offset: int
    timestamp_ms: int
    digest: bytes


def demand_id_of(record: Record) -> UUID | None:
    """The demand id that a record's key spells canonically, or None."""
    if record.key is None or len(record.key) != 36 or not record.key.isascii():
        return None
    return parse_demand_id(record.key.decode())


def out_of_time(demand_id: UUID, timestamp_ms: int) -> str | None:
    """`expired` or `clock`, if the id's time is too far from the broker's; None if it is in time."""
    age_ms = timestamp_ms - uuid7_milliseconds(demand_id)
    if age_ms > OLDEST_MS:
        return "expired"
    return "clock" if age_ms < -AHEAD_MS else None


class FirstRecords:
    """The table, one part for each partition held."""

    def __init__(self) -> None:
        self._parts: dict[TopicPartition, dict[UUID, First]] = {}

    def open(self, partition: TopicPartition) -> None:
        """Begin a partition's part, empty."""
        self._parts[partition] = {}

    def close(self, partitions: Iterable[TopicPartition]) -> None:
        """Forget the parts of partitions that are no longer held."""
        for partition in partitions:
            self._parts.pop(partition, None)

    def fold(self, record: Record) -> First | None:
        """Take the next record of its partition in order and give the first of its id.

        Returns:
            None where a record is not folded: no value, no canonical key, or an id out of time.
        """
        demand_id = demand_id_of(record)
        if demand_id is None or record.value is None or out_of_time(demand_id, record.timestamp_ms):
            return None
        part = self._parts[record.topic_partition]
        first = part.get(demand_id)
        if first is None:
            digest = hashlib.sha256(record.value).digest()
            first = part[demand_id] = First(record.offset, record.timestamp_ms, digest)
        return first

    def sizes(self) -> Mapping[TopicPartition, int]:
        """How many ids each part holds."""
        return {partition: len(part) for partition, part in self._parts.items()}
