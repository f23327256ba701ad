"""One exchange under everything that a seed can do to it, in virtual time on the in-memory bus.

Two gateways and two tax providers share their partitions, are killed, expelled while they work (zombies) and started
again; sends and commits fail, written or not, or a group's commits are not answered for a while; records are held back,
the bus is away; demands come twice, late and in any order, and some records are none. In the end one undisturbed
gateway and one undisturbed provider read the same log.
"""

import asyncio
import hashlib
import random
from collections.abc import Callable, Coroutine, Mapping
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

from prometheus_client import CollectorRegistry

from chopar.avro import encode_body, frame
from chopar.avro.canonical import canonical_form
from chopar.bus.consume import ConsumeLoop, ConsumeMetrics, ConsumeSettings, Handler
from chopar.bus.memory import MemoryBus, SendFault
from chopar.bus.port import Outgoing, Sent, TopicPartition, partition_of
from chopar.errors import UnavailableError
from chopar.identifiers import agency_id
from chopar.messages.demand import Demand
from chopar.messages.dispute import EvidenceDisputed
from chopar.messages.evidence import TaxDebt
from chopar.messages.law import ListActivated
from chopar.provider.answer_messages import AnswerMessages
from chopar.provider.evidence_body import EvidenceBodies
from chopar.provider.provider import RECORDS, ProviderHandler
from chopar.schema_registry import Decoder, Encoder, InMemorySchemaRegistry
from chopar.topics import layouts
from gateway.answer import Cause
from gateway.handlers import GatewayHandler
from gateway.law_reader import PARTITION as LAW
from gateway.law_reader import LawReader
from gateway.rendering import Renderings
from gateway.standing import Standing
from services.tax.handlers import provider as tax_provider
from services.tax.model import TaxAccount, Taxpayer
from services.tax.store import DictTaxStore
from tests.builders import NOW, NOW_MS, PERSON, SECOND_PERSON, demand, demand_id
from tests.simulation.exchange import (
    DEBTS,
    DEMANDS,
    GATEWAY,
    HET,
    PAPERS,
    PROVIDED,
    REQUESTS,
    RESOLVED,
    SPOKEN,
    TAX,
    behind,
    dispute_of,
    quiet,
    said,
)
from tests.simulation.rules import BAD, Rules
from tests.simulation.virtual_time import run_virtually
from tests.standing import FILES, IDS, SECRET, activation, bundle

MOST_DEMANDS = 20
USUAL_DEMANDS = 3
LONGEST_SECONDS = 600.0
"""Virtual: an exchange that is not done by then hangs."""
LEAD_SECONDS = 6
NOWHERE = Path("/nowhere")
METRICS = ConsumeMetrics()
NAMES = ("gateway-1", "gateway-2", "tax-1", "tax-2")
LONG_RUNNING = "gateway-1"
"""Answers by what it remembers. Its fellow and the undisturbed one are new and answer the plain way: so the two ways
stand against each other in every seed."""
HELD = [LAW, *(TopicPartition(topic, number) for topic in (DEMANDS, *SPOKEN) for number in range(6))]


@cache
def held() -> tuple[ListActivated, Standing]:
    """The one law of all seeds, read once a process."""
    files = bundle()
    message = activation(files, lead_seconds=LEAD_SECONDS)
    return message, Standing(message, files, SECRET)


@cache
def registered() -> InMemorySchemaRegistry:
    """The one schema registry of all seeds: nothing unknown is asked of it, so it never changes."""
    made = InMemorySchemaRegistry(lambda: 0.0)
    others = sorted(set(FILES.texts) - set(IDS))
    for number, record in enumerate([*sorted(IDS, key=IDS.__getitem__), *others], start=1):
        content = canonical_form(FILES.texts[record])
        made._texts[number] = FILES.texts[record]
        made._ids[content] = number
        made._versions[record] = [content]
    return made


@cache
def codec() -> tuple[Encoder, Decoder, AnswerMessages, EvidenceBodies]:
    """What all providers of all seeds write and read with: all that these keep is of the one schema registry."""
    encoder = Encoder(FILES, registered())
    return encoder, Decoder(FILES, registered()), AnswerMessages(encoder, tax_provider.agency), EvidenceBodies(encoder)


@cache
def demand_records() -> list[Outgoing]:
    """The demands from which seeds choose."""
    made: list[Outgoing] = []
    for number in range(60):
        papers = [PAPERS[(number + more) % len(PAPERS)] for more in range(1 + number % 3)]
        asked = demand(
            demand_id=demand_id(number + 1),
            case_id=f"case-{number}",
            subject={"kind": "person", "id": [PERSON, SECOND_PERSON][number % 2]},
            documents=tuple({"type": paper} for paper in papers),
        )
        key = str(asked.demand_id).encode()
        value = frame(IDS[Demand.RECORD], encode_body(FILES.parsed(Demand.RECORD), asked))
        made.append(Outgoing(DEMANDS, partition_of(key, 6), key, value))
    return made


