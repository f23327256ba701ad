"""Shapes of load, in virtual time on the in-memory bus: a long lag, and many records under one key.

Nothing here depends on the machine: what is compared is order, and virtual latencies of the same load with and without.
"""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence

import pytest
from structlog.testing import capture_logs

from chopar.bus.consume import ConsumeLoop, ConsumeMetrics, Outputs
from chopar.bus.memory import MemoryBus
from chopar.bus.port import Outgoing, Record, TopicPartition
from chopar.provider.lookups import CoalescedLookups
from chopar.topics import TopicLayout
from tests.simulation.exchange import quiet
from tests.simulation.virtual_time import run_virtually

PARTITIONS = 6
LAG = 100_000
LAG_MS = 2 * 60 * 60 * 1000
HOT = 10_000
LOOK_UP_SECONDS = 0.005
BETWEEN_SECONDS = 0.02
OTHERS = 600


class Passing:
    """A handler that passes on at once, and notes the times of what it passes."""

    def __init__(self) -> None:
        self.handled: list[tuple[int, int, int]] = []

    async def assigned(self, partitions: Mapping[TopicPartition, int]) -> None:
        """Nothing is kept."""

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """Nothing is kept."""

    async def ready_for(self, records: Sequence[Record]) -> None:
        """Always."""

    def handle(self, record: Record) -> Outputs | Awaitable[Outputs]:
        """Pass it on."""
        self.handled.append((record.timestamp_ms, record.partition, record.offset))
        return Outputs(after=(Outgoing("out", record.partition, record.key, record.value),))


class Looking(Passing):
    """A handler as a provider's: each record is looked up, all of a batch in one statement."""

    independent = True

    def __init__(self) -> None:
        super().__init__()
        self._lookups: CoalescedLookups[object, bytes] = CoalescedLookups(self._all)

    async def _all(self, keys: Sequence[object]) -> Mapping[object, bytes]:
        await asyncio.sleep(LOOK_UP_SECONDS)  # virtual
        return {}

    def handle(self, record: Record) -> Awaitable[Outputs]:
        """Look up, then pass it on."""
        return self._later(record)

    async def _later(self, record: Record) -> Outputs:
        await self._lookups.get((record.partition, record.offset))
        found = super().handle(record)
        assert isinstance(found, Outputs)
        return found


class Batches(Passing):
    """A handler that counts batches, and notes in which the one record came that has a value."""

    def __init__(self) -> None:
        super().__init__()
        self.batches = 0
        self.single_at: int | None = None

    async def ready_for(self, records: Sequence[Record]) -> None:
        """Count."""
        self.batches += 1

    def handle(self, record: Record) -> Outputs | Awaitable[Outputs]:
        """Pass it on."""
        if record.value:
            self.single_at = self.batches
        return super().handle(record)


class Clock:
    """The broker's time: what is set, and what has passed of virtual time since."""

    def __init__(self) -> None:
        self.base_ms = 1_000_000_000_000

    def __call__(self) -> int:
        return self.base_ms + int(asyncio.get_running_loop().time() * 1000)


def bus_of(clock: Clock) -> MemoryBus:
    bus = MemoryBus(clock)
    for name in ("in", "out"):
        bus.log.add(TopicLayout(name, PARTITIONS))
    return bus


