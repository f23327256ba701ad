"""The partition of a key is that of every Kafka client."""

import pytest
from aiokafka.partitioner import murmur2
from hypothesis import given, strategies

from chopar.bus.port import partition_of


@given(strategies.binary(max_size=300), strategies.integers(1, 1000))
def test_is_that_of_kafkas_default_partitioner(key: bytes, partitions: int) -> None:
    assert partition_of(key, partitions) == (murmur2(key) & 0x7FFFFFFF) % partitions


# As Kafka's own tests have them (UtilsTest, signed there).
@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_agrees_with_the_vectors_of_kafka(key: bytes, hashed: int) -> None:
    assert partition_of(key, 1 << 31) == hashed & 0x7FFFFFFF
