"""A process that some records kill: `python -m tests.unit.deadly_process NOTES`.

Its bus is in memory: the records are fed anew, and nothing is committed over a life. Prints, when all are handled or
dead letters, what was handled in this life and what the dead letters say.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog

from chopar.bus.consume import ConsumeLoop, ConsumeSettings, Outputs
from chopar.bus.dead_letter import read_dead_letter
from chopar.bus.memory import MemoryBus
from chopar.bus.port import Outgoing, Record, TopicPartition
from chopar.topics import TopicLayout

VALUES = [b"a", b"b", b"kills", b"c", b"kills too", b"d"]
LIFE_SECONDS = 30.0


class Deadly:
    """A handler that dies of some records, without a word."""

    def __init__(self) -> None:
        self.handled: set[str] = set()

    async def assigned(self, partitions: Mapping[TopicPartition, int]) -> None:
        """Nothing is kept."""

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """Nothing is kept."""

    async def ready_for(self, records: Sequence[Record]) -> None:
        """Always."""

    def handle(self, record: Record) -> Outputs:
        """Die, or say what it is."""
        if record.value is not None and record.value.startswith(b"kills"):
            os.kill(os.getpid(), signal.SIGKILL)
        self.handled.add((record.value or b"").decode())
        return Outputs()


async def main(notes: Path) -> None:
    """One life."""
    bus = MemoryBus(lambda: time.time_ns() // 1_000_000)
    bus.log.add(TopicLayout("in", 1))
    bus.log.add(TopicLayout("in.dlq", 1))
    for value in VALUES:
        bus.log.append(Outgoing("in", 0, b"key " + value, value))
    handler, settings = Deadly(), ConsumeSettings(fetch_timeout_seconds=0.05)
    loop = ConsumeLoop(bus, "group", ["in"], handler, settings=settings, notes=notes)
    running = asyncio.create_task(loop.run())
    async with asyncio.timeout(LIFE_SECONDS):
        while len(bus.records("in.dlq")) < 2 or "d" not in handler.handled:
            await bus.changed.wait(0.05)
    loop.stop()
    await running
    letters = [read_dead_letter(record)[0] for record in bus.records("in.dlq")]
    found = {letter.offset: (letter.code, letter.attempts) for letter in letters}
    sys.stdout.write(json.dumps({"letters": found, "handled": sorted(handler.handled)}) + "\n")


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(main(Path(sys.argv[1])))
