"""The synthetic people: identifiers, names, families, addresses."""

import re
import unicodedata
from collections import Counter
from datetime import date

import pytest

from chopar.identifiers import PersonId, name_key
from chopar.population import REFERENCE_DAY, REGIONS, Person, Population, Sex
from chopar.population.names import (
    APOSTROPHES,
    Community,
    PatronymicHabit,
    patronymic_for,
    russian_latin,
    uzbek_cyrillic,
)

CADASTRAL_NUMBER = re.compile(r"\d{2}(:\d{2}){4}:\d{4}(:\d{4}(:\d{3})?)?")


@pytest.fixture(scope="module")
def population() -> Population:
    return Population.make(1)


@pytest.fixture(scope="module")
def by_pinfl(population: Population) -> dict[PersonId, Person]:
    return population.by_pinfl()


def test_there_are_as_many_people_and_firms_as_asked_for() -> None:
    for people, firms in ((0, 0), (1, 0), (37, 3), (500, 20)):
        population = Population.make(3, people, firms)
        assert (len(population.people), len(population.firms)) == (people, firms)


def test_every_pinfl_is_unique_and_says_sex_and_birth_date(population: Population) -> None:
    assert len({person.pinfl for person in population.people}) == 10_000
    for person in population.people:
        assert PersonId(person.pinfl.text).born_on == person.born_on
        assert person.pinfl.is_male == (person.sex is Sex.MALE)


def test_nothing_lies_after_the_reference_day(population: Population) -> None:
    for person in population.people:
        assert person.born_on <= population.on
        assert person.died_on is None or person.born_on <= person.died_on <= population.on
        assert person.married_on is None or person.married_on <= population.on
    assert all(date(1994, 1, 1) < firm.registered_on < population.on for firm in population.firms)


def test_ages_are_those_of_a_country(population: Population) -> None:
    living = [person for person in population.people if person.died_on is None]
    minors = sum(not person.adult_on(population.on) for person in living)
    old = sum(person.born_on.year < 1950 for person in living)
    assert 0.1 < minors / len(living) < 0.4
    assert 0.02 < old / len(living) < 0.2
    assert 0.05 < 1 - len(living) / 10_000 < 0.2
    assert any(person.born_on.year < 1900 for person in population.people)
    assert any((person.born_on.month, person.born_on.day) == (2, 29) for person in population.people)


def test_parents_are_older_and_alive_when_a_child_is_born(
    population: Population, by_pinfl: dict[PersonId, Person]
) -> None:
    children = [person for person in population.people if person.mother is not None]
    assert len(children) > 5_000
    for child in children:
        assert child.mother is not None
        assert child.father is not None
        mother, father = by_pinfl[child.mother], by_pinfl[child.father]
        assert (mother.sex, father.sex) == (Sex.FEMALE, Sex.MALE)
        assert 18 <= (child.born_on - mother.born_on).days / 365.2 < 43
        assert 18 <= (child.born_on - father.born_on).days / 365.2 < 51
        assert mother.alive_on(child.born_on)
        assert father.alive_on(child.born_on)
        assert mother.spouse == father.pinfl


def test_there_are_grandparents_and_siblings_with_different_names(
    population: Population, by_pinfl: dict[PersonId, Person]
) -> None:
    with_grandmother = [p for p in population.people if p.mother is not None and by_pinfl[p.mother].mother is not None]
    assert len(with_grandmother) > 500
    siblings = Counter(person.mother for person in population.people if person.mother is not None)
    assert max(siblings.values()) <= 5
    assert sum(count > 1 for count in siblings.values()) > 1_000


def test_marriage_joins_two_adults_who_are_no_near_kin(
    population: Population, by_pinfl: dict[PersonId, Person]
) -> None:
    married = [person for person in population.people if person.spouse is not None]
    assert 0.4 < len(married) / 10_000 < 0.9
    for person in married:
        assert person.spouse is not None
        assert person.married_on is not None
        spouse = by_pinfl[person.spouse]
        assert spouse.spouse == person.pinfl
        assert spouse.married_on == person.married_on
        assert spouse.sex is not person.sex
        assert person.adult_on(person.married_on)
        assert spouse.address == person.address
        assert person.mother is None or person.mother != spouse.mother


def test_a_cut_list_refers_to_nobody_outside() -> None:
    for count in (1, 7, 30, 101):
        population = Population.make(5, count, 0)
        known = population.by_pinfl()
        for person in population.people:
            assert all(other is None or other in known for other in (person.mother, person.father, person.spouse))


def test_more_people_leave_the_first_ones_as_they_are() -> None:
    few, many = Population.make(9, 400, 0).people, Population.make(9, 900, 0).people
    same = [one for one, other in zip(few, many, strict=False) if one == other]
    assert len(same) > 380
    assert [one.name for one in few] == [other.name for other in many[:400]]


