"""A hundred thousand mutants through the real gateway and the real tax provider: each is answered or has its letter.

Nothing may crash, no partition may stop, and no letter may say that our own code failed.
"""

import logging
import os
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog

from chopar.avro import frame
from chopar.bus.consume import ConsumeSettings
from chopar.bus.dead_letter import read_dead_letter
from chopar.bus.memory import MemoryBus
from chopar.bus.port import Headers, Outgoing, Sent, TopicPartition
from chopar.errors import ChoparError, HandlerFailedError, SchemaNotYetKnownError, UnknownSchemaError
from chopar.identifiers import PersonId, agency_id
from chopar.messages.demand import DemandedDocument, Subject
from chopar.messages.dispute import EvidenceDisputed
from chopar.messages.evidence import EvidenceProvided, EvidenceRequested
from chopar.schema_registry import Decoder, InMemorySchemaRegistry
from chopar.topics import EVIDENCE_PROVIDED, dead_letter_topic
from gateway.store import demand_id_of
from services.tax.model import DebtEntry
from tests.builders import BUSINESS, PERSON, SECOND_PERSON
from tests.simulation.mutants import Mutant, Mutants
from tests.standing import LISTS
from tests.world import World, world

SEED = int(os.environ.get("CHOPAR_MUTANT_SEED", "5"))
EACH = 50_000
BATCH = 500
AHEAD = 4
"""Batches that wait at most, so that a partition that stands is noticed soon."""
HET = "electricity-het"
DEMANDS, RESOLVED = f"demand.submitted.{HET}", f"demand.resolved.{HET}"
REQUESTS = "evidence.requested.tax-committee"
LARGE = ConsumeSettings(retry_first_seconds=0.005, retry_most_seconds=0.01, fetch_timeout_seconds=0.05)


@pytest.fixture(autouse=True)
def _no_line_for_each_record(_logging_as_it_is_at_first: None) -> Iterator[None]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


class Impatient(InMemorySchemaRegistry):
    """The twin, whose ten seconds of asking again for an id that it does not know are over at the second question."""

    def __init__(self) -> None:
        super().__init__()
        self._unknown: set[int] = set()

    async def text_of(self, schema_id: int) -> str:
        """As the twin's."""
        if schema_id in self._unknown:
            raise UnknownSchemaError("the schema registry does not know this schema id")
        try:
            return await super().text_of(schema_id)
        except SchemaNotYetKnownError:
            self._unknown.add(schema_id)
            raise


async def originals(here: World) -> tuple[list[tuple[bytes, bytes, Headers]], list[tuple[bytes, bytes, Headers]]]:
    """Valid demands, and the valid requests that the gateway made of them."""
    async with here.requester(HET) as requester:
        for number in range(40):
            kind, text = [("person", PERSON), ("business", BUSINESS), ("person", SECOND_PERSON)][number % 3]
            await requester.send(
                requester.compose(
                    procedure="electricity-supply-contract",
                    subject=Subject(kind=kind, id=text),
                    documents=[
                        DemandedDocument(type="tax-debt-certificate", parameters={"year": str(number)}),
                        DemandedDocument(type="address-reference-certificate"),
                    ][: 1 + number % 2],
                )
            )
    await here.eventually(lambda: settled(here, "gateway", DEMANDS))
    bus = here.bus
    assert isinstance(bus, MemoryBus)
    found = [
        [(record.key or b"", record.value or b"", record.headers) for record in bus.records(topic)]
        for topic in (DEMANDS, REQUESTS)
    ]
    assert all(len(records) > 10 for records in found)
    return found[0], found[1]


async def settled(here: World, group: str, topic: str, behind: int = 0) -> bool:
    """Whether a group has committed all of a topic, or all but some."""
    bus = here.bus
    assert isinstance(bus, MemoryBus)
    ends = bus.end_offsets([TopicPartition(topic, number) for number in range(6)])
    committed = bus.group(group).committed
    return sum(end - committed.get(place, 0) for place, end in ends.items()) <= behind


async def misdirected(here: World, decoder: Decoder, mutant: Mutant) -> bool:
    """Whether it is a request of an agency that has no topic.

    Such a one stops a provider, as any topic that is missing does: the gateway, which alone writes requests, makes none
    of somebody whom it does not know.
    """
    try:
        request = await decoder.message(mutant.value, EvidenceRequested)
        topic = EVIDENCE_PROVIDED.of(agency_id(request.requester))
    except ChoparError:
        return False
    return topic not in here.bus.log.layouts if isinstance(here.bus, MemoryBus) else False


