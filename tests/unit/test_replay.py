"""Replays: by the owner, as of the original place and time, recorded before released, once."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from chopar.avro import SchemaFiles
from chopar.bus.consume import ConsumeLoop, ConsumeSettings, Outputs
from chopar.bus.dead_letter import LARGEST_BYTES, dead_letter, read_dead_letter
from chopar.bus.memory import MemoryBus, SendFault
from chopar.bus.port import Outgoing, Record, TopicPartition
from chopar.bus.replay import Replays
from chopar.cli.dead_letter_decide import write_down
from chopar.cli.dead_letter_list import Filter, Letter, decisions, letters
from chopar.errors import RecordError, RegisterUnavailableError, UndecodableError
from chopar.identifiers import agency_id, uuid7
from chopar.messages.demand import Demand
from chopar.messages.operations import LetterReplayed, ReplayAction
from chopar.schema_registry import Decoder, Encoder, InMemorySchemaRegistry
from chopar.topics import DEMAND_RESOLVED, DEMAND_SUBMITTED, OPERATIONS_REPLAYED, TopicLayout
from gateway.handlers import GatewayHandler
from gateway.law_reader import LawReader
from tests.builders import demand
from tests.world import FAST, World, world

GROUP = "group"
QUICK = ConsumeSettings(fetch_timeout_seconds=0.01, retry_first_seconds=0.001, retry_most_seconds=0.004)
FILES = SchemaFiles.shipped()


class Relay:
    """Sends each value on: a record before, an answer after. A hook may fail first. It would fold what it sees."""

    def __init__(self, hook: Callable[[Record], None] = lambda record: None) -> None:
        self.hook = hook
        self.handled: list[Record] = []
        self.noted: list[Record] = []
        self.readied: list[Record] = []

    async def assigned(self, partitions: Mapping[TopicPartition, int]) -> None:
        pass

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        pass

    async def ready_for(self, records: Sequence[Record]) -> None:
        self.readied += records

    def seen(self, record: Record) -> None:
        self.noted.append(record)

    def handle(self, record: Record) -> Outputs | Awaitable[Outputs]:
        self.handled.append(record)
        self.hook(record)
        return Outputs(
            before=[Outgoing("before", record.partition, record.key, record.value)],
            after=[Outgoing("after", record.partition, record.key, record.value)],
        )


class Stage:
    """A bus with dead letters, and loops that replay them."""

    def __init__(self) -> None:
        self.bus = MemoryBus(lambda: 5_000_000, send_timeout_seconds=0.05)
        for name, partitions in {"in": 2, "in.dlq": 1, "before": 2, "after": 2, OPERATIONS_REPLAYED.of(): 1}.items():
            self.bus.log.add(TopicLayout(name, partitions))
        self.registry = InMemorySchemaRegistry()

    async def bury(self, *records: Record, group: str = GROUP) -> list[Letter]:
        """Dead letters of records, as operators see them."""
        for name, text in FILES.texts.items():
            await self.registry.register(name, text)
        producer = self.bus.producer("test")
        await producer.start()
        await producer.send(
            [
                dead_letter(one, code="c", group=group, first_failed_ms=10, last_failed_ms=20, attempts=2)
                for one in records
            ]
        )
        return await letters(self.bus, Filter())

    async def decide(self, action: ReplayAction, *ones: Letter) -> None:
        """Write a decision down."""
        await write_down(
            self.bus, self.registry, action, ones, reason="why", by="me", clock=lambda: datetime(2026, 1, 1, tzinfo=UTC)
        )

    @asynccontextmanager
    async def running(self, *handlers: Relay, notes: Path | None = None) -> AsyncIterator[None]:
        """Loops of one group that run."""
        loops = []
        for handler in handlers:
            replays = Replays(
                self.bus, GROUP, FILES, self.registry, retry_first_seconds=0.001, retry_most_seconds=0.004
            )
            loops.append(ConsumeLoop(self.bus, GROUP, ["in"], handler, settings=QUICK, replays=replays, notes=notes))
        tasks = [asyncio.create_task(loop.run()) for loop in loops]
        try:
            yield
        finally:
            for loop in loops:
                loop.stop()
            await asyncio.gather(*tasks)

    async def ended(self) -> list[LetterReplayed]:
        """What was written down of replays."""
        decoder, found = Decoder(FILES, self.registry), []
        for record in self.bus.records(OPERATIONS_REPLAYED.of()):
            try:
                found.append(await decoder.message(record.value or b"", LetterReplayed))
            except RecordError:
                continue
        return found

    async def until_ended(self, count: int = 1) -> list[LetterReplayed]:
        """Wait for so many."""
        async with asyncio.timeout(20):
            while len(found := await self.ended()) < count:
                await asyncio.sleep(0.005)
        return found

    def values(self, topic: str) -> list[bytes | None]:
        """What is on a topic."""
        return [record.value for record in self.bus.records(topic)]


def record(offset: int = 7, partition: int = 0, value: bytes = b"value") -> Record:
    """A record that could not be handled."""
    return Record(
        "in", partition, offset, 1_234_567, b"key", value, (("ce_id", b"00000000-0000-8000-8000-000000000000"),)
    )


async def test_the_handler_gets_the_original_at_its_place_and_time_and_does_not_see_it_again() -> None:
    stage, relay = Stage(), Relay()
    [letter] = await stage.bury(record())
    async with stage.running(relay):
        await stage.decide(ReplayAction.REPLAY, letter)
        [ended] = await stage.until_ended()
    assert relay.handled == [record()]
    assert relay.noted == []
    assert (stage.values("before"), stage.values("after")) == ([b"value"], [b"value"])
    assert (ended.topic, ended.partition, ended.offset, ended.outcome) == ("in.dlq", 0, 0, "handled")
    assert stage.bus.group(GROUP).committed == {}, "a replay commits nothing"


async def test_what_was_replayed_is_not_replayed_by_the_next_life_of_the_process() -> None:
    stage, first, second = Stage(), Relay(), Relay()
    one, _ = await stage.bury(record(), record(8))
    await stage.decide(ReplayAction.REPLAY, one, one)
    async with stage.running(first):
        await stage.until_ended()
    _, other = await letters(stage.bus, Filter())
    async with stage.running(second):
        await stage.decide(ReplayAction.REPLAY, other)
        await stage.until_ended(2)
    assert ([r.offset for r in first.handled], [r.offset for r in second.handled]) == ([7], [8])


async def test_nothing_is_replayed_before_all_that_was_done_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was done stands behind all that was asked for, as far as some hundred records away."""
    stage, first, second = Stage(), Relay(), Relay()
    await stage.bury(*(record(offset) for offset in range(60)))
    await stage.decide(ReplayAction.REPLAY, *await letters(stage.bus, Filter()))
    async with stage.running(first):
        await stage.until_ended(60)
    monkeypatch.setattr("chopar.bus.replay._BATCH", 1)
    *_, last = await stage.bury(record(99))
    async with stage.running(second):
        await stage.decide(ReplayAction.REPLAY, last)
        await stage.until_ended(61)
    assert (len(first.handled), [r.offset for r in second.handled]) == (60, [99])


