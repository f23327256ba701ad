"""How much of each partition a consumer asks for, by how many there are."""

import pytest

from chopar.bus.kafka import KafkaClientSettings


@pytest.mark.parametrize(("partitions", "kib"), [(1, 96), (29 * 6, 96), (400, 81), (500 * 6, 64)])
def test_what_is_held_unread_is_shared_among_the_partitions(partitions: int, kib: int) -> None:
    settings = KafkaClientSettings()
    assert settings.partition_bytes(partitions) // 1024 == kib
    least = settings.min_partition_bytes * partitions
    assert settings.partition_bytes(partitions) * partitions <= max(settings.max_unread_bytes, least)


def test_a_consumer_without_partitions_asks_for_something() -> None:
    assert KafkaClientSettings().partition_bytes(0) > 0
