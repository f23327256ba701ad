"""The record of an exchange: metadata only, for operations, the archive and the situational centre."""

from typing import ClassVar
from uuid import UUID

from pydantic import Field

from chopar.messages.demand import Digest
from chopar.messages.record import Message, Part, Timestamp


class PartyEntry(Part):
    """A party without its identifier."""

    role: str
    kind: str


class DocumentEntry(Part):
    """One document's answer."""

    document_type: str
    about: str | None = None
    parameter_names: tuple[str, ...] = ()
    outcome: str
    code: str
    entry: str | None = None
    provider: str | None = None
    evidence_type: str | None = None
    request_hash: Digest | None = None
    due: Timestamp | None = None


class ResolutionEntry(Part):
    """What the gateway answered; enough to answer it again by another list."""

    received_at: Timestamp
    demand_hmac: Digest
    list_digest: str
    fetch_mode: str
    rules_number: int
    refused: str | None = None
    procedure: str | None = None
    case_id: str | None = None
    official: str | None = None
    ground_kind: str | None = None
    ground_reference: str | None = None
    acting_as: str | None = None
    subject_kind: str | None = None
    subject_pseudonym: Digest | None = None
    parties: tuple[PartyEntry, ...] = ()
    circumstances: dict[str, bool] = Field(default_factory=dict)
    expires_at: Timestamp | None = None
    documents: tuple[DocumentEntry, ...] = ()


class AccessEntry(Part):
    """That a provider answered; acknowledged before the answer is released."""

    request_hash: Digest
    provider: str
    evidence_type: str
    procedure: str
    case_id: str
    official: str
    access_ground: str
    fields: tuple[str, ...]
    final: bool
    answer_digest: Digest


class ExchangeRecorded(Message):
    """One step of an exchange: the gateway's answer, or a provider's access."""

    RECORD: ClassVar[str] = "chopar.exchange.ExchangeRecorded"

    demand_id: UUID
    recorded_by: str
    requester: str
    resolution: ResolutionEntry | None = None
    access: AccessEntry | None = None
