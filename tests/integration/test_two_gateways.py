"""Whoever answers says the same: gateways on one log are killed, emptied and paused while lists and secrets change.

Each gateway reads every record, in a group of its own, so that everything is said at least twice. At the end one more,
undisturbed, reads the whole log: whatever was said by anybody must have been said by it, byte for byte.
"""

import asyncio
import random
import shutil
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from chopar.bus.consume import ConsumeSettings
from chopar.bus.memory import MemoryBus
from chopar.bus.port import Headers, Outgoing, TopicPartition, partition_of
from chopar.messages.demand import AskedHolder, DemandedDocument, FetchMode, Following, Subject
from chopar.requester.requester import Requester
from gateway.law_reader import PARTITION as LAW
from tests.alternative_lists import ORDER, with_alternatives, written_to
from tests.builders import PERSON, SECOND_PERSON
from tests.standing import LISTS
from tests.world import World, world

HET = "electricity-het"
DEMANDS = f"demand.submitted.{HET}"
HOLDERS = tuple(f"evidence.requested.{provider}" for provider, _ in ORDER)
OUTPUTS = (f"demand.resolved.{HET}", *HOLDERS, "exchange.recorded")
PAPERS = ("tax-debt-certificate", "criminal-record-certificate", "address-reference-certificate", "no-such-paper")
NAMES = ("left", "right")
LEAD_SECONDS = 1
ALTERNATIVES = "alternatives"
"""Folder of the lists in which a paper may be proved by several holders."""
STEPS = 60


class Feeder:
    """Sends demands: new ones, the same again, the same id with another body, and what cannot be read."""

    def __init__(self, here: World, chance: random.Random) -> None:
        self._here = here
        self._chance = chance
        self._sent: list[tuple[bytes, bytes, Headers]] = []

    async def some(self, requester: Requester, count: int) -> None:
        records = [self._one(requester) for _ in range(count)]
        producer = self._here.bus.producer("feeder")
        await producer.start()
        await producer.send([Outgoing(DEMANDS, partition_of(k, 6), k, v, h) for k, v, h in records])
        await producer.stop()

    def _one(self, requester: Requester) -> tuple[bytes, bytes, Headers]:
        kind = self._chance.random()
        if self._sent and kind < 0.25:
            return self._chance.choice(self._sent)
        demand = requester.compose(
            procedure=self._chance.choice(["electricity-supply-contract", "no-such-procedure"]),
            subject=Subject(kind="person", id=self._chance.choice([PERSON, SECOND_PERSON, "123"])),
            documents=[
                DemandedDocument(type=paper) for paper in self._chance.sample(PAPERS, self._chance.randrange(1, 4))
            ],
        )
        asked = [AskedHolder(provider=who, evidence_type=what) for who, what in ORDER[: self._chance.randrange(4)]]
        if asked:
            follows = Following(demand_id=demand.demand_id, asked=tuple(asked))
            demand = demand.model_copy(update={"follows": follows})
        key, value = str(demand.demand_id).encode(), requester._encoder.encode(demand)
        if self._sent and kind < 0.35:
            key = self._chance.choice(self._sent)[0]
        if kind > 0.95:
            value = value[: self._chance.randrange(len(value))]
        headers = (
            ("traceparent", b"00-%032x-%016x-01" % (self._chance.getrandbits(128), self._chance.getrandbits(64))),
        )
        self._sent.append((key, value, headers))
        return self._sent[-1]


def said(bus: MemoryBus, topics: Sequence[str] = OUTPUTS) -> dict[bytes, set[tuple[Any, ...]]]:
    """Everything that was sent, by message id; `traceparent` is the one header that may differ."""
    found: dict[bytes, set[tuple[Any, ...]]] = {}
    for topic in topics:
        for record in bus.records(topic):
            headers = tuple(header for header in record.headers if header[0] != "traceparent")
            copy = (record.topic, record.partition, record.key, record.value, headers)
            found.setdefault(record.header("ce_id") or b"", set()).add(copy)
    return found


