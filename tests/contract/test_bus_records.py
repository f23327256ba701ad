"""Producers, readers and the admin keep the port's promises, in memory and on Kafka."""

import time

import pytest

from chopar.bus.port import Outgoing, Sent, TopicPartition
from chopar.errors import (
    DeliveryError,
    FencedError,
    NoSuchTopicError,
    OffsetOutOfRangeError,
    TooLargeError,
    TopicLayoutError,
)
from tests.contract.bus_rig import Bench, acknowledged, count, fetched, layout, unique


async def test_records_of_a_partition_keep_their_order(bench: Bench) -> None:
    topic = await bench.topic(2)
    producer = await bench.producer()
    values = [b"%d" % number for number in range(300)]
    await producer.send([Outgoing(topic, index % 2, b"k", value) for index, value in enumerate(values)])
    for partition in (0, 1):
        assert [record.value for record in await bench.records(topic, partition)] == values[partition::2]


async def test_every_record_is_acknowledged_with_its_offset_and_time(bench: Bench) -> None:
    topic = await bench.topic(2)
    producer = await bench.producer()
    before = time.time_ns() // 1_000_000
    results = await producer.send([Outgoing(topic, number % 2, b"k", b"v") for number in range(6)])
    sent = [acknowledged(result) for result in results]
    assert [one.offset for one in sent] == [0, 0, 1, 1, 2, 2]
    for one in sent:
        assert abs(one.timestamp_ms - before) < 10_000
    assert [record.timestamp_ms for record in await bench.records(topic, 1)] == [one.timestamp_ms for one in sent[1::2]]


async def test_more_than_one_batch_of_a_partition_keeps_its_order(bench: Bench) -> None:
    topic = await bench.topic(1)
    values = [b"%04d" % number * 1000 for number in range(200)]
    sent = await bench.send(topic, 0, *values)
    assert [one.offset for one in sent] == list(range(200))
    assert [record.value for record in await bench.records(topic)] == values


async def test_keys_headers_and_null_values_come_back_as_they_were(bench: Bench) -> None:
    topic = await bench.topic(1)
    producer = await bench.producer()
    headers = (("ce_id", b"1"), ("twice", b"a"), ("twice", b"b"), ("empty", b""))
    given = [
        Outgoing(topic, 0, b"key", b"value", headers),
        Outgoing(topic, 0, b"key", None),
        Outgoing(topic, 0, None, b"value"),
        Outgoing(topic, 0, b"", b""),
    ]
    await producer.send(given)
    got = await bench.records(topic)
    assert [(one.key, one.value, one.headers) for one in got] == [(one.key, one.value, one.headers) for one in given]
    assert got[0].header("twice") == b"a"
    assert got[0].header("absent") is None
    assert got[0].topic_partition == TopicPartition(topic, 0)


async def test_a_record_over_the_topics_limit_fails_alone_between_good_ones(bench: Bench) -> None:
    """The failed delivery comes before later successes: each has a result of its own."""
    topic = await bench.topic(2, max_message_bytes="2000")
    producer = await bench.producer()
    values = [b"a", b"x" * 5000, b"b", b"c"]
    results = await producer.send(
        [Outgoing(topic, 0, b"k", value) for value in values] + [Outgoing(topic, 1, b"k", b"d")]
    )
    assert [type(result) for result in results] == [Sent, TooLargeError, Sent, Sent, Sent]
    assert [record.value for record in await bench.records(topic, 0)] == [b"a", b"b", b"c"]
    assert [record.value for record in await bench.records(topic, 1)] == [b"d"]
    again = await producer.send([Outgoing(topic, 0, b"k", b"e")])
    assert acknowledged(again[0]).offset == 3


async def test_bad_input_12_payload_over_a_mebibyte_is_refused_with_its_size(bench: Bench) -> None:
    topic = await bench.topic(1)
    producer = await bench.producer()
    results = await producer.send([Outgoing(topic, 0, b"k", bytes(1_048_577)), Outgoing(topic, 0, b"k", b"small")])
    assert isinstance(results[0], TooLargeError)
    assert "1048" in str(results[0])
    assert acknowledged(results[1]).offset == 0


