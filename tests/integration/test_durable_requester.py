"""An agency's system that acts on answers in its own database, with the real gateway and tax service behind the bus."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, MetaData, String, Table, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from chopar.bus.inbox import Inbox
from chopar.bus.memory import MemoryBus
from chopar.bus.port import Bus
from chopar.identifiers import PersonId
from chopar.messages.demand import Demand, DemandResolved
from chopar.requester.completion import Delivered
from chopar.requester.durable_requester import Completed, DurableRequester
from services.tax.model import DebtEntry
from tests.builders import PERSON, SECOND_PERSON
from tests.world import FAST, World, world

pytest_plugins = ["tests.postgres_fixture"]
pytestmark = pytest.mark.filterwarnings("ignore:Unclosed AIOKafka:ResourceWarning")

HET = "electricity-het"
CONTRACT = "electricity-supply-contract"
TAX_PAPER, CRIMINAL_PAPER = "tax-debt-certificate", "criminal-record-certificate"
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
