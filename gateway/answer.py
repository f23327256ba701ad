"""From a demand's record to the messages that answer it: pure, and equal byte for byte whoever computes it.

Everything that goes in is the record, the first record of its id, and what the law says held at its broker time. No
clock, no random number, no setting and no header of an agency (`traceparent` aside) reaches an output.

This is the plain way, and the reference. `gateway.rendering` remembers what it made and gives the same bytes sooner.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any, Literal, NamedTuple, Protocol
from uuid import UUID

from chopar.bus.consume import Outputs
from chopar.bus.port import Outgoing
from chopar.envelope import Origin, outgoing
from chopar.errors import RecordError
from chopar.identifiers import AgencyId, Derivation, DocumentType, EvidenceType, ProcedureId, SubjectKind
from chopar.messages.demand import (
    MAX_DOCUMENTS,
    ActingAs,
    Alternative,
    AskedHolder,
    Demand,
    DemandedDocument,
    DemandResolved,
    Following,
    Outcome,
    Party,
    PersonMayBeAsked,
    ResolvedDocument,
    Rule,
    Subject,
)
from chopar.messages.evidence import EvidenceRequested
from chopar.messages.exchange import (
    AskedEntry,
    DocumentEntry,
    ExchangeRecorded,
    FollowingEntry,
    PartyEntry,
    ResolutionEntry,
)
from chopar.messages.record import Message
from chopar.topics import DEMAND_RESOLVED, EVIDENCE_REQUESTED, EXCHANGE_RECORDED
from gateway import demand as asked
from gateway.resolution import Alternative as FoundAlternative
from gateway.resolution import NextStep, Resolution
from gateway.resolution import ResolvedDocument as Found
from gateway.resolution import Rule as FoundRule
from gateway.resolver import resolve
from gateway.standing import Standing
from gateway.tashkent import day_of

RECORDED_BY = "gateway"

BEFORE = (ExchangeRecorded.RECORD, DemandResolved.RECORD)
"""Records that are acknowledged before any `AFTER` is sent, one of each."""
AFTER = EvidenceRequested.RECORD
"""The record of which there is one for each document to fetch."""
SOURCE = "/gateway"
"""`ce_source` of all that the gateway says of a demand."""


class Cause(NamedTuple):
    """The record that is answered: the first one with these bytes, or for `expired` and `id_reused` the record itself.

    Args:
        topic: of the demand; its suffix is the requester.
        partition: copied by every output.
        offset: of the cause.
        timestamp_ms: broker time of the cause.
        requester: from the topic's name.
        demand_id: from the key.
        value: the bytes.
        trace: the `traceparent` of the record at hand.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    requester: AgencyId
    demand_id: UUID
    value: bytes
    trace: bytes | None

    @property
    def received_at(self) -> datetime:
        """Broker time, in UTC."""
        return datetime.fromtimestamp(self.timestamp_ms / 1000, UTC)

    @property
    def on(self) -> date:
        """The day of receipt in Tashkent, by which the law is read."""
        return day_of(self.received_at)


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided of a demand.

    Args:
        demand: as it was read; None if it could not be.
        resolution: of the resolver; None if the envelope was refused.
        refused: the code, if the whole demand was.
    """

    demand: Demand | None
    resolution: Resolution | None
    refused: str | None


def answer(cause: Cause, standing: Standing, refused: str | None = None) -> Outputs:
    """The messages that answer a demand.

    Args:
        cause: what is answered.
        standing: what held at its broker time.
        refused: a code that was found before the demand was read (`expired`, `clock`, `id_reused`).
    """
    return rendered(cause, standing, decided(cause, standing, refused))


def decided(cause: Cause, standing: Standing, refused: str | None = None) -> Decision:
    """What is answered, before it is put into messages. Arguments as of `answer`."""
    demand: Demand | None = None
    resolution: Resolution | None = None
    try:
        demand = standing.decode_demand(cause.value)
    except RecordError:
        refused = refused or "unreadable"
    else:
        if demand.demand_id != cause.demand_id:
            demand, refused = None, refused or "unreadable"
        else:
            refused = refused or _envelope(cause, demand)
    if demand is not None and refused is None:
        passed_over = demand.follows.asked if demand.follows is not None else ()
        resolution = resolve(demand_of(demand, passed_over), standing.lists, cause.on, standing.fetch_mode)
        refused = resolution.refused
    return Decision(demand, resolution, refused)


def rendered(cause: Cause, standing: Standing, decision: Decision) -> Outputs:
    """A decision as messages."""
    return _Writer(cause, standing, decision).outputs()


class Reply:
    """What all messages that answer a cause have in common: their headers, and the beginning of their ids.

    Args:
        cause: that is answered.
        key: its demand id as text, if that is at hand.
    """

    __slots__ = ("_ids", "_partition", "origin")

    def __init__(self, cause: Cause, key: bytes | None = None) -> None:
        topic, self._partition, offset, timestamp_ms, _, demand_id, _, trace = cause
        self._ids = Derivation(topic, self._partition, offset)
        self.origin = Origin(SOURCE, timestamp_ms, demand_id, f"{topic}/{self._partition}/{offset}", trace, key)

    def message(self, topic: str, record: str, number: int, value: bytes) -> Outgoing:
        """One of them; its id follows from the cause, its record and its number among those of its record."""
        return outgoing(topic, self._partition, value, self._ids.text(record, number), record, self.origin)


def _envelope(cause: Cause, demand: Demand) -> str | None:
    """What is wrong with a demand before the law is asked; the first that holds."""
    if demand.requester != cause.requester:
        return "requester_mismatch"
    if demand.expires_at <= cause.received_at:
        return "expired"
    return None


def _kind(kind: SubjectKind) -> Literal["person", "business"]:
    return "business" if kind is SubjectKind.BUSINESS else "person"


def _subject(given: Subject) -> asked.Subject:
    return asked.Subject(SubjectKind(given.kind), given.id)


class Asking(Protocol):
    """What a demand and a rehearsal have in common."""

    @property
    def requester(self) -> str: ...
    @property
    def procedure(self) -> str: ...
    @property
    def subject(self) -> Subject: ...
    @property
    def parties(self) -> Sequence[Party]: ...
    @property
    def applicant(self) -> Subject | None: ...
    @property
    def acting_as(self) -> ActingAs: ...
    @property
    def circumstances(self) -> Mapping[str, str]: ...
    @property
    def documents(self) -> Sequence[DemandedDocument]: ...


def demand_of(demand: Asking, passed_over: Sequence[AskedHolder] = ()) -> asked.Demand:
    """A demand or a rehearsal as the resolver sees it.

    Args:
        demand: either.
        passed_over: who was asked before, by a demand that this one follows.
    """
    return asked.Demand(
        requester=AgencyId(demand.requester),
        procedure=ProcedureId(demand.procedure),
        subject=_subject(demand.subject),
        documents=tuple(
            asked.DocumentDemand(DocumentType(document.type), document.about, document.parameters)
            for document in demand.documents
        ),
        parties=tuple(asked.Party(party.role, SubjectKind(party.kind), party.id) for party in demand.parties),
        applicant=_subject(demand.applicant) if demand.applicant else None,
        acting_as=demand.acting_as,
        circumstances={code: said == "yes" for code, said in demand.circumstances.items()},
        asked=frozenset((AgencyId(one.provider), EvidenceType(one.evidence_type)) for one in passed_over),
    )


def _refused(demand: Demand, code: str) -> tuple[ResolvedDocument, ...]:
    """Every document of a demand whose envelope is refused, by that code; as many as an answer can hold."""
    distinct = {(d.type, d.about, tuple(sorted(d.parameters.items()))): d for d in demand.documents}
    return tuple(
        ResolvedDocument(
            document_type=document.type,
            about=document.about,
            parameter_names=tuple(sorted(document.parameters)),
            outcome=Outcome.REFUSED,
            code=code,
            person_may_be_asked=PersonMayBeAsked.NO,
            next_step=NextStep.CORRECT_DEMAND,
        )
        for document in list(distinct.values())[:MAX_DOCUMENTS]
    )


_BLOCK = 64
"""Bytes of a block of SHA-256."""


@lru_cache(maxsize=8)  # secrets are few, and change seldom
def _pads(secret: bytes) -> tuple[bytes, bytes]:
    """What HMAC puts before what it hashes, the first time and the second (RFC 2104)."""
    key = (hashlib.sha256(secret).digest() if len(secret) > _BLOCK else secret).ljust(_BLOCK, b"\0")
    return bytes(byte ^ 0x36 for byte in key), bytes(byte ^ 0x5C for byte in key)


def _hmac(secret: bytes, message: bytes) -> bytes:
    """HMAC-SHA-256; two hashes cost half of what one call of OpenSSL's HMAC does."""
    inner, outer = _pads(secret)
    return _sha256(outer + _sha256(inner + message).digest()).digest()


