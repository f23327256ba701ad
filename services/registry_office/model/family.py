"""What follows from a person's acts on a day: parents, children, marriage, kinship.

Only acts that were recorded by that day and not superseded count. What follows is as complete as the register: a
parent, a marriage or a death that it does not have is not known to it. Relations are said from the one asked about:
what the other is to that person.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

from chopar.identifiers import PersonId
from services.registry_office.model.acts import PARENTS, SPOUSES, ActKind, Role
from services.registry_office.model.book import GENERATIONS, Entry, PersonFile

MINOR_BELOW_YEARS = 18
NONE_FOUND = "none_found"
"""The relation where none follows from the acts; no proof that there is none."""


@dataclass(frozen=True, slots=True)
class Relative:
    """Somebody related, and by which acts.

    Attributes:
        relation: such as `mother` or `son`.
        person: key, None where the acts have no number.
        acts: numbers, in the order of their days.
        born: for the order of children.
    """

    relation: str
    person: str | None = field(repr=False)
    acts: tuple[str, ...]
    born: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Marriage:
    """A marriage, and what ended it.

    Attributes:
        entry: the act of marriage; None where only a divorce is known.
        spouse: key of the other.
        role: of the other, husband or wife.
        ended_by: the act of divorce or death.
    """

    entry: Entry | None
    spouse: str | None = field(repr=False)
    role: Role
    ended_by: Entry | None = None


class FamilyOn:
    """A person's file as of a day.

    Args:
        file: of the person.
        day: by local civil date; later acts are ignored.
        more: entries of the files of others, for kinship.
    """

    def __init__(self, file: PersonFile, day: date, more: Iterable[Entry] = ()) -> None:
        self.person = file.person
        self.day = day
        known = {entry.act.number: entry for entry in (*file.entries, *more)}
        in_force = (entry for entry in known.values() if entry.in_force_on(day))
        self.entries = tuple(sorted(in_force, key=lambda entry: (entry.act.recorded_on, entry.act.number)))

    @property
    def known(self) -> bool:
        """Whether the register knew the person on that day."""
        return any(self.person in entry.persons for entry in self.entries)

    @property
    def ambiguous(self) -> bool:
        """Whether the acts are of two people under one number: nobody is born or dies twice."""
        return len(self.acts(ActKind.BIRTH, Role.CHILD)) > 1 or len(self.acts(ActKind.DEATH, Role.DECEASED)) > 1

    @property
    def links(self) -> tuple[str, ...]:
        """Acts by which the person's numbers are one person's; on every day, as they say who somebody is."""
        return tuple(
            entry.act.number
            for entry in self.entries
            if entry.act.kind is ActKind.NUMBER_CHANGE and self.person in entry.persons
        )

    def acts(self, kind: ActKind, *roles: Role, person: str | None = None) -> list[Entry]:
        """Acts of a kind in which a person, the one asked about if none is given, has one of these roles."""
        who = person or self.person
        return [entry for entry in self.entries if entry.act.kind is kind and entry.has(who, *roles)]

    def death_of(self, person: str | None) -> Entry | None:
        """The act of a person's death, if one is known."""
        return next(iter(self.acts(ActKind.DEATH, Role.DECEASED, person=person)), None) if person else None

    def parents(self, person: str | None = None) -> list[Relative]:
        """Mother and father; a father by an act of paternity stands before one by the mother's word."""
        births = self.acts(ActKind.BIRTH, Role.CHILD, person=person)
        paternities = self.acts(ActKind.PATERNITY, Role.CHILD, person=person)
        found: dict[Role, Relative] = {}
        for entry in (*births, *paternities):
            for one, key in entry.named(*PARENTS):
                before = found.get(one.role)
                same = before is not None and before.person == key
                if before is None or (one.role is Role.FATHER and entry.act.kind is ActKind.PATERNITY and not same):
                    found[one.role] = Relative(one.role.value, key, (entry.act.number,))
        return [found[role] for role in PARENTS if role in found]

    def children(self, person: str | None = None) -> list[Relative]:
        """Sons and daughters, oldest first."""
        who = person or self.person
        found: dict[str, Relative] = {}
        for kind in (ActKind.BIRTH, ActKind.PATERNITY):
            for entry in self.acts(kind, *PARENTS, person=who):
                [(child, key)] = entry.named(Role.CHILD)
                born = child.born_on.text if child.born_on else ""
                name = key or f"act {entry.act.number}"
                if name not in found:
                    found[name] = Relative(_by_sex(key, "son", "daughter", "child"), key, (entry.act.number,), born)
        return sorted(found.values(), key=lambda child: (child.born, child.acts))

    def marriages(self) -> list[Marriage]:
        """All marriages, in the order of their acts; those of which only the divorce is known come last."""
        divorces = self.acts(ActKind.DIVORCE, *SPOUSES)
        own_death = self.death_of(self.person)
        found: list[Marriage] = []
        used: set[str] = set()
        for entry in self.acts(ActKind.MARRIAGE, *SPOUSES):
            role, spouse = self._other_spouse(entry)
            ended = next((d for d in divorces if d.act.number not in used and self._ends(d, entry, spouse)), None)
            if ended is not None:
                used.add(ended.act.number)
            else:
                deaths = [death for death in (self.death_of(spouse), own_death) if death is not None]
                ended = min(deaths, key=_died, default=None)
            found.append(Marriage(entry, spouse, role, ended))
        for divorce in divorces:
            if divorce.act.number not in used:
                role, spouse = self._other_spouse(divorce)
                found.append(Marriage(None, spouse, role, divorce))
        return found

    def _other_spouse(self, entry: Entry) -> tuple[Role, str | None]:
        for one, key in entry.named(*SPOUSES):
            if key != self.person:
                return one.role, key
        return Role.WIFE, None

    def _ends(self, divorce: Entry, marriage: Entry, spouse: str | None) -> bool:
        if divorce.act.concerns is not None:
            return divorce.act.concerns == marriage.act.number
        later = divorce.act.recorded_on >= marriage.act.recorded_on
        return later and spouse is not None and divorce.has(spouse, *SPOUSES)

    def living(self, relatives: Iterable[Relative]) -> list[Relative]:
        """Those of whose death there is no act."""
        return [one for one in relatives if self.death_of(one.person) is None]

    def lone_parent_acts(self) -> tuple[str, ...]:
        """Acts by which the person is the only living parent of a living minor; empty if there is no such child."""
        if self.death_of(self.person) is not None:
            return ()
        found: list[str] = []
        for child in self.living(self.children()):
            if not self._minor(child):
                continue
            others = [one for one in self._parents_of_child(child) if one.person != self.person]
            if not self.living(others):
                deaths = [death for one in others if (death := self.death_of(one.person)) is not None]
                found += [*child.acts, *(death.act.number for death in deaths)]
        return tuple(dict.fromkeys(found))

    def _parents_of_child(self, child: Relative) -> list[Relative]:
        if child.person is not None:
            return self.parents(child.person)
        [act] = [entry for entry in self.entries if entry.act.number == child.acts[0]]
        return [Relative(one.role.value, key, child.acts) for one, key in act.named(*PARENTS)]

    def _minor(self, child: Relative) -> bool:
        if child.born:
            year, *rest = (int(part) for part in child.born.split("-"))
            month, day = (rest + [12, 31][len(rest) :])[:2]
        elif child.person is not None:
            born = PersonId(child.person).born_on
            year, month, day = born.year, born.month, born.day
        else:
            return False
        return (self.day.year - MINOR_BELOW_YEARS, self.day.month, self.day.day) < (year, month, day)

    def ancestors(self, person: str) -> dict[str, tuple[int, tuple[str, ...]]]:
        """How many generations up, and by which acts; the person themselves is 0 up."""
        found: dict[str, tuple[int, tuple[str, ...]]] = {person: (0, ())}
        generation = [person]
        for up in range(1, GENERATIONS + 1):
            above: list[str] = []
            for one in generation:
                for parent in self.parents(one):
                    if parent.person is not None and parent.person not in found:
                        found[parent.person] = (up, (*found[one][1], *parent.acts))
                        above.append(parent.person)
            generation = above
        return found


