"""When a demand is complete, as a pure state machine: fed with what arrives, it says what counts.

The rule, the same in any language, stands in `docs/completeness.md` with vectors to run: the first `DemandResolved`
that carries the digest of my demand's bytes counts. Each `fetch` in it ends by the first accepted final answer with its
request id, or as undelivered when the demand has expired by the broker's time; what the broker took later is delivered
as late and ends nothing. An answer is accepted if its envelope says what the resolution says, if it is final exactly
when it is not `deferred`, and if it holds only the fields that the access ground let through: what is rejected is never
released. A correction is delivered once if it names an answer that was accepted. Reading, clocks and topics are
`chopar.requester`'s.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from chopar.messages.demand import DemandResolved, Outcome, ResolvedDocument
from chopar.messages.entitlement import beyond
from chopar.messages.evidence import EvidenceProvided, EvidenceUnavailable, UnavailableCode


@dataclass(frozen=True, slots=True)
class Delivered:
    """What a provider answered to one document: `evidence` (decoded, only what was let through) or `unavailable`.

    `final` is what the answer says of itself. `late` says that the broker took it when the demand had expired: it is
    shown and kept, but the document is undelivered all the same. `supersedes` is the digest of the accepted answer that
    this one corrects; None: it corrects none.
    """

    document: ResolvedDocument
    evidence: Mapping[str, Any] | None = field(repr=False)
    unavailable: EvidenceUnavailable | None
    final: bool
    late: bool = False
    supersedes: bytes | None = field(default=None, repr=False)

    @property
    def ends(self) -> bool:
        """Whether this is what ends the waiting for the document."""
        return self.final and not self.late and self.supersedes is None


@dataclass(frozen=True, slots=True)
class Rejected:
    """An answer that does not count, and why.

    The codes: `wrong_provider`, `wrong_requester`, `wrong_demand`, `wrong_evidence_type` (the envelope is not of what
    was asked), `wrong_finality` (final and deferred, or neither), `not_evidence` (the body is no evidence record),
    `not_entitled_fields` (`fields` names them), `corrects_nothing` (no answer that it could correct was accepted).
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
    """Digests of accepted answers, by what each supersedes; None: the first one."""


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
        provided: EvidenceProvided,
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
        supersedes, accepted = provided.supersedes, awaited.accepted
        said = hashlib.sha256(provided.nonce + provided.body).digest()
        if supersedes in accepted:
            return Repeated(awaited.document, accepted[supersedes] == said) if provided.final else None
        if supersedes is not None:
            if supersedes not in accepted.values():
                return Rejected(awaited.document, "corrects_nothing")
            accepted[supersedes] = said
            return Delivered(awaited.document, evidence, unavailable, True, awaited.late, supersedes)
        late = awaited.waiting is not Waiting.OPEN or timestamp_ms >= self._expires_ms
        if provided.final:
            accepted[None] = said
            awaited.late = late
            if not late:
                awaited.waiting = Waiting.ENDED
                self._open -= 1
        return Delivered(awaited.document, evidence, unavailable, provided.final, late)

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

    def _flaw(
        self,
        document: ResolvedDocument,
        provided: EvidenceProvided,
        evidence: Mapping[str, Any] | None,
        unavailable: EvidenceUnavailable | None,
    ) -> Rejected | None:
        resolved = self.resolved
        if provided.provider != document.provider:
            return Rejected(document, "wrong_provider")
        if resolved is None or provided.requester != resolved.requester:
            return Rejected(document, "wrong_requester")
        if provided.demand_id != resolved.demand_id:
            return Rejected(document, "wrong_demand")
        if provided.evidence_type != document.evidence_type:
            return Rejected(document, "wrong_evidence_type")
        if unavailable is None and not _is_evidence(evidence):
            return Rejected(document, "not_evidence")
        deferred = unavailable is not None and unavailable.code is UnavailableCode.DEFERRED
        if provided.final is deferred or (provided.supersedes is not None and not provided.final):
            return Rejected(document, "wrong_finality")
        excess = beyond(evidence, document.fields) if evidence is not None else []
        return Rejected(document, "not_entitled_fields", tuple(excess)) if excess else None


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
