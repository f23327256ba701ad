"""When a demand is complete, as a pure state machine: fed with what arrives, it says what counts.

The rule (the same in any language): the first `DemandResolved` that carries the digest of my demand's bytes counts.
Each `fetch` in it ends by the first final answer with its request id from the provider it names, or as undelivered. An
answer is checked again against the fields that the access ground let through: what exceeds them is rejected and never
released. Reading, clocks and topics are `chopar.requester`'s.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from chopar.messages.demand import DemandResolved, ResolvedDocument
from chopar.messages.entitlement import beyond
from chopar.messages.evidence import EvidenceProvided, EvidenceUnavailable


@dataclass(frozen=True, slots=True)
class Delivered:
    """What a provider answered to one document: `evidence` (decoded, only what was let through) or `unavailable`."""

    document: ResolvedDocument
    evidence: Mapping[str, Any] | None = field(repr=False)
    unavailable: EvidenceUnavailable | None
    final: bool


@dataclass(frozen=True, slots=True)
class Rejected:
    """An answer that does not count, and why: `wrong_provider`, `not_entitled_fields`."""

    document: ResolvedDocument
    code: str
    fields: tuple[str, ...] = ()


class Completion:
    """Follows one demand.

    Args:
        value: the demand's bytes as they were sent, frame included.
    """

    def __init__(self, value: bytes) -> None:
        self.digest = hashlib.sha256(value).digest()
        self.resolved: DemandResolved | None = None
        self._open: dict[bytes, ResolvedDocument] = {}
        self._known: dict[bytes, ResolvedDocument] = {}

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
        self, provided: EvidenceProvided, evidence: Mapping[str, Any] | None, unavailable: EvidenceUnavailable | None
    ) -> Delivered | Rejected | None:
        """Take an answer whose body was decoded.

        Returns:
            None if it answers nothing that is still open: another demand's, a repetition, or one that came late.
        """
        document = self._open.get(provided.request_id)
        if document is None:
            return None
        if provided.provider != document.provider:
            return Rejected(document, "wrong_provider")
        if evidence is not None:
            excess = beyond(evidence, document.fields)
            if excess:
                return Rejected(document, "not_entitled_fields", tuple(excess))
        if provided.final:
            del self._open[provided.request_id]
        return Delivered(document, evidence, unavailable, provided.final)

    def open_documents(self) -> Iterator[ResolvedDocument]:
        """What is still waited for."""
        yield from self._open.values()

    @property
    def complete(self) -> bool:
        """Whether nothing is waited for any more."""
        return self.resolved is not None and not self._open