def kinship(file: PersonFile, other: PersonFile, day: date) -> Relative:
    """What the other is to the person of the file, and by which acts."""
    family = FamilyOn(file, day, other.entries)
    others = FamilyOn(other, day, file.entries)
    found = (
        _same(file, other)
        or _by_blood(family, other.person)
        or _by_marriage(family, other.person)
        or _by_marriage_of_near_kin(family, others)
    )
    if found is None:
        return Relative(NONE_FOUND, other.person, ())
    place = {entry.act.number: number for number, entry in enumerate(family.entries)}
    acts = tuple(sorted(set(found.acts), key=lambda number: place[number]))
    return Relative(found.relation, other.person, acts)


def _same(file: PersonFile, other: PersonFile) -> Relative | None:
    return Relative("same_person", other.person, ()) if file.person == other.person else None


# (generations up from the person, down to the other): for a man, for a woman.
_BLOOD = {
    (0, 1): ("son", "daughter"),
    (0, 2): ("grandson", "granddaughter"),
    (0, 3): ("great_grandson", "great_granddaughter"),
    (1, 0): ("father", "mother"),
    (2, 0): ("grandfather", "grandmother"),
    (3, 0): ("great_grandfather", "great_grandmother"),
    (1, 1): ("brother", "sister"),
    (2, 1): ("uncle", "aunt"),
    (1, 2): ("nephew", "niece"),
    (2, 2): ("cousin", "cousin"),
    (3, 1): ("great_uncle", "great_aunt"),
    (1, 3): ("great_nephew", "great_niece"),
    (3, 2): ("parents_cousin", "parents_cousin"),
    (2, 3): ("cousins_child", "cousins_child"),
    (3, 3): ("second_cousin", "second_cousin"),
}


