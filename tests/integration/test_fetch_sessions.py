"""Fetch sessions on a real broker: idle partitions are named once, and everything still arrives in its order."""

import asyncio
from typing import Any

import pytest
from aiokafka.conn import AIOKafkaConnection
from aiokafka.protocol.fetch import FetchRequest

from chopar.bus.kafka import KafkaBus
from chopar.bus.port import Outgoing, TopicPartition
from tests.contract.bus_rig import layout, unique

pytestmark = pytest.mark.broker
MESSAGES = 40


@pytest.mark.parametrize("idle", [1, 5], ids=["together", "the busy apart"])
async def test_a_fetch_names_what_changed(idle: int, bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    group, topics = unique("group"), [unique("busy"), *(unique("idle") for _ in range(idle))]
    bus = KafkaBus(bootstrap)
    admin = bus.admin()
    await admin.start()
    await admin.create([layout(topic, 6) for topic in topics])
    await admin.stop()
    named: list[int] = []
    send = AIOKafkaConnection.send

    def noted(self: Any, request: Any, *more: Any, **options: Any) -> Any:
        if self._client_id == group and isinstance(request, FetchRequest):
            prepare = request.prepare

            def prepared(versions: Any) -> Any:
                struct = prepare(versions)
                named.append(sum(len(partitions) for _, partitions in struct.topics))
                return struct

            request.prepare = prepared
        return send(self, request, *more, **options)

    monkeypatch.setattr(AIOKafkaConnection, "send", noted)

    async def nothing(_: Any) -> None:
        """Nobody minds."""

    consumer = bus.consumer(group, topics, assigned=nothing, revoked=nothing)
    producer = bus.producer("sender")
    await producer.start()
    await consumer.start()
    got: dict[TopicPartition, list[bytes | None]] = {}
    try:
        for number in range(MESSAGES):
            await producer.send([Outgoing(topics[0], number % 6, b"k", b"%d" % number)])
            if number % 10 == 9:
                await _take(consumer, got, number + 1)  # so that there are some fetches
            if number == MESSAGES // 2:
                await _take(consumer, got, number + 1)
                place = TopicPartition(topics[0], 0)
                consumer.pause([place])
                await _take(consumer, got, number + 1)
                consumer.seek(place, 0)  # read once more, and not twice
                got[place] = []
                consumer.resume([place])
        await _take(consumer, got, MESSAGES)
    finally:
        await consumer.stop()
        await producer.stop()
    assert got == {
        TopicPartition(topics[0], partition): [b"%d" % number for number in range(partition, MESSAGES, 6)]
        for partition in range(6)
    }
    assert named[0] == 6 * len(topics)
    assert len(named) > 3
    assert max(named[1:]) < 6 * len(topics), "the idle ones are not named again"


async def _take(consumer: Any, got: dict[TopicPartition, list[bytes | None]], count: int) -> None:
    async with asyncio.timeout(30):
        while sum(map(len, got.values())) < count:
            for place, records in (await consumer.fetch(100, 0.1)).items():
                got.setdefault(place, []).extend(record.value for record in records)
