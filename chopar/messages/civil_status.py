"""What the registry office answers: evidence that follows from civil status acts.

A day that an act states only in part (a year, or a year and a month) is text in ISO 8601 of that precision; a day on
which something was recorded is whole. Names are as the act has them. No identifier of a person is in any answer.
"""

from datetime import date
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from chopar.messages.evidence import Evidence
from chopar.messages.record import Part

PartialDay = Annotated[str, StringConstraints(pattern=r"^\d{4}(-\d{2}(-\d{2})?)?$")]
"""A day, a month or a year: `1931-05-09`, `1931-05`, `1931`."""


class MaritalStatus(StrEnum):
    """What a person's acts say of marriage; `never_married` is as far as the register reaches, and no further."""

    NEVER_MARRIED = "never_married"
    MARRIED = "married"
    DIVORCED = "divorced"
    WIDOWED = "widowed"
    DECEASED = "deceased"


class PersonInAct(Part):
    """Somebody as an act names them."""

    role: str | None = None
    surname: str | None = Field(default=None, repr=False)
    given_name: str | None = Field(default=None, repr=False)
    patronymic: str | None = Field(default=None, repr=False)
    born_on: PartialDay | None = Field(default=None, repr=False)


class FamilyMember(Part):
    """One of the family: how related, and by which acts."""

    relation: str | None = None
    acts: tuple[str, ...] | None = None


class Relatives(Part):
    """The living of one kind, counted."""

    count: int | None = None
    members: tuple[FamilyMember, ...] | None = None


class CivilStatusEvidence(Evidence):
    """What every answer of the registry office carries.

    Attributes:
        register_coverage: which acts the register has. What follows from acts is as complete as these.
        linked_by: acts by which the number that was asked with and another belong to one person; null where there is
            one number only.
    """

    register_coverage: str | None = None
    linked_by: tuple[str, ...] | None = None


class FamilyComposition(CivilStatusEvidence):
    """Who belongs to a person's family: counts and relations."""

    RECORD: ClassVar[str] = "chopar.evidence.FamilyComposition"

    spouses: Relatives | None = None
    children: Relatives | None = None
    parents: Relatives | None = None


class Kinship(CivilStatusEvidence):
    """How a second person is related to the one asked about."""

    RECORD: ClassVar[str] = "chopar.evidence.Kinship"

    relation: str | None = None
    acts: tuple[str, ...] | None = None


class MaritalStatusEvidence(CivilStatusEvidence):
    """Whether a person is married, and the act that it follows from."""

    RECORD: ClassVar[str] = "chopar.evidence.MaritalStatus"

    status: MaritalStatus | None = None
    act_number: str | None = None
    act_date: date | None = None


class LoneParentStatus(CivilStatusEvidence):
    """Whether a person alone is parent of a minor."""

    RECORD: ClassVar[str] = "chopar.evidence.LoneParentStatus"

    lone_parent: bool | None = None
    acts: tuple[str, ...] | None = None


class BirthAct(CivilStatusEvidence):
    """A birth, as it was recorded."""

    RECORD: ClassVar[str] = "chopar.evidence.BirthAct"

    act_number: str | None = None
    recorded_on: date | None = None
    office: str | None = None
    child: PersonInAct | None = None
    parents: tuple[PersonInAct, ...] | None = None


class MarriageAct(CivilStatusEvidence):
    """A marriage, as it was recorded."""

    RECORD: ClassVar[str] = "chopar.evidence.MarriageAct"

    act_number: str | None = None
    recorded_on: date | None = None
    office: str | None = None
    spouses: tuple[PersonInAct, ...] | None = None
    names_after: tuple[PersonInAct, ...] | None = None


class DivorceAct(CivilStatusEvidence):
    """A divorce, as it was recorded."""

    RECORD: ClassVar[str] = "chopar.evidence.DivorceAct"

    act_number: str | None = None
    recorded_on: date | None = None
    office: str | None = None
    former_spouses: tuple[PersonInAct, ...] | None = None


class DeathAct(CivilStatusEvidence):
    """A death, as it was recorded."""

    RECORD: ClassVar[str] = "chopar.evidence.DeathAct"

    act_number: str | None = None
    died_on: PartialDay | None = None
    recorded_on: date | None = None
    office: str | None = None


class NameChangeAct(CivilStatusEvidence):
    """A change of name, as it was recorded."""

    RECORD: ClassVar[str] = "chopar.evidence.NameChangeAct"

    act_number: str | None = None
    recorded_on: date | None = None
    name_before: PersonInAct | None = None
    name_after: PersonInAct | None = None


class PaternityAct(CivilStatusEvidence):
    """Paternity, as it was recorded."""

    RECORD: ClassVar[str] = "chopar.evidence.PaternityAct"

    act_number: str | None = None
    recorded_on: date | None = None
    child: PersonInAct | None = None
    father: PersonInAct | None = None


CIVIL_STATUS_EVIDENCE: tuple[type[CivilStatusEvidence], ...] = (
    FamilyComposition,
    Kinship,
    MaritalStatusEvidence,
    LoneParentStatus,
    BirthAct,
    MarriageAct,
    DivorceAct,
    DeathAct,
    NameChangeAct,
    PaternityAct,
)
"""All records of this family."""
