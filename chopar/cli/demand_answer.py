"""What a demand came to: the object that `demand create` prints, how it grows, and its exit code; pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from uuid import UUID

from chopar.cli.exit_codes import ExitCode, worst
from chopar.messages.demand import (
    Alternative,
    DemandedDocument,
    DemandResolved,
    FetchMode,
    Outcome,
    PersonMayBeAsked,
    ResolvedDocument,
    Rule,
)
from chopar.requester.completion import Delivered, Rejected, Undelivered, Upheld
from chopar.requester.requester import Event

Status = Literal["answered", "waiting", "refused"]

WRONG_USE_CODES = frozenset(
    {
        "unknown_requester",
        "requester_has_no_connection",
        "unknown_procedure",
        "procedure_not_yours",
        "wrong_subject",
        "malformed_identifier",
        "wrong_identifier_kind",
        "forbidden_characters",
        "unknown_document",
        "unknown_role",
        "missing_parameter",
    }
)
"""Refusals that another command line would not meet."""

_ANSWERED = (Outcome.NOT_NEEDED, Outcome.REPLACED, Outcome.MAY_BE_ASKED)
REFUSED_NEXT_STEP = "correct_demand"
UNDELIVERED = "undelivered"
ARRIVED = "arrived"
"""The next step of a fetch whose final answer is there."""


@dataclass(frozen=True, slots=True)
class DocumentAnswer:
    """One document; the attributes up to `register_coverage` are printed by their names.

    Attributes:
        outcome: None while there is no answer.
        evidence: what arrived.
        unavailable: why there is no evidence; `deferred` may still be followed by evidence. `undelivered` beside
            evidence: it came late.
        arrived_ms: since the demand was sent; None while something is waited for.
        request_id: by which an answer finds its document.
        asked_next: the demand by which the next holder is asked, once one had no record.
        without_record: the holders that had none before the next was asked, in order.
    """

    document_type: str
    about: str | None = None
    outcome: Outcome | None = None
    code: str | None = None
    person_may_be_asked: PersonMayBeAsked | None = None
    rule: Rule | None = None
    next_step: str | None = None
    provider: str | None = None
    evidence: Mapping[str, Any] | None = field(default=None, repr=False)
    unavailable: str | None = None
    register_coverage: str | None = None
    arrived_ms: float | None = None
    request_id: bytes | None = field(default=None, repr=False)
    alternatives: tuple[Alternative, ...] = ()
    asked_next: UUID | None = None
    without_record: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As it is printed."""
        return {
            "document_type": self.document_type,
            "about": self.about,
            "outcome": self.outcome,
            "code": self.code,
            "person_may_be_asked": self.person_may_be_asked,
            "rule": self.rule.model_dump(mode="json") if self.rule else None,
            "next_step": self.next_step,
            "provider": self.provider,
            "evidence": self.evidence,
            "unavailable": self.unavailable,
            "register_coverage": self.register_coverage,
            "alternatives": [one.model_dump(mode="json") for one in self.alternatives],
            "without_record": list(self.without_record),
        }


@dataclass(frozen=True, slots=True)
class Answer:
    """What a demand came to so far.

    Attributes:
        demand_id: None where nothing was sent.
        rehearsal: whether it was only asked what would be.
        elapsed_ms: from sending to the last answer.
        list_digest: of the list version that decided.
        fetch_mode: that of the list version.
        documents: in the order of the answer; replacements stand behind what they replace.
    """

    demand_id: UUID | None
    rehearsal: bool
    documents: tuple[DocumentAnswer, ...]
    elapsed_ms: float = 0.0
    list_digest: str | None = None
    fetch_mode: FetchMode | None = None

    @property
    def status(self) -> Status:
        """`waiting` while a document has no end, `refused` if nothing but refusals came."""
        if any(not _ended(document, self.rehearsal) for document in self.documents):
            return "waiting"
        return "refused" if all(document.outcome is Outcome.REFUSED for document in self.documents) else "answered"

    def exit_code(self) -> ExitCode:
        """See `exit_code`."""
        return exit_code(self.documents, self.rehearsal)

    def to_json(self) -> dict[str, Any]:
        """As it is printed."""
        return {
            "demand_id": str(self.demand_id) if self.demand_id else None,
            "status": self.status,
            "rehearsal": self.rehearsal,
            "elapsed_ms": self.elapsed_ms,
            "list_digest": self.list_digest,
            "documents": [document.to_json() for document in self.documents],
        }

    def after(self, event: Event, elapsed_ms: float) -> "Answer":
        """The answer with what has just arrived taken in."""
        if isinstance(event, DemandResolved):
            asked = self.documents
            return replace(
                self,
                documents=resolved_documents(event, asked, elapsed_ms),
                elapsed_ms=elapsed_ms,
                list_digest=event.list_digest,
                fetch_mode=event.fetch_mode,
            )
        if isinstance(event, (Rejected, Upheld)):
            return self
        documents = tuple(_with(document, event, elapsed_ms) for document in self.documents)
        return replace(self, documents=documents, elapsed_ms=elapsed_ms)


