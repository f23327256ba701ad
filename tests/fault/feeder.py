"""Submits demands at a steady rate as an agency's system does, and keeps what was promised and what acknowledged.

A demand is promised once `submit_all` has returned: it is kept then, and sent until it is acknowledged, whoever dies.
Acknowledgements are noted where the broker's word arrives, at the producer, with their time: nothing else tells one
that was false.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from chopar.bus.kafka import KafkaBus
from chopar.bus.kafka.producer import KafkaProducer
from chopar.bus.port import Outgoing, Producer, Sent
from chopar.errors import ChoparError, StoreUnavailableError
from chopar.identifiers import agency_id
from chopar.messages.demand import Demand, DemandedDocument, Subject
from chopar.population import DEFAULT_SEED, Population, RegisterKind
from chopar.requester.durable_requester import DurableRequester

AGENCY = agency_id("electricity-het")
PROCEDURE = "electricity-supply-contract"
DOCUMENT = "tax-debt-certificate"
_BATCH = 500
_AFTER_AN_ERROR_SECONDS = 0.2


@dataclass(slots=True)
class Fed:
    """A demand that was composed.

    Attributes:
        expected: what the register says of its person.
        at: when, Unix seconds.
        promised: whether it will be answered whatever happens.
        acknowledged_at: when the broker's word came; None while it has not.
    """

    expected: str
    at: float
    promised: bool = False
    acknowledged_at: float | None = None


@dataclass
class Ledger:
    """What all feeders of a run know."""

    fed: dict[str, Fed] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)
    longest_send_seconds: float = 0.0
    """The longest that one send took, whatever it then said."""

    def promised(self) -> dict[str, str]:
        """The demands that were promised or acknowledged, each with what is expected of its answer."""
        kept = ((key, fed) for key, fed in self.fed.items() if fed.promised or fed.acknowledged_at is not None)
        return {key: fed.expected for key, fed in kept}

    def acknowledged(self) -> dict[str, float]:
        """Those of which the broker's word was heard here, with its time."""
        return {key: fed.acknowledged_at for key, fed in self.fed.items() if fed.acknowledged_at is not None}

    def acknowledged_between(self, begin: float, end: float) -> list[str]:
        """Those of which it came in between."""
        return [key for key, at in self.acknowledged().items() if begin < at < end]

    def composed(self) -> dict[str, str]:
        """All, whatever became of them."""
        return {key: fed.expected for key, fed in self.fed.items()}

    def note(self, records: Sequence[Outgoing], results: Sequence[Sent | ChoparError], seconds: float) -> None:
        """Keep what a producer said of demands that it sent."""
        self.longest_send_seconds = max(self.longest_send_seconds, seconds)
        for record, result in zip(records, results, strict=True):
            fed = self.fed.get((record.key or b"").decode())
            if not isinstance(result, Sent):
                self.errors[f"{result.code}: {result}"] += 1
            elif fed is not None and fed.acknowledged_at is None:
                fed.acknowledged_at = time.time()


class WitnessedBus(KafkaBus):
    """Kafka, with every acknowledgement noted."""

    def __init__(self, bootstrap: str, ledger: Ledger) -> None:
        super().__init__(bootstrap)
        self._ledger = ledger

    def producer(self, name: str) -> KafkaProducer:
        """A producer whose results are noted."""
        return _WitnessedProducer(super().producer(name), self._ledger)  # type: ignore[return-value]


class _WitnessedProducer:
    def __init__(self, producer: Producer, ledger: Ledger) -> None:
        self.start = producer.start
        self.stop = producer.stop
        self._send = producer.send
        self._ledger = ledger

    async def send(self, records: Sequence[Outgoing]) -> list[Sent | ChoparError]:
        began = time.monotonic()
        results = await self._send(records)
        self._ledger.note(records, results, time.monotonic() - began)
        return results


def expectations() -> dict[str, str]:
    """What the tax register says about everybody, from the population that it was filled with."""
    population = Population.make(DEFAULT_SEED)
    return {
        person.pinfl.text: f"has_debt={bool(population.taxes_owed(person))}"
        if population.stands_in(RegisterKind.TAX, person)
        else "no_record"
        for person in population.people
    }


class Composer:
    """Makes demands, each about the next person, and enters them in the ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._subjects = list(expectations().items())
        self._next = 0

    def compose(self, sender: DurableRequester) -> Demand:
        """A demand that was never sent. `sender` lends its clock and its name."""
        person, expected = self._subjects[self._next % len(self._subjects)]
        self._next += 1
        demand = sender.compose(
            procedure=PROCEDURE,
            subject=Subject(kind="person", id=person),
            documents=[DemandedDocument(type=DOCUMENT)],
        )
        self._ledger.fed[str(demand.demand_id)] = Fed(expected, time.time())
        return demand


class Feeder:
    """Feeds at a rate until it is stopped.

    Args:
        requester: submits; connected by whoever made it.
        composer: shared by feeders.
        ledger: the same.
        rate: demands a second, whatever becomes of them: what was due during a silence is submitted after it.
    """

    def __init__(self, requester: DurableRequester, composer: Composer, ledger: Ledger, rate: float) -> None:
        self._requester = requester
        self._composer = composer
        self._ledger = ledger
        self._rate = rate
        self._stopping = False

    def stop(self) -> None:
        """Compose no more."""
        self._stopping = True

    async def run(self) -> None:
        """Feed."""
        due_at = time.monotonic()
        while not self._stopping:
            demands: list[Demand] = []
            while due_at <= time.monotonic() and len(demands) < _BATCH:
                demands.append(self._composer.compose(self._requester))
                due_at += 1 / self._rate
            if demands:
                await self._submit(demands)
            await asyncio.sleep(max(0.0, due_at - time.monotonic()))

    async def _submit(self, demands: Sequence[Demand]) -> None:
        try:
            await self._requester.submit_all(demands)
        except StoreUnavailableError as error:  # whether they are kept is unknown
            self._ledger.errors[f"{error.code}: {error}"] += len(demands)
            await asyncio.sleep(_AFTER_AN_ERROR_SECONDS)
            return
        except ChoparError as error:
            self._ledger.errors[f"{error.code}: {error}"] += len(demands)
        for demand in demands:
            self._ledger.fed[str(demand.demand_id)].promised = True
