"""How much a consumer asks for on a real broker: bounded for each partition, and what is larger still arrives."""

import asyncio

import pytest

from chopar.bus.kafka import KafkaBus, KafkaClientSettings
from chopar.bus.port import Outgoing, TopicPartition
from chopar.errors import ChoparError
from tests.contract.bus_rig import layout, unique

pytestmark = pytest.mark.broker
PARTITIONS = 3
LARGE = 40  # records of 2 KiB in one produce batch: twenty times what is asked for
SETTINGS = KafkaClientSettings(max_partition_bytes=4096, min_partition_bytes=4096)


async def test_batches_larger_than_what_is_asked_for_arrive_from_every_partition(bootstrap: str) -> None:
    topic = unique("large")
    bus = KafkaBus(bootstrap, settings=SETTINGS)
    admin = bus.admin()
    await admin.start()
    await admin.create([layout(topic, PARTITIONS)])
    await admin.stop()
    producer = bus.producer("sender")
    await producer.start()
    places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    sent = [Outgoing(topic, place.partition, b"k", b"%2048d" % number) for number in range(LARGE) for place in places]
    sent.append(Outgoing(topic, 1, b"k", b"x" * 200_000))
    assert not [one for one in await producer.send(sent) if isinstance(one, ChoparError)]
    await producer.stop()
    reader = bus.reader(dict.fromkeys(places))
    await reader.start()
    got: dict[TopicPartition, list[int]] = {place: [] for place in places}
    try:
        async with asyncio.timeout(30):
            while sum(map(len, got.values())) < len(sent):
                for place, records in (await reader.fetch(10, 1.0)).items():
                    got[place] += [record.offset for record in records]
    finally:
        await reader.stop()
    assert {place.partition: offsets for place, offsets in got.items()} == {
        number: list(range(LARGE + (number == 1))) for number in range(PARTITIONS)
    }
