"""What has become of people's names, marriages and parentage, settled by the seed without changing who they are.

A person's spouse, parents and name are those of today. From them and the seed follow divorces, marriages before the
last one, changes of name, fathers whose paternity was established later, and adoptions. An adopted child's parents in
the population are those who adopted: only the history knows of others. All days are consistent: nobody divorces the
dead, is adopted by a couple that had parted, or has a child by a marriage that had ended.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from chopar.identifiers import PersonId
from chopar.population.draws import Draws, settled, settled_draws, years_after
from chopar.population.model import Person, Sex
from chopar.population.names import Community, draw_given_name, surname_for

_DIVORCED, _BORN_AFTER_DIVORCE, _RENAMED, _ADOPTED, _MARRIED_BEFORE = 0.09, 0.5, 0.02, 0.01, 0.08
# A child born later than this after a divorce is not presumed to be the former husband's.
_PRESUMED_DAYS = 300
_ADOPTED_BELOW_YEARS = 8
_BIRTH_MOTHER_YEARS = (17, 40)
_TRIES = 40


@dataclass(frozen=True, slots=True)
class Wedlock:
    """A marriage.

    Attributes:
        husband, wife: who married.
        married_on: first day.
        divorced_on: None if it was not dissolved by divorce.
    """

    husband: PersonId
    wife: PersonId
    married_on: date
    divorced_on: date | None = None


@dataclass(frozen=True, slots=True)
class NameChange:
    """A given name that was changed; the person's name in the population is the one after."""

    person: PersonId
    given_name_before: str
    on: date


@dataclass(frozen=True, slots=True)
class Paternity:
    """A father who was established after the birth."""

    child: PersonId
    father: PersonId
    on: date


@dataclass(frozen=True, slots=True)
class Adoption:
    """Secret: that it happened is known here and in the register's journal, and nowhere else.

    Attributes:
        child: whose parents in the population are those who adopted.
        on: day of the adoption.
        birth_mother, birth_father: somebody else; no father where she was not married.
        surname_before, given_name_before: under which the birth was recorded.
    """

    child: PersonId
    on: date
    birth_mother: PersonId
    birth_father: PersonId | None
    surname_before: str
    given_name_before: str


@dataclass(frozen=True, slots=True)
class CivilHistory:
    """All that happened, each by the person it happened to.

    Attributes:
        weddings: marriages, the last of each couple and those before; by nobody in particular.
        name_changes, paternities, adoptions: by person or child.
    """

    weddings: tuple[Wedlock, ...]
    name_changes: Mapping[PersonId, NameChange]
    paternities: Mapping[PersonId, Paternity]
    adoptions: Mapping[PersonId, Adoption] = field(repr=False)
    _people: Mapping[PersonId, Person] = field(repr=False)

    def name_on(self, person: Person, day: date) -> tuple[str, str, str | None]:
        """Surname, given name and patronymic that somebody had on a day; before an adoption too, those after it.

        A woman bears her father's surname until the day of her last marriage, if the population has her father.
        """
        surname, given_name = person.surname, person.given_name
        father = None if person.father is None else self._people.get(person.father)
        unmarried = person.married_on is not None and day <= person.married_on
        if person.sex is Sex.FEMALE and father is not None and unmarried:
            surname = _daughters_surname(father.surname)
        change = self.name_changes.get(person.pinfl)
        if change is not None and day <= change.on:
            given_name = change.given_name_before
        return surname, given_name, person.patronymic


