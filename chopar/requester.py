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
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias
from uuid import UUID
from weakref import WeakSet

import structlog

from chopar.avro import SchemaFiles
from chopar.bus.port import Bus, Reader, Record, TopicPartition, partition_of
from chopar.completion import Completion, Delivered, Rejected, Repeated, Undelivered
from chopar.envelope import Origin, outgoing
from chopar.errors import (
    ChoparError,
    RecordError,
    SchemaNotYetKnownError,
    SchemaRegistryUnavailableError,
    TooLargeError,
)
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
_LARGEST_BYTES = 256 * 1024
"""Of a demand: its resolution and requests repeat parts of it, and each has to fit its topic."""

_CLOCKS_APART = timedelta(minutes=2)
"""How far our clock may run ahead of the broker's, whose time decides."""

_log = structlog.get_logger()


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
            TooLargeError: more than 256 KiB; nothing was sent.
            DeliveryError: not acknowledged; send the same demand again, it is answered once.
            BrokerUnavailableError: no broker answers.
        """
        value = self._encoder.encode(demand)
        if len(value) > _LARGEST_BYTES:
            raise TooLargeError(f"the demand has {len(value)} bytes; {_LARGEST_BYTES} at most")
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
        self._completion = Completion(value, demand.expires_at)
        self._reader = reader
        self._decoder = decoder
        self._closed = False
        self._expired = False
        self._waiting: list[Record] = []
        """Records of this demand that were read and not dealt with, in the order in which they came."""
        self._noted: list[Record] = []
        """Those of which it was logged that they cannot be read yet."""
        self._ends: dict[TopicPartition, int] | None = None
        self._undelivered: deque[Undelivered] = deque()

    @property
    def demand_id(self) -> UUID:
        """The id of the demand."""
        return self.demand.demand_id

    @property
    def complete(self) -> bool:
        """Whether every document has its end."""
        return (self._completion.complete or self._expired) and not self._undelivered

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop reading; an iteration that is under way ends."""
        self._closed = True
        await self._reader.stop()

    async def __aiter__(self) -> AsyncIterator[Event]:
        """What arrives, from where an earlier iteration was left.

        Raises:
            BrokerUnavailableError: no broker answers; nothing is lost, iterate again.
        """
        key = str(self.demand_id).encode()
        while not self._over():
            async for event in self._settled():
                yield event
            await self._expire()
            while self._undelivered:
                yield self._undelivered.popleft()
            if self._over():
                break
            batch = await self._reader.fetch(_BATCH, _LISTEN_SECONDS)
            for records in batch.values():
                self._waiting += [record for record in records if record.key == key and record.value is not None]
        await self.aclose()

    def _over(self) -> bool:
        return self.complete or self._closed

    async def _settled(self) -> AsyncIterator[Event]:
        """What the waiting records lead to. One that has no place yet, or cannot be read yet, waits on.

        Resolutions come first: the gateway has its answer acknowledged before it asks a holder, but two topics are read
        here. Records keep their order within each topic, since the first that counts decides: behind an envelope that
        cannot be read yet nothing is taken, and behind such a body no other answer to its request.
        """
        unread: set[bytes | None] = set()
        for record in sorted(self._waiting, key=lambda record: not record.topic.startswith(DEMAND_RESOLVED.name)):
            if None in unread:
                return
            event: Event | None = None
            request: bytes | None = None
            try:
                if record.topic.startswith(DEMAND_RESOLVED.name):
                    event = await self._resolution(record)
                elif self._completion.resolved is None:
                    return
                else:
                    provided = await self._decoder.message(record.value or b"", EvidenceProvided)
                    request = provided.request_id
                    if request in unread:
                        continue
                    event = await self._answer(provided, record)
            except (SchemaNotYetKnownError, SchemaRegistryUnavailableError) as error:
                unread.add(request)
                if record not in self._noted:
                    self._noted.append(record)
                    _log.warning("answer.waiting", code=error.code, topic=record.topic, offset=record.offset)
                continue
            except RecordError as error:
                _log.warning("answer.unreadable", code=error.code, topic=record.topic, offset=record.offset)
            self._waiting.remove(record)
            if event is not None:
                yield event

    async def _resolution(self, record: Record) -> DemandResolved | None:
        resolved = await self._decoder.message(record.value or b"", DemandResolved)
        return resolved if self._completion.resolve(resolved) else None

    async def _answer(self, provided: EvidenceProvided, record: Record) -> Delivered | Rejected | None:
        if not self._completion.knows(provided.request_id):
            _log.warning("answer.unsolicited", topic=record.topic, offset=record.offset)  # no sender's text in logs
            return None
        name, datum = await self._decoder.datum(provided.body)
        unavailable: EvidenceUnavailable | None = None
        evidence: dict[str, Any] | None = datum
        if name == EvidenceUnavailable.RECORD:
            unavailable, evidence = await self._decoder.message(provided.body, EvidenceUnavailable), None
        event = self._completion.answer(provided, evidence, unavailable, record.timestamp_ms)
        if isinstance(event, Rejected):
            provider = event.document.provider  # whom the gateway asked; nothing of the envelope goes to the log
            _log.error("answer.rejected", code=event.code, provider=provider, topic=record.topic, offset=record.offset)
        return None if isinstance(event, Repeated) else event

    async def _expire(self) -> None:
        """End what is open when nothing more can have come in time.

        That is so once everything was read up to ends that were asked for after expiry, and nothing of it waits to be
        readable. The ends are asked for once: on a busy partition a newer end would always lie ahead.
        """
        if self._completion.complete or self._expired or self._closed:
            return
        if self._clock() < self.demand.expires_at + _CLOCKS_APART:
            return
        if self._ends is None:
            self._ends = await self._reader.end_offsets(sorted(self._reader.held()))
        if any(self._reader.position(partition) < end for partition, end in self._ends.items()):
            return
        resolved = self._completion.resolved is not None
        if any(resolved or record.topic.startswith(DEMAND_RESOLVED.name) for record in self._waiting):
            return
        self._expired = True
        if resolved:
            ended = [(document.document_type, document.about) for document in self._completion.expire()]
        else:
            ended = [(document.type, document.about) for document in self.demand.documents]
        self._undelivered.extend(Undelivered(document, about) for document, about in ended)
