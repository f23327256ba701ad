"""Consumers of a group keep the port's promises, in memory and on Kafka."""

import asyncio
from collections.abc import Mapping

import pytest

from chopar.bus.port import TopicPartition
from chopar.errors import BrokerUnavailableError, NoLongerMemberError, NotFoundError, OffsetOutOfRangeError
from tests.contract.bus_rig import DEADLINE_SECONDS, Bench, Calls, count, fetched, unique, until


async def test_a_partition_without_a_commit_starts_at_its_beginning(bench: Bench) -> None:
    topic, group, calls = await bench.topic(2), unique("group"), Calls()
    await bench.send(topic, 0, b"a", b"b")
    await bench.rig.delete_before(TopicPartition(topic, 0), 1)
    consumer = await bench.consumer(group, [topic], calls)
    assert [record.value for record in await fetched(consumer, count(1))] == [b"b"]
    assert calls.assigned == [{TopicPartition(topic, 0): 1, TopicPartition(topic, 1): 0}]
    assert consumer.held() == {TopicPartition(topic, 0), TopicPartition(topic, 1)}
    assert consumer.position(TopicPartition(topic, 0)) == 2


async def test_what_was_not_committed_comes_again_and_what_was_does_not(bench: Bench) -> None:
    topic, group, calls = await bench.topic(1), unique("group"), Calls()
    place = TopicPartition(topic, 0)
    await bench.send(topic, 0, b"a", b"b", b"c")
    first = await bench.consumer(group, [topic])
    assert len(await fetched(first, count(3))) == 3
    await first.commit({place: 1})
    await first.stop()
    second = await bench.consumer(group, [topic], calls)
    assert [record.value for record in await fetched(second, count(2))] == [b"b", b"c"]
    assert calls.assigned == [{place: 1}]
    assert await bench.committed(group) == {place: 1}


async def test_an_offset_that_was_deleted_before_it_was_read_stops_the_consumer(bench: Bench) -> None:
    topic, group = await bench.topic(1), unique("group")
    place = TopicPartition(topic, 0)
    await bench.send(topic, 0, b"a", b"b", b"c")
    first = await bench.consumer(group, [topic])
    await fetched(first, count(3))
    await first.commit({place: 1})
    await first.stop()
    await bench.rig.delete_before(place, 3)
    second = await bench.consumer(group, [topic])
    with pytest.raises(OffsetOutOfRangeError):
        await fetched(second, count(1))


async def test_a_second_member_takes_its_share_after_revoked_was_awaited(bench: Bench) -> None:
    topic, group, calls = await bench.topic(2), unique("group"), Calls()
    places = {TopicPartition(topic, 0), TopicPartition(topic, 1)}
    began, finish = asyncio.Event(), asyncio.Event()

    async def revoked(partitions: frozenset[TopicPartition]) -> None:
        began.set()
        await finish.wait()
        await first.commit({TopicPartition(topic, 0): 1, TopicPartition(topic, 1): 1})

    first = bench.bus.consumer(group, [topic], assigned=calls.on_assigned, revoked=revoked)
    await first.start()
    late = Calls()
    try:
        await bench.send(topic, 0, b"a", b"b")
        await bench.send(topic, 1, b"c", b"d")
        await fetched(first, count(4))
        joining = asyncio.create_task(bench.consumer(group, [topic], late))
        async with asyncio.timeout(DEADLINE_SECONDS):
            await began.wait()
        assert await first.fetch(10, 0.05) == {}, "nothing is given out while it is being revoked"
        assert late.assigned == [], "nobody gets it before revoked has returned"
        finish.set()
        second = await joining
        got = await fetched(second, count(1))
        await until(lambda: len(calls.assigned) == 2, "the first member's new share")
        got += await fetched(first, count(1))
        assert sorted(record.value or b"" for record in got) == [b"b", b"d"], "each from the offset of the commit"
        assert first.held() | second.held() == places
        assert not first.held() & second.held()
        assert late.assigned == [dict.fromkeys(second.held(), 1)]
    finally:
        finish.set()
        await first.stop()


