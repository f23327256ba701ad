"""A durable asker: what it acts on and how often, what waits, what is a dead letter, and what it says is open."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection
from structlog.testing import capture_logs

from chopar.avro import frame
from chopar.bus.inbox import KEPT, Inbox
from chopar.bus.memory import SendFault
from chopar.bus.port import TopicPartition, partition_of
from chopar.errors import ConfigurationError, StoreUnavailableError, TooLargeError
from chopar.identifiers import PersonId
from chopar.messages.demand import Demand, DemandedDocument, DemandResolved, PersonMayBeAsked
from chopar.messages.evidence import TaxDebt
from chopar.requester.durable_requester import Completed, DurableRequester
from chopar.requester.own_letters import answered_in_vain
from chopar.requester.requester import Requester, subject
from chopar.schema_registry import Decoder, InMemorySchemaRegistry
from chopar.topics import PARTITIONS
from tests.builders import NOW, PERSON, demand, demand_id
from tests.durable_rig import DEADLINE_SECONDS, FAST, FILES, HET, PROVIDED, RESOLVED, DurableRig, request_id

MARGIN = timedelta(minutes=2)  # between our clock and the broker's, whose time decides


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[DurableRig]:
    made = DurableRig(tmp_path)
    await made.start()
    yield made
    await made.close()


async def test_each_answer_is_acted_on_once_whatever_is_delivered(rig: DurableRig) -> None:
    async with rig.running() as requester:
        demand = await rig.ask(requester, "paper-a", "paper-b")
        for _ in range(2):
            await rig.resolve(demand)
            await rig.provide(demand, "paper-a")
            await rig.provide(demand, "paper-b", has_debt=False)
        await rig.read()
        assert await requester.waiting() == []
    expected = ["case resolved", "case received paper-a True", "case received paper-b False", "case completed"]
    assert await rig.done() == expected
    async with rig.running():
        await rig.provide(demand)
        await rig.resolve(demand)
        await rig.read()
    assert await rig.done() == expected
    assert rig.letters() == []


async def test_what_fetches_nothing_is_complete_with_its_resolution(rig: DurableRig) -> None:
    async with rig.running() as requester:
        await rig.resolve(await rig.ask(requester), documents=(), refused="unknown_procedure")
        await rig.until_done("case resolved", "case completed")


async def test_bad_input_19_an_answer_from_the_wrong_agency_is_dropped_and_a_security_event(rig: DurableRig) -> None:
    async with rig.running() as requester:
        demand = await rig.ask(requester)
        await rig.resolve(demand)
        with capture_logs() as logs:
            await rig.provide(demand, provider="cadastre-agency")
            await rig.read()
        assert rig.counted("rejected") == 1
        assert await rig.done() == ["case resolved"]
        await rig.provide(demand)
        await rig.until_done("case resolved", "case received paper-a True", "case completed")
    events = [(log["event"], log["log_level"], log.get("code"), log.get("provider")) for log in logs]
    assert ("answer.rejected", "error", "wrong_provider", "tax-committee") in events  # the one that was asked
    assert rig.letters() == []


@pytest.mark.parametrize(
    ("clock", "seconds"),
    [(-3, -180), (-2, None), (0, None), (2, None), (3, 180)],
    ids=["behind", "within the margin behind", "right", "within the margin ahead", "ahead"],
)
async def test_bad_input_18_a_providers_wrong_clock_is_said_and_what_is_in_time_is_the_brokers_to_say(
    rig: DurableRig, clock: int, seconds: int | None
) -> None:
    said_at = NOW + timedelta(minutes=clock)
    async with rig.running() as requester:
        demand = await rig.ask(requester, life=timedelta(minutes=1))
        await rig.resolve(demand)
        with capture_logs() as logs:
            await rig.provide(demand, ce_time=said_at.isoformat(), as_of=max(NOW, said_at))
            await rig.until_done("case resolved", "case received paper-a True", "case completed")
            await rig.read()
    said = [(log["provider"], log["seconds"]) for log in logs if log["event"] == "answer.clock_apart"]
    assert said == ([] if seconds is None else [("tax-committee", seconds)])
    counted = rig.metrics.get_sample_value("chopar_answers_clock_apart_total", {"provider": "tax-committee"})
    assert counted == (None if seconds is None else 1.0)


async def test_bad_input_18_an_answer_that_is_late_by_the_broker_is_late_whatever_its_own_time(rig: DurableRig) -> None:
    async with rig.running() as requester:
        demand = await rig.ask(requester, life=timedelta(minutes=10))
        await rig.resolve(demand)
        await rig.read()
        rig.now = demand.expires_at  # by the provider's own clock it is in time
        await rig.provide(demand, ce_time=NOW.isoformat())
        await rig.until_done("case resolved", "case late paper-a True")


async def test_an_old_as_of_or_a_time_that_is_none_says_nothing_of_a_clock(rig: DurableRig) -> None:
    """A register may be of yesterday, and an answer of another library may carry no time that can be read."""
    async with rig.running() as requester:
        demand = await rig.ask(requester, "paper-a", "paper-b")
        await rig.resolve(demand)
        with capture_logs() as logs:
            await rig.provide(demand, as_of=NOW - timedelta(days=1), ce_time="yesterday")
            await rig.provide(demand, "paper-b", as_of=NOW - timedelta(days=1))
            await rig.read()
    assert [log for log in logs if log["event"] == "answer.clock_apart"] == []


async def test_bad_input_20_an_answer_to_no_demand_is_a_dead_letter_and_what_comes_after_it_goes_on(
    rig: DurableRig,
) -> None:
    async with rig.running() as requester:
        own = await rig.ask(requester)
        with capture_logs() as logs:
            await rig.provide(demand(demand_id=demand_id(7)))
            await rig.resolve(own)
            await rig.provide(own, "a paper nobody demanded")
            await rig.provide(own)
            await rig.until_done("case resolved", "case received paper-a True", "case completed")
            await rig.read()
        assert rig.counted("unsolicited") == 2
    assert rig.letters() == [("evidence.provided", "unsolicited_answer")] * 2
    assert [log["log_level"] for log in logs if log["event"] == "answer.unsolicited"] == ["error"] * 2


async def test_an_answer_whose_resolution_lies_unread_with_another_member_waits_for_it_and_no_dead_letter(
    rig: DurableRig,
) -> None:
    async def ignore(*_: Any) -> None: ...

    sleeper = rig.bus.consumer(f"requester.{HET}", [RESOLVED], assigned=ignore, revoked=ignore)
    await sleeper.start()
    async with rig.running() as requester:
        async with asyncio.timeout(10):
            while not 0 < len(sleeper.held()) < PARTITIONS:
                await asyncio.sleep(0.01)
        while True:
            demand = await rig.ask(requester)
            place = TopicPartition(RESOLVED, partition_of(str(demand.demand_id).encode(), PARTITIONS))
            if place in sleeper.held():
                break
        await rig.resolve(demand)
        await rig.provide(demand)
        await rig.until_done("case resolved", "case received paper-a True", "case completed")
        assert rig.bus.group(f"requester.{HET}").committed.get(place) is None
        await sleeper.stop()
        await rig.read()
    assert len(await rig.done()) == 3
    assert rig.letters() == []


async def test_answers_to_demands_of_another_system_of_the_agency_are_nobodys_dead_letters(rig: DurableRig) -> None:
    async with rig.running(), Requester(HET, rig.bus, rig.registry, files=FILES, clock=lambda: rig.now) as other:
        exchange = await other.demand(procedure="p", subject=PersonId(PERSON), documents=["paper-a"])
        await rig.resolve(exchange.demand)
        await rig.provide(exchange.demand)
        await rig.read()
        assert rig.counted("elsewhere") == 2
        assert len([event async for event in exchange]) == 2
    assert (await rig.done(), rig.letters()) == ([], [])


async def test_bad_input_21_an_answer_after_the_deadline_is_kept_and_the_document_undelivered(rig: DurableRig) -> None:
    async with rig.running() as requester:
        demand = await rig.ask(requester, "paper-a", "paper-b")
        await rig.resolve(demand)
        rig.now = demand.expires_at - timedelta(milliseconds=1)
        await rig.provide(demand, "paper-a")
        await rig.read()
        rig.now = demand.expires_at
        await rig.provide(demand, "paper-b")
        await rig.read()
        told = ["case resolved", "case received paper-a True", "case late paper-b True"]
        assert await rig.done() == told
        rig.now = demand.expires_at + MARGIN
        await rig.until_done(*told, "case completed without paper-b")
        await rig.provide(demand, "paper-b")
        await rig.read()
        assert await requester.waiting() == []
    assert len(await rig.done()) == 4
    assert rig.letters() == []


async def test_undelivered_is_not_said_while_an_answer_that_came_in_time_is_not_done_with(rig: DurableRig) -> None:
    def refuse(demand: Demand) -> None:
        raise StoreUnavailableError("the application's own database")

    async with rig.running() as requester:
        demand = await rig.ask(requester)
        other = await rig.ask(requester, case_id="other")
        await rig.resolve(demand)
        await rig.until_done("case resolved")
        rig.hook = refuse
        await rig.provide(demand)
        rig.now = demand.expires_at + MARGIN
        told = ["case resolved"]
        if partition_of(str(other.demand_id).encode(), 6) != partition_of(str(demand.demand_id).encode(), 6):
            told.append("other completed without paper-a")
            await rig.until_done(*told)
        rig.hook = lambda demand: None
        await rig.until_done(
            "case resolved", "case received paper-a True", "case completed", "other completed without paper-a"
        )


async def test_bad_input_22_of_two_answers_the_first_wins_and_what_the_second_says_is_noticed(rig: DurableRig) -> None:
    async with rig.running() as requester:
        demand = await rig.ask(requester)
        await rig.resolve(demand)
        await rig.provide(demand)
        await rig.provide(demand)
        await rig.read()
        assert (rig.counted("repeated"), rig.counted("other_content"), rig.counted("rejected")) == (1, 0, 0)
        await rig.provide(demand, has_debt=False)
        await rig.read()
        assert (rig.counted("repeated"), rig.counted("other_content"), rig.counted("rejected")) == (1, 1, 0)
        with capture_logs() as logs:
            await rig.provide(demand, has_debt=False, provider="cadastre-agency")
            await rig.read()
        assert rig.counted("rejected") == 1
    assert [log["log_level"] for log in logs if log["event"] == "answer.rejected"] == ["error"]
    assert await rig.done() == ["case resolved", "case received paper-a True", "case completed"]
    assert rig.letters() == []


async def test_bad_input_48_a_provider_that_is_down_is_waited_for_and_late_after_its_promise(rig: DurableRig) -> None:
    due = NOW + timedelta(hours=1)
    async with rig.running() as requester:
        demand = await rig.ask(requester)
        [waiting] = await requester.waiting()
        assert (waiting.document_type, waiting.provider, waiting.due, waiting.late) == ("paper-a", None, None, False)
        resolution = await rig.resolve(demand, due=due)
        await rig.until_done("case resolved")
        told = await Decoder(FILES, rig.registry).message(resolution.value or b"", DemandResolved)
        assert told.documents[0].person_may_be_asked is PersonMayBeAsked.NO
        for now, late in ((due, False), (due + timedelta(milliseconds=1), True), (demand.expires_at, True)):
            rig.now = now
            [waiting] = await requester.waiting()
            assert (waiting.provider, waiting.due, waiting.late) == ("tax-committee", due, late)
        assert await rig.done() == ["case resolved"]  # late is information: nothing has ended
        rig.now = demand.expires_at - timedelta(seconds=1)
        await rig.provide(demand)
        await rig.until_done("case resolved", "case received paper-a True", "case completed")
        assert await requester.waiting() == []


async def test_a_deferred_answer_is_not_acted_on_and_its_promise_is_shown(rig: DurableRig) -> None:
    promised = NOW + timedelta(days=2)
    async with rig.running() as requester:
        demand = await rig.ask(requester)
        await rig.resolve(demand)
        await rig.defer(demand, promised)
        await rig.read()
        [waiting] = await requester.waiting()
        assert (waiting.promised_at, waiting.case_id) == (promised, "case")
        await rig.provide(demand)
        await rig.until_done("case resolved", "case received paper-a True", "case completed")


async def test_each_correction_is_acted_on_once_and_one_of_nothing_is_a_dead_letter(rig: DurableRig) -> None:
    async with rig.running() as requester:
        demand = await rig.ask(requester)
        await rig.resolve(demand)
        await rig.correct(demand, demand_id(1), b"x" * 32)
        first = await rig.provide(demand)
        for _ in range(2):
            second = await rig.correct(demand, demand_id(2), first, has_debt=False)
            await rig.correct(demand, demand_id(3), second)
        await rig.read()
        assert rig.counted("corrected") == 2
    assert await rig.done() == [
        "case resolved",
        "case received paper-a True",
        "case completed",
        "case corrected paper-a False",
        "case corrected paper-a True",
    ]
    assert rig.letters() == [("evidence.provided", "unsolicited_answer")]


async def test_a_callback_that_fails_is_tried_three_times_undone_and_holds_up_no_other_demand(rig: DurableRig) -> None:
    tried: list[str] = []

    def fail(demand: Demand) -> None:
        if demand.case_id == "bad":
            tried.append(demand.case_id)
            raise KeyError("a flaw of the application")

    rig.hook = fail
    async with rig.running() as requester:
        bad, good = await rig.ask(requester, case_id="bad"), await rig.ask(requester, case_id="good")
        for demand in (bad, good):
            await rig.resolve(demand)
            await rig.provide(demand)
        good_told = ["good resolved", "good received paper-a True", "good completed"]
        await rig.until_done("bad resolved", *good_told)
        await rig.read()
        assert [one.case_id for one in await requester.waiting()] == ["bad"]
        assert rig.letters() == [("evidence.provided", "handler_failed")]
        assert len(tried) >= 3
        rig.hook = lambda demand: None
        await rig.provide(bad)  # its answer is not taken yet: another one may come
        await rig.until_done("bad resolved", *good_told, "bad received paper-a True", "bad completed")


async def test_an_answer_that_nobody_receives_is_a_dead_letter_and_can_be_taken_later(rig: DurableRig) -> None:
    async with rig.running() as requester:
        demand = await rig.ask(requester, "paper-c")
        await rig.resolve(demand)
        await rig.provide(demand, "paper-c")
        await rig.read()
        assert rig.letters() == [("evidence.provided", ConfigurationError.code)]
        [waiting] = await requester.waiting()
        assert waiting.document_type == "paper-c"


async def test_who_waits_for_an_answer_among_its_own_dead_letters_does_not_blame_the_holder(rig: DurableRig) -> None:
    async with rig.running() as requester:
        demand = await rig.ask(requester, "paper-c", "paper-a")
        await rig.resolve(demand, due=NOW + timedelta(hours=1))
        await rig.put(PROVIDED, demand.demand_id, frame(9999, b"by a schema that nobody knows"))
        async with asyncio.timeout(DEADLINE_SECONDS):
            while rig.behind():
                rig.monotonic += 1
                await asyncio.sleep(0.01)
        await rig.provide(demand, "paper-c")  # nobody receives it
        await rig.read()
        rig.now = NOW + timedelta(hours=2)
        waiting = {one.document_type: one for one in await requester.waiting()}
        assert {name: (one.late, one.own_dead_letter) for name, one in waiting.items()} == {
            "paper-c": (False, True),
            "paper-a": (True, False),
        }
        assert [code for _, code in rig.letters()] == ["unknown_schema", ConfigurationError.code]
        registry = InMemorySchemaRegistry(lambda: 0.0)  # of a process that has just begun: it may know it yet
        for name, text in FILES.texts.items():
            await registry.register(name, text)
        found = await answered_in_vain(rig.bus, Decoder(FILES, registry), HET, [str(demand.demand_id)])
        assert found == {request_id(demand, "paper-c")}
        rig.bus.faults.down = True  # then nobody knows
        assert [one.own_dead_letter for one in await requester.waiting()] == [False, False]
        rig.bus.faults.down = False


async def test_an_answer_with_a_schema_not_yet_known_waits_and_is_not_lost(rig: DurableRig) -> None:
    async with rig.running() as requester:
        demand = await rig.ask(requester)
        await rig.resolve(demand)
        new = len(FILES.texts) + 1
        evidence = TaxDebt(has_debt=True, fields_given=("has_debt",), source_register="register", as_of=NOW)
        await rig.provide(demand, body=frame(new, rig.encoder.encode(evidence)[5:]))
        await rig.provide(demand, has_debt=False)  # readable, and behind it
        await rig.until_done("case resolved")
        changed = FILES.texts[TaxDebt.RECORD].replace('"doc"', '"doc_"', 1)
        assert await rig.registry.register(TaxDebt.RECORD, changed) == new
        await rig.until_done("case resolved", "case received paper-a True", "case completed")


async def test_records_that_cannot_be_read_are_dead_letters(rig: DurableRig) -> None:
    async with rig.running() as requester:
        demand = await rig.ask(requester)
        await rig.put(RESOLVED, demand.demand_id, b"\x01 not our framing")
        await rig.put(PROVIDED, demand.demand_id, b"")
        await rig.resolve(demand)
        await rig.provide(demand, body=b"no frame")
        await rig.provide(demand)
        await rig.until_done("case resolved", "case received paper-a True", "case completed")
        await rig.read()
    framing = "not_our_framing"
    assert sorted(rig.letters()) == [("demand.resolved", framing), *[("evidence.provided", framing)] * 2]


async def test_a_demand_is_kept_while_the_broker_is_away_and_sent_when_it_is_back(rig: DurableRig) -> None:
    async with rig.running() as requester:
        rig.bus.faults.down = True
        demand = await rig.ask(requester)
        assert rig.bus.records(f"demand.submitted.{HET}") == []
        rig.bus.faults.down = False
        async with asyncio.timeout(10):
            while not (sent := rig.bus.records(f"demand.submitted.{HET}")):
                await asyncio.sleep(0.01)
        assert [record.value for record in sent] == [rig.encoder.encode(demand)]
        [waiting] = await requester.waiting()
        assert waiting.demand_id == demand.demand_id


async def test_a_demand_that_is_sent_again_is_the_same_message_to_the_byte(rig: DurableRig) -> None:
    async with rig.made() as requester:
        rig.bus.faults.send = lambda _: SendFault.WRITTEN
        await rig.ask(requester)
        rig.bus.faults.send = lambda _: None
        rig.now += timedelta(seconds=5)
        await requester.send_waiting()
    first, again = rig.bus.records(f"demand.submitted.{HET}")
    assert (again.key, again.value, again.headers) == (first.key, first.value, first.headers)


async def test_a_demand_of_the_applications_transaction_is_sent_if_that_is_committed(rig: DurableRig) -> None:
    async with rig.made() as requester:
        asked: dict[str, Any] = {"procedure": "p", "subject": PersonId(PERSON), "documents": ["paper-a"]}
        async with rig.engine.connect() as connection:
            await requester.submit(within=connection, **asked)
            await connection.rollback()
        await requester.send_waiting()
        assert rig.bus.records(f"demand.submitted.{HET}") == []
        async with rig.engine.begin() as connection:
            wanted = await requester.submit(within=connection, **asked)
        await requester.send_waiting()
        await requester.send_waiting()
        assert [record.key for record in rig.bus.records(f"demand.submitted.{HET}")] == [str(wanted).encode()]


async def test_what_another_process_may_be_sending_is_left_to_it_for_one_look(rig: DurableRig) -> None:
    async with rig.made() as requester:
        rig.bus.faults.send = lambda _: SendFault.NOT_WRITTEN
        await rig.ask(requester)
        rig.bus.faults.send = lambda _: None
        seen = await requester._outbox.send_waiting(frozenset())  # a look before which nothing was waiting
        assert len(seen) == 1
        assert rig.bus.records(f"demand.submitted.{HET}") == []
        assert await requester._outbox.send_waiting(seen) == seen
        assert len(rig.bus.records(f"demand.submitted.{HET}")) == 1
        assert await requester._outbox.send_waiting(seen) == set()


async def test_a_demand_that_is_too_large_is_an_error_and_not_kept(rig: DurableRig) -> None:
    async with rig.made() as requester:
        papers = [DemandedDocument(type="paper", parameters={"name": "x" * 400})] * 700
        large = requester.compose(procedure="p", subject=subject(PersonId(PERSON)), documents=papers)
        with pytest.raises(TooLargeError):
            await requester.submit_all([large])
        assert await requester.waiting() == []


async def test_two_processes_on_one_database_act_once(rig: DurableRig) -> None:
    async with rig.running() as one, rig.running() as two:
        demands = [await rig.ask((one, two)[number % 2], case_id=f"case-{number}") for number in range(30)]
        for demand in demands:
            await rig.resolve(demand)
            await rig.provide(demand)
        told = [f"{d.case_id} {what}" for d in demands for what in ("resolved", "received paper-a True", "completed")]
        await rig.until_done(*told)
        await rig.read()
    assert rig.letters() == []


async def test_a_second_database_for_a_group_is_refused_and_takes_no_answer_of_the_first(
    rig: DurableRig, tmp_path: Path
) -> None:
    second = f"sqlite+aiosqlite:///{tmp_path}/second.db"

    def other(**more: Any) -> DurableRequester:
        return DurableRequester(
            HET, rig.bus, rig.registry, Inbox(second), files=FILES, clock=lambda: rig.now, settings=FAST, **more
        )

    async with other():  # the first ever: nothing has been read with any
        pass
    (tmp_path / "second.db").unlink()
    async with rig.running() as requester:
        demand = await rig.ask(requester)
        await rig.resolve(demand)
        await rig.read()
    for _ in range(2):  # the refusal leaves nothing by which a second try would pass
        with pytest.raises(ConfigurationError, match="with another database"):
            await other().__aenter__()
    async with other(group=f"requester.{HET}.2") as stranger:
        running = asyncio.create_task(stranger.run())
        await rig.provide(demand)
        async with rig.running():
            await rig.until_done("case resolved", "case received paper-a True", "case completed")
            await rig.read()
        theirs = rig.bus.group(stranger.group).committed
        async with asyncio.timeout(DEADLINE_SECONDS):
            while {place.topic for place in theirs} != {RESOLVED, PROVIDED}:
                await asyncio.sleep(0.01)
        stranger.stop()
        await running
    assert rig.letters() == []


async def test_what_nothing_can_be_delivered_for_any_more_is_deleted_and_acted_on_by_nobody(rig: DurableRig) -> None:
    async with rig.running() as requester:
        demand = await rig.ask(requester)
        await rig.resolve(demand)
        await rig.provide(demand)
        told = ["case resolved", "case received paper-a True", "case completed"]
        await rig.until_done(*told)
        await rig.read()
        rig.now = NOW + KEPT
        await requester.purge()
        assert await rows(rig) == {"chopar_inbox": 1, "chopar_demand": 1, "chopar_request": 1}
        rig.now += timedelta(milliseconds=1)
        await requester.purge()
        assert await rows(rig) == {"chopar_inbox": 0, "chopar_demand": 0, "chopar_request": 0}
        await rig.provide(demand)
        await rig.read()
    assert await rig.done() == told
    assert rig.letters() == [("evidence.provided", "unsolicited_answer")]


async def rows(rig: DurableRig) -> dict[str, int]:
    async with rig.engine.connect() as connection:
        return {
            table: (await connection.execute(select(func.count()).select_from(text(table)))).scalar_one()
            for table in ("chopar_inbox", "chopar_demand", "chopar_request")
        }


async def test_two_functions_for_one_document_are_refused(rig: DurableRig) -> None:
    requester = rig.made()

    async def another(*_: Any) -> None: ...

    with pytest.raises(ConfigurationError, match="paper-b"):
        requester.receives("paper-c", "paper-b")(another)
    requester.receives()(another)
    with pytest.raises(ConfigurationError, match="all other"):
        requester.receives()(another)


async def test_a_kept_demand_that_cannot_be_read_holds_its_answers_up_and_loses_none(rig: DurableRig) -> None:
    async with rig.running() as requester:
        asked = await rig.ask(requester)
        put = text("UPDATE chopar_demand SET value = :value")
        async with rig.engine.begin() as connection:
            await connection.execute(put, {"value": b"no frame"})
        await rig.resolve(asked)
        await rig.provide(asked)
        async with asyncio.timeout(10):
            while StoreUnavailableError.code not in requester.missing():
                await asyncio.sleep(0.01)
        async with rig.engine.begin() as connection:
            await connection.execute(put, {"value": rig.encoder.encode(asked)})
        await rig.until_done("case resolved", "case received paper-a True", "case completed")
        await rig.read()
    assert rig.letters() == []


async def test_an_expired_demand_that_the_application_fails_on_rests_between_two_tries(rig: DurableRig) -> None:
    told: list[str] = []
    admin = rig.bus.admin()
    async with rig.made() as requester:

        @requester.completed
        async def completed(transaction: AsyncConnection, demand: Demand, ended: Completed) -> None:
            told.append(demand.case_id)
            if demand.case_id == "bad":
                raise KeyError("a flaw of the application")

        for case_id in ("bad", "good"):
            demand = await rig.ask(requester, case_id=case_id)
        rig.now = demand.expires_at + MARGIN
        for _ in range(3):
            await requester._expiry.look(admin)
        assert sorted(told) == ["bad", "good"]
        rig.now += timedelta(minutes=1)
        await requester._expiry.look(admin)
        assert sorted(told) == ["bad", "bad", "good"]