async def test_a_send_to_a_topic_that_is_not_there_is_not_acknowledged(bench: Bench) -> None:
    topic = await bench.topic(1)
    producer = await bench.producer()
    results = await producer.send([Outgoing(unique("absent"), 0, b"k", b"v"), Outgoing(topic, 0, b"k", b"v")])
    assert isinstance(results[0], NoSuchTopicError)
    assert isinstance(results[1], Sent)
    assert isinstance((await producer.send([Outgoing(topic, 7, b"k", b"v")]))[0], NoSuchTopicError)
    assert acknowledged((await producer.send([Outgoing(topic, 0, b"k", b"v")]))[0]).offset == 1


async def test_a_topic_that_is_made_later_is_found_though_it_was_missing(bench: Bench) -> None:
    producer, name = await bench.producer(), unique("later")
    for _ in range(2):
        (missing,) = await producer.send([Outgoing(name, 0, b"k", b"v")])
        assert isinstance(missing, NoSuchTopicError)
    admin = bench.bus.admin()
    await admin.start()
    await admin.create([layout(name, 1)])
    await admin.stop()
    assert acknowledged((await producer.send([Outgoing(name, 0, b"k", b"v")]))[0]).offset == 0


async def test_a_reader_starts_where_it_is_told_and_has_no_group(bench: Bench) -> None:
    topic = await bench.topic(2)
    await bench.send(topic, 0, b"a", b"b", b"c")
    await bench.send(topic, 1, b"d")
    places = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
    reader = await bench.reader({places[0]: 1, places[1]: None})
    other = await bench.reader({places[0]: 1})
    assert reader.held() == frozenset(places)
    assert sorted(record.value or b"" for record in await fetched(reader, count(3))) == [b"b", b"c", b"d"]
    assert [record.value for record in await fetched(other, count(2))] == [b"b", b"c"]
    assert reader.position(places[0]) == 3
    assert await reader.end_offsets(places) == {places[0]: 3, places[1]: 1}
    assert await reader.fetch(10, 0.05) == {}


async def test_seeking_back_reads_again_whatever_was_buffered(bench: Bench) -> None:
    topic = await bench.topic(1)
    await bench.send(topic, 0, *[b"%d" % number for number in range(20)])
    place = TopicPartition(topic, 0)
    reader = await bench.reader({place: None})
    first = await fetched(reader, count(3), most=3)
    assert [record.offset for record in first] == [0, 1, 2]
    reader.seek(place, 1)
    assert reader.position(place) == 1
    assert [record.offset for record in await fetched(reader, count(19))] == list(range(1, 20))


async def test_a_record_that_comes_while_nobody_fetches_is_given_by_the_next_fetch(bench: Bench) -> None:
    topic = await bench.topic(1)
    place = TopicPartition(topic, 0)
    reader = await bench.reader({place: None})
    assert await reader.fetch(10, 0.01) == {}
    await bench.send(topic, 0, b"a", b"b")
    assert [record.value for record in await fetched(reader, count(2))] == [b"a", b"b"]
    assert await reader.fetch(10, 0.01) == {}
    await bench.send(topic, 0, b"c")
    reader.seek(place, 0)
    assert [record.value for record in await fetched(reader, count(3))] == [b"a", b"b", b"c"]


async def test_an_offset_that_was_deleted_is_an_error_and_skips_nothing(bench: Bench) -> None:
    topic = await bench.topic(1)
    await bench.send(topic, 0, b"a", b"b", b"c")
    place = TopicPartition(topic, 0)
    await bench.rig.delete_before(place, 2)
    reader = await bench.reader({place: 0})
    for _ in range(2):
        with pytest.raises(OffsetOutOfRangeError):
            await fetched(reader, count(1))
    assert await reader.beginning_offsets([place]) == {place: 2}
    reader.seek(place, 2)
    assert [record.value for record in await fetched(reader, count(1))] == [b"c"]
    from_beginning = await bench.reader({place: None})
    assert [record.value for record in await fetched(from_beginning, count(1))] == [b"c"]


