"""When a demand is complete, as a pure state machine: fed with what arrives, it says what counts.

The rule, the same in any language, stands in `docs/completeness.md` with vectors to run: the first `DemandResolved`
that carries the digest of my demand's bytes counts. Each `fetch` in it ends by the first accepted final answer with its
request id, or as undelivered when the demand has expired by the broker's time; what the broker took later is delivered
as late and ends nothing. An answer is accepted if its envelope says what the resolution says, if it is final exactly
when it is not `deferred`, and if it holds only the fields that the access ground let through: what is rejected is never
released. A correction is delivered once, if it says something new and names an answer that was accepted, or none: then
it corrects what was accepted last. Reading, clocks and topics are `requester`'s.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias
from uuid import UUID

from chopar.messages.demand import DemandResolved, Outcome, ResolvedDocument
from chopar.messages.dispute import EvidenceCorrected, EvidenceUpheld
from chopar.messages.entitlement import beyond
from chopar.messages.evidence import EvidenceProvided, EvidenceUnavailable, UnavailableCode

Answered: TypeAlias = EvidenceProvided | EvidenceCorrected
"""What brings an answer."""

Said: TypeAlias = Answered | EvidenceUpheld
"""What a holder says to an asker."""

SAID: tuple[type[Said], ...] = (EvidenceProvided, EvidenceCorrected, EvidenceUpheld)
"""The records of that."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """What a provider answered to one document: `evidence` (decoded, only what was let through) or `unavailable`.

    `final` is what the answer says of itself. `late` says that the broker took it when the demand had expired: it is
    shown and kept, but the document is undelivered all the same. `supersedes` is the digest of the accepted answer
    whose place this one takes, `correction_id` its id, that of the dispute if one led to it; None: it corrects none.
    `followed_by` is the demand by which the next holder is asked, because this one has no record
    (`alternatives`); None: nobody else is asked. `asked_by` is the demand by which this one was asked, if it is
    such a next holder; None: the application's own.
    """

    document: ResolvedDocument
    evidence: Mapping[str, Any] | None = field(repr=False)
    unavailable: EvidenceUnavailable | None
    final: bool
    late: bool = False
    supersedes: bytes | None = field(default=None, repr=False)
    correction_id: UUID | None = None
    followed_by: UUID | None = None
    asked_by: UUID | None = None

    @property
    def ends(self) -> bool:
        """Whether this is what ends the waiting for the document."""
        return self.final and not self.late and self.supersedes is None


@dataclass(frozen=True, slots=True)
class Upheld:
    """The holder has looked again because of a dispute, and its answer stands."""

    document: ResolvedDocument
    dispute_id: UUID


@dataclass(frozen=True, slots=True)
class Rejected:
    """An answer that does not count, and why.

    The codes: `wrong_provider`, `wrong_requester`, `wrong_demand`, `wrong_evidence_type` (the envelope is not of what
    was asked), `wrong_finality` (final and deferred, or neither), `not_evidence` (the body is no evidence record),
    `not_entitled_fields` (`fields` names them), `corrects_nothing` (no answer that it could correct was accepted),
    `upholds_nothing` (nor one that it could uphold).
    """

    document: ResolvedDocument
    code: str
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Repeated:
    """Another final answer where one was accepted. The first wins; other content of the same provider is counted."""

    document: ResolvedDocument
    same_content: bool


@dataclass(frozen=True, slots=True)
class Undelivered:
    """Nothing final arrived for a document by `expires_at`, by the broker's time."""

    document_type: str
    about: str | None


class Waiting(StrEnum):
    """How it stands with the answer to one request."""

    OPEN = "open"
    ENDED = "ended"
    UNDELIVERED = "undelivered"


@dataclass(slots=True)
class Awaited:
    """One request, and what was accepted for it: all that has to be kept to go on after a restart."""

    document: ResolvedDocument
    waiting: Waiting = Waiting.OPEN
    late: bool = False
    """Whether the first final answer was late."""
    accepted: dict[bytes | None, bytes] = field(default_factory=dict)
    """Digests of accepted answers in the order of their arrival, by SHA-256 of a correction's id; None: the first."""

    @property
    def last(self) -> bytes | None:
        """Digest of the answer that was accepted last, and so of the one that can be disputed; None: there is none."""
        return next(reversed(self.accepted.values()), None)