def civil_history(seed: int, people: Sequence[Person], on: date) -> CivilHistory:
    """The history of a population.

    Args:
        seed: of the population.
        people: all of them, parents before their children.
        on: nothing happens after this day.
    """
    known = {person.pinfl: person for person in people}
    children: dict[PersonId, list[Person]] = {}
    for person in people:
        if person.mother is not None:
            children.setdefault(person.mother, []).append(person)
    teller = _Teller(seed, people, known, children, on)
    last = [teller.last_wedding(wife) for wife in people if wife.sex is Sex.FEMALE and wife.spouse is not None]
    paternities = teller.paternities(last)
    adoptions = teller.adoptions({wedding.wife: wedding for wedding in last}, paternities)
    weddings = tuple(sorted((*last, *teller.earlier_weddings()), key=lambda one: (one.married_on, one.wife.text)))
    return CivilHistory(weddings, dict(teller.name_changes()), paternities, adoptions, known)


class _Teller:
    def __init__(
        self,
        seed: int,
        people: Sequence[Person],
        known: Mapping[PersonId, Person],
        children: Mapping[PersonId, list[Person]],
        on: date,
    ) -> None:
        self._seed = seed
        self._people = people
        self._known = known
        self._children = children
        self._on = on

    def last_wedding(self, wife: Person) -> Wedlock:
        """The last marriage of a woman, and whether and when it was dissolved."""
        assert wife.spouse is not None
        assert wife.married_on is not None
        wedding = Wedlock(wife.spouse, wife.pinfl, wife.married_on)
        draws = settled_draws(self._seed, "divorce", wife.pinfl.text)
        if not draws.chance(_DIVORCED):
            return wedding
        children = sorted(self._children.get(wife.pinfl, ()), key=lambda child: child.born_on)
        first, last = wife.married_on + timedelta(days=200), self._last_day(wife, self._known[wife.spouse])
        if children and draws.chance(_BORN_AFTER_DIVORCE):
            # Divorced before the youngest was born, whose father was then established by an act of his own.
            before = children[-2].born_on if len(children) > 1 else first
            last = min(last, children[-1].born_on - timedelta(days=_PRESUMED_DAYS))
            first = max(first, before + timedelta(days=30))
        elif children:
            first = max(first, children[-1].born_on + timedelta(days=30))
        if first > last:
            return wedding
        return Wedlock(wife.spouse, wife.pinfl, wife.married_on, draws.day_between(first, last))

    def paternities(self, weddings: Sequence[Wedlock]) -> dict[PersonId, Paternity]:
        """Of the children who were born after the divorce of those who are their parents."""
        found: dict[PersonId, Paternity] = {}
        for wedding in weddings:
            for child in self._children.get(wedding.wife, ()):
                if wedding.divorced_on is not None and child.born_on > wedding.divorced_on:
                    draws = settled_draws(self._seed, "paternity", child.pinfl.text)
                    last = min(self._last_day(self._known[wedding.husband]), child.born_on + timedelta(days=900))
                    on = draws.day_between(min(child.born_on + timedelta(days=60), last), last)
                    found[child.pinfl] = Paternity(child.pinfl, wedding.husband, on)
        return found

    def adoptions(
        self, weddings: Mapping[PersonId, Wedlock], paternities: Mapping[PersonId, Paternity]
    ) -> dict[PersonId, Adoption]:
        """Of young children, by couples who were married and alive."""
        women = [person for person in self._people if person.sex is Sex.FEMALE]
        found: dict[PersonId, Adoption] = {}
        for child in self._people:
            chosen = settled(self._seed, "adoption", child.pinfl.text) < _ADOPTED
            wedding = None if child.mother is None else weddings.get(child.mother)
            if not chosen or wedding is None or child.pinfl in paternities:
                continue
            draws = settled_draws(self._seed, "adopted", child.pinfl.text)
            parents = self._last_day(self._known[wedding.husband], self._known[wedding.wife], child)
            last = min(parents, years_after(child.born_on, _ADOPTED_BELOW_YEARS), wedding.divorced_on or self._on)
            first = child.born_on + timedelta(days=60)
            birth_mother = self._birth_mother(draws, women, child)
            if first > last or birth_mother is None:
                continue
            husband = None if birth_mother.spouse is None else self._known[birth_mother.spouse]
            wed = birth_mother.married_on is not None and birth_mother.married_on <= child.born_on
            dissolved = weddings[birth_mother.pinfl].divorced_on if wed else None
            lasting = wed and (dissolved is None or child.born_on <= dissolved)
            father = husband.pinfl if husband is not None and lasting and husband.alive_on(child.born_on) else None
            given_name = draw_given_name(draws, Community.UZBEK, child.sex)
            found[child.pinfl] = Adoption(
                child.pinfl,
                draws.day_between(first, last),
                birth_mother.pinfl,
                father,
                surname_for(birth_mother.surname.removesuffix("a"), child.sex),
                given_name,
            )
        return found

    def _birth_mother(self, draws: Draws, women: Sequence[Person], child: Person) -> Person | None:
        youngest, oldest = _BIRTH_MOTHER_YEARS
        for _ in range(_TRIES):
            woman = draws.pick(women)
            of_age = years_after(woman.born_on, youngest) <= child.born_on < years_after(woman.born_on, oldest)
            siblings = self._children.get(woman.pinfl, ())
            spaced = all(abs((one.born_on - child.born_on).days) > 330 for one in siblings)
            if of_age and spaced and woman.alive_on(child.born_on) and woman.pinfl not in (child.mother, child.pinfl):
                return woman
        return None

    def name_changes(self) -> Iterator[tuple[PersonId, NameChange]]:
        """Of adults; not of fathers, whose given name their children bear."""
        fathers = {person.father for person in self._people}
        for person in self._people:
            if settled(self._seed, "name change", person.pinfl.text) >= _RENAMED or person.pinfl in fathers:
                continue
            last = self._last_day(person)
            if person.of_age_on < last:
                draws = settled_draws(self._seed, "changed name", person.pinfl.text)
                before = draw_given_name(draws, Community.UZBEK, person.sex)
                on = draws.day_between(person.of_age_on, last)
                if before != person.given_name:
                    yield person.pinfl, NameChange(person.pinfl, before, on)

    def earlier_weddings(self) -> Iterator[Wedlock]:
        """Marriages before the last, dissolved and without children, between people who married late."""
        chosen = [
            person
            for person in self._people
            if person.married_on is not None
            and years_after(person.of_age_on, 3) <= person.married_on
            and settled(self._seed, "married before", person.pinfl.text) < _MARRIED_BEFORE
        ]
        men = [person for person in chosen if person.sex is Sex.MALE]
        for woman in (person for person in chosen if person.sex is Sex.FEMALE):
            for man in men:
                assert man.married_on is not None
                assert woman.married_on is not None
                first = max(man.of_age_on, woman.of_age_on) + timedelta(days=30)
                last = min(man.married_on, woman.married_on) - timedelta(days=100)
                if (last - first).days > 500 and not self._kin(man, woman) and man.pinfl != woman.spouse:
                    draws = settled_draws(self._seed, "wedding before", woman.pinfl.text)
                    married_on = draws.day_between(first, last - timedelta(days=300))
                    divorced_on = draws.day_between(married_on + timedelta(days=200), last)
                    men.remove(man)
                    yield Wedlock(man.pinfl, woman.pinfl, married_on, divorced_on)
                    break

    def _kin(self, one: Person, other: Person) -> bool:
        return bool(self._elders(one) & self._elders(other))

    def _elders(self, person: Person) -> set[PersonId]:
        parents = [self._known[parent] for parent in (person.mother, person.father) if parent is not None]
        elders = {elder for parent in parents for elder in (parent.pinfl, parent.mother, parent.father)}
        return {elder for elder in elders if elder is not None}

    def _last_day(self, *people: Person) -> date:
        """The last day on which all of them lived, and no later than the reference day."""
        return min([self._on, *(person.died_on for person in people if person.died_on is not None)])


def _daughters_surname(surname: str) -> str:
    if surname.isupper() and len(surname) > 1:
        return surname_for(surname.title(), Sex.FEMALE).upper()
    return surname_for(surname, Sex.FEMALE)