async def test_who_stops_while_it_joins_leaves_no_member_behind(bench: Bench) -> None:
    """A member that is gone would be given partitions until its session has expired."""
    topic, group, calls = await bench.topic(2), unique("group"), Calls()
    places = {TopicPartition(topic, 0), TopicPartition(topic, 1)}
    began, finish = asyncio.Event(), asyncio.Event()

    async def revoked(partitions: frozenset[TopicPartition]) -> None:
        began.set()
        await finish.wait()

    first = bench.bus.consumer(group, [topic], assigned=calls.on_assigned, revoked=revoked)
    await first.start()
    try:
        await until(lambda: len(calls.assigned) == 1, "the first member's share")
        joins = bench.bus.consumer(group, [topic], assigned=calls.on_assigned, revoked=revoked)
        joining = asyncio.create_task(joins.start())
        async with asyncio.timeout(DEADLINE_SECONDS):
            await began.wait()
        joining.cancel()
        await asyncio.gather(joining, return_exceptions=True)
        await joins.stop()
        finish.set()
        await until(lambda: len(calls.assigned) >= 2, "the first member's new share")
        assert set(calls.assigned[-1]) == places, "nobody else is there"
    finally:
        finish.set()
        await first.stop()


async def test_a_group_goes_on_without_a_member_that_was_removed(bench: Bench) -> None:
    topic, group, calls = await bench.topic(1), unique("group"), Calls()
    await bench.send(topic, 0, b"a")
    consumer = await bench.consumer(group, [topic], calls)
    await fetched(consumer, count(1))
    former = consumer.member
    assert former
    assert consumer.answered
    admin = bench.bus.admin()
    await admin.start()
    assert await admin.remove_member(group, former)
    assert not await admin.remove_member(group, former), "it is gone already"
    await admin.stop()
    with pytest.raises(NoLongerMemberError):
        await consumer.commit({TopicPartition(topic, 0): 1})
    assert [record.value for record in await fetched(consumer, count(1))] == [b"a"], "it has joined again"
    assert consumer.member not in ("", former) or bench.rig.name == "memory"


async def test_a_commit_of_a_partition_that_is_not_held_is_left_out(bench: Bench) -> None:
    topic, group, calls = await bench.topic(2), unique("group"), Calls()
    first = await bench.consumer(group, [topic], calls)
    await bench.send(topic, 0, b"a")
    await bench.send(topic, 1, b"b")
    await fetched(first, count(2))
    second_calls = Calls()
    second = await bench.consumer(group, [topic], second_calls)
    await until(lambda: len(calls.assigned) == 2 and len(second_calls.assigned) == 1, "both shares")
    await first.commit({TopicPartition(topic, 0): 1, TopicPartition(topic, 1): 1})
    assert await bench.committed(group) == dict.fromkeys(first.held(), 1)
    (lost,) = second.held()
    with pytest.raises(NotFoundError):
        first.seek(lost, 0)
    first.pause([lost])
    first.resume([lost])


async def test_a_paused_partition_gives_nothing_and_loses_nothing(bench: Bench) -> None:
    topic = await bench.topic(2)
    consumer = await bench.consumer(unique("group"), [topic])
    await bench.send(topic, 0, b"a", b"b")
    await bench.send(topic, 1, b"c")
    await fetched(consumer, count(3))
    place = TopicPartition(topic, 0)
    consumer.pause([place])
    consumer.seek(place, 1)
    await bench.send(topic, 0, b"d")
    await bench.send(topic, 1, b"e")
    assert [record.value for record in await fetched(consumer, count(1))] == [b"e"]
    assert await consumer.fetch(10, 0.05) == {}
    assert consumer.position(place) == 1
    consumer.resume([place])
    assert [record.value for record in await fetched(consumer, count(2))] == [b"b", b"d"]


async def test_a_record_that_came_just_before_a_pause_is_given_after_it(bench: Bench) -> None:
    topic = await bench.topic(1)
    place = TopicPartition(topic, 0)
    consumer = await bench.consumer(unique("group"), [topic])
    await fetched(consumer, lambda _: bool(consumer.held()))
    assert await consumer.fetch(10, 0.01) == {}
    await bench.send(topic, 0, b"a")
    consumer.pause([place])
    assert await consumer.fetch(10, 0.05) == {}
    assert consumer.position(place) == 0
    consumer.resume([place])
    assert [record.value for record in await fetched(consumer, count(1))] == [b"a"]


