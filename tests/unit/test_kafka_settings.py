"""How much of each partition a consumer asks for, by how many there are."""

import pytest

from chopar.bus.kafka import KafkaBus, KafkaClientSettings
from chopar.bus.port import TopicPartition


@pytest.mark.parametrize(("partitions", "kib"), [(1, 96), (29 * 6, 96), (400, 81), (500 * 6, 64)])
def test_what_is_held_unread_is_shared_among_the_partitions(partitions: int, kib: int) -> None:
    settings = KafkaClientSettings()
    assert settings.partition_bytes(partitions) // 1024 == kib
    least = settings.min_partition_bytes * partitions
    assert settings.partition_bytes(partitions) * partitions <= max(settings.max_unread_bytes, least)


def test_a_consumer_without_partitions_asks_for_something() -> None:
    assert KafkaClientSettings().partition_bytes(0) > 0


async def test_readers_and_members_ask_for_as_much_of_each_partition_as_so_many_may_have() -> None:
    settings = KafkaClientSettings(max_partition_bytes=300_000, max_unread_bytes=2_400_000)
    bus = KafkaBus("127.0.0.1:1", settings=settings)
    few, many = (bus.reader({TopicPartition("a", number): 0 for number in range(count)}) for count in (2, 12))
    member = bus.consumer("group", ["a", "b"], assigned=nothing, revoked=nothing)
    made = [client._make() for client in (few, many, member)]
    for client in made:
        client._closed = True  # it was never started: there is nothing to close
    assert [client._max_partition_fetch_bytes for client in made] == [300_000, 200_000, 200_000]


async def nothing(_: object) -> None:
    pass
