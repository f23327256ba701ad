"""Records and rules of the social protection agency's register; pure.

A family that was assessed stands in the social register, in a category and until a day, or was refused; benefits are
assigned to one of its members. Somebody whose family was assessed is known, whatever came of it; anybody else is
unknown, which says nothing about their means. No category and no kind of benefit says why somebody is in need. How
entries are stored and who may see which field is left to the store and to the library.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from enum import StrEnum
from typing import Protocol

from chopar.errors import InvalidEntryError
from chopar.identifiers import DataSubject, PersonId
from chopar.messages.social import AssignedBenefit, AssignedBenefits, SocialRegisterCategory

MOST_TIYIN = 10**13
"""A hundred billion soum a month is an error of whoever wrote it."""

_TASHKENT = timezone(timedelta(hours=5))


class Category(StrEnum):
    """Of a family in the social register. The names are ours; the register's own were not found."""

    LOW_INCOME = "low-income"
    LONE_ELDERLY = "lone-elderly"


class BenefitKind(StrEnum):
    """What may be assigned; those that rest on health are not kept here."""

    CHILD_BENEFIT = "child-benefit"
    MATERIAL_AID = "material-aid"


@dataclass(frozen=True, slots=True)
class Assessment:
    """What came of the last assessment of a person's family.

    Attributes:
        category: None where the family was not taken in.
        since: first day.
        valid_until: last day; None where the family was not taken in.

    Raises:
        InvalidEntryError: a category without a last day, the reverse, or a last day before the first.
    """

    category: Category | None
    since: date
    valid_until: date | None

    def __post_init__(self) -> None:
        if (self.category is None) != (self.valid_until is None):
            raise InvalidEntryError("a family that was taken in has a category and a last day, another has neither")
        if self.valid_until is not None and self.valid_until < self.since:
            raise InvalidEntryError("the last day of an entry does not lie before its first")

    def holds_on(self, day: date) -> bool:
        """Whether the family stood in the register on a day."""
        return self.valid_until is not None and self.since <= day <= self.valid_until


@dataclass(frozen=True, slots=True)
class Benefit:
    """What is given to a person.

    Raises:
        InvalidEntryError: nothing or too much is given, or it ends before it begins. The tables check the same.
    """

    kind: BenefitKind
    monthly_tiyin: int
    since: date
    valid_until: date

    def __post_init__(self) -> None:
        if not 0 < self.monthly_tiyin <= MOST_TIYIN:
            raise InvalidEntryError(f"a benefit is more than 0 and at most {MOST_TIYIN} tiyin a month")
        if self.valid_until < self.since:
            raise InvalidEntryError("the last day of a benefit does not lie before its first")


@dataclass(frozen=True, slots=True)
class SocialFile:
    """All that the agency holds about a person; benefits by kind and first day, one of a kind a day.

    Raises:
        InvalidEntryError: two benefits of one kind begin on one day.
    """

    person: PersonId
    assessment: Assessment
    benefits: tuple[Benefit, ...] = ()

    def __post_init__(self) -> None:
        if len({(benefit.kind, benefit.since) for benefit in self.benefits}) < len(self.benefits):
            raise InvalidEntryError("two benefits of one kind do not begin on one day")
        ordered = sorted(self.benefits, key=lambda benefit: (benefit.kind, benefit.since))
        object.__setattr__(self, "benefits", tuple(ordered))


class SocialRegister(Protocol):
    """What an evidence function asks. Look-ups made at the same time may be answered by one statement."""

    async def file_of(self, subject: DataSubject) -> SocialFile | None:
        """What is held about a person, or None: unknown to this register.

        Raises:
            RegisterUnavailableError: retriable; the register does not answer.
        """
        ...


class SocialStore(Protocol):
    """Where the register lies. One suite of tests holds all implementations to this."""

    async def files_of(self, subjects: Collection[DataSubject]) -> Mapping[DataSubject, SocialFile]:
        """The files of those among the subjects who were assessed, by one statement whoever they are.

        Raises:
            RegisterUnavailableError: retriable; the register does not answer in time.
        """
        ...

    async def seeded(self, recipe: str) -> bool:
        """Whether the register was filled with the synthetic population of this recipe.

        Raises:
            RegisterUnavailableError: retriable; the register does not answer in time.
        """
        ...

    async def seed(self, files: Iterable[SocialFile], recipe: str | None = None) -> int:
        """Add the files of those who have none yet; files that are there stay as they are.

        Args:
            files: to be added.
            recipe: of the population that they are all of; noted with them, and `seeded` knows it.

        Returns:
            How many were added.

        Raises:
            RegisterUnavailableError: retriable; nothing was added.
        """
        ...

    async def put(self, file: SocialFile) -> None:
        """Keep a file in the place of the one that there may be.

        Raises:
            RegisterUnavailableError: retriable; nothing was changed.
        """
        ...

    async def close(self) -> None:
        """Let go of what is held."""
        ...


def day_of(as_of: datetime) -> date:
    """The calendar day in Tashkent."""
    return as_of.astimezone(_TASHKENT).date()


def social_register_category_evidence(
    file: SocialFile, *, source_register: str, as_of: datetime
) -> SocialRegisterCategory:
    """Say whether a person's family stood in the social register, and how.

    Everything that the evidence type has; the library cuts it to what the access ground lets through.

    Args:
        file: of the person.
        source_register: name of the register.
        as_of: the time of the request, not of a clock.
    """
    assessment = file.assessment
    registered = assessment.holds_on(day_of(as_of))
    return SocialRegisterCategory(
        registered=registered,
        category=assessment.category.value if registered and assessment.category is not None else None,
        valid_until=assessment.valid_until if registered else None,
        source_register=source_register,
        as_of=as_of,
    )


def assigned_benefits_evidence(file: SocialFile, *, source_register: str, as_of: datetime) -> AssignedBenefits:
    """Say which benefits a person was given on the day of the request; arguments as above."""
    day = day_of(as_of)
    return AssignedBenefits(
        benefits=tuple(
            AssignedBenefit(
                kind=benefit.kind.value,
                monthly_tiyin=benefit.monthly_tiyin,
                since=benefit.since,
                valid_until=benefit.valid_until,
            )
            for benefit in file.benefits
            if benefit.since <= day <= benefit.valid_until
        ),
        source_register=source_register,
        as_of=as_of,
    )
