"""A durable asker on the in-memory bus with its application's table; the test plays the other side of its topics."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from prometheus_client import CollectorRegistry
from sqlalchemy import Column, MetaData, String, Table, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from chopar.avro import SchemaFiles
from chopar.bus.consume import ConsumeSettings
from chopar.bus.dead_letter import read_dead_letter
from chopar.bus.inbox import Inbox
from chopar.bus.memory import MemoryBus
from chopar.bus.port import Outgoing, Record, partition_of
from chopar.identifiers import PersonId, agency_id
from chopar.messages.demand import Demand, DemandedDocument, DemandResolved, FetchMode, Outcome, PersonMayBeAsked
from chopar.messages.dispute import EvidenceCorrected, EvidenceUpheld
from chopar.messages.evidence import EvidenceProvided, EvidenceUnavailable, TaxDebt, UnavailableCode
from chopar.messages.record import Message
from chopar.requester.completion import Delivered, Upheld
from chopar.requester.durable_requester import Completed, DurableRequester
from chopar.requester.requester import subject
from chopar.schema_registry import Encoder, InMemorySchemaRegistry
from chopar.topics import PARTITIONS, layouts
from tests.builders import NOW, PERSON

HET = agency_id("electricity-het")
RESOLVED, PROVIDED = f"demand.resolved.{HET}", f"evidence.provided.{HET}"
FILES = SchemaFiles.shipped()
DEADLINE_SECONDS = 20.0
FAST = ConsumeSettings(
    retry_first_seconds=0.01,
    retry_most_seconds=0.05,
    fetch_timeout_seconds=0.02,
    commit_interval_seconds=0.01,
    restarts=1_000,  # a broker that is away for a test's moment ends no run, however slow the machine is
)
METADATA = MetaData()
# No key: what is done twice shows as two rows.
DONE = Table("done", METADATA, Column("what", String, nullable=False))


class DurableRig:
    """The asker, its database, and what others say to it.

    Args:
        home: an empty folder.
        url: of the database; a file in the folder by default.
    """

    def __init__(self, home: Path, url: str | None = None) -> None:
        self.now = NOW
        self.monotonic = 0.0
        self.url = url or f"sqlite+aiosqlite:///{home}/agency.db"
        self.bus = MemoryBus(lambda: round(self.now.timestamp() * 1000))
        self.registry = InMemorySchemaRegistry(lambda: self.monotonic)
        self.encoder = Encoder(FILES, self.registry)
        self.metrics = CollectorRegistry()
        self.engine = create_async_engine(self.url)
        self.others = self.bus.producer("others")
        self.hook: Callable[[Demand], None] = lambda demand: None
        """Called in every `receives`, behind its row."""

    async def start(self) -> None:
        await self.bus.admin().create(list(layouts([HET], [HET])))
        for name, text in FILES.texts.items():
            await self.registry.register(name, text)
        await self.encoder.prepare(*FILES.texts)
        async with self.engine.begin() as connection:
            await connection.run_sync(METADATA.create_all)

    def made(self, settings: ConsumeSettings = FAST, **more: Any) -> DurableRequester:
        """A process of the agency: it writes down what it is told."""
        self.metrics = CollectorRegistry()
        requester = DurableRequester(
            HET,
            self.bus,
            self.registry,
            Inbox(self.url),
            files=FILES,
            clock=lambda: self.now,
            settings=settings,
            metrics=self.metrics,
            look_seconds=0.02,
            **more,
        )

        async def note(transaction: AsyncConnection, what: str) -> None:
            await transaction.execute(insert(DONE), {"what": what})

        @requester.resolved
        async def resolved(transaction: AsyncConnection, demand: Demand, resolution: DemandResolved) -> None:
            await note(transaction, f"{demand.case_id} resolved")

        @requester.receives("paper-a", "paper-b")
        async def receives(transaction: AsyncConnection, demand: Demand, delivered: Delivered) -> None:
            said = delivered.unavailable.code if delivered.unavailable else (delivered.evidence or {})["has_debt"]
            kind = "corrected" if delivered.supersedes else "late" if delivered.late else "received"
            await note(transaction, f"{demand.case_id} {kind} {delivered.document.document_type} {said}")
            self.hook(demand)

        @requester.upheld
        async def upheld(transaction: AsyncConnection, demand: Demand, told: Upheld) -> None:
            await note(transaction, f"{demand.case_id} upheld {told.document.document_type}")

        @requester.completed
        async def completed(transaction: AsyncConnection, demand: Demand, ended: Completed) -> None:
            undelivered = "".join(f" without {one.document_type}" for one in ended.undelivered)
            await note(transaction, f"{demand.case_id} completed{undelivered}")

        return requester

    @contextlib.asynccontextmanager
    async def running(self, settings: ConsumeSettings = FAST) -> AsyncIterator[DurableRequester]:
        """A process that ends well."""
        async with self.made(settings) as requester:
            task = asyncio.create_task(requester.run())
            try:
                yield requester
            finally:
                requester.stop()
                await task

    async def ask(self, requester: DurableRequester, *papers: str, case_id: str = "case", **more: Any) -> Demand:
        """Submit a demand."""
        demand = requester.compose(
            procedure="some-procedure",
            subject=subject(PersonId(PERSON)),
            documents=[DemandedDocument(type=paper) for paper in papers or ("paper-a",)],
            case_id=case_id,
            **more,
        )
        await requester.submit_all([demand])
        return demand

    async def put(self, topic: str, demand_id: UUID, value: Message | bytes, ce_time: str | None = None) -> Record:
        """Others write a record; where it lies."""
        key = str(demand_id).encode()
        raw = value if isinstance(value, bytes) else self.encoder.encode(value)
        place = partition_of(key, PARTITIONS)
        headers = () if ce_time is None else (("ce_time", ce_time.encode()),)
        await self.others.send([Outgoing(topic, place, key, raw, headers)])
        return self.bus.records(topic, place)[-1]

    async def resolve(self, demand: Demand, *, due: datetime | None = None, **changes: Any) -> Record:
        """The gateway says that all is fetched."""
        value = self.encoder.encode(demand)
        documents = [
            {
                "document_type": document.type,
                "outcome": Outcome.FETCH,
                "code": "ground",
                "person_may_be_asked": PersonMayBeAsked.NO,
                "next_step": "wait",
                "provider": "tax-committee",
                "evidence_type": "tax-debt",
                "fields": ("has_debt",),
                "request_id": request_id(demand, document.type),
                "due": due,
            }
            for document in demand.documents
        ]
        message = DemandResolved.from_avro(
            {
                "demand_id": demand.demand_id,
                "demand_digest": hashlib.sha256(value).digest(),
                "requester": HET,
                "received_at": NOW,
                "on": NOW.date(),
                "list_digest": "digest",
                "fetch_mode": FetchMode.INFERRED,
                "rules_number": 1,
                "documents": documents,
                "expires_at": demand.expires_at,
                **changes,
            }
        )
        return await self.put(RESOLVED, demand.demand_id, message)

    async def provide(
        self,
        demand: Demand,
        paper: str = "paper-a",
        *,
        has_debt: bool = True,
        as_of: datetime = NOW,
        ce_time: str | None = None,
        **changes: Any,
    ) -> bytes:
        """A provider answers; gives the digest by which a correction names this answer."""
        evidence = TaxDebt(has_debt=has_debt, fields_given=("has_debt",), source_register="register", as_of=as_of)
        message = EvidenceProvided.from_avro(
            {
                "request_id": request_id(demand, paper),
                "demand_id": demand.demand_id,
                "provider": "tax-committee",
                "requester": HET,
                "evidence_type": "tax-debt",
                "final": True,
                "nonce": b"n" * 32,
                "body": self.encoder.encode(evidence),
                **changes,
            }
        )
        await self.put(PROVIDED, demand.demand_id, message, ce_time)
        return hashlib.sha256(message.nonce + message.body).digest()

    async def correct(
        self,
        demand: Demand,
        correction_id: UUID,
        supersedes: bytes | None = None,
        paper: str = "paper-a",
        *,
        has_debt: bool = True,
        **changes: Any,
    ) -> bytes:
        """A provider corrects; gives the digest of its answer."""
        evidence = TaxDebt(has_debt=has_debt, fields_given=("has_debt",), source_register="register", as_of=NOW)
        message = EvidenceCorrected.from_avro(
            {
                "request_id": request_id(demand, paper),
                "demand_id": demand.demand_id,
                "provider": "tax-committee",
                "requester": HET,
                "evidence_type": "tax-debt",
                "correction_id": correction_id,
                "nonce": b"n" * 32,
                "supersedes": supersedes,
                "body": self.encoder.encode(evidence),
                **changes,
            }
        )
        await self.put(PROVIDED, demand.demand_id, message)
        return hashlib.sha256(message.nonce + message.body).digest()

    async def uphold(self, demand: Demand, dispute_id: UUID, upholds: bytes, paper: str = "paper-a") -> None:
        """A provider stands by its answer."""
        message = EvidenceUpheld.from_avro(
            {
                "request_id": request_id(demand, paper),
                "demand_id": demand.demand_id,
                "provider": "tax-committee",
                "requester": HET,
                "evidence_type": "tax-debt",
                "dispute_id": dispute_id,
                "upholds": upholds,
            }
        )
        await self.put(PROVIDED, demand.demand_id, message)

    async def defer(self, demand: Demand, promised_at: datetime) -> None:
        """A provider promises an answer for later."""
        later = EvidenceUnavailable(
            code=UnavailableCode.DEFERRED, promised_at=promised_at, source_register="register", as_of=NOW
        )
        await self.provide(demand, body=self.encoder.encode(later), final=False)

    async def done(self) -> list[str]:
        """What the application did, in order."""
        async with self.engine.connect() as connection:
            return list((await connection.execute(select(DONE.c.what))).scalars())

    async def until_done(self, *expected: str) -> None:
        """Wait until the application has done this and no more."""
        found: list[str] = []
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                while sorted(found := await self.done()) != sorted(expected):
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"done: {found}; expected: {list(expected)}") from None

    async def read(self) -> None:
        """Wait until everything that lies there is done with: committed, or a dead letter."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while self.behind():
                await asyncio.sleep(0.01)

    def behind(self) -> int:
        """How many records are not committed."""
        committed = self.bus.group(f"requester.{HET}").committed
        ends = {
            place: part.shown for place, part in self.bus.log.partitions.items() if place.topic in (RESOLVED, PROVIDED)
        }
        return sum(end - committed.get(place, 0) for place, end in ends.items())

    def letters(self) -> list[tuple[str, str]]:
        """Topic and code of all dead letters."""
        found = [read_dead_letter(one)[0] for topic in (RESOLVED, PROVIDED) for one in self.bus.records(f"{topic}.dlq")]
        return [(letter.topic.removesuffix(f".{HET}"), letter.code) for letter in found]

    def counted(self, outcome: str) -> float:
        """How many answers came to this, in the present process."""
        return self.metrics.get_sample_value("chopar_answers_total", {"outcome": outcome}) or 0.0

    async def close(self) -> None:
        await self.engine.dispose()


def request_id(demand: Demand, paper: str) -> bytes:
    """What only gateway, provider and asker know."""
    return hashlib.sha256(f"{demand.demand_id} {paper}".encode()).digest()
