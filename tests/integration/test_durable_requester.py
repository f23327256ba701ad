"""An agency's system that acts on answers in its own database, with the real gateway and tax service behind the bus."""

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, MetaData, String, Table, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from chopar.bus.consume import ConsumeSettings
from chopar.bus.inbox import Inbox
from chopar.bus.memory import MemoryBus
from chopar.bus.port import Bus, Outgoing, Sent, TopicPartition
from chopar.identifiers import PersonId
from chopar.messages.demand import Demand, DemandedDocument, DemandResolved
from chopar.requester.completion import Delivered
from chopar.requester.durable_requester import Completed, DurableRequester
from chopar.requester.requester import subject
from chopar.topics import PARTITIONS
from services.tax.model import DebtEntry
from services.tax.store import SqlTaxStore
from tests.builders import PERSON, SECOND_PERSON
from tests.simulation.exchange import behind, quiet
from tests.world import FAST, World, world

pytest_plugins = ["tests.postgres_fixture"]
pytestmark = pytest.mark.filterwarnings("ignore:Unclosed AIOKafka:ResourceWarning")

HET = "electricity-het"
CONTRACT = "electricity-supply-contract"
TAX_PAPER, CRIMINAL_PAPER = "tax-debt-certificate", "criminal-record-certificate"
THOUSAND = 1000
NEVER = replace(FAST, commit_interval_seconds=3600)
"""What is done is acknowledged, and not committed before the process is killed."""
METADATA = MetaData()
# No key: what is done twice shows as two rows.
DONE = Table("done", METADATA, Column("what", String, nullable=False))


