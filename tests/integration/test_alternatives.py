"""A paper that several holders may prove, the whole way: who has no record is followed by the next, by itself."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection
from pathlib import Path
from typing import Any

import pytest

from chopar.bus.memory import MemoryBus
from chopar.bus.port import Bus
from chopar.cli.demand_followings import followings_of
from chopar.cli.demand_list import recent
from chopar.cli.demand_list import to_text as list_text
from chopar.cli.demand_trace import hops_of
from chopar.cli.demand_trace import to_json as trace_json
from chopar.cli.demand_trace import to_text as trace_text
from chopar.cli.output import Table
from chopar.identifiers import PersonId
from chopar.messages.demand import Demand, DemandResolved
from chopar.messages.evidence import EvidenceRequested, TaxDebt
from chopar.messages.exchange import ExchangeRecorded
from chopar.provider.provider import NoRecord, Provider, subject_of
from chopar.requester.completion import Delivered
from chopar.requester.requester import Event, Exchange, Requester
from chopar.schema_registry import Decoder
from tests.alternative_lists import FIRST, ORDER, PAPER, SECOND, THIRD, with_alternatives, written_to
from tests.builders import PERSON, SECOND_PERSON
from tests.edited_lists import Files
from tests.world import DEADLINE_SECONDS, World, world

pytestmark = pytest.mark.filterwarnings("ignore:Unclosed AIOKafka:ResourceWarning")

HET = "electricity-het"
Place = tuple[str, str]


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[World]:
    async with world(MemoryBus(lambda: time.time_ns() // 1_000_000), tmp_path) as made:
        yield made


def holder(place: Place, known: Collection[str]) -> Provider:
    """An agency that knows some people, none of whom owes anything."""
    provider = Provider(place[0], register=f"register of {place[0]}")

    @provider.answers(place[1])
    async def answer(request: EvidenceRequested, register: Any) -> TaxDebt | NoRecord:
        if subject_of(request).text not in known:
            return NoRecord("from 2020")
        return TaxDebt(has_debt=False, source_register=place[0], as_of=request.as_of)

    return provider


async def start(here: World, known: dict[Place, Collection[str]], files: Files | None = None) -> None:
    """Gateway and holders by lists in which the paper has alternatives."""
    folder = written_to(here.home / "given", files or with_alternatives())
    await here.eventually(lambda: here.prepare(folder))  # on a busy machine new topics take their time
    here.start_gateway()
    for place in ORDER:
        await here.start_provider(holder(place, known.get(place, ())), None, [TaxDebt])


async def ask(requester: Requester, person: str = PERSON) -> Exchange:
    return await requester.demand(
        procedure="electricity-supply-contract", subject=PersonId(person), documents=[PAPER], case_id="case 7"
    )


async def follow(exchange: Exchange) -> list[Event]:
    async with asyncio.timeout(DEADLINE_SECONDS), exchange:
        return [event async for event in exchange]


def told(events: list[Event]) -> list[tuple[str | None, str]]:
    """Who answered, and what."""
    found = []
    for event in events:
        assert isinstance(event, Delivered | DemandResolved)
        if isinstance(event, Delivered):
            said = event.unavailable.code.value if event.unavailable else f"debt {(event.evidence or {})['has_debt']}"
            found.append((event.document.provider, said))
    return found


async def sent(here: World) -> list[Demand]:
    decoder = Decoder(here.files, here.registry)
    records = await here.records(f"demand.submitted.{HET}")
    return [await decoder.message(record.value or b"", Demand) for record in records]


async def has_leaders(here: World) -> bool:
    """Whether the topics of answers can be read."""
    for topic in ("demand.resolved", "evidence.provided"):
        await here.records(f"{topic}.{HET}")
    return True


async def told_by_the_second(here: World) -> None:
    """The first has no record, the second has."""
    await start(here, {SECOND: [PERSON], THIRD: [PERSON]})
    await here.eventually(lambda: has_leaders(here))
    async with here.requester(HET) as requester:
        exchange = await ask(requester)
        events = await follow(exchange)
    assert [type(event) for event in events] == [DemandResolved, Delivered, Delivered]
    assert told(events) == [(FIRST[0], "no_record"), (SECOND[0], "debt False")]
    first, second = sorted(await sent(here), key=lambda demand: demand.follows is not None)
    assert exchange.complete
    assert first == exchange.demand
    assert second.follows is not None
    assert second.follows.demand_id == first.demand_id
    assert [(one.provider, one.evidence_type) for one in second.follows.asked] == [FIRST]
    assert (second.case_id, second.subject, second.expires_at) == (first.case_id, first.subject, first.expires_at)
    delivered = [event for event in events if isinstance(event, Delivered)]
    assert [event.followed_by for event in delivered] == [second.demand_id, None]
    assert [event.asked_by for event in delivered] == [None, second.demand_id]


async def shown_together(here: World) -> None:
    """`demand trace` and `demand list` say of each of the two that it belongs to the other."""
    first, second = (one.demand_id for one in sorted(await sent(here), key=lambda one: one.follows is not None))
    for asked in (first, second):
        follows = await followings_of(asked, here.bus, here.registry)
        assert follows == {first: None, second: first}
        hops = [hop for one in follows for hop in await hops_of(one, here.bus)]
        printed = trace_json(asked, hops, follows)
        assert (printed["follows"], printed["followed_by"]) == (
            (None, [str(second)]) if asked == first else (str(first), [])
        )
        tables = [part for part in trace_text(hops, follows) if isinstance(part, Table)]
        assert [str(first) in table.title for table in tables] == [True, True]
        assert [len(list(table.rows)) for table in tables] == [6, 6]
    listed = await recent(here.bus, here.registry, None, 20, here.clock())
    assert {one.demand_id: one.follows for one in listed} == {first: None, second: first}
    [table] = list_text(listed)
    assert isinstance(table, Table)
    assert table.columns[-1] == "follows"


@pytest.mark.broker
async def test_who_has_no_record_is_followed_by_the_next_on_a_real_broker(
    tmp_path: Path, kafka: Callable[[], Bus]
) -> None:
    async with world(kafka(), tmp_path) as here:
        await told_by_the_second(here)


async def test_who_has_no_record_is_followed_by_the_next_and_the_log_says_whom_it_follows(here: World) -> None:
    await told_by_the_second(here)
    decoder = Decoder(here.files, here.registry)
    records = [
        await decoder.message(record.value or b"", ExchangeRecorded)
        for record in await here.records("exchange.recorded")
    ]
    follows = [one.resolution.follows for one in records if one.resolution is not None]
    [named] = [one for one in follows if one is not None]
    first = next(one for one in await sent(here) if one.follows is None)
    assert named.demand_id == first.demand_id
    await shown_together(here)
    accesses = sorted(one.access.provider for one in records if one.access is not None)
    assert accesses == sorted([FIRST[0], SECOND[0]]), "the third was never asked"


async def test_where_nobody_has_a_record_the_last_answer_stands(here: World) -> None:
    await start(here, {FIRST: [SECOND_PERSON]})
    async with here.requester(HET) as requester:
        events = await follow(await ask(requester))
        assert told(events) == [(place[0], "no_record") for place in ORDER]
        last = events[-1]
        assert isinstance(last, Delivered)
        assert last.followed_by is None
        assert last.evidence is None
        assert last.unavailable is not None
        assert last.unavailable.register_coverage == "from 2020"
        assert told(await follow(await ask(requester, SECOND_PERSON))) == [(FIRST[0], "debt False")]
    assert len(await sent(here)) == 3 + 1


async def test_a_first_holder_that_is_not_connected_is_not_waited_for(here: World) -> None:
    await start(here, {SECOND: [PERSON]}, with_alternatives(connected=[SECOND, THIRD]))
    async with here.requester(HET) as requester:
        assert told(await follow(await ask(requester))) == [(SECOND[0], "debt False")]
        assert told(await follow(await ask(requester, SECOND_PERSON))) == [
            (SECOND[0], "no_record"),
            (THIRD[0], "no_record"),
        ]


async def test_who_wants_no_more_than_the_first_answer_asks_nobody_else(here: World) -> None:
    await start(here, {SECOND: [PERSON]})
    async with Requester(HET, here.bus, here.registry, files=here.files, ask_next=False) as requester:
        events = await follow(await ask(requester))
    assert told(events) == [(FIRST[0], "no_record")]
    assert isinstance(events[-1], Delivered)
    assert events[-1].followed_by is None
    assert len(await sent(here)) == 1


async def test_the_same_demand_again_is_followed_by_the_same(here: World) -> None:
    await start(here, {THIRD: [PERSON]})
    async with here.requester(HET) as requester:
        exchange = await ask(requester)
        first = await follow(exchange)
    async with here.requester(HET) as requester:
        again = await follow(await requester.send(exchange.demand))
    assert (
        told(first)
        == told(again)
        == [
            (FIRST[0], "no_record"),
            (SECOND[0], "no_record"),
            (THIRD[0], "debt False"),
        ]
    )
    records = await here.records(f"demand.submitted.{HET}")
    assert len(records) == 6
    assert len({(record.key, record.value) for record in records}) == 3, "each is the same to the byte"