def _joined(*parts: bytes) -> bytes:
    """Parts, each preceded by its length, so that no two lists of parts meet."""
    return b"".join([piece for part in parts for piece in (len(part).to_bytes(4, "big"), part)])


_joined_names = lru_cache(maxsize=1024)(_joined)  # of names that a process knows few of
_sha256 = hashlib.sha256


def demand_hmac(secret: bytes, value: bytes) -> bytes:
    """How the exchange log names a demand's bytes: a plain digest of them would give a guessed PINFL away."""
    return _hmac(secret, _joined_names(b"demand") + _joined(value))


def request_id(
    secret: bytes,
    requester: str,
    demand_id: UUID,
    digest: bytes,
    document_type: str,
    about: str | None,
    parameters: Mapping[str, str],
) -> bytes:
    """The capability of a request: only who holds the gateway's secret can make it, and it is the same every time."""
    role = b"\x00" if about is None else b"\x01" + about.encode()
    message = (
        _joined_names(b"request", requester.encode())
        + _joined(demand_id.bytes, digest)
        + _joined_names(document_type.encode(), role)
    )
    if parameters:
        message += _joined(*[text.encode() for name in sorted(parameters) for text in (name, parameters[name])])
    return _hmac(secret, message)


def rule_message(rule: FoundRule | None) -> Rule | None:
    """What decided, as messages carry it."""
    if rule is None:
        return None
    return Rule(
        entry=rule.entry,
        also_binding=rule.also_binding,
        act=rule.act,
        source=rule.source,
        in_force_from=rule.in_force_from,
        in_force_basis=rule.in_force_basis,
        confidence=rule.confidence,
        disposition_basis=rule.disposition_basis,
        text_read=rule.text_read,
        coverage=rule.coverage,
        ground=rule.ground.id if rule.ground else None,
    )


