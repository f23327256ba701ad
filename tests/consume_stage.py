"""A bus for tests of the consume loop, with what is sent on it and a handler that passes records on."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from chopar.bus.consume import ConsumeLoop, ConsumeMetrics, ConsumeSettings, Outputs
from chopar.bus.memory import MemoryBus, SendFault
from chopar.bus.port import Outgoing, Record, Sent, TopicPartition
from chopar.topics import TopicLayout

FAST = ConsumeSettings(fetch_timeout_seconds=0.01, retry_first_seconds=0.001, retry_most_seconds=0.004)
ORIGIN = TopicPartition("in", 0)
GROUP = "group"


class Clock:
    """Milliseconds that pass when somebody says so."""

    def __init__(self) -> None:
        self.now = 1_000_000

    def __call__(self) -> int:
        return self.now


class Relay:
    """Sends each value on: a record before, an answer after. A hook may fail first."""

    def __init__(self, hook: Callable[[Record], None] = lambda record: None) -> None:
        self.hook = hook
        self.handled: list[bytes | None] = []
        self.assigned_calls: list[dict[TopicPartition, int]] = []
        self.revoked_calls: list[frozenset[TopicPartition]] = []

    async def assigned(self, partitions: Mapping[TopicPartition, int]) -> None:
        self.assigned_calls.append(dict(partitions))

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        self.revoked_calls.append(partitions)

    async def ready_for(self, records: Sequence[Record]) -> None:
        pass

    def handle(self, record: Record) -> Outputs:
        self.handled.append(record.value)
        self.hook(record)
        return Outputs(
            before=[Outgoing("before", record.partition, record.key, record.value)],
            after=[Outgoing("after", record.partition, record.key, record.value)],
        )


class Stage:
    """A bus with the topics of these tests."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.bus = MemoryBus(self.clock, send_timeout_seconds=0.05)
        for name, partitions in {"in": 2, "in.dlq": 1, "before": 2, "after": 2}.items():
            self.bus.log.add(TopicLayout(name, partitions))
        self.metrics = ConsumeMetrics()

    async def put(self, *values: bytes | None, partition: int = 0, keys: Sequence[bytes] = ()) -> None:
        producer = self.bus.producer("test")
        for index, value in enumerate(values):
            key = keys[index] if keys else b"k"
            self.bus.faults.send, kept = (lambda record: None), self.bus.faults.send
            (result,) = await producer.send([Outgoing("in", partition, key, value)])
            self.bus.faults.send = kept
            assert isinstance(result, Sent)

    def loop(self, handler: object, settings: ConsumeSettings = FAST) -> ConsumeLoop:
        return ConsumeLoop(
            self.bus,
            GROUP,
            ["in"],
            handler,  # type: ignore[arg-type]
            settings=settings,
            metrics=self.metrics,
            clock=self.clock,
            jitter=lambda: 0.0,
        )

    async def run(self, loop: ConsumeLoop, goal: Callable[[], bool]) -> None:
        running = asyncio.create_task(loop.run())
        try:
            async with asyncio.timeout(10):
                while not goal() and not running.done():
                    await self.bus.changed.wait(0.01)
        finally:
            loop.stop()
            await running

    def values(self, topic: str, partition: int | None = None) -> list[bytes | None]:
        return [record.value for record in self.bus.records(topic, partition)]

    def committed(self) -> dict[TopicPartition, int]:
        return self.bus.group(GROUP).committed

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0


def failing(times: int, fault: SendFault, **matching: object) -> Callable[[Outgoing], SendFault | None]:
    """Fails the first sends that match."""
    left = times

    def ask(record: Outgoing) -> SendFault | None:
        nonlocal left
        if left > 0 and all(getattr(record, name) == value for name, value in matching.items()):
            left -= 1
            return fault
        return None

    return ask
