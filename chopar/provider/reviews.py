"""What a holder says when it has looked again: that its answer stands, or another one in its place.

The access is recorded first, as for every answer. Both messages are of one size, so that only who may read them learns
which it is. Whether an answer stands is told by its digest: the nonce follows from the request, so equal evidence gives
the digest that the asker names, and the holder need not remember what it said.
"""

import hashlib
from typing import NamedTuple
from uuid import UUID

from chopar.bus.handler import Outputs
from chopar.envelope import Origin, outgoing
from chopar.identifiers import AgencyId, Derivation, agency_id
from chopar.messages.dispute import EvidenceCorrected, EvidenceUpheld
from chopar.messages.evidence import EvidenceRequested
from chopar.messages.exchange import AccessEntry, ExchangeRecorded
from chopar.provider.answer_messages import padded, padded_like
from chopar.schema_registry import Encoder
from chopar.topics import EVIDENCE_PROVIDED, EXCHANGE_RECORDED

RECORDS = (EvidenceUpheld, EvidenceCorrected)
"""What is written here, beside the record of the access."""


class Review(NamedTuple):
    """A register that was read again.

    Args:
        request: whose answer is looked at.
        correction_id: the dispute's, or one that the holder gave if nobody disputes.
        disputed: digest of the answer that is disputed; None: nobody disputes.
        nonce: of every answer to the request.
        body: the framed evidence as the register has it now.
    """

    request: EvidenceRequested
    correction_id: UUID
    disputed: bytes | None
    nonce: bytes
    body: bytes

    @property
    def digest(self) -> bytes:
        """Of the answer as it would be given now."""
        return hashlib.sha256(self.nonce + self.body).digest()

    @property
    def upheld(self) -> bool:
        """Whether the disputed answer stands."""
        return self.disputed == self.digest


class ReviewMessages:
    """Makes the messages of a review.

    Args:
        encoder: prepared for ExchangeRecorded and `RECORDS`.
        agency: who has looked again.
    """

    def __init__(self, encoder: Encoder, agency: AgencyId) -> None:
        self._encoder = encoder
        self._agency = agency

    def outputs(self, review: Review, partition: int, origin: Origin) -> Outputs:
        """The record of the access, and what is released after it.

        Args:
            review: what was found.
            partition: of the request, as of all that follows from it.
            origin: of both.
        """
        request = review.request
        value = padded(self._encoder.encode(self._corrected(review)))
        record = EvidenceCorrected.RECORD
        if review.upheld:
            record, value = EvidenceUpheld.RECORD, padded_like(self._encoder.encode(self._upheld(review)), value)
        recorded = self._encoder.encode(self._recorded(review))
        ids = Derivation(hashlib.sha256(request.request_id).digest(), str(review.correction_id), review.digest)
        topic = EVIDENCE_PROVIDED.of(agency_id(request.requester))
        before = outgoing(
            EXCHANGE_RECORDED.of(),
            partition,
            recorded,
            ids.text(ExchangeRecorded.RECORD),
            ExchangeRecorded.RECORD,
            origin,
        )
        return Outputs(before=(before,), after=(outgoing(topic, partition, value, ids.text(record), record, origin),))

    def _recorded(self, review: Review) -> ExchangeRecorded:
        request = review.request
        access = AccessEntry(
            request_hash=hashlib.sha256(request.request_id).digest(),
            provider=self._agency,
            evidence_type=request.evidence_type,
            procedure=request.procedure,
            case_id=request.case_id,
            official=request.official,
            access_ground=request.access_ground,
            fields=tuple(sorted(request.fields)),
            final=True,
            answer_digest=review.digest,
            because="corrected" if review.disputed is None else "disputed",
            correction_id=review.correction_id,
        )
        return ExchangeRecorded(
            demand_id=request.demand_id, recorded_by=self._agency, requester=request.requester, access=access
        )

    def _upheld(self, review: Review) -> EvidenceUpheld:
        request = review.request
        return EvidenceUpheld(
            request_id=request.request_id,
            demand_id=request.demand_id,
            provider=self._agency,
            requester=request.requester,
            evidence_type=request.evidence_type,
            dispute_id=review.correction_id,
            upholds=review.digest,
        )

    def _corrected(self, review: Review) -> EvidenceCorrected:
        request = review.request
        return EvidenceCorrected(
            request_id=request.request_id,
            demand_id=request.demand_id,
            provider=self._agency,
            requester=request.requester,
            evidence_type=request.evidence_type,
            correction_id=review.correction_id,
            nonce=review.nonce,
            supersedes=review.disputed,
            body=review.body,
        )
