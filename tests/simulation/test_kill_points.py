"""The gateway and a provider, killed at every step of the loop, one after the other: the end state is always the same.

A step is each moment at which the loop waits for the bus: a batch was fetched, it is handled and nothing is sent yet,
half of a send is out, all of it is acknowledged, before and after a commit. What runs there is cancelled in its
await and started again, with what it kept on disk and without; once as it commits what is done at once, and once as it
commits nothing before it is killed, however much is done.
"""

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from chopar.bus.consume import ConsumeSettings
from chopar.bus.memory import MemoryBus
from chopar.bus.port import (
    Assigned,
    Bus,
    Consumer,
    Outgoing,
    Producer,
    Record,
    Revoked,
    Sent,
    TopicPartition,
)
from chopar.errors import ChoparError
from chopar.messages.dispute import EvidenceDisputed
from tests.simulation.exchange import (
    DEBTS,
    DEMANDS,
    GATEWAY,
    PROVIDED,
    REQUESTS,
    RESOLVED,
    TAX,
    Said,
    behind,
    demands_of,
    dispute_of,
    letters,
    now,
    now_ms,
    one_secret,
    quiet,
    said,
    unanswered,
)
from tests.standing import LISTS
from tests.world import World, world

COUNT = 8
NO_ID = b"no id"
DEADLINE_SECONDS = 90.0
"""For a machine that has other things to do: an end state comes, or it never comes."""
AT_ONCE = 6
"""Exchanges, each on its own bus: they mostly wait."""
SMALL = ConsumeSettings(max_records=4, retry_first_seconds=0.005, fetch_timeout_seconds=0.02, commit_interval_seconds=0)
NEVER = replace(SMALL, commit_interval_seconds=3600)
COMMITS = {"nothing is committed", "committed"}


@dataclass
class Steps:
    """Counts the steps of one process, and holds it for ever at one of them.

    Args:
        stop_at: the number of that step, from 1; 0: none.
    """

    stop_at: int
    taken: list[str] = field(default_factory=list)
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, name: str) -> None:
        """Come to a step."""
        self.taken.append(name)
        if len(self.taken) == self.stop_at:
            self.reached.set()
            await asyncio.Event().wait()


class SteppedBus:
    """The bus, on which the loop of one group takes its steps.

    Args:
        bus: the real twin.
        group: of the process that is killed.
        steps: where it is.
    """

    def __init__(self, bus: MemoryBus, group: str, steps: Steps) -> None:
        self._bus = bus
        self._group = group
        self._steps = steps
        self.admin = bus.admin
        self.fenced_producer = bus.fenced_producer
        self.reader = bus.reader

    def producer(self, name: str) -> Producer:
        """A producer, stepped if it is the group's."""
        inner = self._bus.producer(name)
        return SteppedProducer(inner, self._steps) if name == self._group else inner

    def consumer(self, group: str, topics: Sequence[str], *, assigned: Assigned, revoked: Revoked) -> Consumer:
        """A consumer, stepped if it is the group's."""
        inner = self._bus.consumer(group, topics, assigned=assigned, revoked=revoked)
        return SteppedConsumer(inner, self._steps) if group == self._group else inner


class SteppedProducer:
    """Sends in two halves."""

    def __init__(self, inner: Producer, steps: Steps) -> None:
        self._inner = inner
        self._steps = steps
        self.start = inner.start
        self.stop = inner.stop

    async def send(self, records: Sequence[Outgoing]) -> list[Sent | ChoparError]:
        """As the inner one's."""
        half = len(records) // 2
        await self._steps.take("nothing is sent")
        results = await self._inner.send(records[:half])
        await self._steps.take("half is sent")
        results += await self._inner.send(records[half:])
        await self._steps.take("all is sent")
        return results


class SteppedConsumer:
    """Says when it has fetched, and before and after each commit."""

    def __init__(self, inner: Consumer, steps: Steps) -> None:
        self._inner = inner
        self._steps = steps
        self.start, self.stop = inner.start, inner.stop
        self.held, self.seek, self.position = inner.held, inner.seek, inner.position
        self.end_offsets, self.beginning_offsets = inner.end_offsets, inner.beginning_offsets
        self.pause, self.resume = inner.pause, inner.resume

    @property
    def member(self) -> str:
        """As the inner one's."""
        return self._inner.member

    @property
    def settled(self) -> bool:
        """As the inner one's."""
        return self._inner.settled

    @property
    def answered(self) -> bool:
        """As the inner one's."""
        return self._inner.answered

    async def fetch(self, max_records: int, timeout_seconds: float) -> dict[TopicPartition, list[Record]]:
        """As the inner one's."""
        batch = await self._inner.fetch(max_records, timeout_seconds)
        if batch:
            await self._steps.take("fetched")
        return batch

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """As the inner one's."""
        await self._steps.take("nothing is committed")
        await self._inner.commit(offsets)
        await self._steps.take("committed")


