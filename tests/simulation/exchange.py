"""A small exchange that is the same in every run: fixed times, ids and secrets; and what was said in the end."""

import hashlib
import logging
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

import structlog

from chopar.avro import decode_body, encode_body, frame, unframe
from chopar.bus.dead_letter import read_dead_letter
from chopar.bus.memory import MemoryBus
from chopar.bus.port import Outgoing, Record, TopicPartition, partition_of
from chopar.identifiers import DataSubject, PersonId, uuid7
from chopar.messages.demand import Demand
from chopar.messages.dispute import DisputeReason, EvidenceDisputed
from chopar.secret_files import secret_path
from gateway.answer import request_id
from gateway.standing import secret_name
from services.tax.model import DebtEntry
from tests.builders import NOW, NOW_MS, PERSON, SECOND_PERSON, demand, demand_id
from tests.standing import FILES, SECRET
from tests.world import World

HET = "electricity-het"
DEMANDS, RESOLVED = f"demand.submitted.{HET}", f"demand.resolved.{HET}"
REQUESTS, PROVIDED = "evidence.requested.tax-committee", f"evidence.provided.{HET}"
SPOKEN = (RESOLVED, REQUESTS, PROVIDED, "exchange.recorded")
GATEWAY, TAX = "gateway", "provider.tax-committee"
DEBTS: dict[DataSubject, list[DebtEntry]] = {PersonId(PERSON): [DebtEntry("income", 700)]}
PAPERS = ("tax-debt-certificate", "criminal-record-certificate", "address-reference-certificate", "no-such-paper")
Said: TypeAlias = dict[bytes, set[tuple[Any, ...]]]


def now() -> datetime:
    """The time of agencies and operators."""
    return NOW


def now_ms() -> int:
    """The broker's time."""
    return NOW_MS


def quiet() -> None:
    """No line for each record; `conftest` takes this back."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def one_secret(home: Path) -> None:
    """Every run has the same secret, so that its ids can be compared with another's."""
    path = secret_path(home, secret_name(1))
    path.parent.mkdir(parents=True, mode=0o700)
    path.touch(mode=0o600)
    path.write_bytes(SECRET)


async def demands_of(here: World, count: int, salt: int = 0) -> list[Outgoing]:
    """Valid demands, told apart by number: some of them fetch, some do not."""
    schema_id = await here.registry.id_of(Demand.RECORD, here.files.texts[Demand.RECORD])
    schema = here.files.parsed(Demand.RECORD)
    made: list[Outgoing] = []
    for number in range(salt * 1000, salt * 1000 + count):
        papers = [PAPERS[(number + more) % len(PAPERS)] for more in range(1 + number % 3)]
        asked = demand(
            demand_id=demand_id(number + 1),
            case_id=f"case-{number}",
            subject={"kind": "person", "id": [PERSON, SECOND_PERSON][number % 2]},
            documents=tuple({"type": paper} for paper in papers),
        )
        key = str(asked.demand_id).encode()
        made.append(Outgoing(DEMANDS, partition_of(key, 6), key, frame(schema_id, encode_body(schema, asked))))
    return made


def dispute_of(record: Outgoing, disputes_id: int) -> Outgoing | None:
    """A dispute of what the tax committee answered to a demand of these; None if it was not asked.

    Args:
        record: the demand.
        disputes_id: schema id of disputes.
    """
    value, key = record.value or b"", (record.key or b"").decode()
    asked = Demand.from_avro(decode_body(unframe(value)[1], FILES.parsed(Demand.RECORD)))
    if PAPERS[0] not in {document.type for document in asked.documents}:
        return None
    dispute = EvidenceDisputed(
        dispute_id=uuid7(NOW, asked.demand_id.int),
        demand_id=asked.demand_id,
        requester=HET,
        request_id=request_id(SECRET, HET, asked.demand_id, hashlib.sha256(value).digest(), PAPERS[0], None, {}),
        answer_digest=hashlib.sha256(key.encode()).digest(),  # of no answer, so that it is corrected
        reason=DisputeReason.WRONG_VALUE,
        official="official-7",
        disputed_at=NOW,
        original=value,
    )
    body = encode_body(FILES.parsed(EvidenceDisputed.RECORD), dispute)
    return record._replace(value=frame(disputes_id, body))


def said(bus: MemoryBus) -> Said:
    """Everything that was sent, by message id."""
    found: Said = {}
    for topic in SPOKEN:
        for record in bus.records(topic):
            copy = (record.topic, record.partition, record.key, record.value, record.headers)
            found.setdefault(record.header("ce_id") or b"", set()).add(copy)
    return found


def letters(bus: MemoryBus) -> set[tuple[str, int, int, str]]:
    """Which records have a dead letter, and why; a letter may be there twice."""
    found: set[tuple[str, int, int, str]] = set()
    for topic in bus.log.layouts:
        if topic.endswith(".dlq"):
            for letter, _ in map(read_dead_letter, bus.records(topic)):
                found.add((letter.topic, letter.partition, letter.offset, letter.code))
    return found


def behind(bus: MemoryBus, group: str, topic: str) -> int:
    """How many records a group has not committed."""
    committed: Mapping[TopicPartition, int] = bus.group(group).committed
    layout, partitions = bus.log.layouts[topic], bus.log.partitions
    places = (TopicPartition(topic, number) for number in range(layout.partitions))
    return sum(partitions[place].stamped - committed.get(place, 0) for place in places)


def unanswered(asked: list[Record], answers: list[Record]) -> set[bytes | None]:
    """Keys of what was asked and has no answer."""
    return {record.key for record in asked} - {record.key for record in answers}
