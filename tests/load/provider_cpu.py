"""What an answer of a provider costs: the tax service's handler and register on requests that lie in memory.

No broker, no loop around it, no sending: reading the request, the look-up in SQLite, making the record and the answer.
`python -m tests.load.provider_cpu` prints microseconds of CPU an answer (of all threads), and of its look-up alone, as
medians of rounds; and the digest of all that was answered, which is the same before and after a change that may change
no byte. `--profile` shows where the time goes.
"""

import argparse
import asyncio
import cProfile
import gc
import hashlib
import itertools
import pstats
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from prometheus_client import CollectorRegistry

from chopar.avro import SchemaFiles
from chopar.bus.failures import Failures
from chopar.bus.handling import Handling
from chopar.bus.port import Record, TopicPartition
from chopar.envelope import Origin, headers
from chopar.identifiers import derived_uuid
from chopar.messages.demand import Subject
from chopar.messages.evidence import EvidenceProvided, EvidenceRequested, EvidenceUnavailable, TaxDebt
from chopar.messages.exchange import ExchangeRecorded
from chopar.population import DEFAULT_SEED, Population
from chopar.process import look_less_for_garbage
from chopar.provider.provider import ProviderHandler
from chopar.schema_registry import Decoder, Encoder, InMemorySchemaRegistry
from services.tax.handlers import provider
from services.tax.seed import accounts
from services.tax.store import SqlTaxStore
from tests.builders import NOW, NOW_MS, demand_id

BATCH = 500
PARTITIONS = 6
FILES = SchemaFiles.shipped()
RECORDS = (EvidenceRequested, ExchangeRecorded, EvidenceProvided, EvidenceUnavailable, TaxDebt)


def request(number: int, person: str) -> EvidenceRequested:
    """As the gateway asks for a tax debt."""
    return EvidenceRequested(
        request_id=hashlib.sha256(str(number).encode()).digest(),
        demand_id=demand_id(number),
        requester="electricity-het",
        provider=provider.agency,
        evidence_type="tax-debt",
        subject=Subject(kind="person", id=person),
        fields=("has_debt",),
        procedure="electricity-supply-contract",
        case_id=f"case-{number}",
        official="official-7",
        access_ground="VMQ-153-2017-5-4-electricity-het",
        act="Cabinet of Ministers resolution 153 of 2017",
        as_of=NOW,
        due=NOW + timedelta(days=1),
        expires_at=NOW + timedelta(days=7, milliseconds=number),
    )


def records(encoder: Encoder, people: Sequence[str], count: int) -> list[dict[TopicPartition, list[Record]]]:
    """Batches of requests, spread over the partitions, as a consumer gives them."""
    batches: list[dict[TopicPartition, list[Record]]] = []
    for start in range(0, count, BATCH):
        batch: dict[TopicPartition, list[Record]] = {}
        for number in range(start, min(count, start + BATCH)):
            asked = request(number, people[number % len(people)])
            partition = number % PARTITIONS
            cause = derived_uuid("cause", number)
            origin = Origin(
                "/gateway", NOW_MS, asked.demand_id, f"demand.submitted.electricity-het/{partition}/{number}"
            )
            place = TopicPartition(provider.topic, partition)
            record = Record(
                provider.topic,
                partition,
                number,
                NOW_MS,
                origin.key,
                encoder.encode(asked),
                headers(cause, EvidenceRequested.RECORD, origin),
            )
            batch.setdefault(place, []).append(record)
        batches.append(batch)
    return batches


async def measure(arguments: argparse.Namespace, folder: Path) -> None:
    """Print the figures."""
    population = Population.make(DEFAULT_SEED, 2_000, 100)
    people = [person.pinfl.text for person in population.people]
    store = SqlTaxStore(f"sqlite+aiosqlite:///{folder / 'tax.db'}")
    await store.create_schema()
    await store.seed(accounts(population))
    registry = InMemorySchemaRegistry()
    for record in RECORDS:
        await registry.register(record.RECORD, FILES.texts[record.RECORD])
    encoder = Encoder(FILES, registry)
    await encoder.prepare(*RECORDS)
    handler = ProviderHandler(
        provider,
        store,
        encoder=encoder,
        decoder=Decoder(FILES, registry),
        secret=b"a secret of a provider, 32 bytes",
        clock=lambda: NOW,
        metrics=CollectorRegistry(),
    )
    batches = records(encoder, people, arguments.count)
    failures = Failures(lambda: NOW_MS, 3)
    subjects = [account.taxpayer.subject for account in itertools.islice(accounts(population), BATCH)]
    look_less_for_garbage()  # as a process of ours does
    answer: list[float] = []
    look_up: list[float] = []
    profile = cProfile.Profile()
    for turn in range(arguments.rounds):
        digest = hashlib.sha256()
        spent = 0.0
        gc.collect()
        if arguments.profile and turn == arguments.rounds - 1:
            profile.enable()
        for batch in batches:
            began = time.process_time()
            handled = await Handling(handler, failures, arguments.concurrency).run(batch)
            spent += time.process_time() - began
            for ones in handled.values():
                for one in ones:
                    assert one.done, one.code
                    digest.update(repr((tuple(one.outputs.before), tuple(one.outputs.after))).encode())
        profile.disable()
        answer.append(spent / arguments.count * 1e6)
        began = time.process_time()
        for _ in range(4):
            await store.accounts_of(subjects)
        look_up.append((time.process_time() - began) / (4 * len(subjects)) * 1e6)
    await store.close()
    for name, found in (("answer", answer), ("look_up", look_up)):
        sys.stdout.write(f"{name}_us={statistics.median(found):.1f} ({min(found):.1f}-{max(found):.1f})\n")
    sys.stdout.write(f"digest={digest.hexdigest()[:16]} answers={arguments.count}\n")
    if arguments.profile:
        pstats.Stats(profile).sort_stats("tottime").print_stats(45)


def main() -> None:
    """Read the options and measure."""
    options = argparse.ArgumentParser()
    options.add_argument("--count", type=int, default=5_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--concurrency", type=int, default=provider.at_once)
    options.add_argument("--profile", action="store_true")
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(options.parse_args(), Path(folder)))


if __name__ == "__main__":
    main()