def ended(answer: Answer, elapsed_ms: float) -> Answer:
    """The answer once nothing more comes: where the next holder could not be asked, the last one's word stands."""
    documents = tuple(
        replace(one, arrived_ms=elapsed_ms, next_step=ARRIVED) if one.asked_next and one.arrived_ms is None else one
        for one in answer.documents
    )
    return replace(answer, documents=documents)


def unanswered(demanded: Iterable[DemandedDocument]) -> tuple[DocumentAnswer, ...]:
    """The documents of a demand before anything was answered."""
    return tuple(DocumentAnswer(document.type, document.about) for document in demanded)


def all_refused(
    documents: Iterable[DocumentAnswer], code: str, arrived_ms: float | None = 0.0
) -> tuple[DocumentAnswer, ...]:
    """The same documents, each refused for what is wrong with the whole demand."""
    return tuple(
        DocumentAnswer(
            document.document_type,
            document.about,
            outcome=Outcome.REFUSED,
            code=code,
            person_may_be_asked=PersonMayBeAsked.NO,
            next_step=REFUSED_NEXT_STEP,
            arrived_ms=arrived_ms,
        )
        for document in documents
    )


def resolved_documents(
    resolved: DemandResolved, asked: Sequence[DocumentAnswer], elapsed_ms: float
) -> tuple[DocumentAnswer, ...]:
    """The documents of a resolution; those asked for where a refusal names none (it could not be read)."""
    if resolved.refused is not None and not resolved.documents:
        return all_refused(asked, resolved.refused, elapsed_ms)
    return tuple(resolved_document(document, elapsed_ms) for document in resolved.documents)


def resolved_document(document: ResolvedDocument, elapsed_ms: float) -> DocumentAnswer:
    """One document as the gateway answered it."""
    return DocumentAnswer(
        document.document_type,
        document.about,
        outcome=document.outcome,
        code=document.code,
        person_may_be_asked=document.person_may_be_asked,
        rule=document.rule,
        next_step=document.next_step,
        provider=document.provider,
        arrived_ms=None if document.outcome is Outcome.FETCH else elapsed_ms,
        request_id=document.request_id,
        alternatives=document.alternatives,
    )


def exit_code(documents: Iterable[DocumentAnswer], rehearsal: bool) -> ExitCode:
    """0: every document has its evidence or needs none. 2: wrong use. 1: every other no. The greatest counts."""
    return worst(document_exit_code(document, rehearsal) for document in documents)


def document_exit_code(document: DocumentAnswer, rehearsal: bool) -> ExitCode:
    """The exit code that one document calls for."""
    if document.outcome in _ANSWERED:
        return ExitCode.DONE
    if document.outcome is Outcome.FETCH:
        there = document.evidence is not None and document.unavailable is None  # what came late is shown beside a no
        return ExitCode.DONE if rehearsal or there else ExitCode.NO
    if document.outcome is Outcome.REFUSED and document.code in WRONG_USE_CODES:
        return ExitCode.WRONG_USE
    return ExitCode.NO


def _ended(document: DocumentAnswer, rehearsal: bool) -> bool:
    return document.outcome is not None and (rehearsal or document.arrived_ms is not None)


def _with(document: DocumentAnswer, event: Delivered | Undelivered, elapsed_ms: float) -> DocumentAnswer:
    if isinstance(event, Undelivered):
        open_ = document.outcome is None or (document.outcome is Outcome.FETCH and document.arrived_ms is None)
        same = (document.document_type, document.about) == (event.document_type, event.about)
        return replace(document, unavailable=UNDELIVERED, arrived_ms=elapsed_ms) if open_ and same else document
    by_next = event.asked_by is not None and event.asked_by == document.asked_next
    if not by_next and (document.request_id is None or document.request_id != event.document.request_id):
        return document
    ends = event.ends and event.followed_by is None  # no record is shown, and not the end while the next is asked
    before = document.without_record
    if event.followed_by is not None and event.document.provider is not None:
        before = (*before, event.document.provider)
    return replace(
        document,
        without_record=before,
        provider=event.document.provider,
        asked_next=event.followed_by or document.asked_next,
        evidence=event.evidence,
        unavailable=UNDELIVERED if event.late else event.unavailable.code if event.unavailable else None,
        register_coverage=event.unavailable.register_coverage if event.unavailable else None,
        arrived_ms=elapsed_ms if ends else document.arrived_ms,
        next_step=ARRIVED if ends else document.next_step,
    )