async def feed(
    here: World, topic: str, group: str, mutants: Mutants, decoder: Decoder
) -> tuple[dict[tuple[int, int], int], int]:
    """Send them all, a few batches ahead of their reader.

    Returns:
        The number of each by partition and offset, and how many were left out as misdirected.
    """
    left_out = 0
    producer = here.bus.producer("mutants")
    await producer.start()
    numbers: dict[tuple[int, int], int] = {}
    for first in range(0, EACH, BATCH):
        made = [mutants.one(number) for number in range(first, first + BATCH)]
        if topic == REQUESTS:
            for n in range(BATCH):
                while await misdirected(here, decoder, made[n]):
                    made[n], left_out = mutants.one(EACH + left_out), left_out + 1
        records = [Outgoing(topic, n % 6, m.key, m.value, m.headers) for n, m in enumerate(made)]
        for n, sent in enumerate(await producer.send(records)):
            assert isinstance(sent, Sent)
            numbers[n % 6, sent.offset] = first + n
        await here.eventually(lambda: settled(here, group, topic, AHEAD * BATCH))
    await producer.stop()
    await here.eventually(lambda: settled(here, group, topic))
    return numbers, left_out


def letters(bus: MemoryBus, topic: str) -> dict[tuple[int, int], str]:
    """The code of each dead letter by its origin, which is there once, with its bytes."""
    originals = {(record.partition, record.offset): record for record in bus.records(topic)}
    found: dict[tuple[int, int], str] = {}
    for record in bus.records(dead_letter_topic(topic)):
        letter, original = read_dead_letter(record)
        place = letter.partition, letter.offset
        assert place not in found
        assert (original.key, original.value) == (originals[place].key, originals[place].value)
        found[place] = letter.code
    return found


async def test_bad_inputs_01_to_04_a_hundred_thousand_mutants(tmp_path: Path) -> None:
    began = time.perf_counter()
    bus = MemoryBus(lambda: time.time_ns() // 1_000_000)
    async with world(bus, tmp_path) as here:
        here.registry = registry = Impatient()
        await here.prepare(LISTS, lead_seconds=1)
        here.start_gateway(settings=LARGE)
        demands, requests = await originals(here)
        await here.start_tax({PersonId(PERSON): [DebtEntry("income", 700)]})
        aside = Impatient()  # so that what the test asks does not spend the provider's questions
        aside._texts = registry._texts
        decoder = Decoder(here.files, aside)
        numbers, _ = await feed(here, DEMANDS, "gateway", Mutants(SEED, demands), decoder)
        more, left_out = await feed(here, REQUESTS, "provider.tax-committee", Mutants(SEED + 1, requests), decoder)
        assert here.running == {"gateway", "tax-committee"}
        of_a_dispute = frame(
            await registry.id_of(EvidenceDisputed.RECORD, here.files.text(EvidenceDisputed.RECORD)), b""
        )
        refused = check_gateway(bus, numbers, of_a_dispute)
        unread = await check_provider(bus, more, decoder)
    for topic, codes in ((DEMANDS, refused), (REQUESTS, unread)):
        print(f"{topic}: {EACH} mutants, seed {SEED}; {dict(codes.most_common())}")
    print(f"{time.perf_counter() - began:.1f} s; {left_out} requests of agencies without a topic were left out")


def check_gateway(bus: MemoryBus, numbers: dict[tuple[int, int], int], of_a_dispute: bytes) -> Counter[str]:
    """Every demand with a canonical key has its answer; every other one, and what says it is a dispute, a letter."""
    dead = letters(bus, DEMANDS)
    due: Counter[tuple[int, bytes | None]] = Counter()
    for record in bus.records(DEMANDS):
        number = numbers.get((record.partition, record.offset))
        code = dead.get((record.partition, record.offset))
        answerable = demand_id_of(record) is not None and not (record.value or b"").startswith(of_a_dispute)
        assert (code is None) == answerable, f"seed {SEED}, demand mutant {number}: {code}"
        assert code != HandlerFailedError.code, f"seed {SEED}, demand mutant {number}: our code failed on it"
        if code is None:
            due[record.partition, record.key] += 1
    assert Counter((record.partition, record.key) for record in bus.records(RESOLVED)) == due, f"seed {SEED}"
    return Counter(dead.values()) + Counter(answered=due.total())


async def check_provider(bus: MemoryBus, numbers: dict[tuple[int, int], int], decoder: Decoder) -> Counter[str]:
    """Every request that is one and has not expired has its answer, every other one its letter."""
    dead = letters(bus, REQUESTS)
    due: Counter[bytes] = Counter()
    expired = 0
    for record in bus.records(REQUESTS):
        number = numbers.get((record.partition, record.offset))
        code = dead.get((record.partition, record.offset))
        assert code != HandlerFailedError.code, f"seed {SEED}, request mutant {number}: our code failed on it"
        if code is None:
            request = await decoder.message(record.value or b"", EvidenceRequested)
            if request.expires_at > datetime.now(UTC):
                due[request.request_id] += 1
            else:
                expired += 1
    answers: Counter[bytes] = Counter()
    for topic in bus.log.layouts:
        if topic.startswith("evidence.provided.") and not topic.endswith(".dlq"):
            for record in bus.records(topic):
                answers[(await decoder.message(record.value or b"", EvidenceProvided)).request_id] += 1
    assert answers == due, f"seed {SEED}"
    return Counter(dead.values()) + Counter(answered=due.total(), expired=expired)
