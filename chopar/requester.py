"""An agency that asks: send a demand, get the resolution at once and the evidence as it arrives.

    bus = KafkaBus("127.0.0.1:19092")
    registry = HttpSchemaRegistry("http://127.0.0.1:18081")  # close it by `aclose`
    async with Requester("some-agency", bus, registry) as requester:
        exchange = await requester.demand(procedure="some-procedure", subject=PersonId("..."), documents=["some-paper"])
        async for event in exchange:
            ...

It joins no consumer group: it reads its demand's own partition of the two answer topics, from the end that was asked
for before the demand was sent. The rule of what counts is `chopar.completion`'s.
"""

import os
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias
from uuid import UUID
from weakref import WeakSet

import structlog

from chopar.avro import SchemaFiles
from chopar.bus.port import Bus, Reader, Record, TopicPartition, partition_of
from chopar.completion import Completion, Delivered, Rejected
from chopar.envelope import Origin, outgoing
from chopar.errors import ChoparError, RecordError, TooLargeError
from chopar.identifiers import BusinessId, DataSubject, agency_id, derived_uuid, uuid7
from chopar.messages.demand import (
    ActingAs,
    Demand,
    DemandedDocument,
    DemandResolved,
    Ground,
    Party,
    Subject,
)
from chopar.messages.evidence import EvidenceProvided, EvidenceUnavailable
from chopar.schema_registry import Decoder, Encoder, SchemaRegistry
from chopar.topics import DEMAND_RESOLVED, DEMAND_SUBMITTED, EVIDENCE_PROVIDED, PARTITIONS

_BATCH = 500
_LISTEN_SECONDS = 0.5
_DEFAULT_LIFE = timedelta(days=7)
_CLOCKS_APART = timedelta(minutes=2)
"""How far our clock may run ahead of the broker's, whose time decides."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Undelivered:
    """Nothing final arrived for a document by `expires_at`, by the broker's time."""

    document_type: str
    about: str | None


Event: TypeAlias = DemandResolved | Delivered | Rejected | Undelivered


def subject(identifier: DataSubject) -> Subject:
    """An identifier as messages carry it."""
    kind: Literal["person", "business"] = "business" if isinstance(identifier, BusinessId) else "person"
    return Subject(kind=kind, id=identifier.text)


