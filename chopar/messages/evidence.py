"""What is asked of the agency that holds the data, and what it answers."""

from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from pydantic import Field

from chopar.messages.demand import Digest, Subject
from chopar.messages.record import Message, Part, Timestamp


class EvidenceRequested(Message):
    """The gateway asks the agency that holds the data."""

    RECORD: ClassVar[str] = "chopar.evidence.EvidenceRequested"

    request_id: Digest = Field(repr=False)
    demand_id: UUID
    requester: str
    provider: str
    evidence_type: str
    subject: Subject
    parameters: dict[str, str] = Field(default_factory=dict, repr=False)
    fields: tuple[str, ...]
    procedure: str
    case_id: str
    official: str
    access_ground: str
    act: str
    as_of: Timestamp
    due: Timestamp
    expires_at: Timestamp


class EvidenceProvided(Message):
    """An answer: evidence, or the reason why there is none. Nothing but the two ends reads the body."""

    RECORD: ClassVar[str] = "chopar.evidence.EvidenceProvided"

    request_id: Digest = Field(repr=False)
    demand_id: UUID
    provider: str
    requester: str
    evidence_type: str
    final: bool
    nonce: Digest = Field(repr=False)
    body: bytes = Field(repr=False)
    padding: bytes = Field(default=b"", repr=False)


class Evidence(Message):
    """The base of every evidence record.

    Every field but `source_register` and `as_of` may be null, and `fields_given` lists what the access ground let
    through: cut differs from unknown.
    """

    fields_given: tuple[str, ...] = ()
    source_register: str
    as_of: Timestamp


class UnavailableCode(StrEnum):
    """Why there is no evidence. `deferred` is the one that is not final."""

    NO_RECORD = "no_record"
    AMBIGUOUS_SUBJECT = "ambiguous_subject"
    NOT_ENTITLED = "not_entitled"
    DEFERRED = "deferred"
    PROVIDER_ERROR = "provider_error"


class EvidenceUnavailable(Message):
    """Why there is no evidence; never dressed as a fact."""

    RECORD: ClassVar[str] = "chopar.evidence.EvidenceUnavailable"

    code: UnavailableCode
    register_coverage: str | None = None
    promised_at: Timestamp | None = None
    source_register: str
    as_of: Timestamp


class Debt(Part):
    """What is owed of one tax."""

    tax: str | None = None
    amount_tiyin: int | None = None


class TaxDebt(Evidence):
    """Whether a person or business owes taxes, and where the ground allows it, how much."""

    RECORD: ClassVar[str] = "chopar.evidence.TaxDebt"

    has_debt: bool | None = None
    debts: tuple[Debt, ...] | None = None
