"""What the conformance kit is given, and the other side of a provider that it plays: gateway, asker, register's door.

What is checked by it stands in `chopar.conformance`.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from prometheus_client import CollectorRegistry

from chopar.avro import SchemaFiles
from chopar.bus.consume import ConsumeLoop, ConsumeSettings
from chopar.bus.port import Admin, Bus, Record, TopicPartition
from chopar.envelope import Origin, outgoing
from chopar.errors import RegisterUnavailableError, UnavailableError
from chopar.identifiers import DataSubject, PersonId, SubjectKind, agency_id, derived_uuid, uuid7
from chopar.messages.demand import Subject
from chopar.messages.dispute import DisputeReason, EvidenceCorrected, EvidenceDisputed, EvidenceUpheld
from chopar.messages.entitlement import ALWAYS
from chopar.messages.evidence import Evidence, EvidenceProvided, EvidenceRequested, EvidenceUnavailable
from chopar.messages.exchange import ExchangeRecorded
from chopar.provider.provider import RECORDS, Provider, ProviderHandler
from chopar.record_fields import field_names
from chopar.requester.completion import SAID
from chopar.schema_registry import Decoder, Encoder, InMemorySchemaRegistry
from chopar.topics import EVIDENCE_PROVIDED, EXCHANGE_RECORDED, dead_letter_topic, layouts

ASKER = agency_id("conformance-kit")
"""Nobody: the requester of the kit's requests."""

_SECRET = b"secret of the conformance kit, 32 bytes or more"
_PATIENCE_SECONDS = 20.0
_FAST = ConsumeSettings(retry_first_seconds=0.05, fetch_timeout_seconds=0.1)


@dataclass(frozen=True, slots=True)
class Example:
    """Somebody to ask about, and with what parameters."""

    subject: DataSubject
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Case:
    """What the kit needs to know of an evidence type.

    Attributes:
        evidence_type: as the directory has it.
        record: what the provider answers.
        hit: somebody whom the register holds.
        unknown: somebody whom it does not.
        fields: which fields may be let through; all of the record by default.
        change: changes what the register says of `hit`, for good; with it, corrections are checked too.
            `chopar provider check` makes the cases anew for each bus.
    """

    evidence_type: str
    record: type[Evidence]
    hit: Example
    unknown: Example
    fields: tuple[str, ...] = ()
    change: Callable[[], Awaitable[None]] | None = None

    @property
    def all_fields(self) -> tuple[str, ...]:
        """The fields that a ground could let through."""
        return self.fields or tuple(sorted({name for name in field_names(self.record) if "." not in name} - ALWAYS))


@dataclass(frozen=True, slots=True)
class Conformance:
    """A provider and what to try it with.

    Attributes:
        provider: the provider.
        register: what its functions are given.
        cases: one for each evidence type.
        files: its schemas; those shipped by default.
    """

    provider: Provider
    register: Any
    cases: Sequence[Case]
    files: SchemaFiles | None = None


class NotKeptError(Exception):
    """A promise that the provider does not keep."""


def require(holds: bool, said: str) -> None:
    """Raise NotKeptError, and say so, if a promise is not kept."""
    if not holds:
        raise NotKeptError(said)


class _Counted:
    """A register whose calls are counted, and which can be made to fail."""

    def __init__(self, register: Any, changed: asyncio.Event) -> None:
        self._register = register
        self._changed = changed
        self.calls = 0
        self.away = False

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._register, name)
        if not callable(found):
            return found

        def call(*given: Any, **named: Any) -> Any:
            self.calls += 1
            self._changed.set()
            if self.away:
                raise RegisterUnavailableError("the conformance kit takes the register away")
            return found(*given, **named)

        return call


