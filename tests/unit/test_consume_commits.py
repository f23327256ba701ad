"""When the consume loop commits: by its timer, and at once where somebody may go on from there."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import pytest

from chopar.bus.commits import Commits
from chopar.bus.consume import ConsumeLoop, Outputs
from chopar.bus.port import Record, TopicPartition
from chopar.errors import BrokerUnavailableError, NoLongerMemberError, RegisterUnavailableError
from tests.consume_stage import FAST, GROUP, ORIGIN, Relay, Stage

OTHER = TopicPartition("in", 1)
HOUR = replace(FAST, commit_interval_seconds=3600, max_records=1)
AT_ONCE = replace(FAST, commit_interval_seconds=0, max_records=1)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def commits_of(stage: Stage) -> list[dict[TopicPartition, int]]:
    """Notes every commit that is tried."""
    tried: list[dict[TopicPartition, int]] = []

    def note(group: str, offsets: Mapping[TopicPartition, int]) -> bool:
        tried.append(dict(offsets))
        return False

    stage.bus.faults.commit = note
    return tried


async def until_handled(stage: Stage, handler: Relay, count: int) -> None:
    """Wait until all that so many records led to is acknowledged."""
    async with asyncio.timeout(10):
        while len(stage.values("after")) < count or len(handler.handled) < count:
            await stage.bus.changed.wait(0.01)


async def test_what_is_done_is_committed_in_one_when_the_loop_stops(stage: Stage) -> None:
    await stage.put(b"a", b"b", b"c")
    await stage.put(b"d", partition=1)
    tried, handler = commits_of(stage), Relay()
    await stage.run(stage.loop(handler, HOUR), lambda: len(stage.values("after")) == 4)
    assert tried == [{ORIGIN: 3, OTHER: 1}]
    assert stage.committed() == {ORIGIN: 3, OTHER: 1}


async def test_the_timer_commits_though_nothing_more_comes(stage: Stage) -> None:
    await stage.put(b"a")
    tried = commits_of(stage)
    patient = replace(FAST, fetch_timeout_seconds=3600, commit_interval_seconds=0.02)
    loop = stage.loop(Relay(), patient)
    running = asyncio.create_task(loop.run())
    async with asyncio.timeout(10):
        while not stage.committed():
            await asyncio.wait([running], timeout=0.005)
    assert tried == [{ORIGIN: 1}]
    loop.stop()
    await stage.put(b"b")  # so that the fetch returns
    await running


async def test_a_partition_that_pauses_commits_what_lies_before(stage: Stage) -> None:
    def hook(record: Record) -> None:
        if record.value == b"waits":
            raise RegisterUnavailableError("away")

    await stage.put(b"a", b"waits")
    loop = stage.loop(Relay(hook), replace(HOUR, max_records=500))
    running = asyncio.create_task(loop.run())
    async with asyncio.timeout(10):
        while not stage.committed():
            await stage.bus.changed.wait(0.01)
    assert stage.committed() == {ORIGIN: 1}
    loop.stop()
    await running


async def test_a_revoke_commits_what_is_done_before_the_partitions_go(stage: Stage) -> None:
    await stage.put(b"a", b"b")
    await stage.put(b"c", partition=1)
    first_handler, second_handler = Relay(), Relay()
    first, second = stage.loop(first_handler, HOUR), stage.loop(second_handler, HOUR)
    running = [asyncio.create_task(first.run())]
    await until_handled(stage, first_handler, 3)
    assert stage.committed() == {}
    running.append(asyncio.create_task(second.run()))
    async with asyncio.timeout(10):
        while not second_handler.assigned_calls:
            await stage.bus.changed.wait(0.01)
    assert stage.committed() == {ORIGIN: 2, OTHER: 1}
    first.stop()
    second.stop()
    await asyncio.gather(*running)
    assert second_handler.handled == []
    assert sorted(stage.values("after"), key=str) == [b"a", b"b", b"c"], "nothing is done twice"


async def test_a_commit_that_fails_in_a_revoke_costs_no_place_in_the_group(stage: Stage) -> None:
    await stage.put(b"a")
    handler, other = Relay(), Relay()
    first, second = stage.loop(handler, HOUR), stage.loop(other, HOUR)
    running = [asyncio.create_task(first.run())]
    await until_handled(stage, handler, 1)
    left = [True]
    stage.bus.faults.commit = lambda group, offsets: left.pop() if left else False
    running.append(asyncio.create_task(second.run()))
    async with asyncio.timeout(10):
        while len(stage.values("after")) < 2:
            await stage.bus.changed.wait(0.01)
    first.stop()
    second.stop()
    await asyncio.gather(*running)
    assert stage.values("before") == stage.values("after") == [b"a", b"a"], "said again, by whoever has it now"
    assert stage.committed() == {ORIGIN: 1}
    assert stage.count("chopar_commits_failed_total", code="broker_unavailable") == 1
    assert stage.count("chopar_bus_rebuilt_total", code="broker_unavailable") == 0


async def test_who_is_killed_between_acknowledgement_and_commit_says_it_again(stage: Stage) -> None:
    await stage.put(b"a", b"b")
    handler, tried = Relay(), commits_of(stage)
    running = asyncio.create_task(stage.loop(handler, HOUR).run())
    await until_handled(stage, handler, 2)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert tried == []
    again = Relay()
    await stage.run(stage.loop(again, AT_ONCE), lambda: stage.committed().get(ORIGIN) == 2)
    assert again.handled == [b"a", b"b"]
    assert stage.values("after") == [b"a", b"b", b"a", b"b"]


async def test_commits_that_never_succeed_end_the_run(stage: Stage) -> None:
    """Else the same work would be done for ever, as each delivery of it is acknowledged."""
    await stage.put(b"a")
    stage.bus.faults.commit = lambda group, offsets: True
    handler = Relay()
    with pytest.raises(BrokerUnavailableError):
        await stage.run(stage.loop(handler, AT_ONCE), lambda: False)
    assert handler.handled == [b"a"] * 3


async def test_a_member_that_is_expelled_repeats_what_it_had_not_committed(stage: Stage) -> None:
    await stage.put(b"a")
    handler = Relay()
    loop: ConsumeLoop = stage.loop(handler, HOUR)
    running = asyncio.create_task(loop.run())
    await until_handled(stage, handler, 1)
    await stage.bus.expel(stage.bus.members(GROUP)[0])
    async with asyncio.timeout(10):
        while len(handler.handled) < 2:
            await stage.bus.changed.wait(0.01)
    loop.stop()
    await running
    assert handler.handled == [b"a", b"a"]
    assert stage.committed() == {ORIGIN: 1}


async def test_a_group_whose_offsets_are_not_taken_goes_on_working(stage: Stage) -> None:
    """The broker that keeps them hangs; those that hold the records do not."""
    stage.bus.faults.hung_groups.add(GROUP)
    handler = Relay()
    loop = stage.loop(handler, AT_ONCE)
    running = asyncio.create_task(loop.run())
    for number, value in enumerate((b"a", b"b", b"c"), 1):
        await stage.put(value)
        await until_handled(stage, handler, number)
    assert stage.committed() == {}
    stage.bus.faults.hung_groups.clear()
    stage.bus.changed.notify()
    async with asyncio.timeout(10):
        while stage.committed() != {ORIGIN: 3}:
            await stage.bus.changed.wait(0.01)
    loop.stop()
    await running
    assert handler.handled == [b"a", b"b", b"c"]


async def test_who_stops_waits_for_the_commit_under_way_and_makes_the_last(stage: Stage) -> None:
    await stage.put(b"a")
    tried, handler = commits_of(stage), Relay()
    stage.bus.faults.hung_groups.add(GROUP)
    loop = stage.loop(handler, AT_ONCE)
    running = asyncio.create_task(loop.run())
    await until_handled(stage, handler, 1)
    await stage.put(b"b")
    await until_handled(stage, handler, 2)
    loop.stop()
    await asyncio.wait([running], timeout=0.05)
    assert not running.done()
    stage.bus.faults.hung_groups.clear()
    stage.bus.changed.notify()
    await running
    assert tried == [{ORIGIN: 1}, {ORIGIN: 2}]


async def test_who_is_killed_while_it_waits_for_its_last_commit_leaves_its_group(stage: Stage) -> None:
    await stage.put(b"a")
    stage.bus.faults.hung_groups.add(GROUP)
    handler = Relay()
    loop = stage.loop(handler, AT_ONCE)
    running = asyncio.create_task(loop.run())
    await until_handled(stage, handler, 1)
    loop.stop()
    await asyncio.wait([running], timeout=0.05)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert stage.bus.members(GROUP) == ()
    stage.bus.faults.hung_groups.clear()
    stage.bus.changed.notify()
    again = Relay()
    await stage.run(stage.loop(again, AT_ONCE), lambda: stage.committed() == {ORIGIN: 1})
    assert again.handled == [b"a"], "the commit was not made by who was killed"


async def test_a_commit_that_a_revoke_does_not_wait_for_any_longer_never_comes_behind_the_next_owners(
    stage: Stage,
) -> None:
    await stage.put(b"a")
    hasty = replace(AT_ONCE, revoke_timeout_seconds=0.02)
    first_handler, second_handler = Relay(), Relay()
    first, second = stage.loop(first_handler, hasty), stage.loop(second_handler, hasty)
    stage.bus.faults.hung_groups.add(GROUP)
    running = [asyncio.create_task(first.run())]
    await until_handled(stage, first_handler, 1)
    running.append(asyncio.create_task(second.run()))
    async with asyncio.timeout(10):
        while len(stage.values("after")) < 2:
            await stage.bus.changed.wait(0.01)
    tried = commits_of(stage)
    stage.bus.faults.hung_groups.clear()
    stage.bus.changed.notify()
    async with asyncio.timeout(10):
        while not stage.committed():
            await stage.bus.changed.wait(0.01)
    first.stop()
    second.stop()
    await asyncio.gather(*running)
    assert tried == [{ORIGIN: 1}], "by whoever has done it again; the one given up is not made"
    assert stage.count("chopar_bus_rebuilt_total", code="broker_unavailable") == 0


async def test_the_first_that_is_done_sets_the_time_and_what_is_taken_is_gone(stage: Stage) -> None:
    told: list[dict[TopicPartition, int]] = []
    commits = Commits(0.1, lambda offsets: told.append(dict(offsets)))
    consumer = stage.bus.consumer(GROUP, ["in"], assigned=Relay().assigned, revoked=Relay().revoked)
    await consumer.start()
    assert commits.due_in(5.0) is None
    commits.done(ORIGIN, 3, now=5.0)
    commits.done(OTHER, 9, now=5.09)
    commits.done(ORIGIN, 4, now=5.09)
    assert commits.due_in(5.06) == pytest.approx(0.04)
    assert commits.due_in(7.0) == 0
    await commits.finish(consumer, [OTHER])
    commits.begin(consumer)
    assert commits.due_in(7.0) is None
    commits.done(ORIGIN, 5, now=7.0)
    assert commits.due_in(8.0) is None, "one at a time"
    await commits.finish(consumer, [ORIGIN])
    assert told == [{OTHER: 9}, {ORIGIN: 4}, {ORIGIN: 5}]
    assert commits.due_in(8.0) is None
    await consumer.stop()


async def test_one_commit_at_a_time_so_that_what_is_given_up_is_given_up_as_a_whole(stage: Stage) -> None:
    tried, commits = commits_of(stage), Commits(0)
    stage.bus.faults.hung_groups.add(GROUP)
    consumer = stage.bus.consumer(GROUP, ["in"], assigned=Relay().assigned, revoked=Relay().revoked)
    await consumer.start()
    for offset in (1, 2):
        commits.done(ORIGIN, offset, now=0.0)
        commits.begin(consumer)
        await asyncio.sleep(0)
    commits.forget()
    stage.bus.faults.hung_groups.clear()
    stage.bus.changed.notify()
    await commits.finish(consumer, [ORIGIN])
    await stage.bus.changed.wait(0.05)
    await consumer.stop()
    assert tried == []


async def test_who_is_expelled_before_each_commit_ends_the_run(stage: Stage) -> None:
    """It would do the same work for ever."""
    await stage.put(b"a")

    class Expelled(Relay):
        async def handle(self, record: Record) -> Outputs:  # type: ignore[override]
            await stage.bus.expel(stage.bus.members(GROUP)[0])
            return super().handle(record)

    handler = Expelled()
    with pytest.raises(NoLongerMemberError):
        await stage.run(stage.loop(handler, AT_ONCE), lambda: False)
    assert handler.handled == [b"a"] * 3
