"""What `chopar bench` measures, on any bus: sending, reading, and echoes over hops of the one consume loop.

Five parts, each bounded in time: send in batches, read it back, echoes at saturation, echoes at a fixed rate, echoes at
a tenth of it. A latency counts from the moment at which a message was due, so that a pause is not left out. CPU is this
process's own, in which asker and hops run; the broker's is not seen from here.
"""

import asyncio
import contextlib
import itertools
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chopar.bus.consume import ConsumeLoop, Outputs
from chopar.bus.port import Bus, Outgoing, Producer, Record, TopicPartition
from chopar.errors import BrokerUnavailableError, ChoparError
from chopar.topics import TopicLayout, dead_letter_topic

PREFIX = "bench."
PERCENTS = (50, 90, 99)
_BATCH = 500
_OPEN = 2000
"""Echoes on their way at saturation."""
_READY_SECONDS = 30.0
_LATE_SECONDS = 30.0
_RETENTION_MS = 60 * 60 * 1000  # should the topics be left behind
_FETCH_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for.

    Attributes:
        seconds: of each part.
        size_bytes: of a message's value.
        partitions: of each topic.
        hops: how often an echo is passed on.
        rate: echoes a second, where latency is measured.
    """

    seconds: float
    size_bytes: int
    partitions: int
    hops: int
    rate: float


def percentiles(values: Sequence[float], digits: int = 2) -> dict[str, float]:
    """`p50`, `p90`, `p99` and `most`, each a value that occurred; nothing of nothing."""
    if not values:
        return {}
    ordered = sorted(values)
    found = {f"p{percent}": ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] for percent in PERCENTS}
    return {name: round(value, digits) for name, value in {**found, "most": ordered[-1]}.items()}


async def measured(bus: Bus, plan: Plan, step: Callable[[str], None] = lambda words: None) -> dict[str, Any]:
    """Measure a cluster, and take away what was made for it.

    Args:
        bus: the cluster.
        plan: what is asked for.
        step: told how far it is.

    Returns:
        `parts` (name, a second, CPU in µs a message, latency), `lost` and `doubled` echoes, the plan and the topics.

    Raises:
        BrokerUnavailableError: it does not answer, or refuses what is sent.
        TopicLayoutError, ConfigurationError: the topics cannot be made.
    """
    name = f"{PREFIX}{secrets.token_hex(4)}"
    topics = [f"{name}.{number}" for number in range(plan.hops + 1)]
    layouts = [
        TopicLayout(
            topic, plan.partitions, {"message.timestamp.type": "LogAppendTime", "retention.ms": str(_RETENTION_MS)}
        )
        for topic in (f"{name}.load", *topics, *map(dead_letter_topic, topics))
    ]
    admin = bus.admin()
    await admin.start()
    try:
        step(f"making the topics {name}.*")
        try:
            await admin.create(layouts)  # broken off, it may have made them
            step(f"sending for {plan.seconds:g} s")
            sent, sending = await _send(bus, f"{name}.load", plan)
            step("reading it back")
            parts = [sending, await _read(bus, f"{name}.load", plan, sent)]
            async with _echo(bus, name, topics, plan) as echo:
                for words, rate in (
                    ("saturation", 0.0),
                    (f"{plan.rate:g}/s", plan.rate),
                    (f"{plan.rate / 10:g}/s", plan.rate / 10),
                ):
                    step(f"echoes over {plan.hops} hops at {words}")
                    parts.append(await echo.part(f"echo over {plan.hops} hops at {words}", rate))
        finally:
            step("deleting the topics")
            await admin.delete([layout.name for layout in layouts])
    finally:
        await admin.stop()
    return {
        "parts": parts,
        "lost": len(echo.open),
        "doubled": echo.doubled,
        "topics": name,
        "size_bytes": plan.size_bytes,
        "partitions": plan.partitions,
        "hops": plan.hops,
        "seconds": plan.seconds,
    }


def _part(name: str, count: int, seconds: float, cpu: float, took: Sequence[float] = ()) -> dict[str, Any]:
    return {
        "part": name,
        "messages": count,
        "per_second": round(count / seconds, 1) if seconds > 0 else 0.0,
        "cpu_us": round(cpu * 1e6 / count, 2) if count else None,
        "latency_ms": percentiles([one * 1000 for one in took]),
    }


async def _send(bus: Bus, topic: str, plan: Plan) -> tuple[int, dict[str, Any]]:
    """Send in batches of 500 until the time is up."""
    value, producer = bytes(plan.size_bytes), bus.producer("bench")
    await producer.start()
    try:
        sent, began, cpu = 0, time.perf_counter(), time.process_time()
        while time.perf_counter() - began < plan.seconds:
            await _acknowledged(
                producer, [Outgoing(topic, number % plan.partitions, None, value) for number in range(_BATCH)]
            )
            sent += _BATCH
        return sent, _part("send", sent, time.perf_counter() - began, time.process_time() - cpu)
    finally:
        await producer.stop()


async def _acknowledged(producer: Producer, records: Sequence[Outgoing]) -> None:
    for result in await producer.send(records):
        if isinstance(result, ChoparError):
            raise result


async def _read(bus: Bus, topic: str, plan: Plan, count: int) -> dict[str, Any]:
    """Read what was sent, until the time is up."""
    reader = bus.reader({TopicPartition(topic, number): 0 for number in range(plan.partitions)})
    await reader.start()
    try:
        read, began, cpu = 0, time.perf_counter(), time.process_time()
        while read < count and time.perf_counter() - began < plan.seconds:
            read += sum(map(len, (await reader.fetch(2000, _FETCH_SECONDS)).values()))
        return _part("read", read, time.perf_counter() - began, time.process_time() - cpu)
    finally:
        await reader.stop()


class _Pass:
    """A hop's handler: every record goes on to the next topic."""

    def __init__(self, to: str) -> None:
        self._to = to

    async def assigned(self, partitions: Mapping[TopicPartition, int]) -> None:
        """Nothing is kept."""

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """Nothing is kept."""

    async def ready_for(self, records: Sequence[Record]) -> None:
        """Always."""

    def handle(self, record: Record) -> Outputs:
        """Pass it on in its partition."""
        return Outputs(after=(Outgoing(self._to, record.partition, record.key, record.value),))


