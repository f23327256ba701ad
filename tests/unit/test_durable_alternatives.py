"""A durable asker that asks the next holder: once, whoever dies; the demand is complete after the last."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from chopar.bus.inbox import KEPT
from chopar.bus.memory import SendFault
from chopar.bus.port import Record, partition_of
from chopar.messages.demand import Demand
from chopar.requester.completion import Delivered
from chopar.schema_registry import Decoder
from chopar.topics import PARTITIONS
from tests.builders import demand_id
from tests.durable_rig import DEADLINE_SECONDS, FILES, HET, PROVIDED, RESOLVED, DurableRig
from tests.next_holders import find, find_nothing, resolve

MARGIN = timedelta(minutes=2)
FIRST = ("case resolved", "case received paper-a no_record")


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[DurableRig]:
    made = DurableRig(tmp_path)
    await made.start()
    yield made
    await made.close()


async def sent(rig: DurableRig, number: int) -> list[Demand]:
    """The different demands on the topic, once there are so many."""
    decoder, topic = Decoder(FILES, rig.registry), f"demand.submitted.{HET}"
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            values = {record.value for record in rig.bus.records(topic)}
            if len(values) >= number:
                found = [await decoder.message(value or b"", Demand) for value in values]
                return sorted(found, key=lambda one: len(one.follows.asked) if one.follows else 0)
            await asyncio.sleep(0.01)


async def test_the_next_is_asked_and_the_demand_is_complete_with_its_answer(rig: DurableRig) -> None:
    async with rig.running() as requester:
        first = await rig.ask(requester)
        await resolve(rig, first)
        await find_nothing(rig, first)
        _, second = await sent(rig, 2)
        await rig.until_done(*FIRST)
        assert [one.demand_id for one in await requester.waiting()] == [second.demand_id]
        await resolve(rig, second)
        await rig.read()
        [waiting] = await requester.waiting()
        assert (waiting.provider, waiting.case_id) == ("mia-migration", "case")
        for _ in range(2):
            await find(rig, second)
        await rig.until_done(*FIRST, "case received paper-a True", "case completed")
        assert await requester.waiting() == []
    assert second.follows is not None
    assert second.follows.demand_id == first.demand_id
    assert second.expires_at == first.expires_at
    assert rig.letters() == []


async def test_where_nobody_has_a_record_it_is_complete_after_the_last(rig: DurableRig) -> None:
    async with rig.running() as requester:
        first = await rig.ask(requester, "paper-a", "paper-b")
        await resolve(rig, first)
        await find_nothing(rig, first)
        await find(rig, first, "paper-b")
        _, second = await sent(rig, 2)
        await resolve(rig, second)
        await find_nothing(rig, second)
        *_, third = await sent(rig, 3)
        await resolve(rig, third)
        await rig.read()
        assert "case completed" not in await rig.done()
        await find_nothing(rig, third)
        nothing = ["case received paper-a no_record"] * 3
        await rig.until_done("case resolved", "case received paper-b True", *nothing, "case completed")
    assert third.follows is not None
    assert [one.provider for one in third.follows.asked] == ["tax-committee", "mia-migration"]
    assert [one.type for one in third.documents] == ["paper-a"]


async def test_the_last_answer_of_the_first_demand_may_come_after_the_next_holders(rig: DurableRig) -> None:
    async with rig.running() as requester:
        first = await rig.ask(requester, "paper-a", "paper-b")
        await resolve(rig, first)
        await find_nothing(rig, first)
        _, second = await sent(rig, 2)
        await resolve(rig, second)
        await find(rig, second)
        await rig.read()
        done = await rig.done()
        assert "case received paper-a True" in done
        assert "case completed" not in done
        await find(rig, first, "paper-b")
        await rig.until_done(*FIRST, "case received paper-a True", "case received paper-b True", "case completed")


async def test_an_answer_that_comes_twice_asks_once_and_a_correction_of_it_is_told(rig: DurableRig) -> None:
    async with rig.running() as requester:
        first = await rig.ask(requester)
        await resolve(rig, first)
        said = await find_nothing(rig, first)
        await find_nothing(rig, first)
        _, second = await sent(rig, 2)
        await resolve(rig, second)
        await rig.correct(first, demand_id(99), said)
        await rig.until_done(*FIRST, "case corrected paper-a True")
        await find(rig, second, has_debt=False)
        done = [*FIRST, "case corrected paper-a True", "case received paper-a False", "case completed"]
        await rig.until_done(*done)
    async with rig.running():
        await find_nothing(rig, first)
        await find(rig, second, has_debt=False)
        await rig.read()
    assert await rig.done() == done
    assert len(await sent(rig, 2)) == 2


async def test_a_next_holder_that_nobody_may_ask_any_more_ends_it(rig: DurableRig) -> None:
    async with rig.running() as requester:
        first = await rig.ask(requester)
        await resolve(rig, first)
        await find_nothing(rig, first)
        _, second = await sent(rig, 2)
        await resolve(rig, second, documents=(), refused="expired")
        await rig.until_done(*FIRST, "case completed")


async def test_what_the_next_holder_did_not_answer_in_time_is_undelivered_and_late_told(rig: DurableRig) -> None:
    async with rig.running() as requester:
        first = await rig.ask(requester)
        await resolve(rig, first)
        await find_nothing(rig, first)
        _, second = await sent(rig, 2)
        await resolve(rig, second)
        await rig.read()
        rig.now = first.expires_at + MARGIN
        await rig.until_done(*FIRST, "case completed without paper-a")
        await find(rig, second)
        await rig.until_done(*FIRST, "case completed without paper-a", "case late paper-a True")


async def test_a_first_paper_that_is_undelivered_is_said_with_the_end_of_the_next_holder(rig: DurableRig) -> None:
    async with rig.running() as requester:
        first = await rig.ask(requester, "paper-a", "paper-b")
        await resolve(rig, first)
        await find_nothing(rig, first)
        await sent(rig, 2)
        rig.now = first.expires_at + MARGIN
        await rig.until_done(*FIRST, "case completed without paper-b without paper-a")


async def test_who_wants_no_more_than_the_first_answer_asks_nobody_else(rig: DurableRig) -> None:
    async with rig.made(ask_next=False) as requester:
        task = asyncio.create_task(requester.run())
        first = await rig.ask(requester)
        await resolve(rig, first)
        await find_nothing(rig, first)
        await rig.until_done(*FIRST, "case completed")
        requester.stop()
        await task
    assert len(await sent(rig, 1)) == 1


async def test_a_system_that_dies_before_the_next_demand_is_sent_sends_it_when_it_is_back(rig: DurableRig) -> None:
    async with rig.made() as requester:
        task = asyncio.create_task(requester.run())
        first = await rig.ask(requester)
        await resolve(rig, first)
        rig.bus.faults.send = lambda record: (
            SendFault.NOT_WRITTEN if record.topic.startswith("demand.submitted") else None
        )
        await find_nothing(rig, first)
        await rig.until_done(*FIRST)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert len(await sent(rig, 1)) == 1
    rig.bus.faults.send = lambda _: None
    async with rig.running():
        _, second = await sent(rig, 2)
        await resolve(rig, second)
        await find(rig, second)
        await rig.until_done(*FIRST, "case received paper-a True", "case completed")


async def test_a_callback_that_fails_once_has_the_next_asked_once(rig: DurableRig) -> None:
    fails = iter([True, False, True, False])

    def hook(demand: Demand) -> None:
        if next(fails):
            raise RuntimeError

    rig.hook = hook
    async with rig.running() as requester:
        first = await rig.ask(requester)
        await resolve(rig, first)
        await find_nothing(rig, first)
        _, second = await sent(rig, 2)
        await rig.until_done(*FIRST)
        await resolve(rig, second)
        await find(rig, second)
        await rig.until_done(*FIRST, "case received paper-a True", "case completed")
    assert len(rig.bus.records(f"demand.submitted.{HET}")) == 2


async def test_what_is_kept_of_the_next_is_purged_with_the_demand(rig: DurableRig) -> None:
    async with rig.running() as requester:
        first = await rig.ask(requester)
        await resolve(rig, first)
        await find_nothing(rig, first)
        await sent(rig, 2)
        await rig.until_done(*FIRST)
    rig.now += KEPT + timedelta(days=1)
    async with rig.made() as requester:
        await requester.purge()
        async with rig.engine.connect() as connection:
            for table in ("chopar_following", "chopar_demand", "chopar_request"):
                assert (await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar() == 0


async def test_a_next_demand_that_no_broker_takes_leaves_the_first_open_no_longer_than_it_lives(
    rig: DurableRig,
) -> None:
    async with rig.running() as requester:
        first = await rig.ask(requester)
        await resolve(rig, first)
        layout = rig.bus.log.layouts[f"demand.submitted.{HET}"]
        rig.bus.log.layouts[layout.name] = replace(layout, settings={**layout.settings, "max.message.bytes": "10"})
        await find_nothing(rig, first)
        await rig.until_done(*FIRST)
        rig.now = first.expires_at + MARGIN
        await rig.until_done(*FIRST, "case completed without paper-a")
        assert await requester.waiting() == []


async def test_an_answer_that_the_application_fails_on_completes_nothing_beside_the_next_holders(
    rig: DurableRig,
) -> None:
    async with rig.made() as requester:

        @requester.receives("paper-c")
        async def fail(transaction: AsyncConnection, demand: Demand, delivered: Delivered) -> None:
            raise KeyError("a flaw of the application")

        first = await rig.ask(requester, "paper-a", "paper-c")
        await resolve(rig, first)
        await find_nothing(rig, first)
        await requester._handler.ready_for([newest(rig, RESOLVED, first), newest(rig, PROVIDED, first)])
        await requester.send_waiting()
        _, second = await sent(rig, 2)
        await resolve(rig, second)
        await find(rig, first, "paper-c")
        await find(rig, second)
        answers = [newest(rig, PROVIDED, first), newest(rig, PROVIDED, second)]
        await requester._handler.ready_for([newest(rig, RESOLVED, second), *answers])
        assert await rig.done() == [*FIRST, "case received paper-a True"]
        assert [one.document_type for one in await requester.waiting()] == ["paper-c"]


def newest(rig: DurableRig, topic: str, demand: Demand) -> Record:
    """The last record of a demand on a topic."""
    key = str(demand.demand_id).encode()
    return [one for one in rig.bus.records(topic, partition_of(key, PARTITIONS)) if one.key == key][-1]
