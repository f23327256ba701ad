"""The register's synthetic acts, made from the population.

Who was born to whom, married, parted and died is the population's; on which day an office recorded it, and under which
number, is decided here. Numbers look like `B-1726903-2022-480211` (kind, office, year, serial) and are made up: the
real form was not found, and the office codes are none of SOATO's.
"""

from collections.abc import Iterator
from datetime import date, timedelta

from chopar.identifiers import PersonId
from chopar.population import REGIONS, CivilHistory, Paternity, Person, Population, Recipe, Wedlock
from chopar.population.draws import settled, settled_draws
from services.registry_office.model.acts import Act, ActKind, Participant, Role
from services.registry_office.model.days import PartialDate
from services.registry_office.model.names import PersonName
from services.registry_office.model.register import CivilStore

# Acts are kept for 75 years (Cabinet of Ministers resolution 550 of 2023-10-20); what is older was not digitised.
FIRST_DAY = date(1951, 1, 1)

_LETTERS = {
    ActKind.BIRTH: "B",
    ActKind.MARRIAGE: "M",
    ActKind.DIVORCE: "D",
    ActKind.DEATH: "X",
    ActKind.NAME_CHANGE: "N",
    ActKind.PATERNITY: "P",
    ActKind.ADOPTION: "A",
}
_ORDER = {kind: place for place, kind in enumerate(ActKind)}
# A few deaths of long ago are known by month or year alone.
_DEATH_BY_YEAR, _DEATH_BY_MONTH, _EXACT_SINCE = 0.05, 0.1, 1975


def acts(population: Population) -> list[Act]:
    """All acts of a population's civil status, in the order in which they were recorded."""
    maker = _Maker(population)
    made = [*maker.births(), *maker.weddings(), *maker.changes(), *maker.deaths()]
    return sorted(made, key=lambda act: (act.recorded_on, _ORDER[act.kind], act.number))


async def fill(store: CivilStore, recipe: Recipe) -> int:
    """Add a population's acts to a register, unless that was done; acts that are there stay as they are.

    Returns:
        How many entries were added.

    Raises:
        RegisterUnavailableError: retriable; nothing was added.
    """
    if await store.seeded(recipe.text):
        return 0
    return await store.seed(acts(recipe.make()), recipe.text)