async def test_admin_finds_offsets_by_time(bench: Bench) -> None:
    topic = await bench.topic(2)
    sent = await bench.send(topic, 0, b"a")
    admin = bench.bus.admin()
    await admin.start()
    try:
        places = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
        assert await admin.offsets_at(places, sent[0].timestamp_ms) == {places[0]: 0, places[1]: 0}
        assert await admin.offsets_at(places, sent[0].timestamp_ms + 60_000) == {places[0]: 1, places[1]: 0}
        assert await admin.end_offsets(places) == {places[0]: 1, places[1]: 0}
    finally:
        await admin.stop()


async def test_admin_makes_missing_topics_and_refuses_unequal_ones(bench: Bench) -> None:
    admin = bench.bus.admin()
    await admin.start()
    try:
        name, other = unique("layout"), unique("layout")
        wanted = layout(name, 3, retention_ms="86400000")
        assert await admin.create([wanted]) == [name]
        assert await admin.create([wanted, layout(other, 1)]) == [other]
        counts = await admin.partitions()
        assert (counts[name], counts[other]) == (3, 1)
        with pytest.raises(TopicLayoutError, match="3 partitions"):
            await admin.create([layout(name, 4, retention_ms="86400000")])
        with pytest.raises(TopicLayoutError, match=r"retention\.ms"):
            await admin.create([layout(name, 3, retention_ms="1")])
        assert await admin.committed(unique("nobody")) == {}
    finally:
        await admin.stop()


async def test_only_the_newest_incarnation_of_a_fenced_writer_writes(bench: Bench) -> None:
    topic = await bench.topic(1)
    writer = unique("writer")
    older, newer = bench.bus.fenced_producer(writer), bench.bus.fenced_producer(writer)
    await older.start()
    try:
        first = await older.send([Outgoing(topic, 0, b"k", b"a"), Outgoing(topic, 0, b"k", b"b")])
        assert [acknowledged(result).offset for result in first] == [0, 1]
        await newer.start()
        assert isinstance((await newer.send([Outgoing(topic, 0, b"k", b"c")]))[0], Sent)
        for _ in range(2):
            with pytest.raises(FencedError):
                await older.send([Outgoing(topic, 0, b"k", b"late")])
        assert isinstance((await newer.send([Outgoing(topic, 0, b"k", b"d")]))[0], Sent)
    finally:
        await older.stop()
        await newer.stop()
    place = TopicPartition(topic, 0)
    reader = await bench.reader({place: None}, read_committed=True)
    # By their number, and not up to the end: a broker says that it has committed a moment before readers are shown it.
    got = await fetched(reader, count(4))
    assert [record.value for record in got] == [b"a", b"b", b"c", b"d"]


async def test_a_transaction_with_a_record_too_large_writes_nothing(bench: Bench) -> None:
    topic = await bench.topic(1)
    writer = bench.bus.fenced_producer(unique("writer"))
    await writer.start()
    try:
        results = await writer.send([Outgoing(topic, 0, b"k", b"a"), Outgoing(topic, 0, b"k", bytes(1_200_000))])
        assert [type(result) for result in results] == [DeliveryError, TooLargeError]
        assert isinstance((await writer.send([Outgoing(topic, 0, b"k", b"b")]))[0], Sent)
    finally:
        await writer.stop()
    place = TopicPartition(topic, 0)
    reader = await bench.reader({place: None}, read_committed=True)
    assert [record.value for record in await fetched(reader, count(1))] == [b"b"]


async def test_a_partition_with_much_to_read_keeps_the_others_waiting_for_one_fetch_at_most(bench: Bench) -> None:
    topic = await bench.topic(2)
    await bench.send(topic, 0, *[b"%d" % number for number in range(60)])
    await bench.send(topic, 1, b"other")
    reader = await bench.reader({TopicPartition(topic, 0): 0, TopicPartition(topic, 1): 0})
    batches: list[list[int]] = []
    while sum(map(len, batches)) < 61:
        got = await reader.fetch(10, 1.0)
        if got:
            batches.append([record.partition for records in got.values() for record in records])
            assert len(batches[-1]) <= 10
    assert any(1 in batch for batch in batches[:3]), "one that came alone, one that was full, and then it is its turn"
