"""The consume loop when the bus fails: nothing lost, nothing released unrecorded, three in a row end the run."""

import asyncio
from collections.abc import Mapping
from typing import NoReturn

import pytest
from structlog.testing import capture_logs

from chopar.bus.consume import ConsumeSettings, Outputs
from chopar.bus.dead_letter import read_dead_letter
from chopar.bus.memory import SendFault
from chopar.bus.port import Outgoing, Record, Sent, TopicPartition
from chopar.errors import (
    BrokerUnavailableError,
    DeliveryError,
    LawUnreadableError,
    OffsetOutOfRangeError,
    RegisterUnavailableError,
    UndecodableError,
)
from chopar.topics import TopicLayout
from tests.consume_stage import GROUP, ORIGIN, Relay, Stage, failing


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_an_unacknowledged_record_holds_back_its_answer_and_is_read_again(stage: Stage) -> None:
    await stage.put(b"a", b"b", b"c", keys=[b"1", b"2", b"3"])
    stage.bus.faults.send = failing(1, SendFault.NOT_WRITTEN, topic="before", value=b"b")
    released: list[list[bytes | None]] = []
    handler = Relay()
    original = handler.handle

    def handle(record: Record) -> Outputs:
        released.append(stage.values("after"))
        return original(record)

    handler.handle = handle  # type: ignore[method-assign]
    await stage.run(stage.loop(handler), lambda: stage.committed().get(ORIGIN) == 3)
    assert released[3] == [b"a", b"c"], "when b came again, its answer had not been released, the others' had"
    assert stage.values("after") == [b"a", b"c", b"b", b"c"]
    assert stage.values("before") == [b"a", b"c", b"b", b"c"]
    assert handler.handled == [b"a", b"b", b"c", b"b", b"c"], "a was committed, the rest is read again"
    assert stage.count("chopar_dependency_unavailable_total", topic="in", code="record_refused") == 1


async def test_where_the_archive_takes_nothing_a_dead_letter_is_not_blamed_on_its_own_topic(stage: Stage) -> None:
    await stage.put(b"a")
    await stage.put(b"bad", partition=1)
    fails = failing(1, SendFault.NOT_WRITTEN, topic="before"), failing(1, SendFault.NOT_WRITTEN, topic="in.dlq")
    stage.bus.faults.send = lambda record: fails[0](record) or fails[1](record)

    def refuse(record: Record) -> None:
        if record.value == b"bad":
            raise UndecodableError("not to be read")

    with capture_logs() as logs:
        await stage.run(stage.loop(Relay(refuse)), lambda: len(stage.committed()) == 2)
    assert stage.values("after") == [b"a"]
    assert len(stage.values("in.dlq")) == 1
    assert {line["code"] for line in logs if line["event"] == "partition.paused"} == {"record_refused"}


async def test_nothing_overtakes_an_unacknowledged_record_of_its_key(stage: Stage) -> None:
    await stage.put(b"a1", b"b1", b"a2", keys=[b"a", b"b", b"a"])
    stage.bus.faults.send = failing(1, SendFault.NOT_WRITTEN, topic="before", value=b"a1")
    await stage.run(stage.loop(Relay()), lambda: stage.committed().get(ORIGIN) == 3)
    assert stage.values("after") == [b"b1", b"a1", b"b1", b"a2"]


async def test_written_but_unacknowledged_is_sent_again(stage: Stage) -> None:
    await stage.put(b"a")
    stage.bus.faults.send = failing(1, SendFault.WRITTEN, topic="after")
    await stage.run(stage.loop(Relay()), lambda: stage.committed().get(ORIGIN) == 1)
    assert stage.values("after") == [b"a", b"a"]
    assert stage.values("before") == [b"a", b"a"]


async def test_a_delivery_that_never_comes_ends_the_run_after_three_tries(stage: Stage) -> None:
    await stage.put(b"a")
    stage.bus.faults.send = failing(100, SendFault.NOT_WRITTEN, topic="after")
    handler = Relay()
    with pytest.raises(DeliveryError):
        await stage.run(stage.loop(handler), lambda: False)
    assert handler.handled == [b"a"] * 3
    assert stage.committed() == {}
    assert len(handler.revoked_calls) == len(handler.assigned_calls) == 1
    assert stage.count("chopar_bus_rebuilt_total", code="delivery_failed") == 3


async def test_a_delivery_that_fails_costs_a_producer_but_not_the_place_in_the_group(stage: Stage) -> None:
    """Whoever joins anew waits until its own former session has expired; a broker that comes back is used at once."""
    await stage.put(b"a", b"b")
    await stage.put(b"c", partition=1)
    stage.bus.faults.send = failing(2, SendFault.NOT_WRITTEN, topic="before", partition=0)
    handler = Relay()
    loop = stage.loop(handler)
    producers: list[object] = []
    make = stage.bus.producer
    stage.bus.producer = lambda name: producers.append(name) or make(name)  # type: ignore[func-returns-value,method-assign]
    await stage.run(loop, lambda: stage.committed() == {ORIGIN: 2, TopicPartition("in", 1): 1})
    assert len(handler.assigned_calls) == 1
    assert producers == [GROUP, GROUP]
    assert stage.values("after", 0) == [b"a", b"b"]
    assert stage.values("after", 1) == [b"c"]