async def disturb(here: World, bus: MemoryBus, chance: random.Random, number: int) -> None:
    """Do something to the gateways, the lists or the bus."""
    name = chance.choice(NAMES)
    what = chance.randrange(7)
    if what == 0 and name in here.running:
        await here.kill(name)
    elif what == 1 and name in here.running:
        await here.stop(name)
    elif what == 2 and name not in here.running:
        shutil.rmtree(here.home / name, ignore_errors=True)  # its table of first records is gone
    elif what == 3:
        lists = chance.choice([LISTS, here.home / ALTERNATIVES])
        await here.activate(lists, fetch_mode=chance.choice(list(FetchMode)), activated_by=f"lawyer {number}")
    elif what == 4:
        lists = here.home / ALTERNATIVES
        await here.activate(lists, secret_version=number + 2, activated_by=f"operator {number}")
    elif what == 5:
        bus.hold(LAW)  # stamped and not shown: marks and activations come late
    else:
        bus.release(LAW)
    for other in NAMES:
        if other not in here.running and chance.random() < 0.6:
            batch = chance.choice([1, 7, 500])
            here.start_gateway(
                other,
                group=other,
                settings=ConsumeSettings(max_records=batch, retry_first_seconds=0.02, fetch_timeout_seconds=0.02),
            )


@pytest.mark.parametrize("seed", range(3))
async def test_every_pair_of_outputs_with_one_id_is_equal_and_none_is_said_that_should_not_be(
    seed: int, tmp_path: Path
) -> None:
    chance = random.Random(seed)
    bus = MemoryBus(lambda: time.time_ns() // 1_000_000, send_timeout_seconds=0.5)
    async with world(bus, tmp_path) as here:
        await here.prepare(written_to(tmp_path / ALTERNATIVES, with_alternatives()), lead_seconds=LEAD_SECONDS)
        async with here.requester(HET) as requester:
            feeder = Feeder(here, chance)
            for number in range(STEPS):
                await feeder.some(requester, chance.randrange(1, 6))
                if bus.log.partition(LAW).held and chance.random() < 0.5:
                    bus.release(LAW)
                if not bus.log.partition(LAW).held:
                    await disturb(here, bus, chance, number)
                await asyncio.sleep(chance.random() * 0.1)  # the world goes on between two disturbances
        bus.release(LAW)
        for name in NAMES:
            if name not in here.running:
                here.start_gateway(name, group=name)
        for name in NAMES:
            await here.eventually(partial(caught_up, bus, name))
        disturbed = said(bus)
        before = places(bus)

        here.start_gateway("undisturbed", group="undisturbed")
        await here.eventually(lambda: caught_up(bus, "undisturbed"))
        every = said(bus)
        alone = {
            record.header("ce_id")
            for (topic, partition), count in places(bus).items()
            for record in bus.records(topic, partition)[before[topic, partition] : count]
        }

    assert {ce_id for ce_id, copies in every.items() if len(copies) > 1} == set()
    assert alone == set(disturbed), "somebody said what the undisturbed one did not, or left out what it said"
    demands = bus.records(DEMANDS)
    answered = {record.key for record in bus.records(OUTPUTS[0])}
    assert answered == {record.key for record in demands}
    modes = {record.value for record in bus.records(LAW.topic) if record.key != b"mark"}
    assert len(modes) > 2, "too little happened to the law"
    assert all(bus.records(topic) for topic in HOLDERS), "somebody was never asked"


def places(bus: MemoryBus) -> dict[tuple[str, int], int]:
    """How many records each partition of the outputs holds."""
    return {(topic, number): len(bus.records(topic, number)) for topic in OUTPUTS for number in range(6)}


async def caught_up(bus: MemoryBus, group: str) -> bool:
    """Whether a group has committed everything that was demanded."""
    committed = bus.group(group).committed
    ends = await bus_ends(bus)
    return all(committed.get(place, 0) >= end for place, end in ends.items())


async def bus_ends(bus: MemoryBus) -> dict[TopicPartition, int]:
    return bus.end_offsets([TopicPartition(DEMANDS, number) for number in range(6)])