RELATIONS = frozenset(
    {
        NONE_FOUND, "same_person", "half_brother", "half_sister", "husband", "wife", "former_husband", "former_wife",
        "mother_in_law", "father_in_law", "son_in_law", "daughter_in_law", "stepmother", "stepfather", "stepson",
        "stepdaughter", *(word for words in _BLOOD.values() for word in words),
    }
)  # fmt: skip
"""All that `kinship` can say; the schema lists them."""


def _by_blood(family: FamilyOn, other: str) -> Relative | None:
    mine, theirs = family.ancestors(family.person), family.ancestors(other)
    common = mine.keys() & theirs.keys()
    if not common:
        return None
    # Where two ways are as near, the same one is taken whichever of the two is asked about.
    closest = min(common, key=lambda one: (mine[one][0] + theirs[one][0], one))
    steps = (mine[closest][0], theirs[closest][0])
    nearest = [one for one in sorted(common) if (mine[one][0], theirs[one][0]) == steps]
    acts = tuple(number for one in nearest for number in (*mine[one][1], *theirs[one][1]))
    relation = _by_sex(other, *_BLOOD[steps], "")
    if steps == (1, 1) and len(nearest) == 1 and all(len(family.parents(one)) == 2 for one in (family.person, other)):
        relation = f"half_{relation}"
    return Relative(relation, other, acts)


def _by_marriage(family: FamilyOn, other: str) -> Relative | None:
    for marriage in reversed(family.marriages()):
        if marriage.spouse == other:
            ended = marriage.ended_by
            acts = tuple(entry.act.number for entry in (marriage.entry, ended) if entry is not None)
            divorced = ended is not None and ended.act.kind is ActKind.DIVORCE
            return Relative(f"former_{marriage.role}" if divorced else marriage.role.value, other, acts)
    return None


def _by_marriage_of_near_kin(family: FamilyOn, others: FamilyOn) -> Relative | None:
    """Parents and children of a spouse, spouses of a parent or child, as far as both files tell."""
    me, other = family.person, others.person
    found: list[Relative] = []
    for act, spouse in _spouses(family):
        for parent in family.parents(spouse):
            if parent.person == other:
                found.append(Relative(f"{parent.relation}_in_law", other, (act, *parent.acts)))
        for parent in family.parents(other):
            if parent.person == spouse:
                found.append(Relative(_by_sex(other, "stepson", "stepdaughter", ""), other, (act, *parent.acts)))
    for act, spouse in _spouses(others):
        for parent in family.parents(spouse):
            if parent.person == me:
                found.append(Relative(_by_sex(other, "son_in_law", "daughter_in_law", ""), other, (act, *parent.acts)))
        for parent in family.parents(me):
            if parent.person == spouse:
                found.append(Relative(_by_sex(other, "stepfather", "stepmother", ""), other, (act, *parent.acts)))
    # Of several, the same one is taken whichever of the two is asked about: the acts are the same both ways.
    return min(found, key=lambda one: one.acts, default=None)


def _spouses(family: FamilyOn) -> list[tuple[str, str]]:
    """The acts of marriages that last, and to whom."""
    return [
        (one.entry.act.number, one.spouse)
        for one in family.marriages()
        if one.entry is not None and one.ended_by is None and one.spouse is not None
    ]


def _died(death: Entry) -> tuple[date, date, str]:
    """Who died first; by the act where the days do not tell."""
    died_on = death.act.died_on
    return died_on.earliest if died_on else death.act.recorded_on, death.act.recorded_on, death.act.number


def _by_sex(person: str | None, man: str, woman: str, unknown: str) -> str:
    if person is None:
        return unknown
    return man if PersonId(person).is_male else woman
