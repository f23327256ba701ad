"""How what follows from acts is said: the evidence records, all that they have; the library cuts them.

Every function takes a person's file and the day, and gives evidence or None: the register knows the person and has no
such act. Whether it knows the person, and whether one number is one person, is asked before (`FamilyOn`).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, TypeAlias

from chopar.messages.civil_status import (
    BirthAct,
    CivilStatusEvidence,
    DeathAct,
    DivorceAct,
    FamilyComposition,
    FamilyMember,
    Kinship,
    LoneParentStatus,
    MaritalStatus,
    MaritalStatusEvidence,
    MarriageAct,
    NameChangeAct,
    PaternityAct,
    PersonInAct,
    Relatives,
)
from services.registry_office.model.acts import PARENTS, SPOUSES, Act, ActKind, Participant, Role
from services.registry_office.model.book import Entry, PersonFile
from services.registry_office.model.days import local_day
from services.registry_office.model.family import FamilyOn, Marriage, Relative, kinship
from services.registry_office.model.names import PersonName

Said: TypeAlias = dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Source:
    """What every answer says of the register.

    Attributes:
        register: its name.
        coverage: which acts it has.
        as_of: the time of the request, not of a clock.
    """

    register: str
    coverage: str
    as_of: datetime

    def family(self, file: PersonFile) -> FamilyOn:
        """The person's family on the day of the request."""
        return FamilyOn(file, local_day(self.as_of))

    def _said(self, record: type[CivilStatusEvidence], links: tuple[str, ...], said: dict[str, Any]) -> Any:
        return record(
            **said,
            register_coverage=self.coverage,
            linked_by=links or None,
            source_register=self.register,
            as_of=self.as_of,
        )

    def kinship(self, file: PersonFile, other: PersonFile) -> Kinship:
        """What the other is to the person."""
        day = local_day(self.as_of)
        found = kinship(file, other, day)
        links = dict.fromkeys((*FamilyOn(file, day).links, *FamilyOn(other, day).links))
        said: Kinship = self._said(Kinship, tuple(links), {"relation": found.relation, "acts": found.acts})
        return said

    def answer(self, evidence_type: str, family: FamilyOn, child_or_parent: str | None = None) -> Any:
        """Evidence of a type, or None: no such act.

        Args:
            evidence_type: one of `EVIDENCE_TYPES`.
            family: of the person.
            child_or_parent: key of a second person who has to stand in the act of birth beside the first.
        """
        record, say = _SAY[evidence_type]
        said = _birth(family, child_or_parent) if evidence_type == "birth-act" else say(family)
        return None if said is None else self._said(record, family.links, said)


def _family_composition(family: FamilyOn) -> Said:
    current = [one for one in family.marriages() if one.entry is not None and one.ended_by is None]
    spouses = [Relative(one.role.value, one.spouse, (one.entry.act.number,)) for one in current if one.entry]
    return {
        "spouses": _relatives(spouses),
        "children": _relatives(family.living(family.children())),
        "parents": _relatives(family.living(family.parents())),
    }


def _relatives(relatives: Iterable[Relative]) -> Relatives:
    members = tuple(FamilyMember(relation=one.relation, acts=one.acts) for one in relatives)
    return Relatives(count=len(members), members=members)


def _marital_status(family: FamilyOn) -> Said:
    death = family.death_of(family.person)
    marriages = family.marriages()
    current = [one for one in marriages if one.ended_by is None]
    status, entry = MaritalStatus.NEVER_MARRIED, None
    if death is not None:
        status, entry = MaritalStatus.DECEASED, death
    elif current:
        status, entry = MaritalStatus.MARRIED, current[-1].entry
    elif marriages:
        entry = max((one.ended_by for one in marriages if one.ended_by is not None), key=_when)
        status = MaritalStatus.DIVORCED if entry.act.kind is ActKind.DIVORCE else MaritalStatus.WIDOWED
    return {
        "status": status,
        "act_number": None if entry is None else entry.act.number,
        "act_date": None if entry is None else entry.act.recorded_on,
    }


