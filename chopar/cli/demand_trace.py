"""`demand trace`: every record of one demand, from all topics that may carry it, by its key and headers alone.

Bodies are not decoded: a trace shows when and where, never about whom or what.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

from chopar.bus.between import between
from chopar.bus.port import Bus, Record, TopicPartition, partition_of
from chopar.cli.output import Table, instant
from chopar.errors import ConfigurationError, NotFoundError
from chopar.identifiers import parse_demand_id, uuid7_milliseconds
from chopar.topics import DEAD_LETTER_SUFFIX, PARTITIONS, TOPICS, Key, dead_letter_topic

CLOCKS_APART_MS = 2 * 60 * 1000
"""A demand's id may be that much ahead of the broker's clock, so its record may be stamped that much earlier."""

# Records of one millisecond are shown in the order in which they follow from one another.
_ORDER = ("demand.submitted.", "demand.resolved.", "evidence.requested.", "exchange.recorded", "evidence.provided.")


@dataclass(frozen=True, slots=True)
class Hop:
    """One record on a demand's way.

    Attributes:
        demand_id: whose hop it is.
        at: broker time.
        record: full name of its Avro record, from the header; None if there is none.
        source: who sent it, from the header.
        caused_by: topic/partition/offset of the record that it follows from.
    """

    demand_id: UUID
    at: datetime
    topic: str
    partition: int
    offset: int
    record: str | None
    source: str | None
    caused_by: str | None


def read_demand_id(text: str) -> UUID:
    """A demand id as it was typed.

    Raises:
        ConfigurationError: it is no demand id.
    """
    demand_id = parse_demand_id(text.strip().lower())
    if demand_id is None:
        raise ConfigurationError("a demand id is due, as `chopar demand create` and `chopar demand list` print them")
    return demand_id


async def hops_of(demand_id: UUID, bus: Bus) -> list[Hop]:
    """The records of a demand in the order of their times.

    Raises:
        NotFoundError: there are none.
        BrokerUnavailableError: no broker answers.
    """
    hops = [_hop(demand_id, record) for record in await records_of(demand_id, bus, _where_to_look)]
    if not hops:
        raise NotFoundError("no record of this demand is in Kafka: it was not sent here, or its records have expired")
    return in_order(hops)


def in_order(hops: Sequence[Hop]) -> list[Hop]:
    """Hops in the order of their times."""
    return sorted(hops, key=lambda hop: (hop.at, _rank(hop.topic), hop.offset))


async def records_of(
    demand_id: UUID, bus: Bus, places_of: Callable[[Mapping[str, int], int], list[TopicPartition]]
) -> list[Record]:
    """The records of a demand's key, those of a partition in their order.

    Args:
        demand_id: whose they are.
        bus: where they lie.
        places_of: where to look, of all topics (with how many partitions each has) and the partition of the key.

    Raises:
        BrokerUnavailableError: no broker answers.
    """
    key = str(demand_id).encode()
    admin = bus.admin()
    await admin.start()
    try:
        places = places_of(await admin.partitions(), partition_of(key, PARTITIONS))
        start = await admin.offsets_at(places, max(0, uuid7_milliseconds(demand_id) - CLOCKS_APART_MS))
        ends = await admin.end_offsets(places)
    finally:
        await admin.stop()
    return [record async for record in between(bus, start, ends) if record.key == key]


def to_json(
    demand_id: UUID, hops: Sequence[Hop], follows: Mapping[UUID, UUID | None] = MappingProxyType({})
) -> dict[str, Any]:
    """As it is printed.

    Args:
        demand_id: that was asked for.
        hops: of it and of those that belong to it, in order.
        follows: those that belong to it, each with the one that it follows.
    """
    began = hops[0].at
    before = follows.get(demand_id)
    return {
        "demand_id": str(demand_id),
        "follows": str(before) if before is not None else None,
        "followed_by": [str(one) for one, other in follows.items() if other == demand_id],
        "hops": [
            {
                "demand_id": str(hop.demand_id),
                "at": hop.at,
                "after_ms": _milliseconds(began, hop),
                "topic": hop.topic,
                "partition": hop.partition,
                "offset": hop.offset,
                "record": hop.record,
                "source": hop.source,
                "caused_by": hop.caused_by,
            }
            for hop in hops
        ],
    }


def to_text(hops: Sequence[Hop], follows: Mapping[UUID, UUID | None] = MappingProxyType({})) -> list[Table | str]:
    """As a table for each demand, those that follow behind the one that they follow."""
    began = hops[0].at
    columns = ("broker time", "ms", "record", "from", "topic/partition/offset", "follows from")
    several = len({hop.demand_id for hop in hops}) > 1
    parts: list[Table | str] = []
    for demand_id in dict.fromkeys(hop.demand_id for hop in hops):
        rows = [
            (
                instant(hop.at),
                f"+{_milliseconds(began, hop)}",
                (hop.record or "?").rpartition(".")[2],
                hop.source,
                f"{hop.topic}/{hop.partition}/{hop.offset}",
                hop.caused_by,
            )
            for hop in hops
            if hop.demand_id == demand_id
        ]
        before = follows.get(demand_id)
        title = f"demand {demand_id}" if several else ""
        if before is not None:
            title = f"demand {demand_id} asks the next holder: it follows {before}, whose holder had no record"
        parts.append(Table(columns, rows, title, right=frozenset({"ms"})))
    return parts


def _where_to_look(topics: Mapping[str, int], partition: int) -> list[TopicPartition]:
    """The demand's partition of every topic that is keyed by demands, and their dead letters."""
    mine = {topic.name for topic in TOPICS if topic.key is Key.DEMAND}
    found = []
    for name, count in sorted(topics.items()):
        origin = name.removesuffix(DEAD_LETTER_SUFFIX)
        if not any(origin.startswith(topic) for topic in mine):
            continue
        if name == origin:
            found.append(TopicPartition(name, partition % count))
        elif name == dead_letter_topic(origin):
            found += [TopicPartition(name, number) for number in range(count)]
    return found


def _hop(demand_id: UUID, record: Record) -> Hop:
    return Hop(
        demand_id=demand_id,
        at=datetime.fromtimestamp(record.timestamp_ms / 1000, UTC),
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        record=_text(record.header("ce_type")),
        source=_text(record.header("ce_source")),
        caused_by=_text(record.header("ce_causationid")),
    )


def _text(header: bytes | None) -> str | None:
    return None if header is None else header.decode("utf-8", "replace")


def _rank(topic: str) -> int:
    return next((rank for rank, name in enumerate(_ORDER) if topic.startswith(name)), len(_ORDER))


def _milliseconds(began: datetime, hop: Hop) -> int:
    return round((hop.at - began).total_seconds() * 1000)
