"""The archive of exchanges takes no records: a provider releases no evidence, in memory and on Kafka."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from chopar.bus.consume import ConsumeLoop, ConsumeMetrics
from chopar.bus.dead_letter import read_dead_letter
from chopar.bus.kafka import KafkaBus
from chopar.bus.memory import MemoryBus, SendFault
from chopar.bus.port import Bus, Outgoing, Record, TopicPartition
from chopar.bus.prefixed import PrefixedBus
from chopar.identifiers import agency_id
from chopar.messages.exchange import ExchangeRecorded
from chopar.schema_registry import Decoder
from chopar.topics import EVIDENCE_PROVIDED, EVIDENCE_REQUESTED, EXCHANGE_RECORDED, TopicLayout, dead_letter_topic
from tests.builders import demand_id
from tests.contract.bus_rig import FAST, unique, until
from tests.unit.test_provider import FILES, World, owes, request

REQUESTED = EVIDENCE_REQUESTED.of(agency_id("tax-committee"))
PROVIDED = EVIDENCE_PROVIDED.of(agency_id("electricity-het"))
RECORDED = EXCHANGE_RECORDED.of()
GROUP = "tax"
PLACE = TopicPartition(REQUESTED, 0)
ARCHIVE = TopicLayout(RECORDED, 1, {"message.timestamp.type": "LogAppendTime"})


@dataclass
class Archive:
    """A bus, and what makes its archive refuse and take records."""

    bus: Bus
    refuse: Callable[[], Awaitable[None]]
    take: Callable[[], Awaitable[None]]

    async def records(self, topic: str) -> list[Record]:
        """All of a topic of one partition."""
        place = TopicPartition(topic, 0)
        reader = self.bus.reader({place: None})
        await reader.start()
        try:
            end = (await reader.end_offsets([place]))[place]
            found: list[Record] = []
            while reader.position(place) < end:
                found += (await reader.fetch(100, 0.1)).get(place, [])
            return found
        finally:
            await reader.stop()

    async def prepare(self, world: World) -> None:
        """Make the topics, and send a request."""
        admin = self.bus.admin()
        await admin.start()
        named = [TopicLayout(name, 1, ARCHIVE.settings) for name in (REQUESTED, PROVIDED, dead_letter_topic(REQUESTED))]
        await admin.create([*named, ARCHIVE])
        await admin.stop()
        world.answer = owes()
        producer = self.bus.producer("gateway")
        await producer.start()
        asked = world.encoder.encode(request())
        await producer.send([Outgoing(REQUESTED, 0, str(demand_id()).encode(), asked)])
        await producer.stop()


def unacknowledged() -> Archive:
    """Nothing that is sent to it is acknowledged."""
    bus = MemoryBus(lambda: 1)

    async def refuse() -> None:
        bus.faults.send = lambda record: SendFault.NOT_WRITTEN if record.topic == RECORDED else None

    async def take() -> None:
        bus.faults.send = lambda record: None

    return Archive(bus, refuse, take)


def missing() -> Archive:
    """It is not there."""
    bus = MemoryBus(lambda: 1)

    async def refuse() -> None:
        bus.log.remove(RECORDED)

    async def take() -> None:
        bus.log.add(ARCHIVE)

    return Archive(bus, refuse, take)


def deleted(bootstrap: str) -> Archive:
    """A real one, which somebody deletes, and makes again.

    To lack copies takes more than one broker: of a topic with one copy, one is enough whatever is due.
    """
    bus = PrefixedBus(KafkaBus(bootstrap), f"{unique('archive')}.")

    async def refuse() -> None:
        admin = bus.admin()
        await admin.start()
        await admin.delete([RECORDED])
        await admin.stop()

    async def take() -> None:
        admin = bus.admin()
        await admin.start()
        await admin.create([ARCHIVE])
        await admin.stop()

    return Archive(bus, refuse, take)


@pytest.fixture(params=["unacknowledged", "missing", pytest.param("deleted", marks=pytest.mark.broker)])
def archive(request: pytest.FixtureRequest) -> Archive:
    if request.param == "deleted":
        return deleted(request.getfixturevalue("bootstrap"))
    return unacknowledged() if request.param == "unacknowledged" else missing()


async def test_bad_input_57_an_archive_that_cannot_be_written_releases_no_evidence(archive: Archive) -> None:
    """Archive of exchanges is `exchange.recorded`; the transparency log, which appends it, will have its own test."""
    world, metrics = await World().start(), ConsumeMetrics()
    await archive.prepare(world)
    await archive.refuse()
    loop = ConsumeLoop(archive.bus, GROUP, [REQUESTED], world.handler, settings=FAST, metrics=metrics)
    stopped = {"topic": REQUESTED, "partition": "0"}

    def alarm() -> float | None:
        return metrics.registry.get_sample_value("chopar_partition_stopped", stopped)

    running = asyncio.create_task(loop.run())
    try:
        await until(lambda: alarm() == 1, "the alarm is raised")
        assert "record_refused" in loop.missing()
        assert await archive.records(PROVIDED) == []
        await archive.take()
        await until(lambda: alarm() == 0, "it goes on by itself")
        assert "record_refused" not in loop.missing()
    finally:
        loop.stop()
        await running
    admin = archive.bus.admin()
    await admin.start()
    assert await admin.committed(GROUP) == {PLACE: 1}
    await admin.stop()
    [provided] = await archive.records(PROVIDED)
    recorded = await archive.records(RECORDED)
    message = await Decoder(FILES, world.registry).message(recorded[-1].value or b"", ExchangeRecorded)
    assert message.access is not None
    assert recorded[0].timestamp_ms <= provided.timestamp_ms
    assert await archive.records(dead_letter_topic(REQUESTED)) == []


async def test_bad_input_57_a_record_that_is_too_large_for_the_archive_releases_no_evidence() -> None:
    """No later try can succeed: the request becomes a dead letter, to be replayed when the topic takes it."""
    archive, world = unacknowledged(), await World().start()
    await archive.prepare(world)
    bus = archive.bus
    assert isinstance(bus, MemoryBus)
    bus.log.layouts[RECORDED] = TopicLayout(RECORDED, 1, {**ARCHIVE.settings, "max.message.bytes": "100"})
    loop = ConsumeLoop(bus, GROUP, [REQUESTED], world.handler, settings=FAST)
    running = asyncio.create_task(loop.run())
    try:
        await until(lambda: bus.group(GROUP).committed == {PLACE: 1}, "the partition goes on")
    finally:
        loop.stop()
        await running
    assert await archive.records(PROVIDED) == []
    [letter] = await archive.records(dead_letter_topic(REQUESTED))
    assert read_dead_letter(letter)[0].code == "too_large"
