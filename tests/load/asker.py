"""A process that asks: one-document demands from one agency, and a check of every answer. Prints one line of JSON.

It is built of the library's parts (compose and send as `Requester` does, decode, `Completion`) with one reader for all
demands, as an agency's system with a store is; `Requester` itself has an iteration under way for each demand.
Only what lies in the window is measured; the demands before and after it, and the check of the digests, are not.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import uvloop

from chopar.avro import SchemaFiles
from chopar.bus.kafka import KafkaBus
from chopar.bus.port import Record, TopicPartition
from chopar.errors import ChoparError
from chopar.identifiers import agency_id
from chopar.messages.demand import DemandedDocument, DemandResolved, Subject
from chopar.messages.evidence import EvidenceProvided, EvidenceUnavailable
from chopar.messages.exchange import ExchangeRecorded
from chopar.population import DEFAULT_SEED, Population, RegisterKind
from chopar.process import look_less_for_garbage
from chopar.requester.completion import Completion, Delivered
from chopar.requester.requester import Requester
from chopar.schema_registry import Decoder, HttpSchemaRegistry
from chopar.topics import DEMAND_RESOLVED, EVIDENCE_PROVIDED, EXCHANGE_RECORDED, PARTITIONS
from tests.load.feeding import BATCH, arguments, watched

AGENCY = agency_id("electricity-het")
PROCEDURE = "electricity-supply-contract"
DOCUMENTS = (DemandedDocument(type="tax-debt-certificate"),)
MISSING = "no_record"
PLACES = [
    TopicPartition(topic.of(agency), partition)
    for topic, agency in ((DEMAND_RESOLVED, AGENCY), (EVIDENCE_PROVIDED, AGENCY), (EXCHANGE_RECORDED, None))
    for partition in range(PARTITIONS)
]
ANSWERS = PLACES[: 2 * PARTITIONS]


class Open:
    """A demand under way."""

    __slots__ = ("completion", "due_at", "early", "expected")

    def __init__(self, completion: Completion, expected: str, due_at: float) -> None:
        self.completion = completion
        self.early: list[Record] = []
        self.expected = expected
        self.due_at = due_at


class Asker:
    """Asks, reads and keeps count."""

    def __init__(self, bus: KafkaBus, registry: HttpSchemaRegistry, who: str = "all", shapes: int = 0) -> None:
        files = SchemaFiles.shipped()
        self.bus = bus
        self.decoder = Decoder(files, registry)
        self.requester = Requester(AGENCY, bus, registry)
        self.open: dict[bytes, Open] = {}
        self.digests: dict[bytes, bytes] = {}
        self.latencies: list[tuple[float, float]] = []
        self.sent = 0
        self.changed = 0
        self.doubled = 0
        self.freed = asyncio.Event()
        self.subjects = [
            (person, said)
            for person, said in expectations().items()
            if who == "all" or (who == said) == (who == MISSING)
        ]
        self.shapes = shapes
        self.stopped = False

    @property
    def answered(self) -> int:
        return len(self.digests)

    async def send(self, due: list[float]) -> None:
        """Send as many demands as there are times at which they were due."""
        demands: list[tuple[UUID, bytes]] = []
        for due_at in due:
            person, expected = self.subjects[self.sent % len(self.subjects)]
            # Of no meaning to any list, but demands that differ in it are not alike for the gateway.
            circumstances = {f"load-{self.sent % self.shapes}": True} if self.shapes else {}
            self.sent += 1
            demand = self.requester.compose(
                circumstances=circumstances,
                procedure=PROCEDURE,
                subject=Subject(kind="person", id=person),
                documents=DOCUMENTS,
            )
            value = self.requester._encoded(demand)
            demands.append((demand.demand_id, value))
            key = str(demand.demand_id).encode()
            self.open[key] = Open(Completion(value, demand.expires_at), expected, due_at)
        for result in await self.requester._deliver(demands):
            if isinstance(result, ChoparError):
                raise result

    async def read(self, start: Mapping[TopicPartition, int]) -> None:
        """Take answers until stopped."""
        reader = self.bus.reader({place: start[place] for place in ANSWERS})
        await reader.start()
        try:
            while not self.stopped:
                for records in (await reader.fetch(BATCH, 0.2)).values():
                    for record in records:
                        await self.take(record)
                self.freed.set()
        finally:
            await reader.stop()

    async def take(self, record: Record) -> None:
        key = record.key or b""
        waiting = self.open.get(key)
        if waiting is None:
            self.doubled += key in self.digests
            return
        if record.topic.startswith(DEMAND_RESOLVED.name):
            value = record.value or b""
            resolved = self.decoder.message_now(value, DemandResolved)
            if resolved is None:
                resolved = await self.decoder.message(value, DemandResolved)
            self.doubled += waiting.completion.resolved is not None
            if not waiting.completion.resolve(resolved) or resolved.refused or waiting.completion.complete:
                self.changed += 1
            for early in waiting.early:
                await self.provided(key, waiting, early)
        elif waiting.completion.resolved is None:
            waiting.early.append(record)
        else:
            await self.provided(key, waiting, record)

    async def provided(self, key: bytes, waiting: Open, record: Record) -> None:
        value = record.value or b""
        provided = self.decoder.message_now(value, EvidenceProvided)
        if provided is None:
            provided = await self.decoder.message(value, EvidenceProvided)
        name, datum = self.decoder.datum_now(provided.body) or await self.decoder.datum(provided.body)
        missing = EvidenceUnavailable.from_avro(datum) if name == EvidenceUnavailable.RECORD else None
        found = waiting.completion.answer(provided, None if missing else datum, missing, record.timestamp_ms)
        said = missing.code.value if missing else f"has_debt={datum.get('has_debt')}"
        if not isinstance(found, Delivered) or not waiting.completion.complete or said != waiting.expected:
            self.changed += 1
        now = time.perf_counter()
        self.latencies.append((now, now - waiting.due_at))
        self.digests[key] = waiting.completion.awaited[provided.request_id].accepted[None]
        del self.open[key]

    async def recorded(self, start: Mapping[TopicPartition, int]) -> dict[bytes, set[bytes]]:
        """The digests that the access records give, by demand: read to their end."""
        places = [place for place in PLACES if place not in ANSWERS]
        reader = self.bus.reader({place: start[place] for place in places})
        await reader.start()
        found: dict[bytes, set[bytes]] = {}
        try:
            ends = await reader.end_offsets(places)
            while any(reader.position(place) < end for place, end in ends.items()):
                for records in (await reader.fetch(5000, 0.5)).values():
                    for record in records:
                        message = await self.decoder.message(record.value or b"", ExchangeRecorded)
                        if message.access:
                            found.setdefault(record.key or b"", set()).add(message.access.answer_digest)
        finally:
            await reader.stop()
        return found


def expectations() -> dict[str, str]:
    """What the register says about everybody, from the population that it was filled with."""
    population = Population.make(DEFAULT_SEED)
    return {
        person.pinfl.text: f"has_debt={bool(population.taxes_owed(person))}"
        if population.stands_in(RegisterKind.TAX, person)
        else MISSING
        for person in population.people
    }


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """One run: warm up, window, wait for what is open, compare the sets."""
    registry = HttpSchemaRegistry(options.registry)
    bus = KafkaBus(options.bootstrap)
    asker = Asker(bus, registry, options.who, options.shapes)
    await asker.requester._connect()
    ends = bus.reader(dict.fromkeys(PLACES))
    await ends.start()
    start = await ends.end_offsets(PLACES)
    await ends.stop()
    reading = asyncio.create_task(asker.read(start))
    found = await watched(asker, reading, options)
    changed = asker.changed
    if options.records:
        recorded = await asker.recorded(start)
        changed += sum(recorded.get(key) != {digest} for key, digest in asker.digests.items())
    asker.stopped = True
    await reading
    await asker.requester._producer.stop()
    await registry.aclose()
    return {**found, "changed": changed, "doubled": asker.doubled}


if __name__ == "__main__":
    told = arguments()
    told.add_argument("--registry", required=True)
    told.add_argument("--who", choices=("all", "hit", MISSING), default="all", help="about whom is asked")
    told.add_argument("--shapes", type=int, default=0, help="so many kinds of demands that are not alike")
    told.add_argument("--records", action=argparse.BooleanOptionalAction, default=True, help="compare access records")
    look_less_for_garbage()  # as a process that the library runs does
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.stdout.write(json.dumps(runner.run(measure(told.parse_args()))) + "\n")
