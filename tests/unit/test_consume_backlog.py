"""Back-pressure: behind any backlog a process takes one batch at a time, and handles no more at once than it says."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from chopar.bus.consume import ConsumeSettings
from chopar.bus.memory import MemoryBus
from chopar.bus.memory.clients import MemoryConsumer
from chopar.bus.port import Outgoing, Record, TopicPartition, partition_of
from chopar.messages.demand import Subject
from chopar.messages.evidence import EvidenceRequested
from chopar.provider.provider import NoRecord, Provider
from chopar.schema_registry import Encoder
from chopar.topics import EVIDENCE_REQUESTED, PARTITIONS
from tests.builders import NOW, PERSON, demand_id
from tests.durable_rig import FAST as ASKING
from tests.durable_rig import HET, PROVIDED, RESOLVED, DurableRig
from tests.world import FAST, world

BATCH = 20
AT_ONCE = 8
WAITING = 200
ANSWERS = 60
MIGRATION = "mia-migration"
HANDLED = "chopar_records_handled_total"


class Watched:
    """Replaces what a bus's consumers fetch by: keeps how much was taken while how much was still in hand."""

    def __init__(self, bus: MemoryBus, done: Callable[[], int], group: str) -> None:
        self.taken = 0
        self.in_hand: list[int] = []
        """At each fetch that gave something: what was taken before it and not done with."""
        make = bus.consumer

        def consumer(of: str, topics: Any, **callbacks: Any) -> MemoryConsumer:
            made = make(of, topics, **callbacks)
            if of != group:
                return made
            fetch = made.fetch

            async def watched(max_records: int, timeout_seconds: float) -> dict[TopicPartition, list[Record]]:
                before = self.taken - done()
                batch = await fetch(max_records, timeout_seconds)
                if batch:
                    self.taken += sum(map(len, batch.values()))
                    self.in_hand.append(before)
                return batch

            made.fetch = watched  # type: ignore[method-assign]
            return made

        bus.consumer = consumer  # type: ignore[method-assign, assignment]


def request(number: int) -> EvidenceRequested:
    """One of many."""
    return EvidenceRequested(
        request_id=number.to_bytes(32, "big"),
        demand_id=demand_id(number),
        requester="electricity-het",
        provider=MIGRATION,
        evidence_type="registered-address",
        subject=Subject(kind="person", id=PERSON),
        fields=("address",),
        procedure="p",
        case_id="c",
        official="o",
        access_ground="g",
        act="a",
        as_of=NOW,
        due=NOW + timedelta(days=1),
        expires_at=NOW + timedelta(days=7),
    )


async def test_a_provider_behind_a_backlog_holds_one_batch_and_asks_its_register_for_so_many(tmp_path: Path) -> None:
    bus = MemoryBus(lambda: round(NOW.timestamp() * 1000))
    provider = Provider(MIGRATION, register="register", at_once=AT_ONCE)
    gate, asked, most = asyncio.Semaphore(0), 0, 0

    @provider.answers("registered-address")
    async def address(request: EvidenceRequested, register: None) -> NoRecord:
        nonlocal asked, most
        asked += 1
        most = max(most, asked)
        await gate.acquire()
        asked -= 1
        return NoRecord()

    def answered() -> int:
        return len(bus.records("evidence.provided.electricity-het"))

    async with world(bus, tmp_path, clock=lambda: NOW) as here:
        await here.prepare()
        encoder = Encoder(here.files, here.registry)
        await encoder.prepare(EvidenceRequested)
        producer = bus.producer("gateway")
        topic = EVIDENCE_REQUESTED.of(provider.agency)
        keys = [str(demand_id(number)).encode() for number in range(WAITING)]
        await producer.send(
            [
                Outgoing(topic, partition_of(key, PARTITIONS), key, encoder.encode(request(number)))
                for number, key in enumerate(keys)
            ]
        )
        watched = Watched(bus, answered, provider.group)
        sizes = ConsumeSettings(
            max_records=BATCH, max_concurrency=AT_ONCE, fetch_timeout_seconds=FAST.fetch_timeout_seconds
        )
        await here.start_provider(provider, None, [], settings=sizes)
        async with asyncio.timeout(30):
            while asked < AT_ONCE:
                await asyncio.sleep(0)
        assert watched.taken == BATCH
        for _ in range(WAITING):
            gate.release()
        async with asyncio.timeout(30):
            while answered() < WAITING:
                await asyncio.sleep(0.01)
    assert most == AT_ONCE
    assert watched.taken == WAITING
    assert watched.in_hand == [0] * len(watched.in_hand)
    assert len(watched.in_hand) >= WAITING // BATCH


async def test_an_asker_behind_a_backlog_of_answers_holds_one_batch(tmp_path: Path) -> None:
    rig = DurableRig(tmp_path)
    await rig.start()
    told: list[str] = []
    rig.hook = lambda demand: told.append(demand.case_id)
    async with rig.made() as requester:
        demands = [await rig.ask(requester, case_id=f"case {number}") for number in range(ANSWERS)]
    for demand in demands:
        await rig.resolve(demand)
        await rig.provide(demand)

    def done() -> int:
        counts = [
            rig.metrics.get_sample_value(HANDLED, {"topic": topic, "outcome": "ok"}) for topic in (RESOLVED, PROVIDED)
        ]
        return round(sum(count or 0 for count in counts))

    watched = Watched(rig.bus, done, f"requester.{HET}")
    async with rig.running(replace(ASKING, max_records=BATCH)):
        await rig.read()
    assert watched.taken >= 2 * ANSWERS
    assert sorted(told) == sorted(demand.case_id for demand in demands)
    assert watched.in_hand == [0] * len(watched.in_hand)
    await rig.close()