async def test_only_the_owner_of_the_origins_partition_replays() -> None:
    stage, relays = Stage(), (Relay(), Relay())
    ones = await stage.bury(*(record(offset, offset % 2) for offset in range(6)))
    async with stage.running(*relays):
        async with asyncio.timeout(20):
            while sorted(len(member.held()) for member in stage.bus.members(GROUP)) != [1, 1]:
                await asyncio.sleep(0.005)
        await stage.decide(ReplayAction.REPLAY, *ones)
        await stage.until_ended(6)
    by = [{r.partition for r in relay.handled} for relay in relays]
    assert sorted(map(sorted, by)) == [[0], [1]]
    assert sum(len(relay.handled) for relay in relays) == 6


async def test_what_fails_again_is_a_new_dead_letter_that_knows_the_old_one() -> None:
    stage = Stage()

    def refuse(one: Record) -> None:
        raise UndecodableError("still")

    [letter] = await stage.bury(record())
    async with stage.running(Relay(refuse)):
        await stage.decide(ReplayAction.REPLAY, letter)
        [ended] = await stage.until_ended()
    assert (ended.outcome, ended.code) == ("failed", "undecodable")
    _, again = stage.bus.records("in.dlq")
    noted, original = read_dead_letter(again)
    assert original == record()
    assert (noted.code, noted.first_failed_ms, noted.attempts, noted.group) == ("undecodable", 10, 3, GROUP)
    assert noted.last_failed_ms > 20
    assert stage.values("before") == []
    _, newer = await letters(stage.bus, Filter())
    async with stage.running(Relay()):
        await stage.decide(ReplayAction.REPLAY, newer)
        await stage.until_ended(2)
    assert stage.values("after") == [b"value"]