async def test_assigned_may_take_long_and_no_record_comes_before_it_returns(bench: Bench) -> None:
    topic, group = await bench.topic(1), unique("group")
    await bench.send(topic, 0, b"a")
    began, finish, cancelled = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def assigned(partitions: Mapping[TopicPartition, int]) -> None:
        began.set()
        try:
            await finish.wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    calls = Calls()
    consumer = bench.bus.consumer(group, [topic], assigned=assigned, revoked=calls.on_revoked)
    await consumer.start()
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await began.wait()
        assert await consumer.fetch(10, 0.05) == {}
        second = await bench.consumer(group, [topic])
        assert cancelled.is_set(), "its partitions were revoked while it was still at it"
        assert calls.revoked == [frozenset({TopicPartition(topic, 0)})]
        await second.stop()
        finish.set()
        assert [record.value for record in await fetched(consumer, count(1))] == [b"a"]
    finally:
        await consumer.stop()


async def test_more_members_than_partitions_leaves_one_idle(bench: Bench) -> None:
    topic, group = await bench.topic(1), unique("group")
    members = [await bench.consumer(group, [topic]) for _ in range(2)]
    await bench.send(topic, 0, b"a")
    got: list[bytes | None] = []
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not got:
            for member in members:
                for records in (await member.fetch(10, 0.1)).values():
                    got += [record.value for record in records]
    assert got == [b"a"]
    assert sorted(len(member.held()) for member in members) == [0, 1]


async def test_stop_ends_a_fetch_under_way(bench: Bench) -> None:
    topic = await bench.topic(1)
    consumer = await bench.consumer(unique("group"), [topic])
    waiting = asyncio.create_task(consumer.fetch(10, DEADLINE_SECONDS * 10))
    await asyncio.wait([waiting], timeout=0.05)
    await consumer.stop()
    async with asyncio.timeout(DEADLINE_SECONDS):
        assert await waiting == {}
    assert await consumer.fetch(10, 0.01) == {}


async def test_a_member_of_a_topic_that_is_not_there_says_so(bench: Bench) -> None:
    from chopar.bus.kafka import KafkaBus, KafkaClientSettings

    bus = bench.bus
    if isinstance(bus, KafkaBus):
        quick = KafkaClientSettings(request_timeout_seconds=0.5, start_deadline_seconds=1.5)
        bus = KafkaBus(bench.rig.bootstrap, settings=quick)  # type: ignore[attr-defined]
    calls = Calls()
    consumer = bus.consumer(unique("group"), [unique("absent")], assigned=calls.on_assigned, revoked=calls.on_revoked)
    with pytest.raises(BrokerUnavailableError, match="topic"):
        await consumer.start()
    await consumer.stop()


async def test_a_member_is_settled_when_assigned_has_returned_and_not_before(bench: Bench) -> None:
    topic, group, finish = await bench.topic(1), unique("group"), asyncio.Event()
    began = asyncio.Event()

    async def assigned(partitions: Mapping[TopicPartition, int]) -> None:
        began.set()
        await finish.wait()

    consumer = bench.bus.consumer(group, [topic], assigned=assigned, revoked=Calls().on_revoked)
    await consumer.start()
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await began.wait()
        assert not consumer.settled
        finish.set()
        await until(lambda: consumer.settled, "what is held is taken over")
    finally:
        await consumer.stop()


async def test_bad_input_62_a_flood_in_one_topic_keeps_another_waiting_for_one_turn(bench: Bench) -> None:
    """What lies there when the member begins is given out in turn: a batch of each partition of the flood at most."""
    flood, other, group = await bench.topic(6), await bench.topic(6), unique("group")
    for partition in range(6):
        await bench.send(flood, partition, *(b"%d" % number for number in range(200)))
    await bench.send(other, 3, b"single")
    consumer = await bench.consumer(group, [flood, other])
    batches = 0
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            batch = await consumer.fetch(20, 0.1)
            batches += bool(batch)
            if TopicPartition(other, 3) in batch:
                break
    assert batches <= 6 + 1, f"{batches} batches, of {6 * 200 // 20} that the flood has"


async def test_what_is_noted_under_a_groups_name_is_found_again_and_is_no_offset_of_another(bench: Bench) -> None:
    topic, group = await bench.topic(1), unique("group")
    place = TopicPartition(topic, 0)
    admin = bench.bus.admin()
    await admin.start()
    try:
        assert await admin.noted(group, place) == ""
        for text in ("first", "second"):
            await admin.note(group, place, text)
            assert await admin.noted(group, place) == text
        assert await admin.noted(unique("group"), place) == ""
    finally:
        await admin.stop()