class _Maker:
    def __init__(self, population: Population) -> None:
        self._seed, self._on = population.seed, population.on
        self._people = population.by_pinfl()
        self._history: CivilHistory = population.civil_history()
        self._numbers: set[str] = set()
        self._offices = {
            (region.soato, district): f"{region.soato}{900 + place:03}"
            for region in REGIONS
            for place, district in enumerate(region.places)
        }

    def births(self) -> Iterator[Act]:
        """Births of those whose parents are known; with what an adoption made of them."""
        for person in self._people.values():
            if person.mother is None or person.born_on < FIRST_DAY:
                continue
            on = self._some_days_after(person.born_on, "birth recorded", person.pinfl, 3, 40)
            adoption = self._history.adoptions.get(person.pinfl)
            paternity = self._history.paternities.get(person.pinfl)
            parents = [(Role.MOTHER, person.mother), (Role.FATHER, None if paternity else person.father)]
            child = self._who(Role.CHILD, person, on)
            if adoption is not None:
                parents = [(Role.MOTHER, adoption.birth_mother), (Role.FATHER, adoption.birth_father)]
                name = PersonName(adoption.surname_before, adoption.given_name_before)
                child = Participant(Role.CHILD, name, person.pinfl, PartialDate.of(person.born_on))
            named = [self._who(role, self._people[one], on) for role, one in parents if one is not None]
            born = self._act(ActKind.BIRTH, on, person, child, *named)
            yield born
            if paternity is not None:
                yield self._paternity(person, paternity)
            if adoption is not None and person.father is not None:
                adopters = ((Role.MOTHER, person.mother), (Role.FATHER, person.father))
                named = [self._who(role, self._people[one], adoption.on) for role, one in adopters]
                child = self._who(Role.CHILD, person, adoption.on)
                yield self._act(ActKind.ADOPTION, adoption.on, person, child, *named, concerns=born.number)

    def weddings(self) -> Iterator[Act]:
        """Marriages and divorces."""
        for wedding in self._history.weddings:
            married = self._marriage(wedding)
            if married is not None:
                yield married
            if wedding.divorced_on is not None and wedding.divorced_on >= FIRST_DAY:
                wife, people = self._couple(wedding, wedding.divorced_on)
                concerns = None if married is None else married.number
                yield self._act(ActKind.DIVORCE, wedding.divorced_on, wife, *people, concerns=concerns)

    def changes(self) -> Iterator[Act]:
        """Changes of given names."""
        for change in self._history.name_changes.values():
            person = self._people[change.person]
            if change.on >= FIRST_DAY:
                after = self._name(person, change.on + timedelta(days=1))
                who = self._who(Role.PERSON, person, change.on, after)
                yield self._act(ActKind.NAME_CHANGE, change.on, person, who)

    def deaths(self) -> Iterator[Act]:
        """Deaths; of some long ago the day or month is not known."""
        for person in self._people.values():
            if person.died_on is None or person.died_on < FIRST_DAY:
                continue
            on = self._some_days_after(person.died_on, "death recorded", person.pinfl, 0, 9)
            died_on = PartialDate.of(person.died_on)
            known = settled(self._seed, "day of death known", person.pinfl.text)
            if person.died_on.year < _EXACT_SINCE and known < _DEATH_BY_MONTH:
                died_on = PartialDate(died_on.year, None if known < _DEATH_BY_YEAR else died_on.month)
            yield self._act(ActKind.DEATH, on, person, self._who(Role.DECEASED, person, on), died_on=died_on)

    def _paternity(self, child: Person, paternity: Paternity) -> Act:
        parents = ((Role.MOTHER, child.mother), (Role.FATHER, paternity.father))
        named = [self._who(role, self._people[one], paternity.on) for role, one in parents if one is not None]
        return self._act(ActKind.PATERNITY, paternity.on, child, self._who(Role.CHILD, child, paternity.on), *named)

    def _marriage(self, wedding: Wedlock) -> Act | None:
        if wedding.married_on < FIRST_DAY:
            return None
        wife, people = self._couple(wedding, wedding.married_on)
        return self._act(ActKind.MARRIAGE, wedding.married_on, wife, *people)

    def _couple(self, wedding: Wedlock, on: date) -> tuple[Person, tuple[Participant, ...]]:
        husband, wife = self._people[wedding.husband], self._people[wedding.wife]
        after = self._name(wife, on + timedelta(days=1))
        changed = on == wedding.married_on and after != self._name(wife, on)
        return wife, (
            self._who(Role.HUSBAND, husband, on),
            self._who(Role.WIFE, wife, on, after if changed else None),
        )

    def _name(self, person: Person, on: date) -> PersonName:
        return PersonName(*self._history.name_on(person, on))

    def _who(self, role: Role, person: Person, on: date, name_after: PersonName | None = None) -> Participant:
        born_on = PartialDate.of(person.born_on)
        return Participant(role, self._name(person, on), person.pinfl, born_on, name_after)

    def _some_days_after(self, day: date, purpose: str, person: PersonId, least: int, most: int) -> date:
        draws = settled_draws(self._seed, purpose, person.text)
        return min(day + timedelta(days=draws.between(least, most)), self._on)

    def _act(
        self,
        kind: ActKind,
        on: date,
        of: Person,
        *people: Participant,
        died_on: PartialDate | None = None,
        concerns: str | None = None,
    ) -> Act:
        """An act at the office of a person's home; its number belongs to kind, person and day for good."""
        office = self._offices[of.address.region_soato, of.address.district]
        serial = int(settled(self._seed, f"number of {kind} on {on}", of.pinfl.text) * 10**6)
        while (number := f"{_LETTERS[kind]}-{office}-{on.year}-{serial:06}") in self._numbers:
            serial = (serial + 1) % 10**6
        self._numbers.add(number)
        name = f"{of.address.district} FHDYo boʻlimi"
        return Act(number, kind, name, on, people, died_on=died_on, concerns=concerns)