class Requester:
    """An agency that asks.

    Args:
        agency: its id; also in the names of its topics.
        bus: where it asks.
        registry: where schema ids come from.
        files: the schemas to write with; those shipped by default.
        clock: aware UTC time, for demand ids and their life.
        random_bits: gives that many random bits, for demand ids.
        monotonic: seconds that never step back; only measures how long an exchange takes.
    """

    def __init__(
        self,
        agency: str,
        bus: Bus,
        registry: SchemaRegistry,
        *,
        files: SchemaFiles | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        random_bits: Callable[[int], int] = lambda bits: int.from_bytes(os.urandom(bits // 8 + 1), "big"),
        monotonic: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.agency = agency_id(agency)
        self._bus = bus
        self._files = files or SchemaFiles.shipped()
        self._encoder = Encoder(self._files, registry)
        self._decoder = Decoder(self._files, registry)
        self._clock = clock
        self._random_bits = random_bits
        self._monotonic = monotonic
        self._producer = bus.producer(f"requester.{agency}")
        self._exchanges: WeakSet[Exchange] = WeakSet()

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            BrokerUnavailableError, SchemaRegistryUnavailableError: one does not answer.
        """
        await self._encoder.prepare(Demand)
        await self._producer.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for exchange in list(self._exchanges):
            await exchange.aclose()
        await self._producer.stop()

    def compose(
        self,
        *,
        procedure: str,
        subject: Subject,
        documents: Iterable[DemandedDocument],
        parties: Iterable[Party] = (),
        circumstances: Mapping[str, bool] | None = None,
        case_id: str | None = None,
        official: str = "unnamed",
        applicant: Subject | None = None,
        acting_as: ActingAs = ActingAs.SELF,
        ground: Ground | None = None,
        life: timedelta = _DEFAULT_LIFE,
    ) -> Demand:
        """A demand with a fresh id. Its documents are answered in the order given.

        Raises:
            UndecodableError: it is not a valid message; the text names the fields.
        """
        now = self._clock()
        demand_id = uuid7(now, self._random_bits(74))
        return Demand.from_avro(
            {
                "demand_id": demand_id,
                "requester": self.agency,
                "procedure": procedure,
                "case_id": case_id or f"case-{str(demand_id)[-12:]}",
                "official": official,
                "subject": subject,
                "parties": tuple(parties),
                "applicant": applicant,
                "acting_as": acting_as,
                "ground": ground or {"kind": "law", "reference": procedure},
                "circumstances": {code: "yes" if said else "no" for code, said in (circumstances or {}).items()},
                "documents": tuple(documents),
                "expires_at": now + life,
            }
        )

    async def demand(
        self,
        *,
        procedure: str,
        subject: DataSubject,
        documents: Sequence[str | DemandedDocument],
        **more: Any,
    ) -> "Exchange":
        """Compose a demand, send it and follow it; `more` as of `compose`.

        Raises:
            UndecodableError: it is not a valid message.
            ChoparError: as of `send`.
        """
        kind: Literal["person", "business"] = "business" if isinstance(subject, BusinessId) else "person"
        asked = [d if isinstance(d, DemandedDocument) else DemandedDocument(type=d) for d in documents]
        about = Subject(kind=kind, id=subject.text)
        return await self.send(self.compose(procedure=procedure, subject=about, documents=asked, **more))

    async def send(self, demand: Demand) -> "Exchange":
        """Send a demand and follow it. When this returns the broker has acknowledged it.

        Raises:
            TooLargeError: more than a record may hold.
            DeliveryError: not acknowledged; send the same demand again, it is answered once.
            BrokerUnavailableError: no broker answers.
        """
        value = self._encoder.encode(demand)
        key = str(demand.demand_id).encode()
        partition = partition_of(key, PARTITIONS)
        answers = [
            TopicPartition(DEMAND_RESOLVED.of(self.agency), partition),
            TopicPartition(EVIDENCE_PROVIDED.of(self.agency), partition),
        ]
        reader = self._bus.reader(dict.fromkeys(answers))
        await reader.start()
        try:
            for answer, end in (await reader.end_offsets(answers)).items():
                reader.seek(answer, end)
            began = self._monotonic()
            [sent] = await self._producer.send(
                [
                    outgoing(
                        DEMAND_SUBMITTED.of(self.agency),
                        partition,
                        value,
                        derived_uuid("demand", key, value),
                        Demand.RECORD,
                        Origin(
                            source=f"/agencies/{self.agency}",
                            time_ms=int(self._clock().timestamp() * 1000),
                            correlation_id=demand.demand_id,
                        ),
                    )
                ]
            )
            if isinstance(sent, ChoparError):
                if isinstance(sent, TooLargeError):
                    raise TooLargeError(f"the demand has {len(value)} bytes, more than its topic takes") from sent
                raise sent
        except BaseException:
            await reader.stop()
            raise
        exchange = Exchange(demand, value, reader, self._decoder, self._clock, lambda: self._monotonic() - began)
        self._exchanges.add(exchange)
        return exchange


class Exchange:
    """One demand under way. Iterate it for what arrives; it ends, and stops reading, when the demand is complete.

    Leave it early by `aclose`, or by leaving it as a context; its requester closes what was left open.
    """

    def __init__(
        self,
        demand: Demand,
        value: bytes,
        reader: Reader,
        decoder: Decoder,
        clock: Callable[[], datetime],
        elapsed_seconds: Callable[[], float],
    ) -> None:
        self.demand = demand
        self.elapsed_seconds = elapsed_seconds
        """How long ago the demand was handed to the bus."""
        self._clock = clock
        self._completion = Completion(value)
        self._reader = reader
        self._decoder = decoder
        self._early: list[EvidenceProvided] = []

    @property
    def demand_id(self) -> UUID:
        """The id of the demand."""
        return self.demand.demand_id

    @property
    def complete(self) -> bool:
        """Whether every document has its end."""
        return self._completion.complete

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop reading."""
        await self._reader.stop()

    async def __aiter__(self) -> AsyncIterator[Event]:
        key = str(self.demand_id).encode()
        while not self.complete:
            batch = await self._reader.fetch(_BATCH, _LISTEN_SECONDS)
            for records in batch.values():
                for record in records:
                    if record.key == key and record.value is not None:
                        async for event in self._take(record):
                            yield event
            if not batch:
                undelivered = await self._undelivered()
                for document in undelivered:
                    yield document
                if undelivered:
                    break
        await self.aclose()

    async def _take(self, record: Record) -> AsyncIterator[Event]:
        try:
            if record.topic.startswith(DEMAND_RESOLVED.name):
                resolved = await self._decoder.message(record.value or b"", DemandResolved)
                if self._completion.resolve(resolved):
                    yield resolved
                    for provided in self._early:
                        async for event in self._answered(provided):
                            yield event
            else:
                provided = await self._decoder.message(record.value or b"", EvidenceProvided)
                if self._completion.resolved is None:
                    # The gateway has its answer acknowledged before it asks a holder, but two topics are read here.
                    self._early.append(provided)
                else:
                    async for event in self._answered(provided):
                        yield event
        except RecordError as error:
            _log.warning("answer.unreadable", code=error.code, topic=record.topic, offset=record.offset)

    async def _answered(self, provided: EvidenceProvided) -> AsyncIterator[Event]:
        if not self._completion.knows(provided.request_id):
            _log.warning("answer.unsolicited", provider=provided.provider)
            return
        record, datum = await self._decoder.datum(provided.body)
        unavailable: EvidenceUnavailable | None = None
        evidence: dict[str, Any] | None = datum
        if record == EvidenceUnavailable.RECORD:
            unavailable, evidence = EvidenceUnavailable.from_avro(datum), None
        event = self._completion.answer(provided, evidence, unavailable)
        if isinstance(event, Rejected):
            _log.error("answer.rejected", code=event.code, provider=provided.provider, fields=event.fields)
        if event is not None:
            yield event

    async def _undelivered(self) -> list[Undelivered]:
        """What is still open when nothing more can arrive in time: said after reading to an end asked for after it.

        Returns:
            Empty before that; then one for each open document.
        """
        if self._clock() < self.demand.expires_at + _CLOCKS_APART:
            return []
        ends = await self._reader.end_offsets(sorted(self._reader.held()))
        if any(self._reader.position(partition) < end for partition, end in ends.items()):
            return []
        if self._completion.resolved is None:
            return [Undelivered(document.type, document.about) for document in self.demand.documents]
        return [Undelivered(document.document_type, document.about) for document in self._completion.open_documents()]
