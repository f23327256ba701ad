"""A whole exchange in one process: gateway and tax service on a bus that is given, memory or Kafka."""

import asyncio
import contextlib
import gc
import time
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from chopar.avro import SchemaFiles
from chopar.bus.consume import ConsumeLoop, ConsumeSettings
from chopar.bus.port import Bus, Record, TopicPartition
from chopar.errors import ChoparError, UnavailableError
from chopar.identifiers import DataSubject, agency_id
from chopar.messages.demand import FetchMode
from chopar.messages.evidence import Evidence, TaxDebt
from chopar.provider.provider import RECORDS, Provider, ProviderHandler
from chopar.requester.requester import Requester
from chopar.schema_registry import Decoder, Encoder, InMemorySchemaRegistry
from chopar.topics import DEMAND_SUBMITTED, layouts
from gateway.activation import Activated, activate
from gateway.bundle import list_files
from gateway.handlers import GatewayHandler
from gateway.law_reader import LawReader
from services.tax.handlers import provider as tax_provider
from services.tax.model import DebtEntry, TaxAccount, Taxpayer
from services.tax.store import SqlTaxStore
from tests.standing import LISTS

AGENCIES = [agency_id(name) for name in ("electricity-het", "justice-notary", "tax-committee", "mia-migration")]
DEADLINE_SECONDS = 30.0
FAST = ConsumeSettings(retry_first_seconds=0.02, fetch_timeout_seconds=0.05)


