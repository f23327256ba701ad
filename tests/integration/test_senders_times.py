"""A topic that keeps its senders' times stops who reads it: what holds, and what is in time, goes by the broker's."""

import pytest

from chopar.bus.kafka import KafkaBus
from chopar.bus.port import Outgoing, TopicPartition
from chopar.errors import StopError, TopicLayoutError
from chopar.topics import TopicLayout
from tests.contract.bus_rig import Calls, count, fetched, unique

pytestmark = pytest.mark.broker


@pytest.mark.parametrize("way", ["consumer", "reader"])
async def test_records_that_carry_their_senders_times_are_not_read(bootstrap: str, way: str) -> None:
    bus, topic = KafkaBus(bootstrap), unique("senders-times")
    admin, producer, calls = bus.admin(), bus.producer("test"), Calls()
    fetcher = (
        bus.consumer(unique("group"), [topic], assigned=calls.on_assigned, revoked=calls.on_revoked)
        if way == "consumer"
        else bus.reader({TopicPartition(topic, 0): None})
    )
    await admin.start()
    await admin.create([TopicLayout(topic, 1, {"message.timestamp.type": "CreateTime"})])
    await producer.start()
    try:
        await producer.send([Outgoing(topic, 0, b"key", b"value")])
        await fetcher.start()
        with pytest.raises(TopicLayoutError, match="LogAppendTime is due") as raised:
            await fetched(fetcher, count(1))
        assert isinstance(raised.value, StopError)
    finally:
        await fetcher.stop()
        await producer.stop()
        await admin.delete([topic])
        await admin.stop()
