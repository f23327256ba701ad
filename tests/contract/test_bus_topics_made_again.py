"""A topic that is deleted and made again under its readers: they stop, and nothing of the new one is skipped."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from chopar.bus.consume import Outputs
from chopar.bus.port import Consumer, Reader, Record, TopicPartition
from chopar.errors import OffsetOutOfRangeError, TopicReplacedError
from tests.contract.bus_rig import DEADLINE_SECONDS, FAST, Bench, Script, count, fetched, loop_of, unique, until

pytestmark = pytest.mark.broker

NOTHING = Outputs()
NEVER = replace(FAST, commit_interval_seconds=3600)


def never(records: Sequence[Record]) -> bool:
    return False


async def read_some(bench: Bench) -> tuple[str, str, Consumer]:
    """A group that has read and committed two records of a topic."""
    topic, group = await bench.topic(1), unique("group")
    await bench.send(topic, 0, b"old 0", b"old 1")
    consumer = await bench.consumer(group, [topic])
    await fetched(consumer, count(2))
    await consumer.commit({TopicPartition(topic, 0): 2})
    return topic, group, consumer


async def values(consumer: Consumer | Reader, number: int) -> list[bytes | None]:
    return [record.value for record in await fetched(consumer, count(number))]


async def test_one_that_goes_on_behind_the_position_is_not_skipped_into(bench: Bench) -> None:
    topic, group, consumer = await read_some(bench)
    await bench.remake(topic)
    await bench.send(topic, 0, b"new 0", b"new 1", b"new 2")
    with pytest.raises(TopicReplacedError):
        await fetched(consumer, never)
    await consumer.commit({TopicPartition(topic, 0): 3})
    await consumer.stop()
    assert await bench.committed(group) == {}, "it has nothing to say of the new one"
    assert await values(await bench.consumer(group, [topic]), 3) == [b"new 0", b"new 1", b"new 2"]


async def test_one_that_ends_before_the_position_stops_its_reader_too(bench: Bench) -> None:
    topic, group, consumer = await read_some(bench)
    await bench.remake(topic)
    await bench.send(topic, 0, b"new 0")
    with pytest.raises((TopicReplacedError, OffsetOutOfRangeError)):
        await fetched(consumer, never)
    await consumer.stop()
    assert await values(await bench.consumer(group, [topic]), 1) == [b"new 0"]


async def test_an_offset_of_the_former_one_that_was_committed_even_so_is_not_gone_on_from(bench: Bench) -> None:
    """Whoever did not look between the two commits where it stood."""
    topic, group, consumer = await read_some(bench)
    await bench.remake(topic)
    await bench.send(topic, 0, b"new 0", b"new 1", b"new 2")
    await consumer.commit({TopicPartition(topic, 0): 2})
    await consumer.stop()
    assert await bench.committed(group) == {TopicPartition(topic, 0): 2}
    for _ in range(2):
        other = await bench.consumer(group, [topic])
        with pytest.raises(TopicReplacedError):
            await fetched(other, never)
        await other.stop()


async def test_one_that_is_made_again_while_its_group_is_away_is_read_from_its_beginning(bench: Bench) -> None:
    topic, group, consumer = await read_some(bench)
    await consumer.stop()
    await bench.remake(topic)
    await bench.send(topic, 0, b"new 0", b"new 1", b"new 2")
    assert await values(await bench.consumer(group, [topic]), 3) == [b"new 0", b"new 1", b"new 2"]


async def test_a_reader_without_a_group_stops_too(bench: Bench) -> None:
    topic, other = await bench.topic(1), await bench.topic(1)
    await bench.send(topic, 0, b"old")
    reader = await bench.reader({TopicPartition(topic, 0): None, TopicPartition(other, 0): None})
    assert await values(reader, 1) == [b"old"]
    if bench.rig.name == "kafka":
        await until_known(reader, topic)
    await bench.remake(topic)
    await bench.send(topic, 0, b"new 0", b"new 1")
    with pytest.raises((TopicReplacedError, OffsetOutOfRangeError)):
        await fetched(reader, never)


async def until_known(reader: Reader, topic: str) -> None:
    """Wait until the reader has learned the topic's id: one that lives for a moment never asks."""
    while not reader._ids.of(topic):  # type: ignore[attr-defined]
        await reader.fetch(1, 0.05)


async def test_a_loop_ends_and_the_next_reads_all_that_is_new(bench: Bench) -> None:
    topic, group = await bench.topic(1), unique("group")
    await bench.send(topic, 0, b"old 0", b"old 1")
    handler = Script(lambda record: NOTHING)
    running = asyncio.create_task(loop_of(bench, topic, handler, group, settings=NEVER).run())
    await until(lambda: len(handler.handled) == 2, "what is old")
    await bench.remake(topic)
    await bench.send(topic, 0, b"new 0", b"new 1", b"new 2")
    with pytest.raises(TopicReplacedError):
        async with asyncio.timeout(DEADLINE_SECONDS):
            await running
    again = Script(lambda record: NOTHING)
    await bench.run(loop_of(bench, topic, again, group), lambda: len(again.handled) == 3)
    assert again.values() == [b"new 0", b"new 1", b"new 2"]
