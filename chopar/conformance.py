"""Does a provider keep what Chopar promises of one? The same checks on the in-memory bus and on a real one.

`chopar provider check` runs them, and so can a test of one's own:

    findings = await check(conformance, MemoryBus(clock))
    assert not [finding for finding in findings if not finding.passed]

The provider is run by the consume loop as in production; only the gateway's part is played here. Whether what it says
is true is left to the agency.
"""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import structlog
from prometheus_client import CollectorRegistry

from chopar.avro import SchemaFiles, frame, unframe
from chopar.avro_writer import zigzag
from chopar.bus.consume import ConsumeLoop, ConsumeSettings
from chopar.bus.port import Bus, Record, TopicPartition
from chopar.envelope import Origin, outgoing
from chopar.errors import ConfigurationError, RegisterUnavailableError
from chopar.identifiers import DataSubject, PersonId, SubjectKind, agency_id, derived_uuid, uuid7
from chopar.messages.demand import Subject
from chopar.messages.entitlement import ALWAYS, beyond
from chopar.messages.evidence import (
    Evidence,
    EvidenceProvided,
    EvidenceRequested,
    EvidenceUnavailable,
    UnavailableCode,
)
from chopar.messages.exchange import ExchangeRecorded
from chopar.provider import Provider, ProviderHandler
from chopar.record_fields import field_names, require_equal_fields
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
        change: changes what the register says of `hit`; with it, a correction is checked too.
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


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one check. `said` is empty where it passed."""

    evidence_type: str
    check: str
    passed: bool
    said: str = ""


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
class _Answer:
    """What a request led to."""

    provided: EvidenceProvided
    value: bytes
    message_id: bytes | None
    accesses: tuple[ExchangeRecorded, ...]
    calls: int

    async def body(self, decoder: Decoder, record: type[Evidence]) -> Evidence | EvidenceUnavailable:
        name, _ = await decoder.datum(self.provided.body)
        unavailable = name == EvidenceUnavailable.RECORD
        return await decoder.message(self.provided.body, EvidenceUnavailable if unavailable else record)


async def check(conformance: Conformance, bus: Bus, *, clock: Callable[[], datetime] | None = None) -> list[Finding]:
    """Run all checks.

    Args:
        conformance: the provider and its examples.
        bus: in memory, or a real one (`PrefixedBus` keeps its topics apart from those in use).
        clock: aware UTC time.

    Returns:
        One finding a check and evidence type, in the order in which they were made.

    Raises:
        ConfigurationError: the provider has an evidence type without a case, or a case is of none.
        BrokerUnavailableError: the bus does not answer.
    """
    known = set(conformance.provider.evidence_types)
    given = {case.evidence_type for case in conformance.cases}
    if known != given:
        raise ConfigurationError(f"a case is due for each evidence type: {', '.join(sorted(known ^ given))}")
    for case in conformance.cases:
        require_equal_fields(case.record, (conformance.files or SchemaFiles.shipped()).text(case.record.RECORD))
    findings: list[Finding] = []
    async with _running(conformance, bus, clock or (lambda: datetime.now(UTC))) as rig:
        for case in conformance.cases:
            for name, one in _CHECKS.items():
                if name == "correction" and case.change is None:
                    continue
                try:
                    await one(rig, case)
                except _NotKeptError as error:
                    findings.append(Finding(case.evidence_type, name, passed=False, said=str(error)))
                except TimeoutError:
                    said = "no answer came in time" + rig.reasons()
                    findings.append(Finding(case.evidence_type, name, passed=False, said=said))
                    if name == next(iter(_CHECKS)):
                        break  # who does not answer the first request answers none
                else:
                    findings.append(Finding(case.evidence_type, name, passed=True))
    return findings


class _NotKeptError(Exception):
    """A promise that the provider does not keep."""


def _require(holds: bool, said: str) -> None:
    if not holds:
        raise _NotKeptError(said)


class _Rig:
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
        self._bus = bus
        self._records = {case.record for case in conformance.cases}
        self._number = 0
        self._provided: list[Record] = []
        self._accesses: list[Record] = []
        handler = ProviderHandler(
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
        admin = self._bus.admin()
        await admin.start()
        try:
            await admin.create(list(layouts([ASKER], [self.provider.agency])))
        finally:
            await admin.stop()
        for record, text in self.files.texts.items():
            await self.registry.register(record, text)
        await self.encoder.prepare(
            EvidenceRequested, EvidenceProvided, EvidenceUnavailable, ExchangeRecorded, *self._records
        )
        await self._producer.start()

    async def follow(self) -> None:
        """Collect what arrives."""
        into = {
            EVIDENCE_PROVIDED.of(ASKER): self._provided,
            EXCHANGE_RECORDED.of(): self._accesses,
            dead_letter_topic(self.provider.topic): self.letters,
        }
        reader = self._bus.reader({TopicPartition(topic, 0): None for topic in into})
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
        await self._producer.stop()

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

    async def answers(self, request: EvidenceRequested, count: int = 1) -> list[_Answer]:
        """Wait for the answers to a request."""
        found: list[_Answer] = []

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

    async def ask(self, request: EvidenceRequested, **more: Any) -> _Answer:
        """Send one request and wait for its answer."""
        before = self.register.calls
        await self.send(request, **more)
        answer = (await self.answers(request))[0]
        return _Answer(answer.provided, answer.value, answer.message_id, answer.accesses, self.register.calls - before)

    async def found(self, request: EvidenceRequested) -> list[_Answer]:
        hashed = sha256(request.request_id).digest()
        accesses = []
        for record in self._accesses:
            recorded = await self.decoder.message(record.value or b"", ExchangeRecorded)
            if recorded.access is not None and recorded.access.request_hash == hashed:
                accesses.append(recorded)
        found = []
        for record in self._provided:
            provided = await self.decoder.message(record.value or b"", EvidenceProvided)
            if provided.request_id == request.request_id:
                message_id = record.header("ce_id")
                found.append(_Answer(provided, record.value or b"", message_id, tuple(accesses), 0))
                _require(record.key == str(request.demand_id).encode(), "the key of an answer is the demand id")
                told = b" ".join([record.key or b"", *(value for _, value in record.headers)])
                _require(request.subject.id.encode() not in told, "an identifier stands in a key or a header")
        return found if len(accesses) >= len(found) else []


@contextlib.asynccontextmanager
async def _running(conformance: Conformance, bus: Bus, clock: Callable[[], datetime]) -> AsyncIterator[_Rig]:
    rig = _Rig(conformance, bus, clock)
    await rig.prepare()
    tasks = [asyncio.create_task(rig.loop.run()), asyncio.create_task(rig.follow())]
    try:
        yield rig
    finally:
        rig.loop.stop()
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await rig.close()


@contextlib.contextmanager
def _logged() -> Iterator[list[str]]:
    """What is given to `logging` and structlog meanwhile, before anything masks it."""
    lines: list[str] = []

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    def listening(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        lines.append(repr(event))
        raise structlog.DropEvent  # shown are the findings

    handler, root = Listening(), logging.getLogger()
    level, wrapper = root.level, structlog.get_config()["wrapper_class"]
    # In place, as loggers that are in use hold the same list.
    processors = structlog.get_config()["processors"]
    processors.insert(0, listening)
    # As in a process: `chopar provider check` lets less through.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    root.setLevel(logging.INFO)
    root.addHandler(handler)
    try:
        yield lines
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        structlog.configure(wrapper_class=wrapper)
        processors.remove(listening)


async def _hit(rig: _Rig, case: Case) -> None:
    request = rig.request(case, case.hit)
    with _logged() as lines:
        answer = await rig.ask(request)
    body = await answer.body(rig.decoder, case.record)
    _require(isinstance(body, case.record), f"who is in the register gets no {case.record.__name__}")
    _require(not any(request.subject.id in line for line in lines), "an identifier goes to a log")
    _require(answer.provided.final, "evidence is final")
    digest = sha256(answer.provided.nonce + answer.provided.body).digest()
    recorded = answer.accesses[0].access
    _require(recorded is not None and recorded.answer_digest == digest, "the access record is of another answer")


async def _no_record(rig: _Rig, case: Case) -> None:
    hit = await rig.ask(rig.request(case, case.hit))
    unknown = await rig.ask(rig.request(case, case.unknown))
    body = await unknown.body(rig.decoder, case.record)
    _require(
        isinstance(body, EvidenceUnavailable) and body.code is UnavailableCode.NO_RECORD,
        "who is not in the register gets no `NoRecord`",
    )
    _require(
        unknown.calls == hit.calls,
        f"a hit asks the register {hit.calls} times, no_record {unknown.calls} times: the time tells them apart",
    )
    _require(
        len(unknown.value) == len(hit.value),
        f"a hit has {len(hit.value)} bytes, no_record {len(unknown.value)}: the size tells them apart",
    )


async def _fields_cut(rig: _Rig, case: Case) -> None:
    for only in case.all_fields:
        answer = await rig.ask(rig.request(case, case.hit, fields=(only,)))
        body = await answer.body(rig.decoder, case.record)
        _require(isinstance(body, case.record), f"with the field {only} alone there is no {case.record.__name__}")
        more = beyond(body.to_avro(), (only,))
        _require(not more, f"with the field {only} alone it gives {', '.join(more)} too")


async def _duplicate(rig: _Rig, case: Case) -> None:
    request = rig.request(case, case.hit)
    await rig.send(request, request)
    first, second = (await rig.answers(request, 2))[:2]
    _require(first.value == second.value, "the same request is answered by other bytes: is a clock or chance in it?")
    _require(first.message_id == second.message_id, "the same answer has another id")


async def _deadline(rig: _Rig, case: Case) -> None:
    now = rig.clock()
    late = rig.request(case, case.hit, as_of=now - timedelta(days=2), expires_at=now - timedelta(days=1))
    sentinel = rig.request(case, case.hit)
    before = rig.register.calls
    await rig.send(late)
    await rig.send(sentinel)
    await rig.answers(sentinel)
    calls = rig.register.calls - before
    _require(not await rig.found(late), "a request whose time is over is answered")
    alone = (await rig.ask(rig.request(case, case.hit))).calls
    _require(calls <= alone, "the register is read for a request whose time is over")


async def _register_away(rig: _Rig, case: Case) -> None:
    calls = (await rig.ask(rig.request(case, case.hit))).calls
    _require(calls > 0, "it answers without asking its register")
    request = rig.request(case, case.hit)
    before = rig.register.calls

    async def tried_again_or_answered() -> bool:
        return rig.register.calls - before > calls or bool(await rig.found(request))

    rig.register.away = True
    try:
        await rig.send(request)
        await rig.until(tried_again_or_answered)
        _require(not await rig.found(request), "a register that is away is answered as if it had been read")
    finally:
        rig.register.away = False
    answer = (await rig.answers(request))[0]
    body = await answer.body(rig.decoder, case.record)
    _require(isinstance(body, case.record), "after the register has come back it does not answer")


async def _unknown_fields(rig: _Rig, case: Case) -> None:
    schema = json.loads(rig.files.texts[EvidenceRequested.RECORD])
    schema["fields"].append(
        {"name": "of_tomorrow", "type": ["null", "string"], "default": None, "doc": "Not known yet."}
    )
    text = json.dumps(schema)
    schema_id = await rig.registry.register(EvidenceRequested.RECORD, text)
    request = rig.request(case, case.hit)
    _, body = unframe(rig.encoder.encode(request))
    said = b"later"
    value = frame(schema_id, body + b"\x02" + zigzag(len(said)) + said)  # the union's second branch, and its string
    answer = await rig.ask(request, values={request.demand_id: value})
    evidence = await answer.body(rig.decoder, case.record)
    _require(isinstance(evidence, case.record), "a request with a field of tomorrow is not answered")


async def _another_provider(rig: _Rig, case: Case) -> None:
    request = rig.request(case, case.hit, provider="somebody-else")
    sentinel = rig.request(case, case.hit)
    await rig.send(request)
    await rig.send(sentinel)
    await rig.answers(sentinel)
    _require(not await rig.found(request), "a request to another provider is answered")


async def _correction(rig: _Rig, case: Case) -> None:
    assert case.change is not None
    request = rig.request(case, case.hit)
    first = await rig.ask(request)
    await case.change()
    await rig.send(request)
    second = (await rig.answers(request, 2))[1]
    _require(first.provided.body != second.provided.body, "after `change` the register says the same")
    _require(first.message_id != second.message_id, "another answer has the id of the first")


_CHECKS: Mapping[str, Callable[[_Rig, Case], Awaitable[None]]] = {
    "hit": _hit,
    "no record": _no_record,
    "fields cut": _fields_cut,
    "duplicate": _duplicate,
    "deadline": _deadline,
    "register away": _register_away,
    "unknown extra fields": _unknown_fields,
    "another provider": _another_provider,
    "correction": _correction,
}
