"""A replay from the operator's decision to the answer, on both buses."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from chopar.avro import SchemaFiles
from chopar.bus.consume import ConsumeLoop, Outputs
from chopar.bus.memory import MemoryBus
from chopar.bus.port import Bus, Outgoing, Record
from chopar.bus.replay import Replays
from chopar.cli.dead_letter_decide import write_down
from chopar.cli.dead_letter_list import Filter, Letter, decisions, letters
from chopar.errors import UndecodableError
from chopar.identifiers import agency_id
from chopar.messages.operations import ReplayAction
from chopar.schema_registry import InMemorySchemaRegistry
from chopar.topics import DEMAND_RESOLVED, DEMAND_SUBMITTED, layouts
from tests.contract.bus_rig import DEADLINE_SECONDS, FAST, Script

ASKER = agency_id("electricity-het")
TOPIC, ANSWERS = DEMAND_SUBMITTED.of(ASKER), DEMAND_RESOLVED.of(ASKER)
FILES = SchemaFiles.shipped()


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.broker)])
def bus(request: pytest.FixtureRequest, kafka: Callable[[], Bus]) -> Bus:
    """The bus under test."""
    return MemoryBus(lambda: time.time_ns() // 1_000_000) if request.param == "memory" else kafka()


async def test_letters_are_replayed_once_over_two_lives_of_a_process(bus: Bus) -> None:
    registry = InMemorySchemaRegistry()
    for name, text in FILES.texts.items():
        await registry.register(name, text)
    admin = bus.admin()
    await admin.start()
    await admin.create(list(layouts([ASKER], [])))
    await admin.stop()
    producer = bus.producer("test")
    await producer.start()
    await producer.send([Outgoing(TOPIC, 3, b"key", str(number).encode()) for number in range(3)])
    await producer.stop()

    mended = False

    def handle(record: Record) -> Outputs:
        if not mended:
            raise UndecodableError("a fault of ours")
        return Outputs(after=[Outgoing(ANSWERS, record.partition, record.key, record.value)])

    async def life(states: list[str]) -> Script:
        """Run a process until operators see these states."""
        script = Script(handle)
        replays = Replays(bus, "group", FILES, registry)
        loop = ConsumeLoop(bus, "group", [TOPIC], script, settings=FAST, replays=replays)
        running = asyncio.create_task(loop.run())
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                while await seen() != states:
                    assert not running.done()
                    await asyncio.sleep(0.05)
        finally:
            loop.stop()
            await running
        return script

    async def seen() -> list[str]:
        decided = await decisions(bus, registry)
        return [decided.state(letter.place) for letter in await letters(bus, Filter())]

    async def decide(ones: list[Letter]) -> None:
        await write_down(
            bus, registry, ReplayAction.REPLAY, ones, reason="mended", by="me", clock=lambda: datetime.now(UTC)
        )

    first = await life(["open"] * 3)
    found = await letters(bus, Filter())
    mended = True
    await decide(found[:2])
    second = await life(["replayed", "replayed", "open"])
    await decide(found[2:])
    third = await life(["replayed"] * 3)
    assert second.handled == first.handled[:2], "place, time, key and value are the original's"
    assert third.handled == first.handled[2:], "what was done in another life stays done"