def collect_what_was_killed() -> None:
    """A killed process closes no connection; here, where it was a task, nobody is to be warned of that later."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


async def _kept(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """As the process does: begun anew while the bus is away."""
    while True:
        try:
            await work()
        except UnavailableError:
            await asyncio.sleep(FAST.retry_first_seconds)


class World:
    """What runs, and where it lives.

    Args:
        bus: memory or Kafka.
        home: an empty folder.
        files: schemas to read and write with.
        clock: aware UTC time of agencies and operators; never the gateway's.
    """

    def __init__(
        self,
        bus: Bus,
        home: Path,
        files: SchemaFiles | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.bus = bus
        self.home = home
        self.files = files or SchemaFiles.shipped()
        self.clock = clock
        self.registry = InMemorySchemaRegistry(time.monotonic)
        self.store = SqlTaxStore(f"sqlite:///{home / 'tax.sqlite3'}")
        self.handlers: dict[str, ProviderHandler] = {}
        """Of the providers, by name."""
        self._tasks: dict[str, tuple[asyncio.Task[Any], ...]] = {}
        self._loops: dict[str, ConsumeLoop] = {}

    async def prepare(self, lists: Path = LISTS, **activation: Any) -> Activated:
        """Make topics, register schemas, activate lists."""
        admin = self.bus.admin()
        await admin.start()
        await admin.create(list(layouts(AGENCIES, AGENCIES)))
        await admin.stop()
        for record, text in self.files.texts.items():
            await self.registry.register(record, text)
        return await self.activate(lists, **activation)

    async def activate(self, lists: Path = LISTS, **activation: Any) -> Activated:
        """Bring lists into force."""
        fields: dict[str, Any] = {
            "home": self.home,
            "lists_folder": self.home / "lists",
            "fetch_mode": FetchMode.INFERRED,
            "lead_seconds": 6,
            "secret_version": 1,
            "activated_by": "test",
            "clock": self.clock,
        }
        return await activate(self.bus, self.registry, self.files, lists=list_files(lists), **{**fields, **activation})

    def start_gateway(
        self,
        name: str = "gateway",
        *,
        group: str = "gateway",
        settings: ConsumeSettings = FAST,
        bus: Bus | None = None,
        home: Path | None = None,
    ) -> None:
        """Start a gateway, in the one group of all, on the one bus and with the one home unless told otherwise."""
        bus, home = bus or self.bus, home or self.home
        law = LawReader(bus, self.files, home=home, lists_folder=home / "lists", instance=name)
        handler = GatewayHandler(bus, law, CollectorRegistry(), self.home / name)
        topics = [DEMAND_SUBMITTED.of(agency) for agency in AGENCIES]
        loop = ConsumeLoop(bus, group, topics, handler, settings=settings)
        self._start(name, loop, _kept(law.follow), _kept(law.mark))

    async def start_provider(
        self,
        provider: Provider,
        register: Any,
        evidence: Iterable[type[Evidence]],
        name: str | None = None,
        settings: ConsumeSettings = FAST,
    ) -> None:
        """Start an agency that answers."""
        encoder = Encoder(self.files, self.registry)
        await encoder.prepare(*RECORDS, *evidence)
        handler = self.handlers[name or provider.agency] = ProviderHandler(
            provider,
            register,
            encoder=encoder,
            decoder=Decoder(self.files, self.registry),
            secret=provider.agency.encode().ljust(32, b"."),
            clock=self.clock,
            metrics=CollectorRegistry(),
        )
        loop = ConsumeLoop(self.bus, provider.group, [provider.topic], handler, settings=settings)
        self._start(name or provider.agency, loop)

    async def start_tax(
        self, debts: Mapping[DataSubject, Iterable[DebtEntry]] | None = None, settings: ConsumeSettings = FAST
    ) -> None:
        """Start the real tax service on its real register; those who are named are taxpayers."""
        accounts = [
            TaxAccount(Taxpayer(subject, datetime(2020, 1, 1, tzinfo=UTC).date()), tuple(owed))
            for subject, owed in (debts or {}).items()
        ]
        await self.store.create_schema()
        await self.store.seed(accounts)
        await self.start_provider(tax_provider, self.store, [TaxDebt], settings=settings)

    def _start(self, name: str, loop: ConsumeLoop, *more: Any) -> None:
        self._loops[name] = loop
        self._tasks[name] = (asyncio.create_task(loop.run()), *(asyncio.create_task(task) for task in more))

    async def stop(self, name: str) -> None:
        """Let one finish what it holds, and end it."""
        self._loops.pop(name).stop()
        running, *more = self._tasks.pop(name)
        await running
        for task in more:
            task.cancel()
        await asyncio.gather(*more, return_exceptions=True)

    async def kill(self, name: str) -> None:
        """End one where it stands."""
        await self._end(name)
        collect_what_was_killed()

    async def _end(self, name: str) -> None:
        self._loops.pop(name)
        tasks = self._tasks.pop(name)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def works(self, name: str) -> bool:
        """Whether one has neither ended by itself nor waits for anything."""
        return not self.ended(name) and not self._loops[name].missing()

    def missing(self, name: str) -> dict[str, str]:
        """What one waits for, by code."""
        return self._loops[name].missing()

    def ended(self, name: str) -> bool:
        """Whether one has ended by itself."""
        return self._tasks[name][0].done()

    @property
    def running(self) -> frozenset[str]:
        """The names of those that run."""
        return frozenset(self._tasks)

    async def close(self) -> None:
        """End all."""
        for name in list(self._tasks):
            await self._end(name)
        await self.store.close()
        collect_what_was_killed()

    def requester(self, agency: str, *, ahead: timedelta = timedelta(0)) -> Requester:
        """An agency that asks, whose clock may be wrong."""
        return Requester(agency, self.bus, self.registry, files=self.files, clock=lambda: self.clock() + ahead)

    async def records(self, topic: str, partitions: int = 6) -> list[Record]:
        """Everything on a topic up to its present end."""
        places = [TopicPartition(topic, number) for number in range(partitions)]
        reader = self.bus.reader(dict.fromkeys(places))
        await reader.start()
        try:
            ends = await reader.end_offsets(places)
            found: list[Record] = []
            while any(reader.position(place) < end for place, end in ends.items()):
                for records in (await reader.fetch(1000, 0.5)).values():
                    found += records
            return found
        finally:
            await reader.stop()

    async def eventually(self, condition: Callable[[], Any]) -> Any:
        """Wait until an asynchronous condition gives something true."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                with contextlib.suppress(ChoparError):
                    found = await condition()
                    if found:
                        return found
                await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def world(bus: Bus, home: Path, **more: Any) -> AsyncIterator[World]:
    """A world that ends with the context."""
    made = World(bus, home, **more)
    try:
        yield made
    finally:
        await made.close()