def test_names_come_in_every_spelling_that_people_use(population: Population) -> None:
    text = " ".join(person.name for person in population.people)
    for apostrophe in APOSTROPHES:
        assert f"o{apostrophe}" in text
        assert f"g{apostrophe}" in text
    for sign in ("ovich", "ovna", "oʻgʻli", "qizi", "Каримов", "Ўктам", "ulı", "Сергеевич"):
        assert sign in text
    assert any(person.name.isupper() for person in population.people)
    assert any(not unicodedata.is_normalized("NFC", person.name) for person in population.people)
    for person in population.people:
        assert name_key(person.name)
        parts = (person.surname, person.given_name, person.patronymic)
        assert person.name == " ".join(part for part in parts if part is not None)


def test_names_hold_the_edge_cases_of_forms(population: Population) -> None:
    assert 100 < sum(person.patronymic is None for person in population.people) < 1_000
    assert sum(len(person.surname) == 1 for person in population.people) >= 5
    assert sum(len(person.given_name) >= 300 for person in population.people) >= 5
    assert all(len(person.name) < 100 for person in population.people[:1000])


def test_a_daughter_carries_her_fathers_given_name(population: Population, by_pinfl: dict[PersonId, Person]) -> None:
    seen = 0
    for child in population.people:
        if child.father is None or child.patronymic is None:
            continue
        father = by_pinfl[child.father]
        name, patronymic = name_key(father.given_name), name_key(child.patronymic)
        if patronymic.endswith(" qizi") and father.given_name.isascii() and len(name) < 100:
            assert patronymic == f"{name} qizi"
            seen += 1
    assert seen > 100


@pytest.mark.parametrize(
    ("father", "community", "sex", "habit", "patronymic"),
    [
        ("Karim", Community.UZBEK, Sex.MALE, PatronymicHabit.OVICH, "Karimovich"),
        ("Abdulla", Community.UZBEK, Sex.FEMALE, PatronymicHabit.OVICH, "Abdullayevna"),
        ("Toʻxtaboy", Community.UZBEK, Sex.MALE, PatronymicHabit.OVICH, "Toʻxtaboyevich"),
        ("Akmal", Community.UZBEK, Sex.MALE, PatronymicHabit.OGLI, "Akmal oʻgʻli"),
        ("Akmal", Community.UZBEK, Sex.FEMALE, PatronymicHabit.OGLI, "Akmal qizi"),
        ("Jumabay", Community.KARAKALPAK, Sex.MALE, PatronymicHabit.OGLI, "Jumabay ulı"),
        ("Сергей", Community.RUSSIAN, Sex.FEMALE, PatronymicHabit.OVICH, "Сергеевна"),
        ("Karim", Community.UZBEK, Sex.MALE, PatronymicHabit.NONE, None),
    ],
)
def test_patronymics(
    father: str, community: Community, sex: Sex, habit: PatronymicHabit, patronymic: str | None
) -> None:
    assert patronymic_for(father, community, sex, habit) == patronymic


def test_alphabets() -> None:
    assert uzbek_cyrillic("Gʻayrat Oʻktam Toʻxtaboyevich Eshmat") == "Ғайрат Ўктам Тўхтабоевич Эшмат"
    assert uzbek_cyrillic("Yoʻldosh Yusuf Shahnoza Charos") == "Йўлдош Юсуф Шаҳноза Чарос"
    assert russian_latin("Евгений") == "Yevgeniy"
    assert russian_latin("Наталья") == "Natalya"
    assert russian_latin("Юрьевич") == "Yurevich"


def test_addresses_lie_in_real_regions_and_are_unique(population: Population) -> None:
    places = {region.soato: region.places for region in REGIONS}
    assert len(places) == 14
    assert Counter(region.iso for region in REGIONS).most_common(1)[0][1] == 1
    homes = {person.address for person in population.people} | {firm.address for firm in population.firms}
    assert {home.region_soato for home in homes} == set(places)
    assert len({home.account_address for home in homes}) == len(homes)
    assert len({home.cadastral_number for home in homes}) == len(homes)
    for home in homes:
        assert home.district in places[home.region_soato]
        assert CADASTRAL_NUMBER.fullmatch(home.cadastral_number)
        assert home.cadastral_number.count(":") == (6 if home.flat is None else 7)
        assert 81 <= int(home.cadastral_number[:2]) <= 94


def test_the_reference_day_is_no_clock() -> None:
    assert Population.make(1, 10, 0).on == REFERENCE_DAY == date(2026, 1, 15)
    early = Population.make(1, 300, 5, on=date(2000, 1, 1))
    assert max(person.born_on for person in early.people) <= date(2000, 1, 1)
