"""The record of an exchange: metadata only, for operations, the archive and the situational centre.

It is kept without end, so what an asker wrote into a field of its own choosing (a case number, a document type that
stands on no list) is taken over without the numbers of people that may have slipped in.
"""

import re
from typing import Annotated, ClassVar, TypeAlias
from uuid import UUID

from pydantic import AfterValidator, Field

from chopar.messages.demand import Digest
from chopar.messages.record import Message, Part, Timestamp

# ASCII digits: what other digits there are changes with Python's Unicode data, and a record must not.
_PINFL = re.compile(r"(?<!\d)\d{14}(?!\d)", re.ASCII)
_SHORTEST_PINFL, _SHORTEST_STIR = 14, 9  # of a text in which there can be one
_PINFL_OR_STIR = re.compile(r"(?<!\d)(?:\d{14}|\d{9})(?!\d)", re.ASCII)


def told(text: str) -> str:
    """An asker's own words, as a record keeps them: without the number of a person, should one have slipped in."""
    return text if len(text) < _SHORTEST_PINFL else _PINFL.sub("…", text)


def told_code(text: str) -> str:
    """What should be a code of a list, as a record keeps it: without the number of a person or business."""
    return text if len(text) < _SHORTEST_STIR else _PINFL_OR_STIR.sub("…", text)


Told: TypeAlias = Annotated[str, AfterValidator(told)]
"""An asker's own words. Nine digits stay: a case may well have such a number, and a STIR is public."""

ToldCode: TypeAlias = Annotated[str, AfterValidator(told_code)]
"""What should be a code of a list, and was taken from the asker before any list was asked."""


class PartyEntry(Part):
    """A party without its identifier."""

    role: ToldCode
    kind: str


class DocumentEntry(Part):
    """One document's answer."""

    document_type: ToldCode
    about: ToldCode | None = None
    parameter_names: tuple[ToldCode, ...] = ()
    outcome: str
    code: str
    entry: str | None = None
    provider: str | None = None
    evidence_type: str | None = None
    request_hash: Digest | None = None
    due: Timestamp | None = None


class AskedEntry(Part):
    """A holder that was asked before, as the asker names it."""

    provider: ToldCode
    evidence_type: ToldCode


class FollowingEntry(Part):
    """That the demand follows another whose holder had no record."""

    demand_id: UUID
    asked: tuple[AskedEntry, ...]


class ResolutionEntry(Part):
    """What the gateway answered; enough to answer it again by another list."""

    received_at: Timestamp
    demand_hmac: Digest
    list_digest: str
    fetch_mode: str
    rules_number: int
    refused: str | None = None
    procedure: ToldCode | None = None
    case_id: Told | None = None
    official: Told | None = None
    ground_kind: str | None = None
    ground_reference: Told | None = None
    acting_as: str | None = None
    subject_kind: str | None = None
    subject_pseudonym: Digest | None = None
    parties: tuple[PartyEntry, ...] = ()
    circumstances: dict[ToldCode, bool] = Field(default_factory=dict)
    expires_at: Timestamp | None = None
    follows: FollowingEntry | None = None
    documents: tuple[DocumentEntry, ...] = ()


class AccessEntry(Part):
    """That a provider answered; acknowledged before the answer is released."""

    request_hash: Digest
    provider: str
    evidence_type: str
    procedure: ToldCode
    case_id: Told
    official: Told
    access_ground: str
    fields: tuple[str, ...]
    final: bool
    answer_digest: Digest
    because: str = "requested"
    correction_id: UUID | None = None


class DisputeEntry(Part):
    """That an answer was disputed; acknowledged before its holder is told.

    Not why: that a record exists which the holder did not find would say what it answered.
    """

    dispute_id: UUID
    request_hash: Digest
    provider: str
    evidence_type: str
    official: Told


class ExchangeRecorded(Message):
    """One step of an exchange: the gateway's answer, a provider's access, or a dispute that the gateway passes on."""

    RECORD: ClassVar[str] = "chopar.exchange.ExchangeRecorded"

    demand_id: UUID
    recorded_by: str
    requester: str
    resolution: ResolutionEntry | None = None
    access: AccessEntry | None = None
    dispute: DisputeEntry | None = None
