"""Families: couples, their children, grandparents and siblings, by neighbourhoods.

A neighbourhood begins with couples of whom no parents are known. Their children marry within it, never a sibling or a
first cousin, and have children in turn. People come out parents first, so the list can be cut at any number.
"""

from dataclasses import dataclass, field
from datetime import date, timedelta

from chopar.identifiers import PersonId, pinfl_check_digit
from chopar.population.addresses import AddressBook
from chopar.population.draws import Draws, years_after
from chopar.population.model import Address, Person, Sex
from chopar.population.names import (
    CanonicalName,
    Community,
    PatronymicHabit,
    draw_community,
    draw_given_name,
    draw_patronymic_habit,
    draw_surname,
    patronymic_for,
    surname_for,
    write_name,
)
from chopar.population.territories import Region

_FOUNDING_COUPLES = 6
_FIRST_YEAR, _LAST_FOUNDING_YEAR = 1930, 1972
# Of a hundred founders one was born under the tsar: registers keep them, and their birth year is before 1900.
_ANCIENT_SHARE, _ANCIENT_YEAR = 0.01, 1893
# Nobody with a child dies before this age, so that no child is born to the dead.
_PARENT_DEATH_AGE, _LAST_DEATH_AGE = 52, 99
_MOTHER_LAST_AGE, _FATHER_LAST_AGE = 42, 50
# Children of 0 to 5, two and three most often.
_CHILDREN = (0, 1, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5)
# District codes of the made-up numbers; the real table is not published, and these are the highest.
_FIRST_DISTRICT_CODE, _LAST_DISTRICT_CODE = 801, 999
_LONG_NAME_LETTERS = 300
# One in so many is an edge case that a form tends to refuse; counted far from the start, where examples come from.
_EDGE_EVERY, _EDGE_ONE_LETTER, _EDGE_LONG = 1500, 1201, 1301


@dataclass(slots=True, eq=False)
class _Draft:
    """A person under way."""

    sex: Sex
    born_on: date
    community: Community
    surname: str
    given_name: str
    patronymic: str | None
    pinfl: PersonId
    mother: "_Draft | None" = None
    father: "_Draft | None" = None
    spouse: "_Draft | None" = None
    married_on: date | None = None
    died_on: date | None = None
    address: Address | None = None
    children: "list[_Draft]" = field(default_factory=list)


