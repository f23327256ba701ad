"""A partition whose dependency is down is left alone between tries, and the others go on. In virtual time."""

import asyncio
from collections.abc import Mapping, Sequence

from chopar.bus.consume import ConsumeLoop, ConsumeSettings, Outputs
from chopar.bus.memory import MemoryBus
from chopar.bus.port import Outgoing, Record, TopicPartition
from chopar.errors import RegisterUnavailableError
from chopar.topics import TopicLayout
from tests.simulation.exchange import quiet
from tests.simulation.virtual_time import run_virtually

AWAY_SECONDS = 20.0
OTHERS = 100
SETTINGS = ConsumeSettings(retry_first_seconds=0.5, retry_most_seconds=4.0)


class Halves:
    """A handler one half of whose partitions waits for a register."""

    def __init__(self) -> None:
        self.tries: list[float] = []
        self.others: list[float] = []

    async def assigned(self, partitions: Mapping[TopicPartition, int]) -> None:
        """Nothing is kept."""

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """Nothing is kept."""

    async def ready_for(self, records: Sequence[Record]) -> None:
        """Always."""

    def handle(self, record: Record) -> Outputs:
        """Partition 0 waits, partition 1 does not."""
        now = asyncio.get_running_loop().time()
        (self.others if record.partition else self.tries).append(now)
        if not record.partition and now < AWAY_SECONDS and len(self.tries) < OTHERS:
            raise RegisterUnavailableError("away")
        return Outputs(after=(Outgoing("out", 0, record.key, record.value),))


def test_a_paused_partition_is_tried_after_growing_delays_while_another_is_never_kept_waiting() -> None:
    async def run() -> Halves:
        bus, handler = MemoryBus(lambda: 1_000_000_000_000), Halves()
        for layout in (TopicLayout("in", 2), TopicLayout("out", 1)):
            bus.log.add(layout)
        loop = ConsumeLoop(bus, "group", ["in"], handler, settings=SETTINGS, jitter=lambda: 0.0)
        running = asyncio.create_task(loop.run())
        bus.log.append(Outgoing("in", 0, b"waits", b""))
        for number in range(OTHERS):
            bus.log.append(Outgoing("in", 1, b"%d" % number, b""))
            await asyncio.sleep(AWAY_SECONDS / OTHERS)  # virtual
        while len(bus.records("out")) <= OTHERS or loop.missing():
            await asyncio.sleep(0.1)  # virtual
        loop.stop()
        await running
        return handler

    quiet()
    handler = run_virtually(run())
    waits = [round(later - at, 3) for at, later in zip(handler.tries, handler.tries[1:], strict=False)]
    assert waits == sorted(waits), "it is left alone for longer each time"
    assert all(SETTINGS.retry_first_seconds / 2 <= wait <= SETTINGS.retry_most_seconds for wait in waits)
    assert handler.tries[-1] >= AWAY_SECONDS
    due = [number * AWAY_SECONDS / OTHERS for number in range(OTHERS)]
    late = max(at - when for at, when in zip(handler.others, due, strict=True))
    assert late < AWAY_SECONDS / OTHERS, "another partition waited with it"
