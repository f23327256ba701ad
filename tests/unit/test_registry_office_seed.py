"""The synthetic register: every act is one, and what follows from them is what the population says."""

from collections import Counter
from datetime import timedelta

import pytest

from chopar.identifiers import PersonId
from chopar.population import Person, Population
from services.registry_office.model.acts import Act, ActKind, Role
from services.registry_office.model.book import Book
from services.registry_office.model.family import FamilyOn, kinship
from services.registry_office.seed import FIRST_DAY, acts


@pytest.fixture(scope="module")
def population() -> Population:
    return Population.make(1, 4_000, 0)


@pytest.fixture(scope="module")
def recorded(population: Population) -> list[Act]:
    return acts(population)


@pytest.fixture(scope="module")
def book(recorded: list[Act]) -> Book:
    made = Book()
    for act in recorded:
        made.record(act)
    return made


def family(book: Book, population: Population, person: Person) -> FamilyOn:
    file = book.file_of(person.pinfl.text)
    assert file is not None
    return FamilyOn(file, population.on)


def test_there_are_acts_of_every_kind_and_each_has_its_number(recorded: list[Act]) -> None:
    kinds = Counter(act.kind for act in recorded)
    assert set(kinds) == set(ActKind) - {ActKind.NUMBER_CHANGE}
    assert kinds[ActKind.BIRTH] > 2_000
    assert len({act.number for act in recorded}) == len(recorded)
    assert all(act.recorded_on >= FIRST_DAY for act in recorded)


def test_no_number_holds_an_identifier(recorded: list[Act]) -> None:
    for act in recorded:
        for one in act.participants:
            assert one.pinfl is None or one.pinfl.text[1:] not in act.number


def test_the_same_population_gives_the_same_acts(population: Population, recorded: list[Act]) -> None:
    assert acts(population) == recorded


def test_parents_and_children_are_those_of_the_population(book: Book, population: Population) -> None:
    """Also of the adopted: nothing tells them from others."""
    children: dict[PersonId, set[str]] = {}
    for person in population.people:
        if person.mother is None or person.father is None or person.born_on < FIRST_DAY:
            continue
        for parent in (person.mother, person.father):
            children.setdefault(parent, set()).add(person.pinfl.text)
        found = family(book, population, person)
        assert [one.person for one in found.parents()] == [person.mother.text, person.father.text]
        assert not found.ambiguous
    for person in population.people:
        if book.file_of(person.pinfl.text) is not None:
            found_children = {one.person for one in family(book, population, person).children()}
            assert found_children == children.get(person.pinfl, set())


def test_an_adoption_has_no_entry(book: Book, population: Population) -> None:
    adoptions = population.civil_history().adoptions
    assert len(adoptions) > 10
    assert not [entry for entry in book.entries.values() if entry.act.kind is ActKind.ADOPTION]
    for adoption in adoptions.values():
        child = population.by_pinfl()[adoption.child]
        [birth] = family(book, population, child).acts(ActKind.BIRTH, Role.CHILD)
        assert birth.act.participants[0].name.given_name != adoption.given_name_before
        mother = book.file_of(adoption.birth_mother.text)
        assert mother is None or child.pinfl.text not in {
            key for entry in mother.entries for key in entry.persons if entry.has(mother.person, Role.MOTHER)
        }


def test_marriages_are_those_of_the_population(book: Book, population: Population) -> None:
    people = population.by_pinfl()
    divorced = {wedding.wife: wedding.divorced_on for wedding in population.civil_history().weddings}
    seen = 0
    for person in population.people:
        if person.spouse is None or person.married_on is None or person.married_on < FIRST_DAY:
            continue
        last = [one for one in family(book, population, person).marriages() if one.entry is not None][-1]
        assert last.spouse == person.spouse.text
        wife = person.pinfl if person.pinfl in divorced else person.spouse
        spouse = people[person.spouse]
        alive = person.died_on is None and spouse.died_on is None
        assert (last.ended_by is None) == (alive and divorced[wife] is None)
        seen += 1
    assert seen > 1_000


def test_kinship_spans_three_generations(book: Book, population: Population) -> None:
    people = population.by_pinfl()
    found: Counter[str] = Counter()
    for person in population.people:
        mother = None if person.mother is None else people[person.mother]
        if mother is None or mother.mother is None or mother.born_on < FIRST_DAY:
            continue
        mine, hers = book.file_of(person.pinfl.text), book.file_of(mother.mother.text)
        assert mine is not None
        assert hers is not None
        found[kinship(mine, hers, population.on).relation] += 1
    assert set(found) == {"grandmother"}
    assert found["grandmother"] > 100


def test_deaths_follow_births_and_some_old_ones_are_known_in_part(recorded: list[Act]) -> None:
    deaths = [act for act in recorded if act.died_on is not None]
    assert all(act.died_on is not None and act.died_on.earliest <= act.recorded_on for act in deaths)
    assert all(act.recorded_on - act.died_on.latest < timedelta(days=366) for act in deaths if act.died_on is not None)