def test_bad_input_60_lag_of_100000_is_worked_off_oldest_first_with_an_alarm() -> None:
    async def run() -> Passing:
        clock, handler, metrics = Clock(), Passing(), ConsumeMetrics()
        bus = bus_of(clock)
        for number in range(LAG):
            bus.log.append(Outgoing("in", number % PARTITIONS, b"key %d" % number, b""))
            clock.base_ms += LAG_MS // LAG
        loop = ConsumeLoop(bus, "group", ["in"], handler, metrics=metrics, clock=clock)
        running = asyncio.create_task(loop.run())
        while len(bus.records("out", 0)) * PARTITIONS < LAG - PARTITIONS:
            await bus.changed.wait(1.0)
        bus.log.append(Outgoing("in", 0, b"new", b""))
        while len(handler.handled) <= LAG:
            await bus.changed.wait(1.0)
        loop.stop()
        await running
        assert metrics.registry.get_sample_value("chopar_record_age_seconds", {"topic": "in"}) == pytest.approx(
            0, abs=1
        )
        return handler

    with capture_logs() as logs:
        handled = run_virtually(run()).handled
    assert len(handled) == len(set(handled)) == LAG + 1
    for partition in range(PARTITIONS):
        assert [offset for _, at, offset in handled if at == partition] == sorted(
            offset for _, at, offset in handled if at == partition
        )
    # Across partitions nothing runs ahead by more than a turn of all of them takes.
    turn_ms = PARTITIONS * PARTITIONS * 500 * (LAG_MS // LAG)
    newest = 0
    for timestamp_ms, _, _ in handled:
        newest = max(newest, timestamp_ms)
        assert newest - timestamp_ms <= turn_ms, "an older record waited while newer ones were handled"
    alarms = [log for log in logs if log["event"] == "topic.behind"]
    assert [alarm["log_level"] for alarm in alarms][:1] == ["warning"]  # it may be no more than a stop
    assert alarms[0]["age_seconds"] == pytest.approx(LAG_MS / 1000, rel=0.05)
    assert [log["event"] for log in logs if log["event"].startswith("topic.")][-1] == "topic.caught_up"


async def latencies_of_others(hot: int) -> list[float]:
    """Feed one record to each partition in turn, steadily, beside so many under one key; gives how long others took."""
    clock, handler = Clock(), Looking()
    bus = bus_of(clock)
    loop = ConsumeLoop(bus, "group", ["in"], handler)
    running = asyncio.create_task(loop.run())
    now = asyncio.get_running_loop().time
    sent: dict[bytes, float] = {}
    for _ in range(hot):
        bus.log.append(Outgoing("in", 0, b"hot", b""))
    for number in range(OTHERS):
        key = b"other %d" % number
        sent[key] = now()
        bus.log.append(Outgoing("in", 1 + number % (PARTITIONS - 1), key, b""))
        await asyncio.sleep(BETWEEN_SECONDS / PARTITIONS)  # virtual
    while sum(len(bus.records("out", number)) for number in range(PARTITIONS)) < hot + OTHERS:
        await bus.changed.wait(1.0)
    loop.stop()
    await running
    answered = {
        record.key: (record.timestamp_ms - clock.base_ms) / 1000
        for number in range(1, PARTITIONS)
        for record in bus.records("out", number)
    }
    return sorted(answered[key] - at for key, at in sent.items())


def test_bad_input_61_hot_key_leaves_others_alone() -> None:
    quiet()
    alone, beside = (run_virtually(latencies_of_others(hot)) for hot in (0, HOT))
    assert len(alone) == len(beside) == OTHERS
    last = OTHERS * 99 // 100
    assert beside[last] <= 2 * alone[last] + 0.001, f"p99 {beside[last]:.4f} s beside it, {alone[last]:.4f} s alone"


def test_bad_input_62_an_agency_that_floods_delays_another_by_one_turn_of_its_partitions() -> None:
    """100,000 demands of one agency wait; one of another comes while they are being worked off. In batches."""

    async def run() -> int:
        clock, handler = Clock(), Batches()
        bus = bus_of(clock)
        bus.log.add(TopicLayout("flood", PARTITIONS))
        for number in range(LAG):
            bus.log.append(Outgoing("flood", number % PARTITIONS, b"key %d" % number, b""))
        loop = ConsumeLoop(bus, "group", ["flood", "in"], handler, clock=clock)
        running = asyncio.create_task(loop.run())
        while handler.batches < 10:
            await bus.changed.wait(1.0)
        bus.log.append(Outgoing("in", 3, b"single", b"single"))
        came_at = handler.batches
        while handler.single_at is None:
            await bus.changed.wait(1.0)
        loop.stop()
        await running
        assert len(handler.handled) < LAG, "the flood was still there"
        return handler.single_at - came_at

    assert run_virtually(run()) <= PARTITIONS + 1
