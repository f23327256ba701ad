"""S5, S17: the registry office on the running stack, asked by the command line about the synthetic population."""

from pathlib import Path

import pytest

from chopar.population import Person, Population
from tests.e2e.stack_fixture import Cli, RunningStack

pytestmark = pytest.mark.broker

PASSPORT = {"requester": "mia-migration", "procedure": "travel-passport"}


@pytest.fixture(scope="module")
def population() -> Population:
    return Population.make(1)


@pytest.fixture(scope="module")
def child(population: Population) -> Person:
    """A minor whose parents live, and live together."""
    people = population.by_pinfl()
    parted = {wedding.wife for wedding in population.civil_history().weddings if wedding.divorced_on is not None}
    for person in population.people:
        if person.mother is not None and person.father is not None and not person.adult_on(population.on):
            parents = (people[person.mother], people[person.father])
            if person.mother not in parted and all(one.died_on is None for one in (person, *parents)):
                return person
    raise AssertionError("nobody fits")


def test_kinship_and_marital_status_come_from_the_acts(cli: Cli, child: Person) -> None:
    assert child.mother is not None
    done = cli.demand(
        child.mother.text, "--with", f"second_person={child.pinfl.text}", document="kinship-certificate", **PASSPORT
    )
    assert done.code == 0, done.err
    [document] = done.data["documents"]
    assert document["person_may_be_asked"] == "no"
    assert document["evidence"]["relation"] == ("son" if child.pinfl.is_male else "daughter")
    assert len(document["evidence"]["acts"]) == 1
    done = cli.demand(child.mother.text, document="marital-status-certificate", **PASSPORT)
    [document] = done.data["documents"]
    assert document["evidence"]["status"] == "married"
    done = cli.demand(child.pinfl.text, document="marital-status-certificate", **PASSPORT)
    [document] = done.data["documents"]
    assert (document["evidence"]["status"], document["evidence"]["act_number"]) == ("never_married", None)
    assert "synthetic" in document["evidence"]["register_coverage"]


def test_an_adopted_child_has_the_parents_who_adopted_and_the_logs_say_nothing(
    cli: Cli, stack: RunningStack, population: Population
) -> None:
    people = population.by_pinfl()
    adoption = next(
        one
        for one in population.civil_history().adoptions.values()
        if all(
            people[who].died_on is None
            for who in (one.child, people[one.child].mother, people[one.child].father)
            if who
        )
    )
    done = cli.demand(
        adoption.child.text,
        "--circumstance",
        "on-consular-register=no",
        document="family-composition-certificate",
        **PASSPORT,
    )
    assert done.code == 0, done.err
    [document] = done.data["documents"]
    parents = document["evidence"]["parents"]["members"]
    assert [one["relation"] for one in parents] == ["mother", "father"]
    acts = {number for one in parents for number in one["acts"]}
    assert len(acts) == 1
    assert not {number for number in acts if number.startswith("A-")}
    logs = "".join(path.read_text(errors="replace") for path in _logs(stack))
    assert "evidence.requested.justice-fhdyo" in logs
    for word in ("adoption", adoption.child.text, adoption.birth_mother.text, *acts):
        assert word not in logs


def _logs(stack: RunningStack) -> list[Path]:
    found = [path for path in (stack.cli.home / "logs").rglob("*") if path.is_file()]
    assert [path for path in found if path.name == "registry-office.log"]
    return found