async def test_our_own_fault_is_tried_three_times_and_a_dependency_for_as_long_as_it_is_away() -> None:
    stage, times = Stage(), {7: 0, 8: 0}

    def fail(one: Record) -> None:
        times[one.offset] += 1
        if one.offset == 7:
            raise KeyError("ours")
        if times[8] < 6:
            raise RegisterUnavailableError("away")

    ones = await stage.bury(record(7), record(8))
    async with stage.running(Relay(fail)):
        await stage.decide(ReplayAction.REPLAY, *ones)
        ended = {one.offset: (one.outcome, one.code) for one in await stage.until_ended(2)}
    assert times == {7: 3, 8: 6}
    assert ended == {0: ("failed", "handler_failed"), 1: ("handled", None)}


async def test_no_record_no_document_and_what_is_cut_off_is_done_again() -> None:
    """Each send fails once, written or not: the same outputs follow, never an answer without its record."""
    for failing in ("before", "after", OPERATIONS_REPLAYED.of()):
        for fault in SendFault:
            stage, relay = Stage(), Relay()
            [letter] = await stage.bury(record())
            await stage.decide(ReplayAction.REPLAY, letter)
            left = [1]

            def once(
                out: Outgoing,
                failing: str = failing,
                fault: SendFault = fault,
                left: list[int] = left,
                stage: Stage = stage,
            ) -> SendFault | None:
                assert out.topic != "after" or stage.values("before"), "an answer without its record"
                return fault if out.topic == failing and left and left.pop() else None

            stage.bus.faults.send = once
            async with stage.running(relay):
                await stage.until_ended()
                # A mark that was written although nobody said so is read: what it says is done is not done again.
                done_once = (failing, fault) == (OPERATIONS_REPLAYED.of(), SendFault.WRITTEN)
                async with asyncio.timeout(20):
                    while len(relay.handled) < (1 if done_once else 2):
                        await asyncio.sleep(0.005)
            assert set(stage.values("before")) == set(stage.values("after")) == {b"value"}
            assert {r.offset for r in relay.handled} == {7}
            if failing == "before":
                assert len(stage.values("after")) == 1


async def test_what_cannot_be_replayed_is_said_and_the_rest_goes_on() -> None:
    stage, relay = Stage(), Relay()
    cut, gone, good = await stage.bury(record(1, value=b"x" * LARGEST_BYTES), record(2), record(3))
    elsewhere = Letter(gone.place, gone.written_at, good.noted, None, 0)  # the place of one, the origin of another
    await stage.decide(ReplayAction.REPLAY, cut, elsewhere, good)
    async with stage.running(relay):
        ended = await stage.until_ended(3)
    assert {one.offset: (one.outcome, one.code) for one in ended} == {
        0: ("impossible", "cut"),
        1: ("impossible", "another_letter"),
        2: ("handled", None),
    }
    assert [r.offset for r in relay.handled] == [3]


async def test_an_expired_letter_is_impossible() -> None:
    stage, relay = Stage(), Relay()
    gone, good = await stage.bury(record(1), record(2))
    await stage.decide(ReplayAction.REPLAY, gone, good)
    stage.bus.delete_before(TopicPartition("in.dlq", 0), 1)
    async with stage.running(relay):
        ended = await stage.until_ended(2)
    assert {one.offset: one.code for one in ended} == {0: "no_such_letter", 1: None}