@dataclass(frozen=True, slots=True)
class Answered:
    """What a request led to."""

    provided: EvidenceProvided
    value: bytes
    message_id: bytes | None
    accesses: tuple[ExchangeRecorded, ...]
    calls: int

    async def body(self, decoder: Decoder, record: type[Evidence]) -> Evidence | EvidenceUnavailable:
        """What the answer says, decoded."""
        name, _ = await decoder.datum(self.provided.body)
        unavailable = name == EvidenceUnavailable.RECORD
        return await decoder.message(self.provided.body, EvidenceUnavailable if unavailable else record)


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What a dispute, or a correction by the holder, led to."""

    said: EvidenceUpheld | EvidenceCorrected
    value: bytes
    message_id: bytes | None
    accesses: tuple[ExchangeRecorded, ...]


class Rig:
    """The provider on a bus, and the gateway's and the asker's part of an exchange."""

    def __init__(self, conformance: Conformance, bus: Bus, clock: Callable[[], datetime]) -> None:
        self.provider = conformance.provider
        self.files = conformance.files or SchemaFiles.shipped()
        self.registry = InMemorySchemaRegistry(time.monotonic)
        self.encoder = Encoder(self.files, self.registry)
        self.decoder = Decoder(self.files, self.registry)
        self._changed = asyncio.Event()  # something arrived, or the register was asked
        self.register = _Counted(conformance.register, self._changed)
        self.clock = clock
        self.letters: list[Record] = []
        self.bus = bus
        self._records = {case.record for case in conformance.cases}
        self._number = 0
        self._made: list[str] = []
        self._provided: list[Record] = []
        self._accesses: list[Record] = []
        self.handler = handler = ProviderHandler(
            self.provider,
            self.register,
            encoder=self.encoder,
            decoder=Decoder(self.files, self.registry),
            secret=_SECRET,
            clock=clock,
            metrics=CollectorRegistry(),
        )
        self.loop = ConsumeLoop(bus, self.provider.group, [self.provider.topic], handler, settings=_FAST)
        self._producer = bus.producer("conformance")

    async def prepare(self) -> None:
        async with self._administering() as admin:
            self._made = await admin.create(list(layouts([ASKER], [self.provider.agency])))
        for record, text in self.files.texts.items():
            await self.registry.register(record, text)
        await self.encoder.prepare(EvidenceRequested, EvidenceDisputed, *RECORDS, *self._records)
        await self._producer.start()

    async def follow(self) -> None:
        """Collect what arrives."""
        into = {
            EVIDENCE_PROVIDED.of(ASKER): self._provided,
            EXCHANGE_RECORDED.of(): self._accesses,
            dead_letter_topic(self.provider.topic): self.letters,
        }
        reader = self.bus.reader({TopicPartition(topic, 0): None for topic in into})
        await reader.start()
        try:
            while True:
                for place, records in (await reader.fetch(500, 0.2)).items():
                    into[place.topic] += records
                    self._changed.set()
        finally:
            await reader.stop()

    def reasons(self) -> str:
        """What became of the requests that were not answered, as far as it is known."""
        codes = {(record.header("dlq_code") or b"").decode("ascii", "replace") for record in self.letters}
        told = sorted((codes | set(self.loop.missing())) - {""})
        return f" ({', '.join(told)}; what the provider logs says more)" if told else ""

    async def close(self) -> None:
        """Leave nothing behind: topics of checks, with dead letters in them, are no operator's matter."""
        try:
            await self._producer.stop()
        finally:
            if self._made:
                async with self._administering() as admin:
                    await admin.delete(self._made)

    @contextlib.asynccontextmanager
    async def _administering(self) -> AsyncIterator[Admin]:
        admin = self.bus.admin()
        await admin.start()
        try:
            yield admin
        finally:
            await admin.stop()

    def request(self, case: Case, about: Example, **changes: Any) -> EvidenceRequested:
        """A request as the gateway would make it; no two are alike."""
        self._number += 1
        now = self.clock()
        kind = "person" if isinstance(about.subject, PersonId) else "business"
        asked: dict[str, Any] = {
            "request_id": sha256(f"conformance {self._number} {now.isoformat()}".encode()).digest(),
            "demand_id": uuid7(now, self._number),
            "requester": ASKER,
            "provider": self.provider.agency,
            "evidence_type": case.evidence_type,
            "subject": Subject(kind=SubjectKind(kind).value, id=about.subject.text),
            "parameters": dict(about.parameters),
            "fields": case.all_fields,
            "procedure": "conformance",
            "case_id": "conformance",
            "official": "conformance",
            "access_ground": "conformance",
            "act": "none: these are checks",
            "as_of": now,
            "due": now + timedelta(hours=1),
            "expires_at": now + timedelta(hours=2),
        }
        return EvidenceRequested.model_validate({**asked, **changes})

    async def send(self, *requests: EvidenceRequested, values: Mapping[UUID, bytes] | None = None) -> None:
        """Put requests on the provider's topic."""
        records = []
        for request in requests:
            value = (values or {}).get(request.demand_id) or self.encoder.encode(request)
            origin = Origin("/gateway", int(request.as_of.timestamp() * 1000), request.demand_id)
            message_id = derived_uuid(request.request_id, request.RECORD)
            records.append(outgoing(self.provider.topic, 0, value, message_id, request.RECORD, origin))
        await self._producer.send(records)

    async def answers(self, request: EvidenceRequested, count: int = 1) -> list[Answered]:
        """Wait for the answers to a request."""
        found: list[Answered] = []

        async def enough() -> bool:
            found[:] = await self.found(request)
            return len(found) >= count

        await self.until(enough)
        return found

    async def until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        """Wait until something holds, asked whenever something has changed."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while not await holds():
                self._changed.clear()
                await self._changed.wait()

    async def ask(self, request: EvidenceRequested, **more: Any) -> Answered:
        """Send one request and wait for its answer."""
        before = self.register.calls
        await self.send(request, **more)
        answer = (await self.answers(request))[0]
        return Answered(answer.provided, answer.value, answer.message_id, answer.accesses, self.register.calls - before)

    async def found(self, request: EvidenceRequested) -> list[Answered]:
        """The answers to a request so far; none before each is recorded."""
        return [one for one in await self._said(request) if isinstance(one, Answered)]

    async def dispute(self, request: EvidenceRequested, answer: bytes, **changes: Any) -> EvidenceDisputed:
        """Dispute an answer by its digest, as the gateway passes it on."""
        self._number += 1
        now = self.clock()
        said: dict[str, Any] = {
            "dispute_id": uuid7(now, self._number),
            "demand_id": request.demand_id,
            "requester": ASKER,
            "request_id": request.request_id,
            "answer_digest": answer,
            "reason": DisputeReason.WRONG_VALUE,
            "official": "conformance",
            "disputed_at": now,
            "original": self.encoder.encode(request),
        }
        message = EvidenceDisputed.model_validate({**said, **changes})
        await self.put(message, message.dispute_id, message.demand_id, now)
        return message

    async def put(self, message: EvidenceDisputed, message_id: UUID, demand_id: UUID, at: datetime) -> None:
        """Put a dispute on the provider's topic."""
        origin = Origin("/gateway", int(at.timestamp() * 1000), demand_id)
        value = self.encoder.encode(message)
        await self._producer.send([outgoing(self.provider.topic, 0, value, message_id, message.RECORD, origin)])

    async def reviews(self, request: EvidenceRequested, count: int = 1) -> list[Reviewed]:
        """Wait for what the provider says after it has looked at a request again."""
        found: list[Reviewed] = []

        async def enough() -> bool:
            found[:] = await self.reviewed(request)
            return len(found) >= count

        await self.until(enough)
        return found

    async def reviewed(self, request: EvidenceRequested) -> list[Reviewed]:
        """The same so far."""
        return [one for one in await self._said(request) if isinstance(one, Reviewed)]

    async def _said(self, request: EvidenceRequested) -> list[Answered | Reviewed]:
        hashed = sha256(request.request_id).digest()
        accesses = []
        for record in self._accesses:
            recorded = await self.decoder.message(record.value or b"", ExchangeRecorded)
            if recorded.access is not None and recorded.access.request_hash == hashed:
                accesses.append(recorded)
        found: list[Answered | Reviewed] = []
        for record in self._provided:
            said = await self.decoder.one_of(record.value or b"", *SAID)
            if said.request_id == request.request_id:
                message_id, value = record.header("ce_id"), record.value or b""
                if isinstance(said, EvidenceProvided):
                    found.append(Answered(said, value, message_id, tuple(accesses), 0))
                else:
                    found.append(Reviewed(said, value, message_id, tuple(accesses)))
                require(record.key == str(request.demand_id).encode(), "the key of an answer is the demand id")
                told = b" ".join([record.key or b"", *(value for _, value in record.headers)])
                require(request.subject.id.encode() not in told, "an identifier stands in a key or a header")
        return found if len(accesses) >= len(found) else []


@contextlib.asynccontextmanager
async def running(conformance: Conformance, bus: Bus, clock: Callable[[], datetime]) -> AsyncIterator[Rig]:
    rig = Rig(conformance, bus, clock)
    tasks: list[asyncio.Task[None]] = []
    try:
        await rig.prepare()
        tasks = [asyncio.create_task(rig.loop.run()), asyncio.create_task(rig.follow())]
        yield rig
    finally:
        rig.loop.stop()
        for follower in tasks[1:]:
            follower.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(UnavailableError):  # it would hide what was found, or why it ended
            await rig.close()