def _lone_parent(family: FamilyOn) -> Said:
    acts = family.lone_parent_acts()
    return {"lone_parent": bool(acts), "acts": acts}


def _birth(family: FamilyOn, second: str | None) -> Said:
    if second is None:
        found = family.acts(ActKind.BIRTH, Role.CHILD)
    else:
        pair = (Role.CHILD, *PARENTS)
        found = [one for one in family.acts(ActKind.BIRTH, *pair) if one.has(second, *pair)]
    if not found:
        return None
    act = found[-1].act
    return {**_head(act), "office": act.office, "child": _of(act, Role.CHILD)[0], "parents": _of(act, *PARENTS)}


def _birth_of_the_person(family: FamilyOn) -> Said:
    return _birth(family, None)


def _marriage(family: FamilyOn) -> Said:
    marriages = [one for one in family.marriages() if one.entry is not None]
    entry = next(_entries(one for one in marriages if one.ended_by is None), None) or next(_entries(marriages), None)
    if entry is None:
        return None
    act = entry.act
    after = tuple(_person(one.role, one.name_after) for one in act.of(*SPOUSES) if one.name_after is not None)
    return {**_head(act), "office": act.office, "spouses": _of(act, *SPOUSES), "names_after": after}


def _entries(marriages: Iterable[Marriage]) -> Any:
    """Acts of marriage, latest first."""
    return reversed([one.entry for one in marriages])


def _divorce(family: FamilyOn) -> Said:
    found = family.acts(ActKind.DIVORCE, *SPOUSES)
    if not found:
        return None
    act = found[-1].act
    return {**_head(act), "office": act.office, "former_spouses": _of(act, *SPOUSES)}


def _death(family: FamilyOn) -> Said:
    entry = family.death_of(family.person)
    if entry is None or entry.act.died_on is None:
        return None
    return {**_head(entry.act), "office": entry.act.office, "died_on": entry.act.died_on.text}


def _name_change(family: FamilyOn) -> Said:
    found = family.acts(ActKind.NAME_CHANGE, Role.PERSON)
    if not found:
        return None
    act = found[-1].act
    [person] = act.participants
    after = None if person.name_after is None else _person(None, person.name_after)
    return {**_head(act), "name_before": _person(None, person.name), "name_after": after}


def _paternity(family: FamilyOn) -> Said:
    found = family.acts(ActKind.PATERNITY, Role.CHILD) or family.acts(ActKind.PATERNITY, Role.FATHER, Role.MOTHER)
    if not found:
        return None
    act = found[-1].act
    return {**_head(act), "child": _of(act, Role.CHILD)[0], "father": _of(act, Role.FATHER)[0]}


def _head(act: Act) -> dict[str, Any]:
    return {"act_number": act.number, "recorded_on": act.recorded_on}


def _of(act: Act, *roles: Role) -> tuple[PersonInAct, ...]:
    return tuple(_person(one.role, one.name, one) for one in act.of(*roles))


def _person(role: Role | None, name: PersonName, participant: Participant | None = None) -> PersonInAct:
    born = None if participant is None or participant.born_on is None else participant.born_on.text
    return PersonInAct(
        role=None if role is None else role.value,
        surname=name.surname,
        given_name=name.given_name,
        patronymic=name.patronymic,
        born_on=born,
    )


def _when(entry: Entry) -> tuple[Any, str]:
    return entry.act.recorded_on, entry.act.number


_SAY: Mapping[str, tuple[type[CivilStatusEvidence], Callable[[FamilyOn], Said]]] = MappingProxyType(
    {
        "family-composition": (FamilyComposition, _family_composition),
        "marital-status": (MaritalStatusEvidence, _marital_status),
        "lone-parent-status": (LoneParentStatus, _lone_parent),
        "birth-act": (BirthAct, _birth_of_the_person),
        "marriage-act": (MarriageAct, _marriage),
        "divorce-act": (DivorceAct, _divorce),
        "death-act": (DeathAct, _death),
        "name-change-act": (NameChangeAct, _name_change),
        "paternity-act": (PaternityAct, _paternity),
    }
)

EVIDENCE_TYPES = (*_SAY, "kinship")
"""What the registry office answers."""
