"""Seeds 0 to N of the seeded simulation, one process a core; the seed that fails is printed with how to run it alone.

`CHOPAR_SEEDS=10000` runs so many, `CHOPAR_SEEDS=417-418` those alone.
"""

import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import pytest

from tests.simulation.seeded import digest, failing

SEEDS = os.environ.get("CHOPAR_SEEDS", "800")
CHUNK = 25


def some(seeds: range) -> dict[int, str]:
    """Run seeds; what is wrong with those that fail."""
    found = {seed: failing(seed) for seed in seeds}
    return {seed: wrong for seed, wrong in found.items() if wrong}


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[ProcessPoolExecutor]:
    """Processes that order their sets alike, so that a seed does the same wherever it runs."""
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=multiprocessing.get_context("spawn")) as made:
        yield made


def test_whatever_a_seed_does_every_demand_is_answered_and_nothing_is_contradicted(pool: ProcessPoolExecutor) -> None:
    first, _, last = SEEDS.rpartition("-")
    seeds = range(int(first or 0), int(last))
    began = time.perf_counter()
    failed: dict[int, str] = {}
    for found in pool.map(some, [seeds[at : at + CHUNK] for at in range(0, len(seeds), CHUNK)]):
        failed |= found
    print(f"{len(seeds)} seeds, {seeds[0]} to {seeds[-1]}, in {time.perf_counter() - began:.1f} s")
    alone = "; ".join(f"CHOPAR_SEEDS={seed}-{seed + 1} pytest {__file__}: {wrong}" for seed, wrong in failed.items())
    assert not failed, alone


def test_a_seed_does_the_same_in_every_process(pool: ProcessPoolExecutor) -> None:
    for seed in (1, 2, 3):
        assert len({pool.submit(digest, seed).result() for _ in range(4)}) == 1, seed
    assert digest(1) != digest(2)