class Completion:
    """Follows one demand.

    Args:
        value: the demand's bytes as they were sent, frame included.
        expires_at: of the demand.
    """

    def __init__(self, value: bytes, expires_at: datetime) -> None:
        self.digest = hashlib.sha256(value).digest()
        self.resolved: DemandResolved | None = None
        self._expires_ms = round(expires_at.timestamp() * 1000)
        self._awaited: dict[bytes, Awaited] = {}
        self._open = 0

    def resolve(self, message: DemandResolved) -> bool:
        """Take a resolution; True if it is the one that counts (the first with the digest of my bytes)."""
        if self.resolved is not None or message.demand_digest != self.digest:
            return False
        self.restore(message, {})
        return True

    def restore(self, resolution: DemandResolved, known: Mapping[bytes, Awaited]) -> None:
        """Go on from what was kept.

        Args:
            resolution: the one that counted.
            known: what was kept of its requests, by request id; the others are open.
        """
        self.resolved = resolution
        awaited: dict[bytes, Awaited] = {}
        for document in resolution.documents:
            request = document.request_id
            if request is not None and document.outcome is Outcome.FETCH:
                awaited[request] = known.get(request) or Awaited(document)
        self._awaited = awaited
        self._open = sum([one.waiting is Waiting.OPEN for one in awaited.values()]) if known else len(awaited)

    def knows(self, request_id: bytes) -> bool:
        """Whether a request id is one of this demand's."""
        return request_id in self._awaited

    @property
    def awaited(self) -> Mapping[bytes, Awaited]:
        """How it stands with each request, by request id."""
        return self._awaited

    def answer(
        self,
        provided: Answered,
        evidence: Mapping[str, Any] | None,
        unavailable: EvidenceUnavailable | None,
        timestamp_ms: int,
    ) -> Delivered | Rejected | Repeated | None:
        """Take an answer whose body was decoded.

        Args:
            provided: the envelope.
            evidence: the body, if it is not an `EvidenceUnavailable`.
            unavailable: the body, if it is one.
            timestamp_ms: when the broker took it, Unix milliseconds.

        Returns:
            None if it says nothing: it is another demand's, or not final where a final one was accepted.
        """
        awaited = self._awaited.get(provided.request_id)
        if awaited is None:
            return None
        rejected = self._flaw(awaited.document, provided, evidence, unavailable)
        if rejected is not None:
            return rejected
        accepted = awaited.accepted
        said = hashlib.sha256(provided.nonce + provided.body).digest()
        if isinstance(provided, EvidenceCorrected):
            found = self._correction(awaited, provided, said, (evidence, unavailable))
            if found is not None:
                return found
        elif None in accepted:
            return Repeated(awaited.document, accepted[None] == said) if provided.final else None
        late = awaited.waiting is not Waiting.OPEN or timestamp_ms >= self._expires_ms
        if provided.final:
            accepted[None] = said
            awaited.late = late
            if not late:
                awaited.waiting = Waiting.ENDED
                self._open -= 1
        return Delivered(awaited.document, evidence, unavailable, provided.final, late)

    @staticmethod
    def _correction(
        awaited: Awaited,
        corrected: EvidenceCorrected,
        said: bytes,
        body: tuple[Mapping[str, Any] | None, EvidenceUnavailable | None],
    ) -> Delivered | Rejected | Repeated | None:
        """What a correction is; None: the first answer, if nothing was accepted that it could correct."""
        document, accepted, last = awaited.document, awaited.accepted, awaited.last
        key = correction_key(corrected.correction_id)
        if key in accepted:
            return Repeated(document, accepted[key] == said)
        if corrected.supersedes is not None and corrected.supersedes not in accepted.values():
            return Rejected(document, "corrects_nothing")
        if last is None:
            accepted[None] = accepted[key] = said
            return None
        accepted[key] = said
        if said == last:  # of all who were asked, some were told what was right
            return Repeated(document, same_content=True)
        return Delivered(document, *body, True, awaited.late, last, corrected.correction_id)

    def upheld(self, upheld: EvidenceUpheld) -> Upheld | Rejected | None:
        """Take word that an answer stands; it changes nothing, and is told as often as it comes.

        Returns:
            None if it is of another demand.
        """
        awaited = self._awaited.get(upheld.request_id)
        if awaited is None:
            return None
        rejected = self._foreign(awaited.document, upheld)
        if rejected is not None:
            return rejected
        if upheld.upholds not in awaited.accepted.values():
            return Rejected(awaited.document, "upholds_nothing")
        return Upheld(awaited.document, upheld.dispute_id)

    def expire(self) -> tuple[ResolvedDocument, ...]:
        """End what is open as undelivered; to be called when nothing more can have come in time.

        Returns:
            What ended so, in the order of the resolution; nothing the second time.
        """
        ended = [one for one in self._awaited.values() if one.waiting is Waiting.OPEN]
        for one in ended:
            one.waiting = Waiting.UNDELIVERED
        self._open = 0
        return tuple(one.document for one in ended)

    def open_documents(self) -> Iterator[ResolvedDocument]:
        """What is still waited for."""
        return (one.document for one in self._awaited.values() if one.waiting is Waiting.OPEN)

    @property
    def complete(self) -> bool:
        """Whether nothing is waited for any more."""
        return self.resolved is not None and not self._open

    def _foreign(self, document: ResolvedDocument, sent: Answered | EvidenceUpheld) -> Rejected | None:
        """What an envelope says that the resolution does not."""
        resolved = self.resolved
        if sent.provider != document.provider:
            return Rejected(document, "wrong_provider")
        if resolved is None or sent.requester != resolved.requester:
            return Rejected(document, "wrong_requester")
        if sent.demand_id != resolved.demand_id:
            return Rejected(document, "wrong_demand")
        return Rejected(document, "wrong_evidence_type") if sent.evidence_type != document.evidence_type else None

    def _flaw(
        self,
        document: ResolvedDocument,
        provided: Answered,
        evidence: Mapping[str, Any] | None,
        unavailable: EvidenceUnavailable | None,
    ) -> Rejected | None:
        rejected = self._foreign(document, provided)
        if rejected is not None:
            return rejected
        if unavailable is None and not _is_evidence(evidence):
            return Rejected(document, "not_evidence")
        deferred = unavailable is not None and unavailable.code is UnavailableCode.DEFERRED
        if provided.final is deferred:
            return Rejected(document, "wrong_finality")
        excess = beyond(evidence, document.fields) if evidence is not None else []
        return Rejected(document, "not_entitled_fields", tuple(excess)) if excess else None


def correction_key(correction_id: UUID) -> bytes:
    """By what an accepted correction is kept."""
    return hashlib.sha256(correction_id.bytes).digest()


def _is_evidence(datum: Mapping[str, Any] | None) -> bool:
    """Whether a datum has what every evidence record has; which record an evidence type is, is not fixed."""
    if datum is None:
        return False
    given = datum.get("fields_given")
    return (
        isinstance(given, (list, tuple))
        and all(isinstance(name, str) for name in given)
        and isinstance(datum.get("source_register"), str)
        and isinstance(datum.get("as_of"), datetime)
    )
