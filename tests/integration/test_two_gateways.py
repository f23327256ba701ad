"""Whoever answers says the same: gateways on one log are killed, emptied, paused and woken while the law changes.

Each gateway reads every record, in a group of its own, so that everything is said at least twice. Meanwhile lists are
activated and secrets rotated, and the bus gives stamps before it shows records, answers end offsets of the past and
shows batches late. At the end one more gateway, undisturbed, reads the whole log: whatever was said by anybody must
have been said by it, byte for byte.
"""

import asyncio
import contextlib
import random
import shutil
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from chopar.bus.consume import ConsumeSettings
from chopar.bus.memory import MemoryBus
from chopar.bus.port import Headers, Outgoing, TopicPartition, partition_of
from chopar.errors import DeliveryError
from chopar.messages.demand import AskedHolder, DemandedDocument, FetchMode, Following, Subject
from chopar.requester.requester import Requester
from gateway.law_reader import PARTITION as LAW
from tests.alternative_lists import ORDER, with_alternatives, written_to
from tests.builders import PERSON, SECOND_PERSON
from tests.sleeping_bus import SleepingBus
from tests.standing import LISTS
from tests.world import World, world

HET = "electricity-het"
DEMANDS = f"demand.submitted.{HET}"
HOLDERS = tuple(f"evidence.requested.{provider}" for provider, _ in ORDER)
OUTPUTS = (f"demand.resolved.{HET}", *HOLDERS, "exchange.recorded")
READ = [LAW, *(TopicPartition(DEMANDS, number) for number in range(6))]
HELD = [*READ, *(TopicPartition(topic, number) for topic in OUTPUTS for number in range(6))]
PAPERS = ("tax-debt-certificate", "criminal-record-certificate", "address-reference-certificate", "no-such-paper")
NAMES = ("left", "right")
LEAD_SECONDS = 1
ALTERNATIVES = "alternatives"
"""Folder of the lists in which a paper may be proved by several holders."""
EACH, OFTEN = 5, ("activated", "secret changed")
UNSEEN = "secret changed unseen"
AT_FIRST = 150
"""Demands by the first lists, however slow the machine is: among them some for each holder."""
SEND_SECONDS = 0.1
"""What is held back for longer was not acknowledged: it is sent again."""


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