class _Echo:
    """Sends on the first topic, waits for the same on the last."""

    def __init__(self, producer: Producer, topics: Sequence[str], plan: Plan) -> None:
        self._producer = producer
        self._topic = topics[0]
        self._plan = plan
        self._value = bytes(plan.size_bytes)
        self._number = 0
        self._freed = asyncio.Event()
        self._took: list[float] = []
        self.open: dict[bytes, float] = {}
        self.doubled = 0

    def take(self, record: Record) -> None:
        """An echo has come back."""
        due_at = self.open.pop(record.key or b"", None)
        if due_at is None:
            self.doubled += 1
        else:
            self._took.append(time.perf_counter() - due_at)
        self._freed.set()

    async def send(self, due: Sequence[float]) -> None:
        """Send as many as there are times at which they were due."""
        records = []
        for due_at in due:
            key = b"%020d" % self._number
            records.append(Outgoing(self._topic, self._number % self._plan.partitions, key, self._value))
            self.open[key] = due_at
            self._number += 1
        await _acknowledged(self._producer, records)

    async def part(self, name: str, rate: float) -> dict[str, Any]:
        """Echoes for a while, at a rate or, if it is 0, at saturation; then wait for those that are out.

        A cluster that gives none back in that time gets longer: a rate of nothing says nothing.
        """
        self._took = []
        began, cpu = time.perf_counter(), time.process_time()
        until = began + self._plan.seconds
        due_at = began
        while (now := time.perf_counter()) < until or (not self._took and now < until + _LATE_SECONDS):
            if rate:
                due = []
                while due_at <= now:
                    due.append(due_at)
                    due_at += 1 / rate
                if due:
                    await self.send(due)
                await asyncio.sleep(max(0.0, min(due_at, until) - time.perf_counter()))
            elif len(self.open) <= _OPEN - _BATCH:
                await self.send([now] * _BATCH)
            else:
                await self._back(max(until - now, 0.01))
        count, seconds, spent = len(self._took), time.perf_counter() - began, time.process_time() - cpu
        deadline = time.perf_counter() + _LATE_SECONDS
        while self.open and (left := deadline - time.perf_counter()) > 0:
            await self._back(left)
        return _part(name, count, seconds, spent, self._took)

    async def _back(self, seconds: float) -> None:
        """Wait until one comes back, or the time is up."""
        self._freed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._freed.wait()


@contextlib.asynccontextmanager
async def _echo(bus: Bus, name: str, topics: Sequence[str], plan: Plan) -> AsyncIterator[_Echo]:
    """Hops that run, and what sends over them; both end with the context."""
    loops = [
        ConsumeLoop(bus, f"{name}.{number}", [topic], _Pass(to))
        for number, (topic, to) in enumerate(itertools.pairwise(topics))
    ]
    producer = bus.producer("bench")
    echo = _Echo(producer, topics, plan)
    reader = bus.reader({TopicPartition(topics[-1], number): 0 for number in range(plan.partitions)})
    await producer.start()
    await reader.start()

    async def listen() -> None:
        while True:
            for records in (await reader.fetch(_BATCH, _FETCH_SECONDS)).values():
                for record in records:
                    echo.take(record)

    tasks = [asyncio.create_task(loop.run()) for loop in loops]
    listening = asyncio.create_task(listen())
    try:
        await _ready(loops, tasks)
        yield echo
        for task in (*tasks, listening):
            if task.done():
                task.result()
    finally:
        listening.cancel()
        for loop in loops:
            loop.stop()
        await asyncio.gather(*tasks, listening, return_exceptions=True)
        await reader.stop()
        await producer.stop()


async def _ready(loops: Sequence[ConsumeLoop], tasks: Sequence["asyncio.Task[None]"]) -> None:
    deadline = time.perf_counter() + _READY_SECONDS
    while any(loop.missing() for loop in loops):
        for task in tasks:
            if task.done():
                task.result()
        if time.perf_counter() > deadline:
            raise BrokerUnavailableError("the groups of the bench do not come together; is the cluster overloaded?")
        await asyncio.sleep(0.02)
