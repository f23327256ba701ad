"""What agencies ask, and what the gateway answers."""

from datetime import date, timedelta
from enum import StrEnum
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator

from chopar.identifiers import uuid7_milliseconds
from chopar.messages.record import Message, Part, Timestamp

MAX_DOCUMENTS = 64
"""So that every message that follows from a demand fits its topic."""

# Names are bounded in number and length for the same reason: an answer repeats them.
MAX_PARAMETERS = 16
MAX_PARTIES = 32
MAX_CIRCUMSTANCES = 32

MAX_ASKED = 16
"""Holders that a demand for the next may pass over: more than any document has."""

MAX_LIFE = timedelta(days=30)
"""How long after its id's time a demand may live; topics keep records 35 days."""

# Identifiers and parameters are checked by the gateway, which answers with a code; here only their size is bounded.
Text = Annotated[str, StringConstraints(min_length=1, max_length=400)]
Code = Annotated[str, StringConstraints(min_length=1, max_length=120)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Value = Annotated[str, StringConstraints(max_length=400)]
Digest = Annotated[bytes, Field(min_length=32, max_length=32)]


class ActingAs(StrEnum):
    """In what capacity the applicant acts for the subject."""

    SELF = "self"
    PARENT = "parent"
    GUARDIAN = "guardian"
    REPRESENTATIVE = "representative"
    EX_OFFICIO = "ex_officio"


class Outcome(StrEnum):
    """The answer to one document (the seven of the design)."""

    FETCH = "fetch"
    GAP = "gap"
    NOT_NEEDED = "not_needed"
    REPLACED = "replaced"
    MAY_BE_ASKED = "may_be_asked"
    UNDETERMINED = "undetermined"
    REFUSED = "refused"


class PersonMayBeAsked(StrEnum):
    """Whether the requester may ask the person for the paper."""

    NO = "no"
    YES = "yes"
    UNDETERMINED = "undetermined"


class FetchMode(StrEnum):
    """Which access grounds a list version opens: only those whose act was read, or the inferred ones too."""

    VERIFIED = "verified"
    INFERRED = "inferred"


class Subject(Part):
    """A person by PINFL or a business by STIR."""

    kind: Literal["person", "business"]
    id: Value = Field(repr=False)


class Party(Part):
    """Another person or business in the procedure, by its role."""

    role: Code
    kind: Literal["person", "business"]
    id: Value = Field(repr=False)


class Ground(Part):
    """What the requester rests the demand on."""

    kind: Literal["law", "application", "consent"]
    reference: Text


class DemandedDocument(Part):
    """One document as the citizen knows it; about a party by its role, or about the subject."""

    type: Code
    about: Code | None = None
    parameters: dict[Name, Value] = Field(default_factory=dict, max_length=MAX_PARAMETERS, repr=False)


class AskedHolder(Part):
    """A holder that was asked, and for what."""

    provider: Code
    evidence_type: Code


class Following(Part):
    """That a holder before had no record, and the next is asked: the first demand, and who was asked."""

    demand_id: UUID
    asked: tuple[AskedHolder, ...] = Field(min_length=1, max_length=MAX_ASKED)


class Demand(Message):
    """What a requester wants to know of a person or business, before the law has been asked."""

    RECORD: ClassVar[str] = "chopar.demand.Demand"

    demand_id: UUID
    requester: Code
    procedure: Code
    case_id: Text
    official: Text
    subject: Subject
    parties: tuple[Party, ...] = Field(default=(), max_length=MAX_PARTIES)
    applicant: Subject | None = None
    acting_as: ActingAs = ActingAs.SELF
    ground: Ground
    circumstances: dict[Name, Literal["yes", "no"]] = Field(default_factory=dict, max_length=MAX_CIRCUMSTANCES)
    documents: tuple[DemandedDocument, ...] = Field(min_length=1)
    follows: Following | None = None
    expires_at: Timestamp

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.demand_id.version != 7:
            raise ValueError("demand_id: a UUIDv7 is due")
        life_ms = self.expires_at.timestamp() * 1000 - uuid7_milliseconds(self.demand_id)
        if life_ms > MAX_LIFE.total_seconds() * 1000:
            raise ValueError("expires_at: 30 days after the id's time at most")
        if len({party.role for party in self.parties}) != len(self.parties):
            raise ValueError("parties: every role once")
        return self


class Rule(Part):
    """The entry of the list that decided, with its source and doubts."""

    REPEATED: ClassVar[bool] = True

    entry: str
    also_binding: tuple[str, ...] = ()
    act: str
    source: str
    in_force_from: date | None
    in_force_basis: str
    confidence: str
    disposition_basis: str
    text_read: str
    coverage: str
    ground: str | None = None


class Alternative(Part):
    """Another holder or evidence type by which a document may be proved; `code` says how it stands with it."""

    REPEATED: ClassVar[bool] = True

    provider: str
    evidence_type: str
    code: str


class ResolvedDocument(Part):
    """The outcome of one document."""

    document_type: str
    about: str | None = None
    parameter_names: tuple[str, ...] = ()
    outcome: Outcome
    code: str
    person_may_be_asked: PersonMayBeAsked
    rule: Rule | None = None
    named_basis: str | None = None
    next_step: str
    replaces: str | None = None
    provider: str | None = None
    evidence_type: str | None = None
    fields: tuple[str, ...] = ()
    request_id: Digest | None = Field(default=None, repr=False)
    due: Timestamp | None = None
    alternatives: tuple[Alternative, ...] = ()


class DemandResolved(Message):
    """The gateway's answer: one outcome for each document, replacements after what they replace."""

    RECORD: ClassVar[str] = "chopar.demand.DemandResolved"

    demand_id: UUID
    demand_digest: Digest
    requester: str
    received_at: Timestamp
    on: date
    list_digest: str
    fetch_mode: FetchMode
    rules_number: int
    legal_basis_start: str | None = None
    refused: str | None = None
    documents: tuple[ResolvedDocument, ...] = ()
    expires_at: Timestamp | None = None

    def to_fetch(self) -> tuple[ResolvedDocument, ...]:
        """The documents that a provider was asked for."""
        return tuple(document for document in self.documents if document.outcome is Outcome.FETCH)
