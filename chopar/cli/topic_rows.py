"""What `topic list` shows: the broker's topics beside the table of `chopar.topics`."""

from collections.abc import Mapping
from typing import Any

from chopar.bus.port import Admin, Bus, TopicPartition
from chopar.topics import DEAD_LETTER_SUFFIX, DEMAND_SUBMITTED, EVIDENCE_REQUESTED, TOPICS, Topic

COLUMNS = ("topic", "partitions", "records", "lag", "kept", "written by", "read by")

_DAY_MS = 24 * 60 * 60 * 1000
_GATEWAY_GROUP = "gateway"
PROVIDER_GROUP = "provider."


async def rows_of(bus: Bus) -> list[dict[str, Any]]:
    """A row for each topic that is ours, in the order of their names.

    Raises:
        BrokerUnavailableError: no broker answers.
    """
    admin = bus.admin()
    await admin.start()
    try:
        counts = {name: count for name, count in (await admin.partitions()).items() if _layout(name) is not None}
        partitions = [TopicPartition(name, number) for name, count in sorted(counts.items()) for number in range(count)]
        first, ends = await admin.offsets_at(partitions, 0), await admin.end_offsets(partitions)
        committed = await _committed(admin, counts)
    finally:
        await admin.stop()
    return [_row(name, counts[name], first, ends, committed) for name in sorted(counts)]


async def lags(bus: Bus) -> dict[str, int]:
    """How many records each consumer group has still to read, by group; groups that never committed are left out.

    Raises:
        BrokerUnavailableError: no broker answers.
    """
    found: dict[str, int] = {}
    for row in await rows_of(bus):
        if row["lag"] is not None:
            found[row["group"]] = found.get(row["group"], 0) + row["lag"]
    return found


def group_of(topic: str) -> str | None:
    """The consumer group that reads a topic, where a group does."""
    if topic.endswith(DEAD_LETTER_SUFFIX):
        return None
    if topic.startswith(DEMAND_SUBMITTED.name):
        return _GATEWAY_GROUP
    if topic.startswith(EVIDENCE_REQUESTED.name):
        return PROVIDER_GROUP + topic.removeprefix(EVIDENCE_REQUESTED.name)
    return None


def shown(row: Mapping[str, Any]) -> tuple[object, ...]:
    """A row as it stands in the table."""
    if row["compacted"]:
        kept = "the last of each key"
    elif row["retention_ms"] is None:
        kept = "for ever"
    else:
        kept = f"{row['retention_ms'] // _DAY_MS} days"
    return row["name"], row["partitions"], row["records"], row["lag"], kept, row["written_by"], row["read_by"]


def _layout(name: str) -> Topic | None:
    """The row of the table that a topic belongs to, dead letters by their origin; None: not ours."""
    origin = name.removesuffix(DEAD_LETTER_SUFFIX)
    return next((t for t in TOPICS if (origin.startswith(t.name) if t.per else origin == t.name)), None)


async def _committed(admin: Admin, counts: Mapping[str, int]) -> dict[str, dict[TopicPartition, int]]:
    groups = {group for name in counts if (group := group_of(name)) is not None}
    return {group: await admin.committed(group) for group in sorted(groups)}


def _row(
    name: str,
    count: int,
    first: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
    committed: Mapping[str, Mapping[TopicPartition, int]],
) -> dict[str, Any]:
    topic = _layout(name)
    partitions = [TopicPartition(name, number) for number in range(count)]
    dead = name.endswith(DEAD_LETTER_SUFFIX)
    group = group_of(name)
    read = committed.get(group, {}) if group else {}
    lag = None
    if any(partition in read for partition in partitions):
        lag = sum(max(0, ends[partition] - read.get(partition, first[partition])) for partition in partitions)
    return {
        "name": name,
        "partitions": count,
        "records": sum(ends[partition] - first[partition] for partition in partitions),
        "retention_ms": topic.retention_ms if topic and not topic.compacted else None,
        "compacted": bool(topic and topic.compacted and not dead),
        "record_types": list(topic.records) if topic else [],
        "written_by": "the consumer that failed" if dead else topic.written_by if topic else None,
        "read_by": topic.read_by if topic else None,
        "dead_letters": dead,
        "group": group,
        "lag": lag,
    }