@cache
def remembered() -> Renderings:
    """What a gateway that has answered all these demands before remembers of how they are answered."""
    made = Renderings(held()[1])
    for record in demand_records() * 2:
        key, value = record.key or b"", record.value or b""
        made.answer(Cause(DEMANDS, record.partition, 0, NOW_MS, agency_id(HET), UUID(key.decode()), value, None))
    return made


@cache
def dispute_records() -> dict[bytes | None, Outgoing]:
    """A dispute of each of these demands that the tax committee is asked for, by the demand's key."""
    made = (dispute_of(record, IDS[EvidenceDisputed.RECORD]) for record in demand_records())
    return {record.key: record for record in made if record is not None}


class Simulation:
    """The exchange of one seed; `run` gives what is wrong, or nothing."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._objects = random.Random(~seed)  # apart, so that a seed stays what it was
        self._more = random.Random(f"{seed} more")  # the same
        self._virtual: Callable[[], float] = lambda: 0.0
        self.bus = MemoryBus(self._now_ms, send_timeout_seconds=2.0)
        self._tasks: dict[str, list[asyncio.Task[None]]] = {}
        self._acknowledged: set[bytes | None] = set()
        self._rules = Rules(self.bus)

    def _now_ms(self) -> int:
        return NOW_MS + int(self._virtual() * 1000)

    def _now(self) -> datetime:
        return NOW + timedelta(seconds=self._virtual())

    async def run(self) -> str:
        """Run it."""
        self._virtual = asyncio.get_running_loop().time
        await self._prepare()
        async with asyncio.timeout(LONGEST_SECONDS):
            await asyncio.gather(self._feed(), self._disturb())
            for name in NAMES:
                self._start(name)
            await self._settled(GATEWAY, TAX)
            disturbed, before = said(self.bus), self._places()
            self._start("gateway-3", group="undisturbed")
            await self._settled("undisturbed", TAX)
            self._start("tax-3", group="undisturbed.tax")
            await self._settled("undisturbed", TAX, "undisturbed.tax")
        every = said(self.bus)
        alone = {
            record.header("ce_id")
            for place, count in self._places().items()
            for record in self.bus.records(*place)[before[place] : count]
        }
        ids = {topic: self._ids_by_key(topic) for topic in SPOKEN}
        demanded = {record.key for record in self.bus.records(DEMANDS)} - {BAD.key}
        answered = {record.key for record in self.bus.records(RESOLVED)}
        fetched = {record.key for record in self.bus.records(REQUESTS)}
        provided = {record.key for record in self.bus.records(PROVIDED)}
        wrong: dict[str, set[Any]] = {
            "acknowledged and not in the log": self._acknowledged - demanded,
            "not answered": demanded - answered,
            "answered twice": {key for key, found in ids[RESOLVED].items() if len(found) > 1},
            "asked for and not provided": fetched - provided,
            "not one answer a request": {k for k in fetched if len(ids[REQUESTS][k]) != len(ids[PROVIDED].get(k, ()))},
            "two contents under one id": {ce_id for ce_id, copies in every.items() if len(copies) > 1},
            "said by the undisturbed alone": alone - set(disturbed),
            "not said by the undisturbed": set(disturbed) - alone,
            **self._rules.broken(),
        }
        return "; ".join(f"{what}: {len(found)}" for what, found in wrong.items() if found)

    async def _prepare(self) -> None:
        admin = self.bus.admin()
        await admin.create(list(layouts([agency_id(HET)], [agency_id("tax-committee")])))
        message, _ = held()
        body = encode_body(FILES.parsed(ListActivated.RECORD), message)
        value = frame(IDS[ListActivated.RECORD], body)
        self.bus.log.append(Outgoing(LAW.topic, LAW.partition, b"first", value))

    async def _feed(self) -> None:
        chance, producer = self._chance, self.bus.producer("feeder")
        # Few more often than many: what goes wrong does so between a handful, and three times as many seeds run.
        count = min(MOST_DEMANDS, 1 + int(chance.expovariate(1 / USUAL_DEMANDS)))
        records = chance.sample(demand_records(), count)
        if self._more.random() < 0.2:
            records.insert(0, BAD._replace(partition=self._more.randrange(6)))
        while records:
            some = [records.pop() for _ in range(min(len(records), chance.randrange(1, 6)))]
            for record, result in zip(some, await producer.send(some), strict=True):
                if isinstance(result, Sent):
                    self._acknowledged |= {record.key} - {BAD.key}
                    dispute = dispute_records().get(record.key)
                    if dispute is not None and record is not dispute and self._objects.random() < 0.3:
                        records.insert(0, dispute)
                if not isinstance(result, Sent) or chance.random() < 0.2:
                    records.insert(chance.randrange(len(records) + 1), record)  # once more, some time
            await asyncio.sleep(chance.random())

    async def _disturb(self) -> None:
        chance, bus = self._chance, self.bus
        lost, doubled, uncommitted = (chance.choice((0.0, 0.02, 0.2)) for _ in range(3))
        fault = chance.random

        def send(record: Outgoing) -> SendFault | None:
            drawn = fault()
            return SendFault.NOT_WRITTEN if drawn < lost else SendFault.WRITTEN if drawn < lost + doubled else None

        bus.faults.send = send

        def commit(group: str, offsets: Mapping[TopicPartition, int]) -> bool:
            self._rules.commit(group, offsets)
            return fault() < uncommitted

        bus.faults.commit = commit
        for _ in range(chance.randrange(5, 25)):
            name = chance.choice(NAMES)
            match chance.randrange(8):
                case 0 | 1 | 2:
                    self._start(name)
                case 3:
                    await self._kill(name)
                case 4:
                    members = bus.members(chance.choice((GATEWAY, TAX)))
                    if members:
                        await bus.expel(chance.choice(members))
                case 5:
                    bus.hold(chance.choice(HELD))
                case 6:
                    place = chance.choice(HELD)
                    bus.show(place, chance.choice((1, 2, None)))
                case _:
                    bus.faults.down = chance.random() < 0.3
            self._hang(self._more.choice((None, None, None, GATEWAY, TAX)))
            await asyncio.sleep(chance.choice((0.0, 0.0, 0.01, 0.1, 1.0)))
        self._mend()  # else what is left to be sent never gets out

    def _hang(self, group: str | None) -> None:
        """Have the commits of this group wait, and of no other any more."""
        self.bus.faults.hung_groups = set() if group is None else {group}
        self.bus.changed.notify()

    def _mend(self) -> None:
        def commit(group: str, offsets: Mapping[TopicPartition, int]) -> bool:
            self._rules.commit(group, offsets)
            return False

        self._hang(None)
        faults = self.bus.faults
        faults.down, faults.send, faults.commit = False, lambda record: None, commit
        for place in HELD:
            if place in self.bus.log.partitions:
                self.bus.release(place)

    async def _settled(self, *groups: str) -> None:
        while sum(behind(self.bus, group, REQUESTS if "tax" in group else DEMANDS) for group in groups):
            await asyncio.sleep(0.05)

    def _places(self) -> dict[tuple[str, int], int]:
        return {(topic, number): len(self.bus.records(topic, number)) for topic in SPOKEN for number in range(6)}

    def _ids_by_key(self, topic: str) -> dict[bytes | None, set[bytes | None]]:
        found: dict[bytes | None, set[bytes | None]] = {}
        for record in self.bus.records(topic):
            found.setdefault(record.key, set()).add(record.header("ce_id"))
        return found

    def _start(self, name: str, group: str | None = None) -> None:
        if name not in self._tasks:
            start, usual = (self._gateway, GATEWAY) if name.startswith("gateway") else (self._provider, TAX)
            self._tasks[name] = [asyncio.create_task(part) for part in start(name, group or usual)]

    async def _kill(self, name: str) -> None:
        tasks = self._tasks.pop(name, [])
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _gateway(self, name: str, group: str) -> list[Coroutine[Any, Any, None]]:
        law = LawReader(self.bus, FILES, home=NOWHERE, lists_folder=NOWHERE, instance=name)
        law._standings[0] = held()[1]  # reading it from the disk is another test's

        async def run() -> None:
            handler = GatewayHandler(self.bus, law, CollectorRegistry())
            if name == LONG_RUNNING:
                handler._renderings[held()[1]] = remembered()
            await self._consume(group, DEMANDS, handler)

        return [_again(run), _again(law.follow), _again(law.mark)]

    def _provider(self, name: str, group: str) -> list[Coroutine[Any, Any, None]]:
        async def run() -> None:
            store = DictTaxStore()
            await store.seed(TaxAccount(Taxpayer(who, date(2020, 1, 1)), tuple(owed)) for who, owed in DEBTS.items())
            encoder, decoder, messages, bodies = codec()
            if not encoder._ids:
                await encoder.prepare(*RECORDS, TaxDebt)
            handler = ProviderHandler(
                tax_provider,
                store,
                encoder=encoder,
                decoder=decoder,
                secret=SECRET,
                clock=self._now,
                metrics=CollectorRegistry(),
            )
            handler._messages, handler._bodies = messages, bodies
            await self._consume(group, REQUESTS, handler)

        return [_again(run)]

    async def _consume(self, group: str, topic: str, handler: Handler) -> None:
        settings = ConsumeSettings(max_records=self._chance.choice((1, 3, 500)))
        await ConsumeLoop(
            self.bus,
            group,
            [topic],
            handler,
            settings=settings,
            metrics=METRICS,
            clock=self._now_ms,
            jitter=self._chance.random,
        ).run()


async def _again(run: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """What a supervisor does: start it again when the bus ends it."""
    while True:
        try:
            await run()
        except UnavailableError:
            await asyncio.sleep(0.5)


def failing(seed: int) -> str:
    """What is wrong with the exchange of a seed; empty if nothing is."""
    quiet()
    try:
        return run_virtually(Simulation(seed).run())
    except Exception as error:  # told with its seed, whatever it is
        return f"{type(error).__name__}: {error}"


def digest(seed: int) -> str:
    """Of all that was written in the exchange of a seed, and when."""
    quiet()
    simulation = Simulation(seed)
    run_virtually(simulation.run())
    found = hashlib.sha256()
    for topic in sorted(simulation.bus.log.layouts):
        found.update(repr(simulation.bus.records(topic)).encode())
    return found.hexdigest()