async def test_a_letter_of_another_group_and_one_that_was_discarded_stay() -> None:
    stage, relay = Stage(), Relay()
    await stage.bury(record(1), group="others")
    theirs, discarded, good = await stage.bury(record(2), record(3))
    await stage.decide(ReplayAction.REPLAY, theirs)
    await stage.decide(ReplayAction.DISCARD, discarded)
    await stage.decide(ReplayAction.REPLAY, discarded, good)
    async with stage.running(relay):
        await stage.until_ended()
    assert [r.offset for r in relay.handled] == [3]


async def test_live_records_go_on_while_letters_are_replayed() -> None:
    stage, relay = Stage(), Relay()
    ones = await stage.bury(*(record(offset) for offset in range(1000, 1120)))
    async with stage.running(relay):
        await stage.decide(ReplayAction.REPLAY, *ones)
        producer = stage.bus.producer("test")
        await producer.start()
        for number in range(20):
            await producer.send([Outgoing("in", 0, b"k", str(number).encode())])
            await asyncio.sleep(0)
        await stage.until_ended(120)
        async with asyncio.timeout(20):
            while stage.bus.group(GROUP).committed.get(TopicPartition("in", 0)) != 20:
                await asyncio.sleep(0.005)
    live = [r.offset for r in relay.handled if r.offset < 1000]
    assert live == list(range(20))
    assert sorted(r.offset for r in relay.handled if r.offset >= 1000) == list(range(1000, 1120))


class Stumbling(GatewayHandler):
    """The gateway's own handler, before a fault in it was mended."""

    def handle(self, record: Record) -> Outputs:
        raise UndecodableError("for whatever reason")


async def test_a_demand_that_is_replayed_is_answered_as_an_undisturbed_gateway_answers_it(tmp_path: Path) -> None:
    bus = MemoryBus(lambda: time.time_ns() // 1_000_000)
    async with world(bus, tmp_path) as here:
        await here.prepare()
        now = here.clock()
        one = demand(demand_id=uuid7(now, 7), expires_at=now + timedelta(days=7))
        encoder = Encoder(here.files, here.registry)
        await encoder.prepare(Demand)
        topic = DEMAND_SUBMITTED.of(agency_id(one.requester))
        producer = bus.producer("asker")
        await producer.send([Outgoing(topic, 0, str(one.demand_id).encode(), encoder.encode(one))])
        _gateway(here, "before", Stumbling)
        await here.eventually(_holds(bus, topic + ".dlq", 1))
        await here.stop("before")
        [letter] = await letters(bus, Filter())
        await write_down(
            bus, here.registry, ReplayAction.REPLAY, [letter], reason="mended", by="me", clock=lambda: here.clock()
        )
        _gateway(here, "after", GatewayHandler)
        answers = DEMAND_RESOLVED.of(agency_id(one.requester))
        await here.eventually(_holds(bus, answers, 1))
        here.start_gateway("undisturbed", group="another")
        await here.eventually(_holds(bus, answers, 2))
        replayed, plain = bus.records(answers)
        assert replayed._replace(offset=0, timestamp_ms=0) == plain._replace(offset=0, timestamp_ms=0)
        decided = await decisions(bus, here.registry)
        assert decided.state(letter.place) == "replayed"


def _gateway(here: World, name: str, kind: type[GatewayHandler]) -> None:
    law = LawReader(here.bus, here.files, home=here.home, lists_folder=here.home / "lists", instance=name)
    topics = [DEMAND_SUBMITTED.of(agency_id("electricity-het"))]
    replays = Replays(here.bus, "gateway", here.files, here.registry)
    loop = ConsumeLoop(
        here.bus, "gateway", topics, kind(here.bus, law, CollectorRegistry()), settings=FAST, replays=replays
    )
    here._start(name, loop, law.follow(), law.mark())


def _holds(bus: MemoryBus, topic: str, count: int) -> Callable[[], Awaitable[bool]]:
    async def holds(*_: Any) -> bool:
        return len(bus.records(topic)) >= count

    return holds
