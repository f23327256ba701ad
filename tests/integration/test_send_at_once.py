"""What is written at once is delivered once and in order, whatever becomes of the connection or of who waits for it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from chopar.bus.kafka import KafkaBus
from chopar.bus.kafka.producer import KafkaProducer
from chopar.bus.kafka.send_at_once import Flight
from chopar.bus.port import Outgoing, Sent, TopicPartition
from chopar.errors import DeliveryError
from tests.contract.bus_rig import layout, unique

pytestmark = pytest.mark.broker


class Rig:
    """A producer of a topic of its own, warm, and what lies there."""

    def __init__(self, bus: KafkaBus, topic: str) -> None:
        self.bus = bus
        self.topic = topic
        self.producer: KafkaProducer = bus.producer("sender")

    def records(self, *values: str, partition: int = 0) -> list[Outgoing]:
        return [Outgoing(self.topic, partition, b"key", value.encode()) for value in values]

    async def stored(self, partition: int = 0) -> list[str]:
        place = TopicPartition(self.topic, partition)
        reader = self.bus.reader({place: 0})
        await reader.start()
        try:
            end = (await reader.end_offsets([place]))[place]
            found: list[str] = []
            while reader.position(place) < end:
                for records in (await reader.fetch(100, 1.0)).values():
                    found += [(record.value or b"").decode() for record in records]
            return found
        finally:
            await reader.stop()

    def connection(self) -> Any:
        assert self.producer._client is not None
        [connection] = [one for one in self.producer._client.client._conns.values() if one.connected()]
        return connection


@pytest.fixture
async def rig(bootstrap: str) -> AsyncIterator[Rig]:
    bus, topic = KafkaBus(bootstrap), unique("at-once")
    admin = bus.admin()
    await admin.start()
    await admin.create([layout(topic, 2)])
    await admin.stop()
    made = Rig(bus, topic)
    await made.producer.start()
    await made.producer.send(made.records("first"))  # finds metadata cold, and goes the usual way
    yield made
    await made.producer.stop()


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[Flight]:
    """The flights that are begun."""
    flights: list[Flight] = []
    begin = Flight.begin

    def noted(flight: Flight, connection: Any) -> None:
        flights.append(flight)
        begin(flight, connection)

    monkeypatch.setattr(Flight, "begin", noted)
    return flights


async def test_a_lone_send_is_written_before_the_loop_turns(rig: Rig, begun: list[Flight]) -> None:
    sending = rig.producer.send([*rig.records("a", "b"), *rig.records("c", partition=1)])
    waits = sending.send(None)  # as far as it comes by itself
    assert len(begun) == 1
    assert not begun[0].answer.done()
    assert waits is not None
    sending.close()
    await asyncio.wait([begun[0].answer])
    assert await rig.stored() == ["first", "a", "b"]
    assert await rig.stored(1) == ["c"]


async def test_who_is_cancelled_leaves_a_producer_that_goes_on(rig: Rig, begun: list[Flight]) -> None:
    sending = asyncio.create_task(rig.producer.send(rig.records("cancelled")))
    await asyncio.sleep(0)
    sending.cancel()
    client = rig.producer._client
    results = await asyncio.gather(*(rig.producer.send(rig.records(f"{number}")) for number in range(5)))
    assert [len(each) for each in results] == [1] * 5
    assert all(isinstance(result, Sent) for each in results for result in each)
    assert rig.producer._client is client
    assert await rig.stored() == ["first", "cancelled", "0", "1", "2", "3", "4"]
    assert len(begun) < 6, "those that came while it was on its way went the usual way"


async def test_what_is_not_answered_is_sent_again_and_lies_there_once(rig: Rig, begun: list[Flight]) -> None:
    client = rig.producer._client
    sending = asyncio.create_task(rig.producer.send(rig.records("x", "y")))
    await asyncio.sleep(0)
    rig.connection().close()
    results = await sending
    assert begun[0].judged, "its answer never came"
    assert [result.offset for result in results if isinstance(result, Sent)] == [1, 2]
    await rig.producer.send(rig.records("z"))
    assert await rig.stored() == ["first", "x", "y", "z"]
    assert rig.producer._client is client


async def test_an_answer_that_is_late_closes_the_connection_and_is_asked_for_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = rig.connection()
    connection._request_timeout = 0.0  # of this connection: the answer is too late in any case
    results = await rig.producer.send(rig.records("late"))
    assert [isinstance(result, Sent) for result in results] == [True]
    assert not connection.connected()
    assert await rig.stored() == ["first", "late"]


async def test_a_producer_that_stops_waits_for_what_is_on_its_way(rig: Rig) -> None:
    sending = asyncio.create_task(rig.producer.send(rig.records("last")))
    await asyncio.sleep(0)
    await rig.producer.stop()
    assert [isinstance(result, Sent) for result in await sending] == [True]
    assert await rig.stored() == ["first", "last"]


async def test_a_producer_that_is_given_up_says_that_nothing_was_delivered(rig: Rig) -> None:
    sending = asyncio.create_task(rig.producer.send(rig.records("lost or not")))
    await asyncio.sleep(0)
    rig.producer._broken = True
    await rig.producer.stop()
    [result] = await sending
    assert isinstance(result, DeliveryError | Sent)
    [result] = await rig.producer.send(rig.records("next"))
    assert isinstance(result, Sent)
