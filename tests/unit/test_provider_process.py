"""Several agencies in one process: they end together, and none is held up by another."""

import asyncio
import time
from collections.abc import Mapping, Sequence

import pytest

from chopar.bus.consume import ConsumeLoop, ConsumeSettings
from chopar.bus.handler import Outputs
from chopar.bus.memory import MemoryBus
from chopar.bus.port import Outgoing, Record, TopicPartition
from chopar.errors import OffsetOutOfRangeError
from chopar.identifiers import AgencyId, agency_id
from chopar.provider.process import _all_until_stopped
from chopar.topics import EVIDENCE_REQUESTED, layouts

ONE, OTHER = agency_id("one-company"), agency_id("other-company")
FAST = ConsumeSettings(retry_first_seconds=0.02, fetch_timeout_seconds=0.05)


class Handler:
    """Says that it was reached; then raises what it was given, or waits."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.reached = asyncio.Event()
        self.may_go_on = asyncio.Event()
        self.done = False

    async def assigned(self, partitions: Mapping[TopicPartition, int]) -> None: ...

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None: ...

    async def ready_for(self, records: Sequence[Record]) -> None: ...

    async def handle(self, record: Record) -> Outputs:
        self.reached.set()
        if self.error is not None:
            raise self.error
        await self.may_go_on.wait()
        self.done = True
        return Outputs()


async def bus_with_a_request_for_each() -> MemoryBus:
    bus = MemoryBus(lambda: time.time_ns() // 1_000_000)
    admin = bus.admin()
    await admin.start()
    await admin.create(list(layouts([], [ONE, OTHER])))
    await admin.stop()
    producer = bus.producer("test")
    await producer.start()
    key = b"01a21648-7336-7d2f-afa9-b3ab9c12ff3a"
    await producer.send([Outgoing(EVIDENCE_REQUESTED.of(agency), 0, key, b"x", ()) for agency in (ONE, OTHER)])
    await producer.stop()
    return bus


def loops(bus: MemoryBus, handlers: Mapping[AgencyId, Handler]) -> list[ConsumeLoop]:
    return [
        ConsumeLoop(bus, f"provider.{agency}", [EVIDENCE_REQUESTED.of(agency)], handler, settings=FAST)
        for agency, handler in handlers.items()
    ]


async def test_an_agency_that_must_stop_stops_all_and_the_others_finish_what_they_hold() -> None:
    bus = await bus_with_a_request_for_each()
    busy, failing = Handler(), Handler(OffsetOutOfRangeError("gone"))
    stop = asyncio.Event()
    async with asyncio.timeout(30):
        running = asyncio.create_task(_all_until_stopped(loops(bus, {ONE: busy, OTHER: failing}), stop))
        await busy.reached.wait()
        await failing.reached.wait()
        await stop.wait()
        busy.may_go_on.set()
        with pytest.raises(OffsetOutOfRangeError):
            await running
    assert busy.done


async def test_an_agency_that_is_slow_holds_nobody_up_and_a_signal_ends_all() -> None:
    bus = await bus_with_a_request_for_each()
    slow, quick = Handler(), Handler()
    quick.may_go_on.set()
    stop = asyncio.Event()
    async with asyncio.timeout(30):
        running = asyncio.create_task(_all_until_stopped(loops(bus, {ONE: slow, OTHER: quick}), stop))
        await slow.reached.wait()
        await quick.reached.wait()
        while not quick.done:
            await asyncio.sleep(0.01)
        assert not slow.done
        stop.set()
        slow.may_go_on.set()
        await running
    assert slow.done


async def test_cancelled_from_without_it_ends_at_once() -> None:
    bus = await bus_with_a_request_for_each()
    handlers = {ONE: Handler(), OTHER: Handler()}
    async with asyncio.timeout(30):
        running = asyncio.create_task(_all_until_stopped(loops(bus, handlers), asyncio.Event()))
        for handler in handlers.values():
            await handler.reached.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert not any(handler.done for handler in handlers.values())