class Agency:
    """The system of an agency: it enters what it is told into a table of its own."""

    def __init__(self, here: World, url: str) -> None:
        self.here = here
        self.url = url
        self.engine = create_async_engine(url)

    async def create(self) -> None:
        async with self.engine.begin() as connection:
            await connection.run_sync(METADATA.create_all)

    async def done(self) -> list[str]:
        async with self.engine.connect() as connection:
            return sorted((await connection.execute(select(DONE.c.what))).scalars())

    def made(self, **more: Any) -> DurableRequester:
        here = self.here
        requester = DurableRequester(
            HET,
            here.bus,
            here.registry,
            Inbox(self.url),
            files=here.files,
            clock=here.clock,
            settings=FAST,
            look_seconds=0.05,
            **more,
        )

        @requester.resolved
        async def resolved(transaction: AsyncConnection, demand: Demand, resolution: DemandResolved) -> None:
            outcomes = ",".join(one.outcome for one in resolution.documents)
            await transaction.execute(insert(DONE), {"what": f"{demand.case_id} resolved {outcomes}"})

        @requester.receives(TAX_PAPER)
        async def receives(transaction: AsyncConnection, demand: Demand, delivered: Delivered) -> None:
            said = delivered.unavailable.code if delivered.unavailable else (delivered.evidence or {})["has_debt"]
            await transaction.execute(insert(DONE), {"what": f"{demand.case_id} received {said}"})

        @requester.completed
        async def completed(transaction: AsyncConnection, demand: Demand, ended: Completed) -> None:
            await transaction.execute(insert(DONE), {"what": f"{demand.case_id} completed {len(ended.undelivered)}"})

        return requester

    @contextlib.asynccontextmanager
    async def running(self, **more: Any) -> AsyncIterator[DurableRequester]:
        async with self.made(**more) as requester:
            task = asyncio.create_task(requester.run())
            try:
                yield requester
            finally:
                requester.stop()
                await task


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.broker)])
async def here(request: pytest.FixtureRequest, tmp_path: Path, kafka: Callable[[], Bus]) -> AsyncIterator[World]:
    bus: Bus = MemoryBus(lambda: time.time_ns() // 1_000_000) if request.param == "memory" else kafka()
    async with world(bus, tmp_path) as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
async def agency(request: pytest.FixtureRequest, here: World, tmp_path: Path) -> AsyncIterator[Agency]:
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    else:
        url = f"sqlite+aiosqlite:///{tmp_path}/agency.db"
    made = Agency(here, url)
    await made.create()
    yield made
    await made.engine.dispose()


async def test_what_is_demanded_is_acted_on_once(here: World, agency: Agency) -> None:
    await here.prepare()
    here.start_gateway()
    await here.start_tax({PersonId(PERSON): [DebtEntry("land", 5000)]})
    async with agency.running() as requester:
        for number, person in enumerate((PERSON, SECOND_PERSON)):
            await requester.submit(
                procedure=CONTRACT,
                subject=PersonId(person),
                documents=[TAX_PAPER, CRIMINAL_PAPER],
                case_id=f"case-{number}",
            )

        async def all_done() -> bool:
            return len(await agency.done()) == 6

        await here.eventually(all_done)
        assert await requester.waiting() == []
    assert await agency.done() == [
        "case-0 completed 0",
        "case-0 received True",
        "case-0 resolved fetch,not_needed",
        "case-1 completed 0",
        "case-1 received no_record",
        "case-1 resolved fetch,not_needed",
    ]


async def test_a_thousand_demands_fed_again_to_processes_that_lost_everything_have_a_thousand_effects(
    tmp_path: Path,
) -> None:
    """Gateway and holder are killed between acknowledgement and commit, half-way and at the end, and keep no disk."""
    bus = MemoryBus(lambda: time.time_ns() // 1_000_000)
    quiet()
    asked, asked_for = f"demand.submitted.{HET}", "evidence.requested.tax-committee"
    resolved, provided = f"demand.resolved.{HET}", f"evidence.provided.{HET}"
    async with world(bus, tmp_path) as here:

        async def begin(settings: ConsumeSettings = NEVER) -> None:
            here.start_gateway(settings=settings)
            await here.start_tax({PersonId(PERSON): [DebtEntry("land", 5000)]}, settings)

        async def lose_everything() -> None:
            await here.kill("gateway")
            await here.kill("tax-committee")
            for group, topic in (("gateway", asked), ("provider.tax-committee", asked_for)):
                assert not any(bus.group(group).committed.get(TopicPartition(topic, number)) for number in range(6))
            shutil.rmtree(here.home / "gateway")
            await here.store.close()
            for file in here.home.glob("tax.sqlite3*"):
                file.unlink()
            here.store = SqlTaxStore(f"sqlite:///{here.home / 'tax.sqlite3'}")

        async def provided_to(count: int) -> None:
            await here.eventually(lambda: asyncio.sleep(0, len(bus.records(provided)) >= count))

        async def committed(group: str, topic: str) -> bool:
            ends = bus.end_offsets([TopicPartition(topic, number) for number in range(6)])
            return all(bus.group(group).committed.get(place, 0) == end for place, end in ends.items())

        await here.prepare()
        agency = Agency(here, f"sqlite+aiosqlite:///{tmp_path}/agency.db")
        await agency.create()
        async with agency.running() as requester:
            await begin()
            made = [
                requester.compose(
                    procedure=CONTRACT,
                    subject=subject(PersonId((PERSON, SECOND_PERSON)[number % 2])),
                    documents=[DemandedDocument(type=TAX_PAPER)],
                    case_id=f"case-{number:04}",
                )
                for number in range(THOUSAND)
            ]
            await requester.submit_all(made[: THOUSAND // 2])
            await provided_to(1)
            await requester.submit_all(made[THOUSAND // 2 :])
            await lose_everything()  # in the middle of it
            await begin()
            await provided_to(THOUSAND)
            await lose_everything()  # with all of it said, and none of it committed
            producer = bus.producer("again")
            again = [Outgoing(one.topic, one.partition, one.key, one.value, one.headers) for one in bus.records(asked)]
            assert all(isinstance(sent, Sent) for sent in await producer.send(again))
            await begin(FAST)
            await here.eventually(lambda: committed("gateway", asked))
            await here.eventually(lambda: committed("provider.tax-committee", asked_for))
            await here.eventually(lambda: committed(f"requester.{HET}", provided))
            await here.eventually(lambda: committed(f"requester.{HET}", resolved))
            assert await requester.waiting() == []

    demanded = {str(one.demand_id).encode() for one in made}
    for topic, each in ((resolved, 1), (asked_for, 1), (provided, 1), ("exchange.recorded", 2)):
        ids: dict[bytes, set[bytes]] = {key: set() for key in demanded}
        for record in bus.records(topic):
            ids[record.key or b""].add(record.header("ce_id") or b"")
        assert {key for key, found in ids.items() if len(found) != each} == set(), topic
        assert len(set().union(*ids.values())) == each * THOUSAND, topic
        assert len(bus.records(topic)) >= 2 * each * THOUSAND, f"{topic}: nothing was said again"
    said = ("received True", "received no_record")
    due = [
        f"case-{number:04} {what}"
        for number in range(THOUSAND)
        for what in ("completed 0", said[number % 2], "resolved fetch")
    ]
    assert await agency.done() == due
    await agency.engine.dispose()


async def test_one_demand_in_two_partitions_is_answered_in_both_and_acted_on_once(tmp_path: Path) -> None:
    """A foreign client's partitioner puts the same record elsewhere: there it is a first record too."""
    bus = MemoryBus(lambda: time.time_ns() // 1_000_000)
    asked = f"demand.submitted.{HET}"
    async with world(bus, tmp_path) as here:
        await here.prepare()
        here.start_gateway()
        await here.start_tax({PersonId(PERSON): [DebtEntry("land", 5000)]})
        agency = Agency(here, f"sqlite+aiosqlite:///{tmp_path}/agency.db")
        await agency.create()
        async with agency.running() as requester:
            await requester.submit(procedure=CONTRACT, subject=PersonId(PERSON), documents=[TAX_PAPER], case_id="case")
            [demand] = bus.records(asked)
            elsewhere = (demand.partition + 1) % PARTITIONS
            await bus.producer("foreign").send([Outgoing(asked, elsewhere, demand.key, demand.value, demand.headers)])

            async def all_read() -> bool:
                groups = ("gateway", "provider.tax-committee", f"requester.{HET}")
                return all(behind(bus, group, topic) == 0 for group, topic in zip(groups, topics, strict=True))

            topics = (asked, "evidence.requested.tax-committee", f"evidence.provided.{HET}")
            await here.eventually(lambda: asyncio.sleep(0, len(bus.records(topics[2])) == 2))
            await here.eventually(all_read)
            assert await requester.waiting() == []
    resolved = bus.records(f"demand.resolved.{HET}")
    assert {record.partition for record in resolved} == {demand.partition, elsewhere}
    assert len({record.header("ce_id") for record in resolved}) == 2, "each is the first of its own partition"
    assert {record.partition for record in bus.records(topics[2])} == {demand.partition, elsewhere}
    assert await agency.done() == ["case completed 0", "case received True", "case resolved fetch"]
    await agency.engine.dispose()
