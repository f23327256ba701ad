"""An answer is disputed: what its asker says of it, and what its holder says after it has looked again."""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from chopar.messages.demand import Digest, Text
from chopar.messages.record import Message, Timestamp

MAX_DISPUTED_FIELDS = 64

FieldName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}(\.[A-Za-z_][A-Za-z0-9_]{0,63})?$")]
"""A field of an evidence record, or one below it: a name, and nothing that could be anybody's number or words."""


class DisputeReason(StrEnum):
    """What is said against an answer. There is no room for words: they would tell of the person."""

    WRONG_VALUE = "wrong_value"
    WRONG_SUBJECT = "wrong_subject"
    OUT_OF_DATE = "out_of_date"
    RECORD_EXISTS = "record_exists"


class EvidenceDisputed(Message):
    """An answer is disputed: by its asker to the gateway, and by the gateway to the holder.

    `original` is the record that the dispute rests on, with its frame: from the asker its `Demand`, from the gateway
    the `EvidenceRequested` that follows from it. So nobody on the way has to remember anything.
    """

    RECORD: ClassVar[str] = "chopar.evidence.EvidenceDisputed"

    dispute_id: UUID
    demand_id: UUID
    requester: str
    request_id: Digest = Field(repr=False)
    answer_digest: Digest
    reason: DisputeReason
    fields: tuple[FieldName, ...] = Field(default=(), max_length=MAX_DISPUTED_FIELDS)
    official: Text
    disputed_at: Timestamp
    original: bytes = Field(repr=False)


class EvidenceUpheld(Message):
    """The holder has looked again, and its answer stands."""

    RECORD: ClassVar[str] = "chopar.evidence.EvidenceUpheld"

    request_id: Digest = Field(repr=False)
    demand_id: UUID
    provider: str
    requester: str
    evidence_type: str
    dispute_id: UUID
    upholds: Digest
    padding: bytes = Field(default=b"", repr=False)


class EvidenceCorrected(Message):
    """An answer that takes the place of one that was wrong; always final.

    `correction_id` is the dispute's id if a dispute led to it; then `supersedes` is the digest of the disputed answer.
    A holder that corrects by itself what it has said of somebody gives it an id of its own, and supersedes whatever was
    answered last: to know what that was it would have to keep a list of who was told what.
    """

    RECORD: ClassVar[str] = "chopar.evidence.EvidenceCorrected"

    request_id: Digest = Field(repr=False)
    demand_id: UUID
    provider: str
    requester: str
    evidence_type: str
    correction_id: UUID
    nonce: Digest = Field(repr=False)
    supersedes: Digest | None = None
    body: bytes = Field(repr=False)
    padding: bytes = Field(default=b"", repr=False)

    @property
    def final(self) -> Literal[True]:
        """As of an `EvidenceProvided`."""
        return True