class Disturber:
    """Does something to the gateways, the law or the bus, a step at a time."""

    def __init__(
        self, here: World, bus: MemoryBus, chance: random.Random, feed: Callable[[int], Awaitable[None]]
    ) -> None:
        self._here = here
        self._bus = bus
        self._chance = chance
        self._feed = feed
        self._buses = {name: SleepingBus(bus) for name in NAMES}
        self.done: Counter[str] = Counter()
        self._ways = {
            "killed": self._kill,
            "stopped": self._stop,
            "emptied": self._empty,
            "paused": self._pause,
            "activated": self._activate,
            "secret changed": self._change_secret,
            "law held": self._hold_law,
            "batches held": self._hold_batches,
            "stale end": self._stale_end,
        }

    def plan(self) -> list[str]:
        """What is to be done, each so and so often, in an order of its own."""
        plan = [*self._ways, *OFTEN] * EACH
        self._chance.shuffle(plan)
        return [*plan, UNSEEN]

    async def step(self, what: str, number: int) -> None:
        """One thing; then what is down may come up again."""
        await self.supervise()
        if what == UNSEEN:
            await self._change_secret_unseen(number)
        elif await self._ways[what](self._chance.choice(NAMES), number):
            self.done[what] += 1
        for other in NAMES:
            if self._buses[other].sleeps and self._chance.random() < 0.4:
                self._buses[other].wake()
                self.done["woken"] += 1
            if other not in self._here.running and self._chance.random() < 0.6:
                self.start(other, self._chance.choice([1, 7, 500]))
        for place in HELD:
            if self._bus.log.partition(place).held and self._chance.random() < 0.5:
                self._bus.show(place, self._chance.choice([1, 2, None]))
                if self._chance.random() < 0.5:
                    self._bus.release(place)
        if self._chance.random() < 0.1:
            self._bus.faults.stale_ends.clear()

    async def supervise(self) -> None:
        """Start again what the bus has ended."""
        for name in NAMES:
            if name in self._here.running and self._here.ended(name):
                await self._here.kill(name)
                self.start(name)
                self.done["ended"] += 1

    async def caught_up(self, name: str) -> bool:
        """Whether a gateway has read everything."""
        await self.supervise()
        return await caught_up(self._bus, name)

    def start(self, name: str, batch: int = 500) -> None:
        """Start a gateway that reads everything."""
        settings = ConsumeSettings(max_records=batch, retry_first_seconds=0.02, fetch_timeout_seconds=0.02)
        self._here.start_gateway(name, group=name, settings=settings, bus=self._buses[name])

    def mend(self) -> None:
        """Let everything go on."""
        self._bus.faults.stale_ends.clear()
        for place in HELD:
            self._bus.release(place)
        for name in NAMES:
            self._buses[name].wake()
            if name not in self._here.running:
                self.start(name)

    async def _kill(self, name: str, _: int) -> bool:
        if name in self._here.running:
            await self._here.kill(name)
            self._buses[name] = SleepingBus(self._bus)
            return True
        return False

    async def _stop(self, name: str, _: int) -> bool:
        if name not in self._here.running or self._buses[name].sleeps or self._bus.log.partition(LAW).held:
            return False  # it would wait with its batch for the law
        await self._here.stop(name)
        return True

    async def _empty(self, name: str, number: int) -> bool:
        await self._kill(name, number)
        shutil.rmtree(self._here.home / name, ignore_errors=True)  # its table of first records is gone
        return True

    async def _pause(self, name: str, _: int) -> bool:
        if name in self._here.running:
            self._buses[name].stop()
            return True
        return False

    async def _activate(self, _: str, number: int) -> bool:
        lists = self._chance.choice([LISTS, self._here.home / ALTERNATIVES])
        return await self._bring(
            lists, fetch_mode=self._chance.choice(list(FetchMode)), activated_by=f"lawyer {number}"
        )

    async def _change_secret(self, _: str, number: int) -> bool:
        lists = self._here.home / ALTERNATIVES
        return await self._bring(lists, secret_version=number + 2, activated_by=f"operator {number}")

    async def _change_secret_unseen(self, number: int) -> None:
        """A stamp is given before its record is visible: another secret holds, and nobody can have read of it."""
        self.mend()
        self._bus.hold(LAW)
        with contextlib.suppress(DeliveryError):
            await self._here.activate(secret_version=number + 2, activated_by="operator")
        until = asyncio.get_running_loop().time() + 2 * LEAD_SECONDS  # it holds one and a half leads after it was given
        while asyncio.get_running_loop().time() < until:
            await self._feed(3)
            await asyncio.sleep(LEAD_SECONDS / 10)
        self._bus.release(LAW)
        self.done[UNSEEN] += 1

    async def _bring(self, lists: Path, **what: Any) -> bool:
        if self._bus.log.partition(LAW).held:
            return False  # whoever activates waits until it is shown
        self._bus.faults.stale_ends.pop(LAW, None)  # an operator would only be told something else
        await self._here.activate(lists, **what)
        return True

    async def _hold_law(self, _: str, __: int) -> bool:
        self._bus.hold(LAW)  # stamped and not shown: marks and activations come late
        return True

    async def _hold_batches(self, _: str, __: int) -> bool:
        for place in self._chance.sample(HELD[1:], 3):
            self._bus.hold(place)
        return True

    async def _stale_end(self, _: str, __: int) -> bool:
        for place in READ:
            end = self._bus.end_offsets([place])[place]
            self._bus.faults.stale_ends[place] = int(self._chance.random() * (end + 1))
        return True


@pytest.mark.parametrize("seed", range(3))
async def test_every_pair_of_outputs_with_one_id_is_equal_and_none_is_said_that_should_not_be(
    seed: int, tmp_path: Path
) -> None:
    chance = random.Random(seed)
    bus = MemoryBus(lambda: time.time_ns() // 1_000_000, send_timeout_seconds=SEND_SECONDS)
    async with world(bus, tmp_path) as here:
        await here.prepare(written_to(tmp_path / ALTERNATIVES, with_alternatives()), lead_seconds=LEAD_SECONDS)
        async with here.requester(HET) as requester:
            feeder = Feeder(here, chance)
            disturber = Disturber(here, bus, chance, partial(feeder.some, requester))
            await feeder.some(requester, AT_FIRST)
            for number, what in enumerate(disturber.plan()):
                await feeder.some(requester, chance.randrange(1, 6))
                await disturber.step(what, number)
                await asyncio.sleep(chance.random() * 0.1)  # the world goes on between two disturbances
        disturber.mend()
        for name in NAMES:
            await here.eventually(partial(disturber.caught_up, name))
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
    assert {"killed", "paused", "woken", "emptied", "activated", "secret changed"} <= set(disturber.done)
    assert {"law held", "batches held", "stale end"} <= set(disturber.done)


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
