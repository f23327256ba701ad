"""No record of an assignment is given out before `assigned` has returned, whatever was under way when it came."""

import asyncio
from collections.abc import Mapping

from chopar.bus.port import TopicPartition
from tests.contract.bus_rig import Bench, Calls, unique, until

_LONG_SECONDS = 60.0


async def test_a_fetch_that_waits_through_a_rebalance_gives_nothing_out_before_assigned_has_returned(
    bench: Bench,
) -> None:
    """A handler that folds a state from the log would take the records in the wrong order."""
    topic, group = await bench.topic(2), unique("group")
    calls, ready = Calls(), asyncio.Event()
    given_out: list[bytes | None] = []

    async def assigned(partitions: Mapping[TopicPartition, int]) -> None:
        await calls.on_assigned(partitions)
        if len(calls.assigned) > 1:
            await ready.wait()

    first = bench.bus.consumer(group, [topic], assigned=assigned, revoked=calls.on_revoked)
    await first.start()

    async def fetch() -> None:
        while True:
            for records in (await first.fetch(10, _LONG_SECONDS)).values():
                given_out.extend(record.value for record in records)

    fetching = asyncio.create_task(fetch())
    try:
        for number in (0, 1):
            await bench.send(topic, number, b"before")
        await until(lambda: given_out == [b"before"] * 2, "the first records")
        await first.commit({TopicPartition(topic, number): 1 for number in (0, 1)})
        await bench.consumer(group, [topic])
        await until(lambda: len(calls.assigned) == 2, "the first member's new share")
        (mine,) = calls.assigned[1]
        await bench.send(topic, mine.partition, b"after", b"behind it")
        assert len(await bench.records(topic, mine.partition)) == 3, "others can read them"
        assert given_out == [b"before"] * 2
        ready.set()
        await until(lambda: len(given_out) == 4, "what was sent after the rebalance")
        assert given_out[2:] == [b"after", b"behind it"], "each once, none skipped"
    finally:
        ready.set()
        fetching.cancel()
        await asyncio.gather(fetching, return_exceptions=True)
        await first.stop()
