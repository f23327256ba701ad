"""From a dispute to the messages that pass it on to the holder: pure, and the same bytes whoever computes it.

The gateway keeps nothing of what it asked. A dispute brings the bytes of its demand along; they are those of the first
record of its id, so the demand is answered again as it was then, and the dispute has to name one of the requests that
followed. To the holder goes that request, as it was sent: who asks about whom, by which ground, is said by the gateway
once more and by nobody else.

Ids follow from the dispute and from what is sent, not from a place on the log: the same dispute again is the same
messages.
"""

import hashlib
from collections.abc import Callable

from chopar.bus.consume import Outputs
from chopar.bus.port import Outgoing
from chopar.envelope import Origin, outgoing
from chopar.errors import DisputeRefusedError
from chopar.identifiers import AgencyId, derived_text
from chopar.messages.dispute import EvidenceDisputed
from chopar.messages.evidence import EvidenceRequested
from chopar.messages.exchange import DisputeEntry, ExchangeRecorded
from chopar.messages.record import Message
from chopar.topics import EVIDENCE_REQUESTED, EXCHANGE_RECORDED
from gateway.answer import RECORDED_BY, SOURCE, Cause, answer
from gateway.standing import Standing
from gateway.store import First


def passed_on(said: Cause, first: First | None, standing_at: Callable[[int], Standing]) -> Outputs:
    """The record of a dispute, and the dispute as its holder gets it.

    Args:
        said: the record of the dispute itself.
        first: the first record of its demand's id.
        standing_at: what held at a broker time.

    Raises:
        RecordError: it cannot be read.
        DisputeRefusedError: it is of nothing that was asked, or its demand has expired.
        LawIncompleteError: what held at one of the two times is not on this machine.
    """
    standing = standing_at(said.timestamp_ms)
    dispute = standing.decode_dispute(said.value)
    if dispute.requester != said.requester or dispute.demand_id != said.demand_id:
        raise DisputeRefusedError("a dispute by another agency than its topic's, or of another demand than its key's")
    # A demand that lies behind it may have been folded already, or not: it must not matter.
    if first is None or first.offset >= said.offset or hashlib.sha256(dispute.original).digest() != first.digest:
        raise DisputeRefusedError("a dispute without the demand that was answered")
    asked = said._replace(offset=first.offset, timestamp_ms=first.timestamp_ms, value=dispute.original)
    request, value = _request(asked, standing_at(first.timestamp_ms), dispute.request_id)
    if request.expires_at <= said.received_at:
        raise DisputeRefusedError("the demand has expired: nothing is read or released any more")
    if not set(dispute.fields) <= set(request.fields):
        raise DisputeRefusedError("a dispute of fields that were not let through")
    return _Writer(said, standing, dispute).outputs(request, value)


def _request(asked: Cause, standing: Standing, request_id: bytes) -> tuple[EvidenceRequested, bytes]:
    """The request of that id among those that a demand led to, and its value."""
    for one in answer(asked, standing).after:
        value = one.value or b""
        request = standing.decode_request(value)
        if request.request_id == request_id:
            return request, value
    raise DisputeRefusedError("nothing was asked under this request id")


class _Writer:
    """Puts a dispute that is passed on into messages."""

    def __init__(self, said: Cause, standing: Standing, dispute: EvidenceDisputed) -> None:
        self._said = said
        self._standing = standing
        self._dispute = dispute
        self._digest = hashlib.sha256(said.value).digest()
        disputed_ms = round(dispute.disputed_at.timestamp() * 1000)
        self._origin = Origin(SOURCE, disputed_ms, said.demand_id, str(dispute.dispute_id), said.trace)

    def outputs(self, request: EvidenceRequested, value: bytes) -> Outputs:
        dispute = self._dispute
        recorded = ExchangeRecorded(
            demand_id=dispute.demand_id,
            recorded_by=RECORDED_BY,
            requester=dispute.requester,
            dispute=DisputeEntry(
                dispute_id=dispute.dispute_id,
                request_hash=hashlib.sha256(request.request_id).digest(),
                provider=request.provider,
                evidence_type=request.evidence_type,
                official=dispute.official,
            ),
        )
        to_holder = dispute.model_copy(update={"original": value})
        return Outputs(
            before=(self._outgoing(EXCHANGE_RECORDED.of(), recorded),),
            after=(self._outgoing(EVIDENCE_REQUESTED.of(AgencyId(request.provider)), to_holder),),
        )

    def _outgoing(self, topic: str, message: Message) -> Outgoing:
        value = self._standing.encode(message)
        sent = hashlib.sha256(value).digest()  # by another list version's schemas it is another message
        message_id = derived_text(self._said.topic, self._said.partition, self._digest, message.RECORD, sent)
        return outgoing(topic, self._said.partition, value, message_id, message.RECORD, self._origin)