async def test_a_stop_while_a_broker_is_away_is_heeded(stage: Stage) -> None:
    await stage.put(b"a")
    stage.bus.faults.send = failing(100, SendFault.NOT_WRITTEN, topic="after")
    slow = ConsumeSettings(fetch_timeout_seconds=0.01, retry_first_seconds=60, retry_most_seconds=60)
    loop = stage.loop(Relay(), slow)
    await stage.run(loop, lambda: stage.count("chopar_bus_rebuilt_total", code="delivery_failed") == 1)
    assert stage.committed() == {}


async def test_progress_in_between_starts_the_count_anew(stage: Stage) -> None:
    values = [b"%d" % number for number in range(6)]
    await stage.put(*values, keys=values)
    failed: set[bytes | None] = set()

    def once_each(record: Outgoing) -> SendFault | None:
        if record.topic == "after" and record.value not in failed:
            failed.add(record.value)
            return SendFault.NOT_WRITTEN
        return None

    stage.bus.faults.send = once_each
    one = ConsumeSettings(max_records=1, fetch_timeout_seconds=0.01, retry_first_seconds=0.001)
    await stage.run(stage.loop(Relay(), one), lambda: stage.committed().get(ORIGIN) == 6)
    assert stage.values("after") == values
    assert stage.count("chopar_bus_rebuilt_total", code="delivery_failed") == 6


@pytest.mark.parametrize(("forgiven_seconds", "lives"), [(3600.0, 3), (0.0, 6)])
async def test_failures_far_apart_are_none_in_a_row(stage: Stage, forgiven_seconds: float, lives: int) -> None:
    """An agency that nobody asks commits nothing: its third broken broker of a year must not end its process."""
    settings = ConsumeSettings(fetch_timeout_seconds=0.01, retry_first_seconds=0.001, forgiven_seconds=forgiven_seconds)
    loop = stage.loop(Relay(), settings)
    tries: list[object] = []

    def breaks(name: str) -> NoReturn:
        tries.append(name)
        if len(tries) == 6:
            loop.stop()
        raise BrokerUnavailableError("away")

    stage.bus.producer = breaks  # type: ignore[method-assign]
    if lives == 3:
        with pytest.raises(BrokerUnavailableError):
            await loop.run()
    else:
        await loop.run()
    assert len(tries) == lives


async def test_a_commit_that_fails_repeats_the_same_answers(stage: Stage) -> None:
    await stage.put(b"a", b"b")
    left = [True]
    stage.bus.faults.commit = lambda group, offsets: left.pop() if left else False
    await stage.run(stage.loop(Relay()), lambda: stage.committed().get(ORIGIN) == 2)
    assert stage.values("after") == [b"a", b"b", b"a", b"b"]
    assert stage.count("chopar_bus_rebuilt_total", code="broker_unavailable") == 1


async def test_a_broker_that_is_away_from_the_start_ends_the_run(stage: Stage) -> None:
    stage.bus.faults.down = True
    loop = stage.loop(Relay())
    assert "kafka" in loop.missing()
    with pytest.raises(BrokerUnavailableError):
        await loop.run()


async def test_a_broker_that_comes_back_is_used_again(stage: Stage) -> None:
    await stage.put(b"a")
    handler = Relay()
    loop = stage.loop(handler)
    running = asyncio.create_task(loop.run())
    async with asyncio.timeout(10):
        while stage.committed().get(ORIGIN) != 1:
            await stage.bus.changed.wait(0.01)
        assert loop.missing() == {}
        stage.bus.faults.down = True
        assert loop.missing() == {"kafka": "no broker answers for group group"}  # while it waits for records still
        while not stage.count("chopar_bus_rebuilt_total", code="broker_unavailable"):
            await stage.bus.changed.wait(0.001)
        stage.bus.faults.down = False
        await stage.put(b"b")
        while stage.committed().get(ORIGIN) != 2:
            await stage.bus.changed.wait(0.01)
        loop.stop()
        await running
    assert handler.handled == [b"a", b"b"]


async def test_a_dead_letter_that_is_not_acknowledged_holds_its_offset(stage: Stage) -> None:
    await stage.put(b"bad", b"good")

    def hook(record: Record) -> None:
        if record.value == b"bad":
            raise ValueError("a value")

    stage.bus.faults.send = failing(2, SendFault.NOT_WRITTEN, topic="in.dlq")
    handler = Relay(hook)
    with capture_logs() as logs:
        await stage.run(stage.loop(handler), lambda: stage.committed().get(ORIGIN) == 2)
    assert handler.handled.count(b"bad") == 3
    (letter,) = stage.bus.records("in.dlq")
    assert read_dead_letter(letter)[0].attempts == 3
    assert stage.values("after") == [b"good"]
    assert [log["log_level"] for log in logs if log["event"] == "partition.stopped"] == ["error"] * 2
    assert stage.count("chopar_partition_stopped", topic="in", partition="0") == 0, "it goes on"


