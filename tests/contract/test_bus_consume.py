"""The consume loop on both buses: order, partial failure, dead letters, retries, rebalance, the end."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import pytest

from chopar.bus.consume import ConsumeMetrics, ConsumeSettings, Outputs
from chopar.bus.dead_letter import read_dead_letter
from chopar.bus.port import Outgoing, Record, TopicPartition
from chopar.errors import (
    LawNotReadError,
    OffsetOutOfRangeError,
    RegisterUnavailableError,
    UndecodableError,
)
from chopar.topics import DEAD_LETTER_SUFFIX
from tests.contract.bus_rig import DEADLINE_SECONDS, FAST, Bench, Script, layout, loop_of, unique, until

NOTHING = Outputs()


def passed_on(before: str, after: str) -> Script:
    """A handler that sends each value on, to both topics."""
    return Script(
        lambda record: Outputs(
            before=[Outgoing(before, record.partition, record.key, b"record of " + (record.value or b""))],
            after=[Outgoing(after, record.partition, record.key, b"answer to " + (record.value or b""))],
        )
    )


async def test_outputs_keep_the_order_of_their_causes_and_the_offset_is_committed(bench: Bench) -> None:
    topic, before, after = [await bench.topic(2) for _ in range(3)]
    group = unique("group")
    values = [b"%d" % number for number in range(40)]
    await bench.send(topic, 0, *values)
    await bench.send(topic, 1, *values[:5])
    handler = passed_on(before, after)
    await bench.run(loop_of(bench, topic, handler, group), lambda: len(handler.handled) == 45)
    assert [record.value for record in await bench.records(before, 0)] == [b"record of " + value for value in values]
    assert [record.value for record in await bench.records(after, 0)] == [b"answer to " + value for value in values]
    assert await bench.committed(group) == {TopicPartition(topic, 0): 40, TopicPartition(topic, 1): 5}
    assert handler.calls.revoked == [frozenset(handler.calls.assigned[0])]


async def test_a_second_run_goes_on_where_the_first_ended(bench: Bench) -> None:
    topic, group = await bench.topic(1), unique("group")
    await bench.send(topic, 0, b"a", b"b")
    first = Script(lambda record: NOTHING)
    await bench.run(loop_of(bench, topic, first, group), lambda: len(first.handled) == 2)
    await bench.send(topic, 0, b"c")
    second = Script(lambda record: NOTHING)
    await bench.run(loop_of(bench, topic, second, group), lambda: bool(second.handled))
    assert second.values() == [b"c"]


async def test_no_record_no_document(bench: Bench) -> None:
    """What could not be recorded is not answered: the record was too large, so its cause is a dead letter."""
    topic, after = await bench.topic(1, dead_letters=True), await bench.topic(1)
    before = await bench.topic(1, max_message_bytes="2000")
    group, metrics = unique("group"), ConsumeMetrics()

    def handle(record: Record) -> Outputs:
        size = 5000 if record.value == b"large" else 10
        return Outputs(
            before=[Outgoing(before, 0, record.key, bytes(size))], after=[Outgoing(after, 0, record.key, record.value)]
        )

    await bench.send(topic, 0, b"a", b"large", b"c")
    handler = Script(handle)
    loop = loop_of(bench, topic, handler, group, metrics=metrics)
    await bench.run(loop, lambda: _count(metrics, "chopar_records_handled_total") == 3)
    assert [record.value for record in await bench.records(after)] == [b"a", b"c"]
    (letter,) = await bench.records(topic + DEAD_LETTER_SUFFIX)
    origin, original = read_dead_letter(letter)
    assert (origin.code, origin.offset, original.value) == ("too_large", 1, b"large")
    assert await bench.committed(group) == {TopicPartition(topic, 0): 3}


async def test_a_bad_record_becomes_a_dead_letter_with_its_reason_and_origin(bench: Bench) -> None:
    topic, group, metrics = await bench.topic(2, dead_letters=True), unique("group"), ConsumeMetrics()
    producer = await bench.producer()
    headers = (("ce_id", b"7"), ("traceparent", b"00-1"), ("x-name", b"somebody"))
    sent = await producer.send(
        [Outgoing(topic, 1, b"key", b"bad", headers), Outgoing(topic, 1, b"key", b"good", headers)]
    )

    def handle(record: Record) -> Outputs:
        if record.value == b"bad":
            raise UndecodableError("the text of an error, with 12345678901234, goes nowhere")
        return NOTHING

    handler = Script(handle)
    await bench.run(loop_of(bench, topic, handler, group, metrics=metrics), lambda: b"good" in handler.values())
    (letter,) = await bench.records(topic + DEAD_LETTER_SUFFIX)
    origin, original = read_dead_letter(letter)
    assert (letter.key, letter.value) == (b"key", b"bad")
    assert (origin.code, origin.topic, origin.partition, origin.offset) == ("undecodable", topic, 1, 0)
    assert origin.timestamp_ms == sent[0].timestamp_ms  # type: ignore[union-attr]
    assert (origin.group, origin.attempts) == (group, 1)
    assert origin.first_failed_ms == origin.last_failed_ms
    assert original == Record(topic, 1, 0, origin.timestamp_ms, b"key", b"bad", headers[:2])
    assert b"12345678901234" not in repr(letter).encode()
    assert await bench.committed(group) == {TopicPartition(topic, 1): 2}
    assert metrics.registry.get_sample_value("chopar_dead_letters_total", {"topic": topic, "code": "undecodable"}) == 1


async def test_bad_input_13_tombstone_is_skipped_and_counted(bench: Bench) -> None:
    topic, group, metrics = await bench.topic(1), unique("group"), ConsumeMetrics()
    await bench.send(topic, 0, b"a", None, b"b")
    handler = Script(lambda record: NOTHING)
    await bench.run(loop_of(bench, topic, handler, group, metrics=metrics), lambda: len(handler.handled) == 2)
    assert handler.values() == [b"a", b"b"]
    skipped = {"topic": topic, "outcome": "skipped"}
    assert metrics.registry.get_sample_value("chopar_records_handled_total", skipped) == 1
    assert await bench.committed(group) == {TopicPartition(topic, 0): 3}


async def test_a_dependency_that_fails_pauses_one_partition_while_others_go_on(bench: Bench) -> None:
    topic, group, metrics = await bench.topic(2), unique("group"), ConsumeMetrics()
    back = asyncio.Event()

    def handle(record: Record) -> Outputs:
        if record.value == b"needs it" and not back.is_set():
            raise RegisterUnavailableError("gone")
        return NOTHING

    def handled(value: bytes) -> bool:
        return value in handler.values()

    handler = Script(handle)
    loop = loop_of(bench, topic, handler, group, metrics=metrics)
    await bench.send(topic, 0, b"a", b"needs it", b"b")
    running = asyncio.create_task(loop.run())
    try:
        await until(lambda: handler.values().count(b"needs it") >= 2, "a second try")
        for number in range(3):
            await bench.send(topic, 1, b"other %d" % number)
            await until(partial(handled, b"other %d" % number), "the other partition goes on")
        assert b"b" not in handler.values(), "order is kept: nothing behind it is handled"
        await until(lambda: "register_unavailable" in loop.missing(), "it is said")
        back.set()
        await until(lambda: b"b" in handler.values(), "it goes on")
    finally:
        loop.stop()
        await running
    assert handler.values().count(b"a") == 1, "what was before it was committed"
    assert await bench.committed(group) == {TopicPartition(topic, 0): 3, TopicPartition(topic, 1): 3}
    paused = {"topic": topic, "code": "register_unavailable"}
    assert (metrics.registry.get_sample_value("chopar_dependency_unavailable_total", paused) or 0) >= 2


async def test_bad_input_63_poison_record_is_tried_three_times_then_dead(bench: Bench) -> None:
    topic, group = await bench.topic(1, dead_letters=True), unique("group")

    def handle(record: Record) -> Outputs:
        if record.value == b"poison":
            raise KeyError("a value that must not be shown")
        return NOTHING

    handler = Script(handle)
    await bench.send(topic, 0, b"a", b"poison", b"b", b"poison", b"c")
    await bench.run(loop_of(bench, topic, handler, group), lambda: b"c" in handler.values())
    assert [record.offset for record in handler.handled if record.value == b"poison"] == [1, 1, 1, 3, 3, 3]
    letters = [read_dead_letter(letter)[0] for letter in await bench.records(topic + DEAD_LETTER_SUFFIX)]
    assert [(one.code, one.offset, one.attempts) for one in letters] == [
        ("handler_failed", 1, 3),
        ("handler_failed", 3, 3),
    ]
    assert letters[0].first_failed_ms <= letters[0].last_failed_ms
    assert await bench.committed(group) == {TopicPartition(topic, 0): 5}


async def test_bad_input_64_when_the_dead_letter_topic_refuses_the_partition_stops_and_loses_nothing(
    bench: Bench,
) -> None:
    topic, group, metrics = await bench.topic(2), unique("group"), ConsumeMetrics()  # it has no .dlq
    after = await bench.topic(1)

    def handle(record: Record) -> Outputs:
        if record.value == b"bad":
            raise UndecodableError("bad")
        return Outputs(after=[Outgoing(after, 0, record.key, b"")] if record.value == b"b" else [])

    handler = Script(handle)
    loop = loop_of(bench, topic, handler, group, metrics=metrics)
    await bench.send(topic, 0, b"a", b"bad", b"b")
    running = asyncio.create_task(loop.run())
    stopped = {"topic": topic, "partition": "0"}
    try:
        await until(
            lambda: metrics.registry.get_sample_value("chopar_partition_stopped", stopped) == 1, "the alarm is raised"
        )
        await bench.send(topic, 1, b"other")
        await until(lambda: b"other" in handler.values(), "the other partition goes on")
        assert handler.values().count(b"bad") == 1, "a record that was given up is not handled again"
        assert "dead_letter_refused" in loop.missing()
    finally:
        loop.stop()
        await running
    assert handler.values().count(b"b") <= 1
    assert await bench.records(after) == [], "nothing overtakes it"
    assert await bench.committed(group) == {TopicPartition(topic, 0): 1, TopicPartition(topic, 1): 1}


def answering(before: str) -> Script:
    """A handler that records each value, and then answers to the topic that the value names."""
    return Script(
        lambda record: Outputs(
            before=[Outgoing(before, 0, record.key, record.value)],
            after=[Outgoing((record.value or b"").decode(), 0, record.key, b"answer")],
        )
    )


async def test_an_answer_to_a_topic_that_is_not_there_does_not_stop_the_others(bench: Bench) -> None:
    topic, before, after = await bench.topic(2, dead_letters=True), await bench.topic(1), await bench.topic(1)
    group, metrics, nowhere = unique("group"), ConsumeMetrics(), unique("nowhere")
    await bench.send(topic, 0, after.encode(), nowhere.encode(), after.encode(), nowhere.encode(), after.encode())
    await bench.send(topic, 1, after.encode())
    handler = answering(before)
    brief = replace(FAST, unknown_topic_seconds=0.5)
    loop = loop_of(bench, topic, handler, group, metrics=metrics, settings=brief)
    await bench.run(loop, lambda: _outcome(metrics, topic, "ok") == 4 and _outcome(metrics, topic, "dead_letter") == 2)
    letters = [read_dead_letter(letter)[0] for letter in await bench.records(topic + DEAD_LETTER_SUFFIX)]
    assert [(one.code, one.offset) for one in letters] == [("no_such_topic", 1), ("no_such_topic", 3)]
    assert letters[0].attempts > 1, "it was waited for"
    assert await bench.committed(group) == {TopicPartition(topic, 0): 5, TopicPartition(topic, 1): 1}
    paused = {"topic": topic, "code": "no_such_topic"}
    assert metrics.registry.get_sample_value("chopar_dependency_unavailable_total", paused)
    assert metrics.registry.get_sample_value("chopar_bus_rebuilt_total", {"code": "no_such_topic"}) is None


async def test_an_answer_to_a_topic_that_was_only_late_is_delivered(bench: Bench) -> None:
    topic, before = await bench.topic(1, dead_letters=True), await bench.topic(1)
    group, metrics, late = unique("group"), ConsumeMetrics(), unique("late")
    await bench.send(topic, 0, late.encode())
    handler = answering(before)
    patient = replace(FAST, unknown_topic_seconds=DEADLINE_SECONDS)
    loop = loop_of(bench, topic, handler, group, metrics=metrics, settings=patient)
    running = asyncio.create_task(loop.run())
    try:
        await until(lambda: "no_such_topic" in loop.missing(), "it waits and says so")
        admin = bench.bus.admin()
        await admin.start()
        await admin.create([layout(late, 1)])
        await admin.stop()
        await until(lambda: _outcome(metrics, topic, "ok") == 1, "the answer")
    finally:
        loop.stop()
        await running
    assert [record.value for record in await bench.records(late)] == [b"answer"]
    assert await bench.records(topic + DEAD_LETTER_SUFFIX) == []


async def test_records_of_a_key_are_handled_in_order_and_keys_beside_each_other(bench: Bench) -> None:
    topic, after, group = await bench.topic(1), await bench.topic(1), unique("group")
    running: set[bytes] = set()
    at_once: list[bytes] = []
    most = 0

    async def handle(record: Record) -> Outputs:
        nonlocal most
        key = record.key or b""
        if key in running:
            at_once.append(key)  # raised here, the loop would try the record again
        running.add(key)
        most = max(most, len(running))
        for _ in range(3 + record.offset % 3):
            await asyncio.sleep(0)
        running.discard(key)
        return Outputs(after=[Outgoing(after, 0, key, record.value)])

    producer = await bench.producer()
    keys = [b"k%d" % (number // 2 % 7) for number in range(70)]
    await producer.send([Outgoing(topic, 0, key, b"%d" % number) for number, key in enumerate(keys)])
    handler = Script(handle)
    settings = ConsumeSettings(fetch_timeout_seconds=0.1, max_concurrency=4)
    await bench.run(loop_of(bench, topic, handler, group, settings=settings), lambda: len(handler.handled) == 70)
    assert at_once == [], "two records of one key at once"
    assert most == 4
    assert [int(record.value or b"") for record in await bench.records(after)] == list(range(70))


async def test_stop_finishes_what_it_holds(bench: Bench) -> None:
    topic, after, group = await bench.topic(1), await bench.topic(1), unique("group")
    began, finish = asyncio.Event(), asyncio.Event()

    async def handle(record: Record) -> Outputs:
        began.set()
        await finish.wait()
        return Outputs(after=[Outgoing(after, 0, record.key, record.value)])

    handler = Script(handle)
    loop = loop_of(bench, topic, handler, group)
    await bench.send(topic, 0, b"a")
    running = asyncio.create_task(loop.run())
    async with asyncio.timeout(DEADLINE_SECONDS):
        await began.wait()
        loop.stop()
        await bench.send(topic, 0, b"b")
        assert not running.done()
        finish.set()
        await running
    assert [record.value for record in await bench.records(after)] == [b"a"]
    assert await bench.committed(group) == {TopicPartition(topic, 0): 1}


async def test_bad_input_53_rebalance_in_mid_batch_loses_nothing(bench: Bench) -> None:
    """A member joins while a batch is in flight: the batch is finished and committed before its partitions go."""
    topic, after, group = await bench.topic(2), await bench.topic(2), unique("group")
    began, finish = asyncio.Event(), asyncio.Event()

    async def slow(record: Record) -> Outputs:
        began.set()
        await finish.wait()
        return Outputs(after=[Outgoing(after, record.partition, record.key, record.value)])

    def quick(record: Record) -> Outputs:
        return Outputs(after=[Outgoing(after, record.partition, record.key, record.value)])

    for partition in (0, 1):
        await bench.send(topic, partition, b"a", b"b", b"c")

    def handled() -> set[tuple[int, bytes | None]]:
        return {(one.partition, one.value) for one in first_handler.handled + second_handler.handled}

    first_handler, second_handler = Script(slow), Script(quick)
    first, second = loop_of(bench, topic, first_handler, group), loop_of(bench, topic, second_handler, group)
    tasks = [asyncio.create_task(first.run())]
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await began.wait()
        tasks.append(asyncio.create_task(second.run()))
        finish.set()
        await until(lambda: bool(second_handler.calls.assigned), "the second member's share")
        await until(lambda: len(first_handler.calls.assigned) >= 2, "the first member's new share")
        for partition in (0, 1):
            await bench.send(topic, partition, b"d")
        await until(lambda: handled() >= {(0, b"d"), (1, b"d")}, "the rest")
    finally:
        first.stop()
        second.stop()
        await asyncio.gather(*tasks)
    for partition in (0, 1):
        values = [record.value for record in await bench.records(after, partition)]
        assert values == [b"a", b"b", b"c", b"d"], "none lost, none twice"
    assert second_handler.handled
    assert await bench.committed(group) == {TopicPartition(topic, 0): 4, TopicPartition(topic, 1): 4}


async def test_a_gate_that_is_not_ready_has_the_batch_read_again(bench: Bench) -> None:
    topic, group = await bench.topic(1), unique("group")

    class Gated(Script):
        asked = 0

        async def ready_for(self, records: Sequence[Record]) -> None:
            self.asked += 1
            if self.asked < 3:
                raise LawNotReadError("not yet")

    handler = Gated(lambda record: NOTHING)
    await bench.send(topic, 0, b"a", b"b")
    await bench.run(loop_of(bench, topic, handler, group), lambda: len(handler.handled) == 2)
    assert handler.values() == [b"a", b"b"]
    assert handler.asked >= 3
    assert await bench.committed(group) == {TopicPartition(topic, 0): 2}


async def test_an_offset_that_was_deleted_ends_the_run(bench: Bench) -> None:
    topic, group = await bench.topic(1), unique("group")
    await bench.send(topic, 0, b"a", b"b", b"c")
    handler = Script(lambda record: NOTHING)
    one = ConsumeSettings(max_records=1, fetch_timeout_seconds=0.1)
    await bench.run(loop_of(bench, topic, handler, group, settings=one), lambda: bool(handler.handled))
    await bench.send(topic, 0, b"d")
    await bench.rig.delete_before(TopicPartition(topic, 0), 4)
    with pytest.raises(OffsetOutOfRangeError):
        async with asyncio.timeout(DEADLINE_SECONDS):
            await loop_of(bench, topic, handler, group).run()


def _outcome(metrics: ConsumeMetrics, topic: str, outcome: str) -> float:
    labels = {"topic": topic, "outcome": outcome}
    return metrics.registry.get_sample_value("chopar_records_handled_total", labels) or 0


def _count(metrics: ConsumeMetrics, name: str) -> float:
    return sum(
        sample.value for family in metrics.registry.collect() for sample in family.samples if sample.name == name
    )
