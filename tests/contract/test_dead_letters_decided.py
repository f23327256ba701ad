"""Dead letters as operators read them and decide on them, on both buses."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from chopar.avro import SchemaFiles
from chopar.bus.dead_letter import dead_letter
from chopar.bus.memory import MemoryBus
from chopar.bus.port import Bus, Record
from chopar.cli.dead_letter_decide import plan, write_down
from chopar.cli.dead_letter_list import Filter, Letter, Place, decisions, letter_at, letters
from chopar.errors import NotFoundError
from chopar.identifiers import agency_id
from chopar.messages.operations import ReplayAction
from chopar.schema_registry import InMemorySchemaRegistry
from chopar.topics import DEMAND_SUBMITTED, dead_letter_topic, layouts

ASKER = agency_id("electricity-het")
TOPIC = DEMAND_SUBMITTED.of(ASKER)


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.broker)])
def bus(request: pytest.FixtureRequest, kafka: Callable[[], Bus]) -> Bus:
    """The bus under test."""
    return MemoryBus(lambda: time.time_ns() // 1_000_000) if request.param == "memory" else kafka()


async def test_letters_are_found_decided_on_once_and_marked(bus: Bus) -> None:
    registry = InMemorySchemaRegistry()
    for name, text in SchemaFiles.shipped().texts.items():
        await registry.register(name, text)
    admin = bus.admin()
    await admin.start()
    await admin.create(list(layouts([ASKER], [])))
    await admin.stop()
    assert await letters(bus, Filter()) == []
    assert (await decisions(bus, registry)).settled == {}

    producer = bus.producer("test")
    await producer.start()
    for offset in range(3):
        record = Record(TOPIC, 1, offset, 1000, b"k", b"v")
        buried = dead_letter(record, code="c", group="g", first_failed_ms=1, last_failed_ms=10 + offset, attempts=1)
        await producer.send([buried])
    await producer.stop()

    found = await letters(bus, Filter(topic=TOPIC))
    assert [letter.place for letter in found] == [Place(dead_letter_topic(TOPIC), 0, offset) for offset in range(3)]
    assert Letter.of(await letter_at(bus, found[1].place)) == found[1]
    with pytest.raises(NotFoundError):
        await letter_at(bus, Place(dead_letter_topic(TOPIC), 0, 3))

    async def decide(action: ReplayAction, ones: list[Letter]) -> int:
        due = plan(action, ones, await decisions(bus, registry)).due
        return await write_down(bus, registry, action, due, reason="why", by="me", clock=lambda: datetime.now(UTC))

    assert await decide(ReplayAction.REPLAY, found[:1]) == 1
    assert await decide(ReplayAction.DISCARD, found[:2]) == 1
    assert await decide(ReplayAction.REPLAY, found[:2]) == 0
    decided = await decisions(bus, registry)
    assert [decided.state(letter.place) for letter in found] == ["requested", "discarded", "open"]
