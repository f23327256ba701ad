"""What the bus contract suite needs of a bus beyond its port, once for memory and once for Kafka."""

import asyncio
import itertools
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Protocol

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.structs import TopicPartition as KafkaTopicPartition

from chopar.bus.consume import ConsumeLoop, ConsumeMetrics, ConsumeSettings, Outputs
from chopar.bus.kafka import KafkaBus, KafkaClientSettings
from chopar.bus.memory import MemoryBus
from chopar.bus.port import (
    Bus,
    Consumer,
    Fetcher,
    Outgoing,
    Producer,
    Reader,
    Record,
    Sent,
    TopicPartition,
)
from chopar.errors import ChoparError
from chopar.topics import DEAD_LETTER_SUFFIX, TopicLayout

DEADLINE_SECONDS = 20.0
FAST = ConsumeSettings(fetch_timeout_seconds=0.1, retry_first_seconds=0.01, retry_most_seconds=0.05)

_numbers = itertools.count(1)


class Rig(Protocol):
    """One bus under test."""

    name: str

    @property
    def bus(self) -> Bus:
        """The bus."""

    async def delete_before(self, partition: TopicPartition, offset: int) -> None:
        """Delete the records before an offset."""


class MemoryRig:
    """The twin."""

    name = "memory"

    def __init__(self) -> None:
        self.bus = MemoryBus(lambda: time.time_ns() // 1_000_000)

    async def delete_before(self, partition: TopicPartition, offset: int) -> None:
        """Delete the records before an offset."""
        self.bus.delete_before(partition, offset)


class KafkaRig:
    """A real broker."""

    name = "kafka"

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        settings = KafkaClientSettings(delivery_deadline_seconds=10, look_at_topics_seconds=0.2)
        self.bus = KafkaBus(bootstrap, settings=settings)

    async def delete_before(self, partition: TopicPartition, offset: int) -> None:
        """Delete the records before an offset."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            await admin.delete_records({KafkaTopicPartition(*partition): RecordsToDelete(offset)})
        finally:
            await admin.close()


def unique(word: str) -> str:
    """A name that no other test of this run, or of another run on the same broker, uses."""
    return f"{word}-{os.getpid()}-{next(_numbers)}"


def layout(name: str, partitions: int = 2, **settings: str) -> TopicLayout:
    """A topic as ours are: stamped by the broker."""
    named = {key.replace("_", "."): value for key, value in settings.items()}
    return TopicLayout(name, partitions, {"message.timestamp.type": "LogAppendTime", **named})


async def until(condition: Callable[[], bool], what: str, seconds: float = DEADLINE_SECONDS) -> None:
    """Wait until a condition holds; fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        await asyncio.sleep(0.005)


@dataclass
class Calls:
    """What a consumer's callbacks were called with."""

    assigned: list[dict[TopicPartition, int]] = field(default_factory=list)
    revoked: list[frozenset[TopicPartition]] = field(default_factory=list)

    async def on_assigned(self, partitions: Mapping[TopicPartition, int]) -> None:
        """Note it."""
        self.assigned.append(dict(partitions))

    async def on_revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """Note it."""
        self.revoked.append(partitions)


class Bench:
    """Makes clients that are closed at the end of the test, and topics of the test's own."""

    def __init__(self, rig: Rig, stack: AsyncExitStack) -> None:
        self.rig = rig
        self.bus = rig.bus
        self._stack = stack
        self._producer: Producer | None = None

    async def topic(self, partitions: int = 2, *, dead_letters: bool = False, **settings: str) -> str:
        """Make a topic, and its dead letter topic if that is wanted."""
        name = unique("records")
        admin = self.bus.admin()
        await admin.start()
        try:
            wanted = [layout(name, partitions, **settings)]
            if dead_letters:
                wanted.append(layout(name + DEAD_LETTER_SUFFIX, 1))
            made = await admin.create(wanted)
            assert sorted(made) == sorted(one.name for one in wanted)
        finally:
            await admin.stop()
        return name

    async def remake(self, topic: str, partitions: int = 1) -> None:
        """Delete a topic and make it again at once."""
        admin = self.bus.admin()
        await admin.start()
        try:
            await admin.delete([topic])
            deadline = time.monotonic() + DEADLINE_SECONDS
            while not await admin.create([layout(topic, partitions)]):  # it is still there
                assert time.monotonic() < deadline
        finally:
            await admin.stop()

    async def producer(self) -> Producer:
        """The test's producer."""
        if self._producer is None:
            self._producer = self.bus.producer("test")
            await self._producer.start()
            self._stack.push_async_callback(self._producer.stop)
        return self._producer

    async def send(self, topic: str, partition: int, *values: bytes | None, key: bytes = b"k") -> list[Sent]:
        """Send values and give their acknowledgements."""
        producer = await self.producer()
        results = await producer.send([Outgoing(topic, partition, key, value) for value in values])
        return [acknowledged(result) for result in results]

    async def consumer(self, group: str, topics: Sequence[str], calls: Calls | None = None) -> Consumer:
        """A started member of a group."""
        noted = calls or Calls()
        consumer = self.bus.consumer(group, topics, assigned=noted.on_assigned, revoked=noted.on_revoked)
        await consumer.start()
        self._stack.push_async_callback(consumer.stop)
        return consumer

    async def reader(self, start: Mapping[TopicPartition, int | None], *, read_committed: bool = False) -> Reader:
        """A started reader."""
        reader = self.bus.reader(start, read_committed=read_committed)
        await reader.start()
        self._stack.push_async_callback(reader.stop)
        return reader

    async def records(self, topic: str, partition: int = 0) -> list[Record]:
        """Everything on a partition now."""
        place = TopicPartition(topic, partition)
        reader = await self.reader({place: None})
        end = (await reader.end_offsets([place]))[place]
        return await fetched(reader, lambda got: reader.position(place) >= end) if end else []

    async def run(
        self, loop: ConsumeLoop, goal: Callable[[], bool] | None = None, what: str = "the loop's goal"
    ) -> None:
        """Run a loop until its goal is reached, then stop it and wait for its end."""
        running = asyncio.create_task(loop.run())
        try:
            await until(lambda: running.done() or goal is None or goal(), what)
        finally:
            loop.stop()
            async with asyncio.timeout(DEADLINE_SECONDS):
                await running

    async def committed(self, group: str) -> dict[TopicPartition, int]:
        """What a group has committed."""
        admin = self.bus.admin()
        await admin.start()
        try:
            return await admin.committed(group)
        finally:
            await admin.stop()


def acknowledged(result: Sent | ChoparError) -> Sent:
    """The acknowledgement, or the failure raised."""
    if isinstance(result, ChoparError):
        raise result
    return result


async def fetched(fetcher: Fetcher, enough: Callable[[list[Record]], bool], most: int = 500) -> list[Record]:
    """Fetch until there is enough."""
    got: list[Record] = []
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not enough(got):
        assert time.monotonic() < deadline, f"not in time: {len(got)} records"
        for records in (await fetcher.fetch(most, 0.1)).values():
            got.extend(records)
    return got


def count(number: int) -> Callable[[list[Record]], bool]:
    """Enough is so many records."""
    return lambda got: len(got) >= number


class Script:
    """A handler made of a function; notes what it was asked."""

    def __init__(self, handle: Callable[[Record], Outputs | Awaitable[Outputs]]) -> None:
        self.handled: list[Record] = []
        self.calls = Calls()
        self._handle = handle

    async def assigned(self, partitions: Mapping[TopicPartition, int]) -> None:
        """Note it."""
        await self.calls.on_assigned(partitions)

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """Note it."""
        await self.calls.on_revoked(partitions)

    async def ready_for(self, records: Sequence[Record]) -> None:
        """Always ready."""

    def handle(self, record: Record) -> Outputs | Awaitable[Outputs]:
        """Note it, and ask the function."""
        self.handled.append(record)
        return self._handle(record)

    def values(self) -> list[bytes | None]:
        """The values it was asked to handle, in order."""
        return [record.value for record in self.handled]


def loop_of(bench: Bench, topic: str, handler: Script, group: str, **changes: object) -> ConsumeLoop:
    """A loop with short delays and no randomness."""
    metrics = changes.pop("metrics", None) or ConsumeMetrics()
    settings = changes.pop("settings", None) or FAST
    assert isinstance(metrics, ConsumeMetrics)
    assert isinstance(settings, ConsumeSettings)
    return ConsumeLoop(bench.bus, group, [topic], handler, settings=settings, metrics=metrics, jitter=lambda: 0.0)
