"""What has become of marriages, names and parentage in the population: consistent, and settled by the seed."""

from datetime import date, timedelta

import pytest

from chopar.identifiers import PersonId
from chopar.population import CivilHistory, Person, Population, Sex


@pytest.fixture(scope="module")
def population() -> Population:
    return Population.make(1)


@pytest.fixture(scope="module")
def history(population: Population) -> CivilHistory:
    return population.civil_history()


@pytest.fixture(scope="module")
def people(population: Population) -> dict[PersonId, Person]:
    return population.by_pinfl()


def test_there_is_some_of_everything(history: CivilHistory) -> None:
    divorced = [one for one in history.weddings if one.divorced_on is not None]
    assert 0.08 < len(divorced) / len(history.weddings) < 0.25
    assert len(history.name_changes) > 50
    assert len(history.paternities) > 50
    assert len(history.adoptions) > 30


def test_families_reach_over_four_generations(population: Population, people: dict[PersonId, Person]) -> None:
    def depth(person: Person) -> int:
        return 0 if person.mother is None else 1 + depth(people[person.mother])

    assert max(map(depth, population.people)) >= 3


def test_everybody_with_a_spouse_has_that_wedding_and_it_is_the_last(
    population: Population, history: CivilHistory
) -> None:
    last: dict[PersonId, tuple[PersonId, date]] = {}
    for one in history.weddings:
        last[one.wife], last[one.husband] = (one.husband, one.married_on), (one.wife, one.married_on)
    for person in population.people:
        if person.spouse is not None:
            assert last[person.pinfl] == (person.spouse, person.married_on)
        else:
            assert person.pinfl not in last


def test_nobody_is_married_twice_at_a_time_or_divorces_the_dead(
    population: Population, history: CivilHistory, people: dict[PersonId, Person]
) -> None:
    free_since: dict[PersonId, date] = {}
    for one in history.weddings:
        for spouse in (one.husband, one.wife):
            assert free_since.get(spouse, date.min) < one.married_on
            assert people[spouse].adult_on(one.married_on)
            free_since[spouse] = one.divorced_on or date.max
        assert people[one.husband].sex is Sex.MALE
        assert people[one.wife].sex is Sex.FEMALE
        if one.divorced_on is not None:
            assert one.married_on < one.divorced_on <= population.on
            assert people[one.husband].alive_on(one.divorced_on)
            assert people[one.wife].alive_on(one.divorced_on)


def test_a_child_born_after_the_divorce_has_a_father_by_paternity_and_no_other_child_has(
    population: Population, history: CivilHistory, people: dict[PersonId, Person]
) -> None:
    divorces = {(one.husband, one.wife): one.divorced_on for one in history.weddings}
    for child in population.people:
        if child.mother is None or child.father is None:
            continue
        divorced_on = divorces[child.father, child.mother]
        after = divorced_on is not None and child.born_on > divorced_on
        paternity = history.paternities.get(child.pinfl)
        assert (paternity is not None) == after
        if paternity is not None and divorced_on is not None:
            assert paternity.father == child.father
            assert child.born_on - divorced_on >= timedelta(days=300)
            assert child.born_on <= paternity.on <= population.on
            assert people[child.father].alive_on(paternity.on)


def test_adopters_are_married_and_alive_and_the_birth_mother_is_another(
    population: Population, history: CivilHistory, people: dict[PersonId, Person]
) -> None:
    weddings = {(one.husband, one.wife): one for one in history.weddings}
    for adoption in history.adoptions.values():
        child, mother = people[adoption.child], people[adoption.birth_mother]
        assert child.mother is not None
        assert child.father is not None
        wedding = weddings[child.father, child.mother]
        assert wedding.married_on < adoption.on <= (wedding.divorced_on or population.on)
        assert child.born_on < adoption.on
        for person in (child, people[child.mother], people[child.father]):
            assert person.alive_on(adoption.on)
        assert mother.sex is Sex.FEMALE
        assert mother.pinfl not in (child.mother, child.pinfl)
        assert mother.alive_on(child.born_on)
        assert 17 <= (child.born_on - mother.born_on).days / 365.2 < 41
        if adoption.birth_father is not None:
            assert people[adoption.birth_father].alive_on(child.born_on)
        assert child.pinfl not in history.paternities


def test_an_adoption_is_not_shown_by_the_history() -> None:
    assert "adoptions" not in repr(Population.make(1, 300, 0).civil_history())


def test_names_are_those_of_the_day(history: CivilHistory, people: dict[PersonId, Person]) -> None:
    fathers = {person.father for person in people.values()}
    for change in history.name_changes.values():
        person = people[change.person]
        assert change.person not in fathers
        assert person.of_age_on <= change.on
        assert history.name_on(person, change.on)[1] == change.given_name_before != person.given_name
        assert history.name_on(person, change.on + timedelta(days=1))[1] == person.given_name
    took_the_name = 0
    for person in people.values():
        if person.married_on is not None:
            before, after = (history.name_on(person, person.married_on + timedelta(days=days)) for days in (0, 1))
            took_the_name += before[0] != after[0]
            assert after[0] == person.surname
            assert person.sex is Sex.FEMALE or before[0] == after[0]
    assert took_the_name > 500


def test_the_seed_settles_it_and_more_people_change_little() -> None:
    one, again, more = (Population.make(7, count, 0).civil_history() for count in (600, 600, 900))
    assert one.weddings == again.weddings
    assert one.adoptions == again.adoptions
    assert one.name_changes.items() <= more.name_changes.items()
    assert sum(wedding in set(more.weddings) for wedding in one.weddings) > 0.9 * len(one.weddings)
    assert Population.make(8, 600, 0).civil_history().weddings != one.weddings


def test_a_population_of_nobody_has_no_history() -> None:
    assert Population.make(1, 0, 0).civil_history().weddings == ()
