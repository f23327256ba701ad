"""What a civil status act is.

Acts are recorded once and never changed. A correction is another act that supersedes the first; a divorce names the
marriage that it ends. Adoption is an act too, and secret: see `book` for how it leaves no trace. A change of a
person's number is kept the same way, as both numbers go on being asked for.
"""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from chopar.errors import InvalidEntryError
from chopar.identifiers import PersonId, reject_forbidden
from services.registry_office.model.days import PartialDate
from services.registry_office.model.names import PersonName

LONGEST_NUMBER, LONGEST_OFFICE = 64, 200


class ActKind(StrEnum):
    """The kinds of act."""

    BIRTH = "birth"
    MARRIAGE = "marriage"
    DIVORCE = "divorce"
    DEATH = "death"
    NAME_CHANGE = "name_change"
    PATERNITY = "paternity"
    ADOPTION = "adoption"
    NUMBER_CHANGE = "number_change"


class Role(StrEnum):
    """What a person is in an act; acts list their people in this order."""

    CHILD = "child"
    MOTHER = "mother"
    FATHER = "father"
    HUSBAND = "husband"
    WIFE = "wife"
    DECEASED = "deceased"
    PERSON = "person"
    NUMBER_BEFORE = "number_before"
    NUMBER_AFTER = "number_after"


PARENTS = (Role.MOTHER, Role.FATHER)
SPOUSES = (Role.HUSBAND, Role.WIFE)

# Who must be named, and who may be.
_ROLES: dict[ActKind, tuple[frozenset[Role], frozenset[Role]]] = {
    ActKind.BIRTH: (frozenset({Role.CHILD}), frozenset(PARENTS)),
    ActKind.MARRIAGE: (frozenset(SPOUSES), frozenset()),
    ActKind.DIVORCE: (frozenset(SPOUSES), frozenset()),
    ActKind.DEATH: (frozenset({Role.DECEASED}), frozenset()),
    ActKind.NAME_CHANGE: (frozenset({Role.PERSON}), frozenset()),
    ActKind.PATERNITY: (frozenset({Role.CHILD, Role.FATHER}), frozenset({Role.MOTHER})),
    ActKind.ADOPTION: (frozenset({Role.CHILD}), frozenset(PARENTS)),
    ActKind.NUMBER_CHANGE: (frozenset({Role.NUMBER_BEFORE, Role.NUMBER_AFTER}), frozenset()),
}
_ORDER = {role: place for place, role in enumerate(Role)}


@dataclass(frozen=True, slots=True)
class Participant:
    """A person in an act.

    Attributes:
        role: in the act.
        name: as the act has it.
        pinfl: where the person has one and the act names it.
        born_on: as far as the act states it.
        name_after: that the act gives the person (marriage, change of name).
    """

    role: Role
    name: PersonName
    pinfl: PersonId | None = None
    born_on: PartialDate | None = None
    name_after: PersonName | None = None


