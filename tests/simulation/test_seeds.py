"""10,000 seeds of the seeded simulation, one process a core; a seed that fails is printed with how to run it alone.

`CHOPAR_SEED=417` runs that one alone, `CHOPAR_SEEDS=500` the first 500, `CHOPAR_SEEDS=400-500` those from 400 to 499.
"""

import gc
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor

import pytest

from tests.notes import NOTE
from tests.simulation.seeded import digest, failing

SEEDS = 10_000
CHUNK = 25
NICE = 5  # a third of the share that others have: with more they would come to no end on a machine with other work
TOLD = 20
"""How many of the seeds that fail are named: more would hide what is wrong with them."""


def wanted(environment: dict[str, str]) -> range:
    """The seeds to run: all, or those that somebody asks for."""
    if "CHOPAR_SEED" in environment:
        alone = int(environment["CHOPAR_SEED"])
        return range(alone, alone + 1)
    first, _, last = environment.get("CHOPAR_SEEDS", str(SEEDS)).rpartition("-")
    return range(int(first or 0), int(last))


def some(seeds: range) -> dict[int, str]:
    """Run seeds; what is wrong with each, which is empty if nothing is."""
    return {seed: failing(seed) for seed in seeds}


def calm() -> None:
    """Let a process that only runs seeds look for garbage once a chunk, and only among what the chunk has made.

    It steps back for all others: no seed has a real clock, and other tests wait for real processes in real time.
    """
    os.nice(NICE)
    failing(0)  # so that all is there that every seed uses
    gc.collect()
    gc.freeze()
    gc.disable()


def some_calmly(seeds: range) -> dict[int, str]:
    """Run seeds in such a process."""
    found = some(seeds)
    gc.collect()
    return found


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[ProcessPoolExecutor]:
    """Processes that order their sets alike, so that a seed does the same wherever it runs."""
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn"), initializer=calm) as made:
        yield made


def test_whatever_a_seed_does_every_demand_is_answered_and_nothing_is_contradicted(
    pool: ProcessPoolExecutor, record_property: Callable[[str, object], None]
) -> None:
    seeds = wanted(dict(os.environ))
    began = time.perf_counter()
    found: dict[int, str] = {}
    for chunk in pool.map(some_calmly, [seeds[at : at + CHUNK] for at in range(0, len(seeds), CHUNK)]):
        found |= chunk
    took, failed = time.perf_counter() - began, [seed for seed, wrong in found.items() if wrong]
    span = f"{min(found)} to {max(found)}" if found else "none"
    record_property(NOTE, f"{len(found)} simulation seeds ran, {span}: {len(failed)} failed, in {took:.1f} s")
    assert found.keys() == set(seeds), "not every seed ran"
    told = "; ".join(f"CHOPAR_SEED={seed} pytest {__file__}: {found[seed]}" for seed in failed[:TOLD])
    assert not failed, f"{len(failed)} of {len(found)} seeds fail. {told}"


def test_the_seeds_that_are_asked_for_are_run() -> None:
    assert wanted({}) == range(10_000)
    assert wanted({"CHOPAR_SEED": "417"}) == range(417, 418)
    assert wanted({"CHOPAR_SEEDS": "500"}) == range(500)
    assert wanted({"CHOPAR_SEEDS": "400-500"}) == range(400, 500)


def test_a_seed_that_goes_wrong_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.simulation.seeded.LONGEST_SECONDS", 0.5)  # nothing is done by then
    assert [seed for seed, wrong in some(range(3, 5)).items() if wrong] == [3, 4]


def test_a_seed_does_the_same_in_every_process(pool: ProcessPoolExecutor) -> None:
    for seed in (1, 2, 3):
        assert len({pool.submit(digest, seed).result() for _ in range(4)}) == 1, seed
    assert digest(1) != digest(2)