@dataclass(frozen=True)
class Ended:
    """The state in the end."""

    said: Said
    letters: set[tuple[str, int, int, str]]
    committed: dict[TopicPartition, int]
    """By the gateway; what the provider reads holds repetitions, so its offsets may be others."""


async def run(
    home: Path, group: str, steps: Steps, *, empty_disk: bool = False, first_life: ConsumeSettings = SMALL
) -> Ended:
    """One exchange in which a process is killed at a step and started again."""
    quiet()
    home.mkdir()
    one_secret(home)
    bus = MemoryBus(now_ms)
    stepped: Bus = SteppedBus(bus, group, steps)
    async with world(stepped, home, clock=now) as here:
        await here.prepare(LISTS, lead_seconds=1)
        await feed(here, bus)
        name = "gateway" if group == GATEWAY else "tax-committee"
        await start(here, "gateway", first_life if group == GATEWAY else SMALL)
        if group != GATEWAY:
            await settled(bus, GATEWAY, DEMANDS)
        await start(here, "tax-committee", SMALL if group == GATEWAY else first_life)
        if steps.stop_at:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await steps.reached.wait()
            await here.kill(name)
            if empty_disk:
                shutil.rmtree(home / name, ignore_errors=True)
            await start(here, name, SMALL)
        await settled(bus, GATEWAY, DEMANDS)
        await settled(bus, TAX, REQUESTS)
        assert here.running == {"gateway", "tax-committee"}
    assert unanswered(bus.records(DEMANDS), bus.records(RESOLVED)) == {NO_ID}
    assert unanswered(bus.records(REQUESTS), bus.records(PROVIDED)) == {NO_ID}
    return Ended(said(bus), letters(bus), dict(bus.group(GATEWAY).committed))


async def start(here: World, name: str, settings: ConsumeSettings) -> None:
    """Start the gateway or the provider."""
    if name == "gateway":
        here.start_gateway(settings=settings)
    else:
        await here.start_tax(DEBTS, settings)


async def feed(here: World, bus: MemoryBus) -> None:
    """Demands, one of them twice, one id with two bodies, disputes, and for either process one record that is none."""
    producer = bus.producer("feeder")
    await producer.start()
    demands = await demands_of(here, COUNT)
    again = [demands[0], demands[1]._replace(value=demands[2].value), demands[3]._replace(key=NO_ID)]
    nonsense = Outgoing(REQUESTS, 2, NO_ID, b"no request")
    disputes_id = await here.registry.id_of(EvidenceDisputed.RECORD, here.files.texts[EvidenceDisputed.RECORD])
    disputes = [found for found in (dispute_of(one, disputes_id) for one in demands[:4]) if found]
    assert disputes
    results = await producer.send([*demands, *again, *disputes, nonsense])
    assert all(isinstance(result, Sent) for result in results)


async def settled(bus: MemoryBus, group: str, topic: str) -> None:
    """Wait until a group has committed all of a topic."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while behind(bus, group, topic):
            await bus.changed.wait(0.01)


@pytest.mark.parametrize("group", [GATEWAY, TAX])
async def test_bad_input_58_killed_at_any_step_the_end_is_the_same(group: str, tmp_path: Path) -> None:
    undisturbed = Steps(0)
    due = await run(tmp_path / "undisturbed", group, undisturbed)
    assert all(len(copies) == 1 for copies in due.said.values())
    assert len(due.letters) == 2
    steps = undisturbed.taken
    assert set(steps) == {
        "fetched", "nothing is sent", "half is sent", "all is sent", "nothing is committed", "committed"
    }  # fmt: skip
    uncommitted = [step for step in steps if step not in COMMITS]
    disks = (False, True) if group == GATEWAY else (False,)
    cases = [(steps, number, empty_disk, SMALL) for number in range(1, len(steps) + 1) for empty_disk in disks]
    cases += [(uncommitted, number, disks[-1], NEVER) for number in range(1, len(uncommitted) + 1)]
    for first in range(0, len(cases), AT_ONCE):
        some = cases[first : first + AT_ONCE]
        runs = (
            run(tmp_path / str(first + number), group, Steps(at), empty_disk=disk, first_life=life)
            for number, (_, at, disk, life) in enumerate(some)
        )
        for (of, number, empty_disk, life), ended in zip(some, await asyncio.gather(*runs), strict=True):
            place = f"step {number} of {len(of)} ({of[number - 1]}), {'nothing' if life is NEVER else 'all'} committed"
            assert ended == due, f"{group} killed at {place}, disk {'empty' if empty_disk else 'kept'}"
    print(f"{group}: killed at each of {len(steps)} steps, and at {len(uncommitted)} with nothing committed")