async def test_a_record_too_large_for_its_dead_letter_topic_stops_its_partition(stage: Stage) -> None:
    stage.bus.log.layouts["in.dlq"] = TopicLayout("in.dlq", 1, {"max.message.bytes": "100"})
    await stage.put(b"x" * 200)

    def hook(record: Record) -> None:
        raise ValueError

    loop = stage.loop(Relay(hook))
    await stage.run(loop, lambda: stage.count("chopar_partition_stopped", topic="in", partition="0") == 1)
    assert stage.committed() == {}
    assert stage.bus.records("in.dlq") == []


async def test_stop_error_of_a_handler_ends_the_run_and_commits_nothing(stage: Stage) -> None:
    await stage.put(b"a", b"b")

    def hook(record: Record) -> None:
        if record.value == b"b":
            raise LawUnreadableError("what is in force cannot be read")

    with pytest.raises(LawUnreadableError):
        await stage.run(stage.loop(Relay(hook)), lambda: False)
    assert stage.committed() == {}
    assert stage.values("after") == []


async def test_an_error_of_assigned_is_raised_and_nothing_is_handled(stage: Stage) -> None:
    class Broken(Relay):
        async def assigned(self, partitions: Mapping[TopicPartition, int]) -> None:
            raise OffsetOutOfRangeError("the table cannot be rebuilt")

    await stage.put(b"a")
    handler = Broken()
    with pytest.raises(OffsetOutOfRangeError):
        await stage.run(stage.loop(handler), lambda: False)
    assert handler.handled == []


async def test_why_a_partition_waits_is_said_where_operators_look(stage: Stage) -> None:
    """In `/ready` and in the log; the text of what is away, on one line, without anybody's number."""
    away = True

    def hook(record: Record) -> None:
        if away:
            raise RegisterUnavailableError("the address service\nis out of order (asked for 31012649801148)")

    await stage.put(b"a")
    loop = stage.loop(Relay(hook))
    said = "the address service is out of order (asked for …)"
    with capture_logs() as logs:
        running = asyncio.create_task(loop.run())
        try:
            async with asyncio.timeout(10):
                while "register_unavailable" not in loop.missing():
                    await stage.bus.changed.wait(0.01)
            assert loop.missing() == {"register_unavailable": f"partitions wait for it: {said}"}
            away = False
            async with asyncio.timeout(10):
                while loop.missing() or stage.committed().get(ORIGIN) != 1:
                    await stage.bus.changed.wait(0.01)
        finally:
            loop.stop()
            await running
    assert {log["reason"] for log in logs if log["event"] == "partition.paused"} == {said}


async def test_assigned_that_finds_a_dependency_away_is_tried_again(stage: Stage) -> None:
    class Patient(Relay):
        async def assigned(self, partitions: Mapping[TopicPartition, int]) -> None:
            await super().assigned(partitions)
            if len(self.assigned_calls) < 3:
                raise RegisterUnavailableError("not yet")

    await stage.put(b"a")
    handler = Patient()
    await stage.run(stage.loop(handler), lambda: stage.committed().get(ORIGIN) == 1)
    assert handler.handled == [b"a"]


async def test_answers_wait_until_the_record_is_shown(stage: Stage) -> None:
    await stage.put(b"a")
    stage.bus.send_timeout_seconds = 10
    stage.bus.hold(TopicPartition("before", 0))
    handler = Relay()
    loop = stage.loop(handler)
    running = asyncio.create_task(loop.run())
    async with asyncio.timeout(10):
        while stage.bus.log.partition(TopicPartition("before", 0)).stamped == 0:
            await asyncio.wait([running], timeout=0.001)
        assert stage.values("before") == []
        assert stage.values("after") == []
        assert stage.committed() == {}
        stage.bus.release(TopicPartition("before", 0))
        while stage.committed().get(ORIGIN) != 1:
            await stage.bus.changed.wait(0.01)
        loop.stop()
        await running
    assert stage.values("after") == [b"a"]


async def test_the_stamp_is_given_before_the_record_is_shown(stage: Stage) -> None:
    place = TopicPartition("before", 1)
    stage.bus.hold(place)
    sending = asyncio.create_task(stage.bus.producer("p").send([Outgoing("before", 1, b"k", b"early")]))
    await asyncio.wait([sending], timeout=0.01)
    stage.clock.now += 5_000
    assert stage.bus.end_offsets([place]) == {place: 0}
    stage.bus.show(place, 1)
    (sent,) = await sending
    assert sent == Sent(0, 1_000_000)
    stage.bus.faults.stale_ends[place] = 0
    assert stage.bus.end_offsets([place]) == {place: 0}, "a leader of the past"


async def test_a_record_that_is_never_shown_is_not_acknowledged(stage: Stage) -> None:
    stage.bus.hold(TopicPartition("before", 0))
    (result,) = await stage.bus.producer("p").send([Outgoing("before", 0, b"k", b"v")])
    assert isinstance(result, DeliveryError)