def alternative_message(alternative: FoundAlternative) -> Alternative:
    """Another holder, as messages carry it."""
    return Alternative(provider=alternative.provider, evidence_type=alternative.evidence_type, code=alternative.code)


class _Writer:
    """Puts one answer into messages."""

    def __init__(
        self,
        cause: Cause,
        standing: Standing,
        decision: Decision,
    ) -> None:
        self._cause = cause
        self._demand = demand = decision.demand
        self._standing = standing
        self._refused = refused = decision.refused
        resolution = decision.resolution
        self._digest = hashlib.sha256(cause.value).digest()
        self._found: Sequence[Found] = resolution.documents if resolution else ()
        self._legal_basis_start = resolution.legal_basis_start if resolution else None
        if resolution is not None:
            self._documents = tuple(self._resolved(document) for document in self._found)
        else:
            self._documents = _refused(demand, refused or "unreadable") if demand else ()
        self._reply = Reply(cause)

    def outputs(self) -> Outputs:
        before: list[Message] = [self._record(), self._answer()]
        requests = [
            self._request(found, document)
            for found, document in zip(self._found, self._documents, strict=False)
            if document.outcome is Outcome.FETCH
        ]
        topics = {
            ExchangeRecorded.RECORD: EXCHANGE_RECORDED.of(),
            DemandResolved.RECORD: DEMAND_RESOLVED.of(self._cause.requester),
        }
        return Outputs(
            before=tuple(self._outgoing(topics[message.RECORD], message, 0) for message in before),
            after=tuple(
                self._outgoing(EVIDENCE_REQUESTED.of(AgencyId(message.provider)), message, index)
                for index, message in enumerate(requests)
            ),
        )

    def _outgoing(self, topic: str, message: Message, index: int) -> Outgoing:
        return self._reply.message(topic, message.RECORD, index, self._standing.encode(message))

    def _due(self, document: Found) -> datetime | None:
        if document.outcome is not Outcome.FETCH or document.due is None or self._demand is None:
            return None
        return min(self._cause.received_at + document.due, self._demand.expires_at)

    def _resolved(self, document: Found) -> ResolvedDocument:
        fetched = document.outcome is Outcome.FETCH
        return ResolvedDocument(
            document_type=document.document_type,
            about=document.about,
            parameter_names=tuple(sorted(document.parameters)),
            outcome=document.outcome,
            code=document.code,
            person_may_be_asked=document.person_may_be_asked,
            rule=rule_message(document.rule),
            named_basis=document.named_basis,
            next_step=document.next_step,
            replaces=document.replaces,
            provider=document.provider,
            evidence_type=document.evidence_type,
            fields=document.fields if fetched else (),
            request_id=self._request_id(document) if fetched else None,
            due=self._due(document),
            alternatives=tuple(alternative_message(one) for one in document.alternatives),
        )

    def _request_id(self, document: Found) -> bytes:
        return request_id(
            self._standing.secret,
            self._cause.requester,
            self._cause.demand_id,
            self._digest,
            document.document_type,
            document.about,
            document.parameters,
        )

    def _answer(self) -> DemandResolved:
        return DemandResolved(
            demand_id=self._cause.demand_id,
            demand_digest=self._digest,
            requester=self._cause.requester,
            received_at=self._cause.received_at,
            on=self._cause.on,
            list_digest=self._standing.list_digest,
            fetch_mode=self._standing.fetch_mode,
            rules_number=self._standing.rules_number,
            legal_basis_start=self._legal_basis_start,
            refused=self._refused,
            documents=self._documents,
            expires_at=self._demand.expires_at if self._demand else None,
        )

    def _request(self, found: Found, document: ResolvedDocument) -> EvidenceRequested:
        # The resolver gives a fetch all of these; a missing one is a fault of ours and must not become a request.
        assert self._demand is not None
        assert document.request_id is not None
        assert document.due is not None
        assert document.provider is not None
        assert document.evidence_type is not None
        assert found.ground_id is not None
        assert found.subject is not None
        assert found.rule is not None
        assert found.rule.ground is not None
        return EvidenceRequested(
            request_id=document.request_id,
            demand_id=self._cause.demand_id,
            requester=self._cause.requester,
            provider=document.provider,
            evidence_type=document.evidence_type,
            subject=Subject(kind=_kind(found.subject.kind), id=found.subject.text),
            # The holder learns what its ground needs, and nothing else that came along.
            parameters={
                name: value for name, value in sorted(found.parameters.items()) if name in found.rule.ground.parameters
            },
            fields=document.fields,
            procedure=self._demand.procedure,
            case_id=self._demand.case_id,
            official=self._demand.official,
            access_ground=found.ground_id,
            act=found.rule.ground.act,
            as_of=self._cause.received_at,
            due=document.due,
            expires_at=self._demand.expires_at,
        )

    def _record(self) -> ExchangeRecorded:
        demand, standing, cause = self._demand, self._standing, self._cause
        said: dict[str, Any] = {}
        if demand is not None:
            said = {
                "procedure": demand.procedure,
                "case_id": demand.case_id,
                "official": demand.official,
                "ground_kind": demand.ground.kind,
                "ground_reference": demand.ground.reference,
                "acting_as": demand.acting_as,
                "subject_kind": demand.subject.kind,
                "subject_pseudonym": subject_pseudonym(
                    standing.secret, demand.subject.kind, demand.subject.id.encode()
                ),
                "parties": tuple(PartyEntry(role=party.role, kind=party.kind) for party in demand.parties),
                "circumstances": {code: given == "yes" for code, given in sorted(demand.circumstances.items())},
                "expires_at": demand.expires_at,
                "follows": _following_entry(demand.follows) if demand.follows is not None else None,
            }
        entry = ResolutionEntry(
            received_at=cause.received_at,
            demand_hmac=demand_hmac(standing.secret, cause.value),
            list_digest=standing.list_digest,
            fetch_mode=standing.fetch_mode,
            rules_number=standing.rules_number,
            refused=self._refused,
            documents=tuple(
                DocumentEntry(
                    document_type=document.document_type,
                    about=document.about,
                    parameter_names=document.parameter_names,
                    outcome=document.outcome,
                    code=document.code,
                    entry=document.rule.entry if document.rule else None,
                    provider=document.provider,
                    evidence_type=document.evidence_type,
                    request_hash=hashlib.sha256(document.request_id).digest() if document.request_id else None,
                    due=document.due,
                )
                for document in self._documents
            ),
            **said,
        )
        return ExchangeRecorded(
            demand_id=cause.demand_id, recorded_by=RECORDED_BY, requester=cause.requester, resolution=entry
        )


def _following_entry(follows: Following) -> FollowingEntry:
    return FollowingEntry(
        demand_id=follows.demand_id,
        asked=tuple(AskedEntry(provider=one.provider, evidence_type=one.evidence_type) for one in follows.asked),
    )


def subject_pseudonym(secret: bytes, kind: str, identifier: bytes) -> bytes:
    """How the exchange log names a person or business: the same one always by the same, and never by the identifier."""
    return _hmac(secret, _joined_names(b"subject", kind.encode()) + _joined(identifier))
