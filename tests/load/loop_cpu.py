"""CPU of the consume loop itself, on a bus that costs nothing: with a handler that answers at once, and one that waits.

`python -m tests.load.loop_cpu` prints microseconds of CPU a record, for each kind of handler, several rounds in turn.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

import structlog

from chopar.bus.consume import ConsumeLoop, Outputs
from chopar.bus.port import Assigned, Outgoing, Record, Sent, TopicPartition
from chopar.provider.lookups import CoalescedLookups

KEY = "01890a5d-ac96-774b-bcce-%012x"
HEADERS = (("ce_specversion", b"1.0"), ("ce_id", b"01890a5d-ac96-774b-bcce-b302099a8057"))


class AtOnce:
    """A handler as the gateway's: no task, one output before and one after."""

    def __init__(self) -> None:
        self.handled = 0

    async def assigned(self, partitions: Mapping[TopicPartition, int]) -> None:
        """Nothing is kept."""

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """Nothing is kept."""

    async def ready_for(self, records: Sequence[Record]) -> None:
        """Always."""

    def handle(self, record: Record) -> Outputs | Awaitable[Outputs]:
        """Pass it on."""
        self.handled += 1
        return Outputs(
            (Outgoing("before", record.partition, record.key, record.value),),
            (Outgoing("after", record.partition, record.key, record.value),),
        )


class Looked(AtOnce):
    """A handler as a provider's: one coalesced look-up."""

    independent = True

    def __init__(self) -> None:
        super().__init__()
        self._lookups: CoalescedLookups[bytes, bytes] = CoalescedLookups(self._all)

    async def _all(self, keys: Sequence[bytes]) -> Mapping[bytes, bytes]:
        return dict.fromkeys(keys, b"")

    def handle(self, record: Record) -> Outputs | Awaitable[Outputs]:
        """Look up, then pass it on."""
        return self._later(record)

    async def _later(self, record: Record) -> Outputs:
        await self._lookups.get(record.key or b"")
        found = super().handle(record)
        assert isinstance(found, Outputs)
        return found


class Canned:
    """A bus, its consumer and its producer in one: gives out batches that were made before, acknowledges everything."""

    member = ""

    def __init__(self, count: int, batch: int = 500) -> None:
        self._places = {TopicPartition("in", number): 0 for number in range(6)}
        self._batches: list[dict[TopicPartition, list[Record]]] = []
        for first in range(0, count, batch):
            made: dict[TopicPartition, list[Record]] = {place: [] for place in self._places}
            for number in range(first, min(first + batch, count)):
                key = (KEY % number).encode()
                made[TopicPartition("in", number % 6)].append(
                    Record("in", number % 6, number // 6, 0, key, b"v" * 600, HEADERS)
                )
            self._batches.append({place: records for place, records in made.items() if records})
        self._batches.reverse()
        self._assigned: Assigned | None = None
        self.done = asyncio.Event()

    def producer(self, name: str) -> Any:
        """Itself."""
        return self

    def consumer(self, group: str, topics: Sequence[str], *, assigned: Assigned, revoked: Any) -> Any:
        """Itself."""
        self._assigned = assigned
        return self

    async def start(self) -> None:
        """Hold everything."""
        if self._assigned is not None:
            assigned, self._assigned = self._assigned, None
            await assigned(self._places)

    async def stop(self) -> None:
        """Nothing is held."""

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Nothing is kept."""

    async def fetch(self, max_records: int, timeout_seconds: float) -> dict[TopicPartition, list[Record]]:
        """The next batch."""
        if not self._batches:
            self.done.set()
            await asyncio.sleep(0)
            return {}
        return self._batches.pop()

    async def send(self, records: Sequence[Outgoing]) -> list[Sent]:
        """Acknowledged."""
        await asyncio.sleep(0)
        return [ACKNOWLEDGED] * len(records)


ACKNOWLEDGED = Sent(0, 0)


async def measure(handler: AtOnce, count: int) -> float:
    """Microseconds of CPU a record."""
    bus: Any = Canned(count)
    loop = ConsumeLoop(bus, "group", ["in"], handler, clock=lambda: 0)
    began = time.process_time()
    running = asyncio.create_task(loop.run())
    await bus.done.wait()
    loop.stop()
    await running
    return (time.process_time() - began) / count * 1e6


def main() -> None:
    """Print the medians."""
    options = argparse.ArgumentParser()
    options.add_argument("--count", type=int, default=20_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--log", action="store_true", help="with the line of each record, rendered and thrown away")
    arguments = options.parse_args()
    level = 20 if arguments.log else 30
    with open("/dev/null", "w", encoding="utf-8") as nowhere:
        structlog.configure(
            wrapper_class=structlog.make_filtering_bound_logger(level),
            logger_factory=structlog.PrintLoggerFactory(nowhere),
            cache_logger_on_first_use=True,
        )
        found: dict[str, list[float]] = {"at_once": [], "looked_up": []}
        for _ in range(arguments.rounds):
            found["at_once"].append(asyncio.run(measure(AtOnce(), arguments.count)))
            found["looked_up"].append(asyncio.run(measure(Looked(), arguments.count)))
    for name, values in found.items():
        sys.stdout.write(f"{name}_us={statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})\n")


if __name__ == "__main__":
    main()
