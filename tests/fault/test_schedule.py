"""A full schedule has all that R1 asks for, fits its time, and is the same for the same seed."""

import pytest

from tests.fault.harness import FAULTS_DUE
from tests.fault.schedule import FULL_MINUTES, Kind, counts, schedule


@pytest.mark.parametrize("seed", range(20))
def test_eight_minutes_have_every_fault_as_often_as_it_is_due(seed: int) -> None:
    steps = schedule(seed)
    found = counts(steps)
    assert {name: found[name] >= due for name, due in FAULTS_DUE.items()} == dict.fromkeys(FAULTS_DUE, True)
    assert {step.kind for step in steps} == set(Kind)
    assert sum(step.seconds for step in steps) <= FULL_MINUTES * 60
    kinds = [step.kind for step in steps]
    assert kinds.index(Kind.ADD_INSTANCES) < kinds.index(Kind.REMOVE_INSTANCES)


def test_workers_of_each_kind_are_killed_and_one_comes_back_on_an_empty_disk() -> None:
    killed = [step for step in schedule(1) if step.kind is Kind.KILL_WORKER]
    assert {step.target for step in killed} == {"gateway", "tax", "requester", "schema-registry"}
    assert sum(step.forgets for step in killed) == 1


def test_the_seed_decides() -> None:
    assert schedule(5) == schedule(5)
    assert schedule(5) != schedule(6)


def test_a_short_run_has_some_of_each_and_kills_the_naive_loop_with_the_requester() -> None:
    steps = schedule(1, minutes=1)
    assert any(step.kind is Kind.KILL_WORKER and step.target == "requester" for step in steps)
    assert {step.kind for step in steps} == set(Kind)
    assert len(steps) < len(schedule(1)) / 2
