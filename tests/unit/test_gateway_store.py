"""The table of first records: what is folded, what is first, what is out of time (bad-inputs rows 13 to 17)."""

import hashlib
import random

import pytest

from chopar.bus.port import Record, TopicPartition
from gateway.store import AHEAD_MS, OLDEST_MS, First, FirstRecords, demand_id_of, out_of_time
from tests.builders import NOW_MS, demand_id

KEY = str(demand_id()).encode()


def record(key: bytes | None = KEY, value: bytes | None = b"v", offset: int = 0, partition: int = 0) -> Record:
    return Record("demand.submitted.a", partition, offset, NOW_MS + offset, key, value)


@pytest.fixture
def table() -> FirstRecords:
    made = FirstRecords()
    made.open(TopicPartition("demand.submitted.a", 0))
    made.open(TopicPartition("demand.submitted.a", 1))
    return made


def fold(table: FirstRecords, *records: Record) -> First | None:
    """Fold records and give the first of the last one's id."""
    for one in records:
        table.fold(one)
    return table.first(records[-1])


@pytest.mark.parametrize("at_once", [True, False])
def test_the_first_of_an_id_stays_the_first_whatever_follows(table: FirstRecords, at_once: bool) -> None:
    one, two = record(value=b"one", offset=4), record(value=b"two", offset=5)
    first = First(4, NOW_MS + 4, hashlib.sha256(b"one").digest())
    if not at_once:
        assert fold(table, one) == first
        assert fold(table, two) == first
    assert fold(table, one, two) == first
    assert fold(table, one) == first
    table.write()
    assert table.sizes()[one.topic_partition] == 1


def test_what_is_folded_is_the_same_in_whatever_batches() -> None:
    chance = random.Random(3)
    ids = [str(demand_id(number)).encode() for number in range(40)]
    records = [record(chance.choice(ids), b"%d" % chance.randrange(3), offset) for offset in range(3000)]
    expected: dict[bytes | None, int] = {}
    for one in records:
        expected.setdefault(one.key, one.offset)
    for batch in (1, 2, 7, 3000):
        table = FirstRecords()
        table.open(records[0].topic_partition)
        for start in range(0, len(records), batch):
            some = records[start : start + batch]
            for one in some:
                table.fold(one)
            for one in some:
                found = table.first(one)
                assert found is not None
                assert found.offset == expected[one.key]
            if chance.random() < 0.5:
                table.write()
        assert set(table.sizes().values()) == {len(expected)}


def test_the_same_id_in_two_partitions_has_two_firsts(table: FirstRecords) -> None:
    left, right = fold(table, record(partition=0)), fold(table, record(partition=1, offset=9))
    assert left is not None
    assert right is not None
    assert (left.offset, right.offset) == (0, 9)


@pytest.mark.parametrize(
    "key",
    [None, b"", b"no id", KEY.upper(), KEY[:-1], KEY + b"0", str(demand_id()).replace("-", "").encode(), b"\xff" * 36,
     b"6fa459ea-ee8a-4ca4-894e-db77e160355e"],
)  # fmt: skip
def test_what_has_no_canonical_key_is_not_folded(table: FirstRecords, key: bytes | None) -> None:
    assert demand_id_of(record(key)) is None
    assert fold(table, record(key)) is None
    assert set(table.sizes().values()) == {0}


def test_bad_input_13_a_tombstone_is_not_folded(table: FirstRecords) -> None:
    assert fold(table, record(value=None)) is None
    assert fold(table, record(value=b"", offset=1)) == First(1, NOW_MS + 1, hashlib.sha256(b"").digest())


def test_bad_inputs_16_17_boundaries_of_an_ids_time() -> None:
    assert out_of_time(demand_id(), NOW_MS + OLDEST_MS) is None
    assert out_of_time(demand_id(), NOW_MS + OLDEST_MS + 1) == "expired"
    assert out_of_time(demand_id(), NOW_MS - AHEAD_MS) is None
    assert out_of_time(demand_id(), NOW_MS - AHEAD_MS - 1) == "clock"


def test_an_id_out_of_time_is_not_folded(table: FirstRecords) -> None:
    late = record()._replace(timestamp_ms=NOW_MS + OLDEST_MS + 1)
    assert fold(table, late) is None
    assert fold(table, record(offset=7)) is not None


def test_a_closed_part_is_forgotten(table: FirstRecords) -> None:
    table.fold(record())
    table.close([TopicPartition("demand.submitted.a", 0)])
    assert table.sizes() == {TopicPartition("demand.submitted.a", 1): 0}
