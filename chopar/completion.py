"""When a demand is complete, as a pure state machine: fed with what arrives, it says what counts.

The rule (the same in any language): the first `DemandResolved` that carries the digest of my demand's bytes counts.
Each `fetch` in it ends by the first accepted final answer with its request id, or as undelivered when the demand has
expired by the broker's time; what the broker took later is delivered as late and ends nothing. An answer is accepted
if its envelope says what the resolution says, if it is final exactly when it is not `deferred`, and if it holds only
the fields that the access ground let through: what is rejected is never released. Reading, clocks and topics are
`chopar.requester`'s.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from chopar.messages.demand import DemandResolved, ResolvedDocument
from chopar.messages.entitlement import beyond
from chopar.messages.evidence import EvidenceProvided, EvidenceUnavailable, UnavailableCode


@dataclass(frozen=True, slots=True)
class Delivered:
    """What a provider answered to one document: `evidence` (decoded, only what was let through) or `unavailable`.

    `final` is what the answer says of itself. `late` says that the broker took it when the demand had expired: it is
    shown and kept, but the document is undelivered all the same.
    """

    document: ResolvedDocument
    evidence: Mapping[str, Any] | None = field(repr=False)
    unavailable: EvidenceUnavailable | None
    final: bool
    late: bool = False

    @property
    def ends(self) -> bool:
        """Whether the document is waited for no longer."""
        return self.final and not self.late


@dataclass(frozen=True, slots=True)
class Rejected:
    """An answer that does not count, and why.

    The codes: `wrong_provider`, `wrong_requester`, `wrong_demand`, `wrong_evidence_type` (the envelope is not of what
    was asked), `wrong_finality` (final and deferred, or neither), `not_evidence` (the body is no evidence record),
    `not_entitled_fields` (`fields` names them).
    """

    document: ResolvedDocument
    code: str
    fields: tuple[str, ...] = ()


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
        self._known: dict[bytes, ResolvedDocument] = {}
        self._open: dict[bytes, ResolvedDocument] = {}
        self._undelivered: dict[bytes, ResolvedDocument] = {}
        self._late: set[bytes] = set()

    def resolve(self, message: DemandResolved) -> bool:
        """Take a resolution; True if it is the one that counts (the first with the digest of my bytes)."""
        if self.resolved is not None or message.demand_digest != self.digest:
            return False
        self.resolved = message
        self._known = {d.request_id: d for d in message.to_fetch() if d.request_id is not None}
        self._open = dict(self._known)
        return True

    def knows(self, request_id: bytes) -> bool:
        """Whether a request id is one of this demand's."""
        return request_id in self._known

    def answer(
        self,
        provided: EvidenceProvided,
        evidence: Mapping[str, Any] | None,
        unavailable: EvidenceUnavailable | None,
        timestamp_ms: int,
    ) -> Delivered | Rejected | None:
        """Take an answer whose body was decoded.

        Args:
            provided: the envelope.
            evidence: the body, if it is not an `EvidenceUnavailable`.
            unavailable: the body, if it is one.
            timestamp_ms: when the broker took it, Unix milliseconds.

        Returns:
            None if it answers nothing that is still waited for: another demand's, or a repetition.
        """
        request_id = provided.request_id
        document = self._open.get(request_id) or self._undelivered.get(request_id)
        if document is None:
            return None
        rejected = self._flaw(document, provided, evidence, unavailable)
        if rejected is not None:
            return rejected
        if request_id not in self._open or timestamp_ms >= self._expires_ms:
            if request_id in self._late:
                return None
            if provided.final:
                self._late.add(request_id)
            return Delivered(document, evidence, unavailable, provided.final, late=True)
        if provided.final:
            del self._open[request_id]
        return Delivered(document, evidence, unavailable, provided.final)

    def expire(self) -> tuple[ResolvedDocument, ...]:
        """End what is open as undelivered; to be called when nothing more can have come in time.

        Returns:
            What ended so, in the order of the resolution; nothing the second time.
        """
        ended, self._open = self._open, {}
        self._undelivered |= ended
        return tuple(ended.values())

    def open_documents(self) -> Iterator[ResolvedDocument]:
        """What is still waited for."""
        yield from self._open.values()

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
        if provided.final is deferred:
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