@dataclass(frozen=True, slots=True)
class Act:
    """A civil status act.

    Attributes:
        number: unique in the register.
        kind: of act.
        office: that recorded it.
        recorded_on: by local civil date.
        participants: sorted by role.
        died_on: of an act of death.
        concerns: number of the act that a divorce ends or an adoption is about.
        supersedes: number of the act of the same kind in whose place this one stands.

    Raises:
        InvalidEntryError: the act contradicts itself. A death before the birth is one of these.
    """

    number: str
    kind: ActKind
    office: str
    recorded_on: date
    participants: tuple[Participant, ...]
    died_on: PartialDate | None = None
    concerns: str | None = None
    supersedes: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "participants", tuple(sorted(self.participants, key=lambda one: _ORDER[one.role])))
        for text, longest in ((self.number, LONGEST_NUMBER), (self.office, LONGEST_OFFICE)):
            reject_forbidden(text)
            if not 0 < len(text.strip()) <= longest:
                raise InvalidEntryError("an act has a number (64 characters) and an office (200)")
        self._check_roles()
        self._check_days()
        self._check_references()

    def _check_roles(self) -> None:
        roles = [one.role for one in self.participants]
        must, may = _ROLES[self.kind]
        if len(set(roles)) < len(roles) or not must <= set(roles) <= must | may:
            raise InvalidEntryError(f"an act of {self.kind} names other people than these")
        numbers = [one.pinfl for one in self.participants if one.pinfl is not None]
        if len(set(numbers)) < len(numbers):
            raise InvalidEntryError("an act names two people by one number")
        if self.kind is ActKind.NUMBER_CHANGE and len(numbers) < 2:
            raise InvalidEntryError("a change of number names both numbers")
        renamed = self.kind is ActKind.NAME_CHANGE
        if renamed and self.participants[0].name_after is None:
            raise InvalidEntryError("a change of name gives the name after")

    def _check_days(self) -> None:
        for one in self.participants:
            if one.born_on is not None and one.born_on.earliest > self.recorded_on:
                raise InvalidEntryError("nobody is recorded before the day of birth (by local civil date)")
        if (self.kind is ActKind.DEATH) != (self.died_on is not None):
            raise InvalidEntryError("an act of death, and no other, says when somebody died")
        if self.kind is ActKind.BIRTH and self.participants[0].born_on is None:
            raise InvalidEntryError("an act of birth says when, if only the year")
        if self.died_on is not None:
            if self.died_on.earliest > self.recorded_on:
                raise InvalidEntryError("a death is recorded on its day or later")
            [deceased] = self.participants
            check_death_follows_birth(self.died_on, deceased.born_on)
            if deceased.pinfl is not None:
                check_death_follows_birth(self.died_on, PartialDate.of(deceased.pinfl.born_on))

    def _check_references(self) -> None:
        if self.concerns is not None and self.kind not in (ActKind.DIVORCE, ActKind.ADOPTION):
            raise InvalidEntryError(f"an act of {self.kind} concerns no other act")
        if self.kind is ActKind.ADOPTION:
            if self.concerns is None or self.supersedes is not None:
                raise InvalidEntryError("an adoption concerns an act of birth and supersedes nothing")
            if len(self.participants) == 1:
                raise InvalidEntryError("an adoption names who adopts")

    def of(self, *roles: Role) -> tuple[Participant, ...]:
        """The people of these roles, as the act lists them."""
        return tuple(one for one in self.participants if one.role in roles)

    def to_json(self) -> dict[str, Any]:
        """As the journal keeps it; every act that was ever recorded can be read from there."""
        return {
            "number": self.number,
            "kind": self.kind.value,
            "office": self.office,
            "recorded_on": self.recorded_on.isoformat(),
            "participants": [
                {
                    "role": one.role.value,
                    "name": _name_json(one.name),
                    "pinfl": one.pinfl.text if one.pinfl else None,
                    "born_on": one.born_on.text if one.born_on else None,
                    "name_after": _name_json(one.name_after) if one.name_after else None,
                }
                for one in self.participants
            ],
            "died_on": self.died_on.text if self.died_on else None,
            "concerns": self.concerns,
            "supersedes": self.supersedes,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Act":
        """Read what `to_json` wrote."""
        return cls(
            number=data["number"],
            kind=ActKind(data["kind"]),
            office=data["office"],
            recorded_on=date.fromisoformat(data["recorded_on"]),
            participants=tuple(
                Participant(
                    Role(one["role"]),
                    PersonName(*one["name"]),
                    PersonId(one["pinfl"]) if one["pinfl"] else None,
                    PartialDate.parse(one["born_on"]) if one["born_on"] else None,
                    PersonName(*one["name_after"]) if one["name_after"] else None,
                )
                for one in data["participants"]
            ),
            died_on=PartialDate.parse(data["died_on"]) if data["died_on"] else None,
            concerns=data["concerns"],
            supersedes=data["supersedes"],
        )


def check_death_follows_birth(died_on: PartialDate, born_on: PartialDate | None) -> None:
    """Refuse a death that lies before the birth, whatever the unknown parts of both days are.

    Raises:
        InvalidEntryError: it does.
    """
    if born_on is not None and died_on.latest < born_on.earliest:
        raise InvalidEntryError("the death lies before the birth")


def _name_json(name: PersonName) -> list[str | None]:
    return [name.surname, name.given_name, name.patronymic]
