"""What `--all` measures besides: each on the same stack where that is fair, on a stack of its own where it is not."""

import argparse
import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.load.asker import MISSING
from tests.load.figures import per_exchange_ms, ratio, spread
from tests.load.running import ask, make_topics, services
from tests.load.stack import Stack, stack
from tests.load.variant import FEATURES, silent_agencies

PARTITIONS = (1, 6, 24)
AGENCIES = (5, 50, 500)
SHAPES = (1, 200, 1_000_000)
Say = Callable[[str], None]
Run = Mapping[str, Any]


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """A few figures of some runs."""
    costs = [per_exchange_ms(run) for run in runs]
    return {
        "exchanges_per_second": spread([run["exchanges"] / run["seconds"] for run in runs], 1),
        "cpu_ms_per_exchange": {name: spread([cost[name] for cost in costs]) for name in costs[0]},
        "latency_ms": runs[-1]["latency_ms"],
        "memory_mib": runs[-1]["memory_mib"],
    }


def missing_and_hit(here: Stack, options: argparse.Namespace, kept: list[Run]) -> dict[str, Any]:
    """People of whom the register knows nothing against those whom it knows: what an observer could tell apart."""
    runs: dict[str, list[dict[str, Any]]] = {"hit": [], MISSING: []}
    with services(here):
        for _ in range(max(2, options.rounds)):
            for who, found in runs.items():
                found.append(ask(here, warm=1, seconds=options.seconds, options=["--who", who]))
    slow: dict[str, list[dict[str, Any]]] = {who: [] for who in runs}
    with services(here):
        for _ in range(2):
            for who, times in slow.items():
                run = ask(here, warm=1, seconds=options.seconds, options=["--who", who, "--rate", "100"])
                times.append(run)
    kept += [run for found in (*runs.values(), *slow.values()) for run in found]
    result: dict[str, Any] = {who: summary(found) for who, found in runs.items()}
    for process in ("gateway", "tax", "total"):
        missed, hit = (result[who]["cpu_ms_per_exchange"][process]["median"] for who in (MISSING, "hit"))
        result[f"cpu_ratio_{process}"] = ratio(missed, hit, 3)
    medians = {who: spread([run["latency_ms"]["p50"] for run in found])["median"] for who, found in slow.items()}
    result["latency_ratio_at_100_a_second"] = ratio(medians[MISSING], medians["hit"], 3)
    return result


def shapes(here: Stack, options: argparse.Namespace, kept: list[Run]) -> dict[str, Any]:
    """Demands that are alike, of some hundred kinds, each of its own kind: what the gateway's memory is worth."""
    runs: dict[int, list[dict[str, Any]]] = {count: [] for count in SHAPES}
    with services(here):
        for _ in range(options.rounds):
            for count, found in runs.items():
                found.append(ask(here, warm=2, seconds=options.seconds, options=["--shapes", str(count)]))
    kept += [run for found in runs.values() for run in found]
    return {str(count): summary(found) for count, found in runs.items()}


def without_each(here: Stack, options: argparse.Namespace, kept: list[Run]) -> dict[str, Any]:
    """Each safety feature taken out in turn: what it costs, so that nobody wonders."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in ("nothing", *FEATURES)}
    for _ in range(options.rounds):
        for name, found in runs.items():
            without = [] if name == "nothing" else [name]
            asked = ["--no-records"] if name == "access_record" else []
            with services(here, without=without):
                found.append(ask(here, warm=2, seconds=options.seconds, options=asked))
    kept += [run for found in runs.values() for run in found]
    result: dict[str, Any] = {name: summary(found) for name, found in runs.items()}
    whole = result["nothing"]["cpu_ms_per_exchange"]["total"]["median"]
    for name in FEATURES:
        less = result[name]["cpu_ms_per_exchange"]["total"]["median"]
        result[name]["costs_ms_per_exchange"] = round(whole - less, 4)
        result[name]["costs_share"] = round((whole - less) / whole, 3)
    return result


def partitions(options: argparse.Namespace, kept: list[Run], say: Say) -> dict[str, Any]:
    """Other partition counts everywhere, each on a broker of its own."""
    result: dict[str, Any] = {}
    for count in PARTITIONS:
        # Of the two agencies that it takes: for all of them a small broker would hold thousands of partitions.
        with own_stack("--partitions", str(count), "--agencies", "2") as made, services(made):
            runs = [ask(made, warm=3, seconds=options.seconds) for _ in range(max(1, options.rounds - 1))]
            result[str(count)] = summary(runs)
            half = runs[0]["exchanges"] / runs[0]["seconds"] / 2
            slow = ask(made, warm=1, seconds=options.latency_seconds, options=["--rate", f"{half:.1f}"])
            result[str(count)]["latency_ms_at_half"] = slow["latency_ms"]
        kept += [*runs, slow]
        say(f"{count} partitions: {result[str(count)]['exchanges_per_second']['median']} exchanges/s")
    return result


def agencies(options: argparse.Namespace, kept: list[Run], say: Say) -> dict[str, Any]:
    """A gateway that is subscribed to so many agencies, of which one asks."""
    result: dict[str, Any] = {}
    with own_stack() as made:
        for count in AGENCIES:
            silent = [f"demand.submitted.{agency}" for agency in silent_agencies(count)]
            for first in range(0, len(silent), 100):
                make_topics(made, silent[first : first + 100])
            with made.running("gateway", variant=["--agencies", str(count)]), made.running("tax"):
                runs = [ask(made, warm=3, seconds=options.seconds) for _ in range(max(1, options.rounds - 1))]
                result[str(count)] = summary(runs)
                slow = ask(made, warm=1, seconds=options.latency_seconds, options=["--rate", "100"])
                result[str(count)]["latency_ms_at_100_a_second"] = slow["latency_ms"]
            kept += [*runs, slow]
            say(f"{count} agencies: {result[str(count)]['exchanges_per_second']['median']} exchanges/s")
    return result


@contextlib.contextmanager
def own_stack(*variant: str) -> Iterator[Stack]:
    """A stack for one question."""
    folder = tempfile.TemporaryDirectory(prefix="chopar-bench-", ignore_cleanup_errors=True)
    with folder as home, stack(Path(home), variant) as made:
        yield made
