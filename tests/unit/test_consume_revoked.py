"""The consume loop when partitions are taken from it, or it was thought dead: work in hand is finished or dropped."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from chopar.bus.consume import ConsumeSettings, Outputs
from chopar.bus.port import Record, TopicPartition
from chopar.errors import (
    RegisterUnavailableError,
    UndecodableError,
)
from tests.consume_stage import FAST, GROUP, ORIGIN, Relay, Stage


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_bad_input_59_worker_that_was_paused_repeats_and_its_commit_fails(stage: Stage) -> None:
    """Its session expires in mid-batch and another takes over; awake, it says the same again and commits nothing."""
    await stage.put(b"a", b"b", b"c")
    began, wake = asyncio.Event(), asyncio.Event()

    class Sleeper(Relay):
        async def handle(self, record: Record) -> Outputs:  # type: ignore[override]
            began.set()
            await wake.wait()
            return super().handle(record)

    sleeper, other = Sleeper(), Relay()
    first, second = stage.loop(sleeper), stage.loop(other)
    running = [asyncio.create_task(first.run())]
    async with asyncio.timeout(10):
        await began.wait()
        await stage.bus.expel(stage.bus.members(GROUP)[0])
        running.append(asyncio.create_task(second.run()))
        while stage.committed().get(ORIGIN) != 3:
            await stage.bus.changed.wait(0.01)
        successor = stage.bus.records("after", 0)
        wake.set()
        while not stage.count("chopar_commits_failed_total", code="no_longer_member"):
            await stage.bus.changed.wait(0.01)
        assert stage.committed()[ORIGIN] == 3
        await stage.put(b"d")
        while stage.committed().get(ORIGIN) != 4:
            await stage.bus.changed.wait(0.01)
        first.stop()
        second.stop()
        await asyncio.gather(*running)
    repeated = stage.bus.records("after", 0)[3:6]
    assert [(one.key, one.value, one.headers) for one in repeated] == [
        (one.key, one.value, one.headers) for one in successor
    ]
    assert stage.values("after", 0)[6:] == [b"d"]
    # One built anew would leave a member behind, for which the group waits until its session has expired.
    assert not stage.count("chopar_bus_rebuilt_total", code="no_longer_member")


async def test_what_was_revoked_in_mid_batch_is_dropped_unsent(stage: Stage) -> None:
    """The batch outlasts the wait of the revoke: nothing of it is sent or committed, and it is read again."""
    await stage.put(b"a", b"b")
    began, wake = asyncio.Event(), asyncio.Event()

    class Slow(Relay):
        async def handle(self, record: Record) -> Outputs:  # type: ignore[override]
            began.set()
            await wake.wait()
            return super().handle(record)

    slow, other = Slow(), Relay()
    quick = replace(FAST, revoke_timeout_seconds=0.01, commit_interval_seconds=0)
    first, second = stage.loop(slow, quick), stage.loop(other, quick)
    ahead: list[int] = []

    def note(group: str, offsets: Mapping[TopicPartition, int]) -> bool:
        ahead.append(offsets.get(ORIGIN, 0) - len(stage.values("after")))
        return False

    stage.bus.faults.commit = note
    running = [asyncio.create_task(first.run())]
    async with asyncio.timeout(10):
        await began.wait()
        running.append(asyncio.create_task(second.run()))
        while len(slow.assigned_calls) + len(other.assigned_calls) < 3:
            await stage.bus.changed.wait(0.01)
        assert slow.revoked_calls[0] == {ORIGIN, TopicPartition("in", 1)}
        assert stage.values("before") == []
        wake.set()
        while stage.committed().get(ORIGIN) != 2:
            await stage.bus.changed.wait(0.01)
        first.stop()
        second.stop()
        await asyncio.gather(*running)
    assert stage.values("before") == stage.values("after") == [b"a", b"b"], "sent once"
    assert len(slow.handled) + len(other.handled) == 4, "handled twice"
    assert max(ahead) <= 0, "what was not sent was not committed either, though the partition had come back"


async def test_what_is_revoked_while_a_batch_may_not_begin_yet_is_not_handled(stage: Stage) -> None:
    await stage.put(b"a")
    await stage.put(b"b", partition=1)
    asked, may = asyncio.Event(), asyncio.Event()

    class Gated(Relay):
        async def ready_for(self, records: Sequence[Record]) -> None:
            asked.set()
            await may.wait()

    gated, other = Gated(), Relay()
    first, second = stage.loop(gated), stage.loop(other)
    running = [asyncio.create_task(first.run())]
    async with asyncio.timeout(10):
        await asked.wait()
        running.append(asyncio.create_task(second.run()))
        while not other.handled:
            await stage.bus.changed.wait(0.01)
        may.set()
        while len(stage.committed()) < 2:
            await stage.bus.changed.wait(0.01)
        first.stop()
        second.stop()
        await asyncio.gather(*running)
    assert len(gated.handled) + len(other.handled) == 2, "nothing was begun in vain"


async def test_a_dead_letter_of_what_was_revoked_in_mid_batch_is_not_sent_either(stage: Stage) -> None:
    await stage.put(b"bad")
    began, wake = asyncio.Event(), asyncio.Event()

    class Slow(Relay):
        async def handle(self, record: Record) -> Outputs:  # type: ignore[override]
            began.set()
            await wake.wait()
            raise UndecodableError("not to be read")

    slow, other = Slow(), Slow()
    quick = ConsumeSettings(fetch_timeout_seconds=0.01, retry_first_seconds=0.001, revoke_timeout_seconds=0.01)
    first, second = stage.loop(slow, quick), stage.loop(other, quick)
    running = [asyncio.create_task(first.run())]
    async with asyncio.timeout(10):
        await began.wait()
        running.append(asyncio.create_task(second.run()))
        while len(slow.assigned_calls) + len(other.assigned_calls) < 3:
            await stage.bus.changed.wait(0.01)
        wake.set()
        while stage.committed().get(ORIGIN) != 1:
            await stage.bus.changed.wait(0.01)
        first.stop()
        second.stop()
        await asyncio.gather(*running)
    assert len(stage.values("in.dlq")) == 1


async def test_a_batch_in_flight_is_finished_and_committed_before_its_partitions_go(stage: Stage) -> None:
    await stage.put(b"a", b"b")
    began, wake = asyncio.Event(), asyncio.Event()

    class Slow(Relay):
        async def handle(self, record: Record) -> Outputs:  # type: ignore[override]
            began.set()
            await wake.wait()
            return super().handle(record)

    slow, other = Slow(), Relay()
    first, second = stage.loop(slow), stage.loop(other)
    running = [asyncio.create_task(first.run())]
    async with asyncio.timeout(10):
        await began.wait()
        running.append(asyncio.create_task(second.run()))
        while len(stage.bus.members(GROUP)) < 2:
            await stage.bus.changed.wait(0.01)
        wake.set()
        while len(slow.assigned_calls) + len(other.assigned_calls) < 3:
            await stage.bus.changed.wait(0.01)
        assert stage.committed() == {ORIGIN: 2}
        first.stop()
        second.stop()
        await asyncio.gather(*running)
    assert slow.handled == [b"a", b"b"]
    assert other.handled == []


async def test_a_partition_that_waits_is_forgotten_when_it_is_given_up(stage: Stage) -> None:
    def hook(record: Record) -> None:
        raise RegisterUnavailableError("away")

    await stage.put(b"a")
    loop = stage.loop(Relay(hook), replace(FAST, retry_first_seconds=3600, retry_most_seconds=3600))
    gauge = {"topic": "in", "partition": "0"}
    await stage.run(loop, lambda: stage.count("chopar_partition_paused", **gauge) == 1)
    assert stage.count("chopar_partition_paused", **gauge) == 0
    assert set(loop.missing()) == {"kafka"}


async def test_an_expelled_member_joins_again(stage: Stage) -> None:
    await stage.put(b"a")
    handler = Relay()
    loop = stage.loop(handler)
    running = asyncio.create_task(loop.run())
    async with asyncio.timeout(10):
        while stage.committed().get(ORIGIN) != 1:
            await stage.bus.changed.wait(0.01)
        await stage.bus.expel(stage.bus.members(GROUP)[0])
        await stage.put(b"b")
        while stage.committed().get(ORIGIN) != 2:
            await stage.bus.changed.wait(0.01)
        loop.stop()
        await running
    assert handler.handled == [b"a", b"b"]
    assert len(handler.assigned_calls) == 2