class Families:
    """Draws people until there are as many as wanted."""

    def __init__(self, draws: Draws, clerks: Draws, addresses: AddressBook, on: date) -> None:
        self._draws = draws
        self._clerks = clerks
        self._addresses = addresses
        self._on = on
        self._numbers: set[str] = set()

    def people(self, count: int) -> tuple[Person, ...]:
        """Exactly `count` people, parents before their children."""
        drafts: list[_Draft] = []
        while len(drafts) < count:
            drafts.extend(self._neighbourhood())
        del drafts[count:]
        kept = set(map(id, drafts))
        return tuple(self._person(index, draft, kept) for index, draft in enumerate(drafts))

    def _neighbourhood(self) -> list[_Draft]:
        draws = self._draws
        region, district = self._addresses.place()
        community = draw_community(draws, region.iso)
        everybody: list[_Draft] = []
        for _ in range(_FOUNDING_COUPLES):
            everybody.extend(self._founders(community))
        couples = [wife for wife in everybody if wife.sex is Sex.FEMALE]
        for wife in couples:
            self._settle_couple(wife, region, district)
        while couples:
            children = [child for wife in couples for child in self._children_of(wife)]
            everybody.extend(children)
            couples = self._marry(children)
            for wife in couples:
                self._settle_couple(wife, region, district)
        for draft in everybody:
            self._settle_alone(draft, region, district)
            self._let_die(draft)
        return everybody

    def _founders(self, community: Community) -> tuple[_Draft, _Draft]:
        draws = self._draws
        year = _ANCIENT_YEAR if draws.chance(_ANCIENT_SHARE) else draws.between(_FIRST_YEAR, _LAST_FOUNDING_YEAR)
        born_on = draws.day_between(date(year, 1, 1), date(year, 12, 31))
        husband = self._draft(Sex.MALE, born_on, community)
        wife = self._draft(Sex.FEMALE, born_on + timedelta(days=draws.between(-200, 2000)), community)
        self._wed(husband, wife)
        return husband, wife

    def _draft(
        self, sex: Sex, born_on: date, community: Community, mother: _Draft | None = None, father: _Draft | None = None
    ) -> _Draft:
        draws = self._draws
        given_name = draw_given_name(draws, community, sex)
        while father is not None and any(sibling.given_name == given_name for sibling in father.children):
            given_name = draw_given_name(draws, community, sex)
        if father is None:
            surname, fathers_name = draw_surname(draws, community), draw_given_name(draws, community, Sex.MALE)
        else:
            surname, fathers_name = father.surname, father.given_name
        habit = draw_patronymic_habit(draws, born_on.year)
        if community is Community.RUSSIAN and habit is PatronymicHabit.OGLI:
            habit = PatronymicHabit.OVICH
        patronymic = patronymic_for(fathers_name, community, sex, habit)
        pinfl = self._number(sex, born_on)
        return _Draft(sex, born_on, community, surname, given_name, patronymic, pinfl, mother, father)

    def _number(self, sex: Sex, born_on: date) -> PersonId:
        draws = self._draws
        century = 1 + (born_on.year // 100 - 18) * 2 + (sex is Sex.FEMALE)
        while True:
            district = draws.between(_FIRST_DISTRICT_CODE, _LAST_DISTRICT_CODE)
            first = f"{century}{born_on.day:02}{born_on.month:02}{born_on.year % 100:02}{district}"
            first += f"{draws.between(1, 999):03}"
            if first not in self._numbers:
                self._numbers.add(first)
                return PersonId(f"{first}{pinfl_check_digit(first)}")

    def _wed(self, husband: _Draft, wife: _Draft) -> bool:
        """Marry two people some time after both are of age, unless that day is still to come."""
        draws = self._draws
        first = years_after(max(husband.born_on, wife.born_on), draws.between(18, 24))
        married_on = first + timedelta(days=draws.between(1, 700))
        if married_on > self._on:
            return False
        husband.spouse, wife.spouse = wife, husband
        husband.married_on = wife.married_on = married_on
        if draws.chance(0.55):
            wife.surname = husband.surname
        return True

    def _marry(self, young: list[_Draft]) -> list[_Draft]:
        """Find husbands among the young of one generation; gives the wives."""
        draws = self._draws
        men = sorted((draft for draft in young if draft.sex is Sex.MALE), key=lambda man: man.born_on)
        wives: list[_Draft] = []
        for woman in sorted((draft for draft in young if draft.sex is Sex.FEMALE), key=lambda one: one.born_on):
            if not draws.chance(0.9):
                continue
            earliest, latest = woman.born_on - timedelta(days=9 * 365), woman.born_on + timedelta(days=2 * 365)
            man = next((m for m in men if earliest <= m.born_on <= latest and not _too_close(m, woman)), None)
            if man is not None and self._wed(man, woman):
                men.remove(man)
                wives.append(woman)
        return wives

    def _children_of(self, wife: _Draft) -> list[_Draft]:
        draws = self._draws
        husband = wife.spouse
        if husband is None or wife.married_on is None:
            return []
        last = min(
            years_after(wife.born_on, _MOTHER_LAST_AGE), years_after(husband.born_on, _FATHER_LAST_AGE), self._on
        )
        born_on = wife.married_on + timedelta(days=draws.between(290, 1000))
        for _ in range(draws.pick(_CHILDREN)):
            if born_on > last:
                break
            sex = Sex.MALE if draws.chance(0.51) else Sex.FEMALE
            child = self._draft(sex, born_on, husband.community, wife, husband)
            wife.children.append(child)
            husband.children.append(child)
            born_on += timedelta(days=draws.between(330, 1900))
        return wife.children

    def _settle_couple(self, wife: _Draft, region: Region, district: str) -> None:
        """The youngest son stays with his parents, as the custom is; other couples get a home of their own."""
        husband = wife.spouse
        if husband is None:
            return
        father = husband.father
        sons = [] if father is None else [child for child in father.children if child.sex is Sex.MALE]
        if father is not None and father.address is not None and sons[-1] is husband:
            home = father.address
        else:
            home = self._home(region, district)
        husband.address = wife.address = home

    def _settle_alone(self, draft: _Draft, region: Region, district: str) -> None:
        if draft.address is not None:
            return
        grown = years_after(draft.born_on, 22) <= self._on
        if draft.father is None or draft.father.address is None or (grown and self._draws.chance(0.2)):
            draft.address = self._home(region, district)
        else:
            draft.address = draft.father.address

    def _home(self, region: Region, district: str) -> Address:
        if self._draws.chance(0.2):
            region, district = self._addresses.place()
        return self._addresses.address(region, district)

    def _let_die(self, draft: _Draft) -> None:
        draws = self._draws
        age = _PARENT_DEATH_AGE + draws.below(_LAST_DEATH_AGE - _PARENT_DEATH_AGE)
        age = max(age, _PARENT_DEATH_AGE + draws.below(_LAST_DEATH_AGE - _PARENT_DEATH_AGE))
        died_on = years_after(draft.born_on, age) + timedelta(days=draws.below(365))
        if draft.spouse is None and draws.chance(0.01):
            died_on = draws.day_between(draft.born_on, self._on)
        if died_on <= self._on:
            draft.died_on = died_on

    def _person(self, index: int, draft: _Draft, kept: set[int]) -> Person:
        surname, given_name = surname_for(draft.surname, draft.sex), draft.given_name
        if index % _EDGE_EVERY == _EDGE_ONE_LETTER:
            surname = surname[0]
        elif index % _EDGE_EVERY == _EDGE_LONG:
            given_name = "-".join([given_name] * (_LONG_NAME_LETTERS // len(given_name) + 1))
        canonical = CanonicalName(surname, given_name, draft.patronymic)
        written = write_name(self._clerks, canonical, draft.community, draft.born_on.year)
        spouse = draft.spouse if draft.spouse is not None and id(draft.spouse) in kept else None
        assert draft.address is not None
        return Person(
            pinfl=draft.pinfl,
            name=written.name,
            surname=written.surname,
            given_name=written.given_name,
            patronymic=written.patronymic,
            sex=draft.sex,
            born_on=draft.born_on,
            died_on=draft.died_on,
            mother=None if draft.mother is None else draft.mother.pinfl,
            father=None if draft.father is None else draft.father.pinfl,
            spouse=None if spouse is None else spouse.pinfl,
            married_on=None if spouse is None else draft.married_on,
            address=draft.address,
        )


def _too_close(one: _Draft, other: _Draft) -> bool:
    """Whether two people are siblings, half-siblings or first cousins."""
    mine, yours = (
        {
            id(elder)
            for parent in (draft.mother, draft.father)
            if parent is not None
            for elder in (parent, parent.mother, parent.father)
            if elder is not None
        }
        for draft in (one, other)
    )
    return bool(mine & yours)
