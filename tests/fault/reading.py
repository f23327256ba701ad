"""What is left at the end of a run: the acts in the databases, and everything on the topics of the exchange."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from chopar.avro import SchemaFiles
from chopar.bus.kafka import KafkaBus
from chopar.bus.port import Record, TopicPartition
from chopar.messages.exchange import ExchangeRecorded
from chopar.schema_registry import Decoder, HttpSchemaRegistry
from chopar.topics import (
    DEAD_LETTER_SUFFIX,
    DEMAND_RESOLVED,
    DEMAND_SUBMITTED,
    EVIDENCE_PROVIDED,
    EVIDENCE_REQUESTED,
    EXCHANGE_RECORDED,
    PARTITIONS,
)
from tests.fault.compare import Act, Findings, Told, compare_messages, compare_records
from tests.fault.feeder import AGENCY

PROVIDER = "tax-committee"
WAY = (
    DEMAND_SUBMITTED.of(AGENCY),
    DEMAND_RESOLVED.of(AGENCY),
    f"{EVIDENCE_REQUESTED.name}{PROVIDER}",
    EXCHANGE_RECORDED.of(),
    EVIDENCE_PROVIDED.of(AGENCY),
)
"""The topics that a demand passes, in their order."""

_BATCH = 5000


def _rows(file: Path, query: str) -> list[tuple[object, ...]]:
    """Read a database that another process writes; nothing if it has not begun to."""
    if not file.exists():
        return []
    connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=10)
    try:
        return connection.execute(query).fetchall()
    except sqlite3.OperationalError:  # no table yet
        return []
    finally:
        connection.close()


def count_acts(file: Path) -> int:
    """How many demands the requester has acted on so far."""
    rows = _rows(file, "SELECT count(DISTINCT demand_id) FROM effects")
    return int(str(rows[0][0])) if rows else 0


def read_acts(file: Path) -> list[Act]:
    """All that the requester did, in the order in which it did it."""
    rows = _rows(file, "SELECT demand_id, said, acted_ms FROM effects ORDER BY rowid")
    return [Act(str(key), str(said), float(str(acted_ms)) / 1000) for key, said, acted_ms in rows]


def read_completions(file: Path) -> list[tuple[str, int]]:
    """Of which demands the requester was told that they are complete, and how many documents were undelivered."""
    rows = _rows(file, "SELECT demand_id, undelivered FROM completions")
    return [(str(key), int(str(undelivered))) for key, undelivered in rows]


def read_naive(file: Path) -> list[str]:
    """On which demands the naive loop acted, as often as it did."""
    return [str(key) for (key,) in _rows(file, "SELECT demand_id FROM effects")]


@dataclass
class Topics:
    """Which demands were seen on which topic."""

    seen: dict[str, set[str]] = field(default_factory=dict)

    @property
    def answered(self) -> set[str]:
        """Those for which an answer was released."""
        return self.seen[WAY[-1]]


async def read_topics(
    bootstrap: str,
    registry: HttpSchemaRegistry,
    findings: Findings,
    promised: Iterable[str],
    acknowledged: Iterable[str],
) -> Topics:
    """Read all topics to their ends, and add to the findings what does not fit."""
    bus = KafkaBus(bootstrap)
    decoder = Decoder(SchemaFiles.shipped(), registry)
    topics = Topics()
    told: list[Told] = []
    for topic in WAY:
        records = await read_all(bus, topic)
        topics.seen[topic] = {(record.key or b"").decode() for record in records}
        compare_messages(findings, topic, records, once=topic != EXCHANGE_RECORDED.of())
        if topic == EXCHANGE_RECORDED.of():
            for record in records:
                message = await decoder.message(record.value or b"", ExchangeRecorded)
                message_id = (record.header("ce_id") or b"").decode()
                told.append(Told(str(message.demand_id), message_id, message.access is not None))
    findings.vanished = sorted(set(acknowledged) - topics.seen[WAY[0]])
    compare_records(findings, promised, told)
    findings.dead_letters = await count_dead_letters(bus)
    return topics


async def read_all(bus: KafkaBus, topic: str) -> list[Record]:
    """Everything on a topic."""
    places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    reader = bus.reader(dict.fromkeys(places))
    await reader.start()
    found: list[Record] = []
    try:
        ends = await reader.end_offsets(places)
        while any(reader.position(place) < end for place, end in ends.items()):
            for records in (await reader.fetch(_BATCH, 1.0)).values():
                found += records
    finally:
        await reader.stop()
    return found


async def count_dead_letters(bus: KafkaBus) -> int:
    """How many records all dead letter topics hold."""
    admin = bus.admin()
    await admin.start()
    try:
        partitions = await admin.partitions()
        places = [
            TopicPartition(topic, number)
            for topic, count in partitions.items()
            if topic.endswith(DEAD_LETTER_SUFFIX)
            for number in range(count)
        ]
        return sum((await admin.end_offsets(places)).values())
    finally:
        await admin.stop()


def stations(topics: Topics, key: str) -> str:
    """How far a demand came."""
    passed: Iterable[str] = (topic for topic in WAY if key in topics.seen[topic])
    return " > ".join(passed) or "nowhere"
