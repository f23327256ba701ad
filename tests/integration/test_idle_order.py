"""On an idle hop what a record leads to is written before the broker is asked for more.

The other way round the woken broker takes the core before the answer is out (`docs/adr/0008-...`). The order rests on
asyncio's queue and on how aiokafka gives out a single record, so a new version of either may turn it.
"""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

import pytest
from aiokafka.conn import AIOKafkaConnection

from chopar.bus.consume import ConsumeLoop, Outputs
from chopar.bus.kafka import KafkaBus
from chopar.bus.port import Outgoing, Record, TopicPartition
from tests.contract.bus_rig import layout, unique, until

pytestmark = pytest.mark.broker
TRIES = 5
NAMES = {0: "Produce", 1: "Fetch", 8: "OffsetCommit"}


class Noting:
    """A handler that notes when it is asked."""

    def __init__(self, notes: list[str], topic: str) -> None:
        self._notes = notes
        self._topic = topic

    async def assigned(self, partitions: Mapping[TopicPartition, int]) -> None:
        """Nothing is kept."""

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """Nothing is kept."""

    async def ready_for(self, records: Sequence[Record]) -> None:
        """Always."""

    def handle(self, record: Record) -> Outputs | Awaitable[Outputs]:
        """One output before and one after."""
        self._notes.append("handled")
        out = Outgoing(self._topic, record.partition, record.key, record.value)
        return Outputs(before=(out,), after=(out,))


async def test_produce_is_written_before_fetch(bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bus, group = KafkaBus(bootstrap), unique("group")
    source, target = unique("source"), unique("target")
    admin = bus.admin()
    await admin.start()
    await admin.create([layout(source, 1), layout(target, 1)])
    await admin.stop()
    notes: list[str] = []
    send = AIOKafkaConnection.send

    def noted(self: Any, request: Any, *more: Any, **options: Any) -> Any:
        if self._client_id == group and request.API_KEY in NAMES:
            notes.append(NAMES[request.API_KEY])
        return send(self, request, *more, **options)

    monkeypatch.setattr(AIOKafkaConnection, "send", noted)
    loop = ConsumeLoop(bus, group, [source], Noting(notes, target))
    running = asyncio.create_task(loop.run())
    producer = bus.producer("asker")
    await producer.start()
    try:
        for number in range(TRIES):
            await producer.send([Outgoing(source, 0, b"k", b"%d" % number)])
            await until(lambda number=number: notes.count("OffsetCommit") > number, "the commit of an idle loop")
    finally:
        loop.stop()
        await running
        await producer.stop()
    each = " ".join(notes).split("handled ")[1:]
    assert len(each) == TRIES
    for order in each[1:]:  # the first finds producer and metadata cold
        assert order.split()[:3] == ["Produce", "Produce", "Fetch"], "the answer is out before more is asked for"
        assert "OffsetCommit" in order.split()[3:], "and the commit comes after"
