"""The interleaved rounds: ruler, ours at saturation, references, and latency at fixed rates beside the bare echo."""

import argparse
import os
from collections.abc import Callable, Mapping
from typing import Any

from tests.load.running import MESSAGES, REFERENCES, ask, ask_echo, bare, echo, services
from tests.load.stack import Stack

Runs = dict[str, list[dict[str, Any]]]
SHARES = (10, 50, 80)
RATES = (10, 100)
ONE_BY_ONE = 64
"""Open at once where messages are handled one by one: more only wait."""


def rounds(
    here: Stack, options: argparse.Namespace, message_bytes: int, sizes: str, say: Callable[[str], None]
) -> tuple[Runs, list[float]]:
    """All rounds; gives the runs by kind, and the load average at the start of each round."""
    runs: Runs = {}
    loads: list[float] = []

    def keep(name: str, run: dict[str, Any]) -> dict[str, Any]:
        runs.setdefault(name, []).append(run)
        return run

    for number in range(options.rounds):
        loads.append(round(os.getloadavg()[0], 2))
        for dressed, name in ((False, "bare"), (True, "bare_dressed")):
            topic = f"load.{name}.{number}"
            keep(name, bare(here, topic, message_bytes, options.messages, dressed=dressed))
        with services(here), echo(here, sizes):
            keep("shipped", ask(here, warm=3, seconds=options.seconds))
            keep("echo", ask_echo(here, sizes, warm=1, seconds=options.seconds))
            if number < options.latency_rounds:
                latencies(here, options, sizes, runs)
        if number < options.latency_rounds:
            with echo(here, sizes, waits=True):
                waiting(here, options, sizes, runs)
        for reference in [] if options.quick else REFERENCES:
            in_flight = [] if reference == "faststream_batch" else ["--in-flight", str(ONE_BY_ONE)]
            with services(here, reference):
                keep(reference, ask(here, warm=3, seconds=options.seconds, options=in_flight))
        say(f"round {number + 1} of {options.rounds} done; load average at its start {loads[-1]}")
    return runs, loads


def latencies(here: Stack, options: argparse.Namespace, sizes: str, runs: Runs) -> None:
    """Ours and the echo's in turn, at the same rates; the echo also at half of what it can do itself."""
    window = {"warm": 1.0, "seconds": options.latency_seconds}
    for label, fixed in _rates(runs).items():
        runs.setdefault(f"latency shipped {label}", []).append(ask(here, **window, options=fixed))
        runs.setdefault(f"latency echo {label}", []).append(ask_echo(here, sizes, **window, options=fixed))
    half = ["--rate", f"{_rate(runs['echo'][0]) / 2:.2f}"]
    runs.setdefault("latency echo half of its own", []).append(ask_echo(here, sizes, **window, options=half))


def waiting(here: Stack, options: argparse.Namespace, sizes: str, runs: Runs) -> None:
    """The echo that waits, at the same rates: what of ours is waiting for acknowledgements."""
    for label, fixed in _rates(runs).items():
        run = ask_echo(here, sizes, warm=1.0, seconds=options.latency_seconds, options=fixed)
        runs.setdefault(f"latency echo_that_waits {label}", []).append(run)


def _rates(runs: Runs) -> dict[str, list[str]]:
    """The rates of the latencies: fixed ones, and shares of what ours did at saturation."""
    saturation = _rate(runs["shipped"][0])
    rates = {f"{rate}/s": float(rate) for rate in RATES} | {f"{share} %": saturation * share / 100 for share in SHARES}
    return {label: ["--rate", f"{rate:.2f}"] for label, rate in rates.items()}


def _rate(run: Mapping[str, Any]) -> float:
    return float(run["exchanges"] / run["seconds"])


def messages_of_an_exchange() -> int:
    """How many there are."""
    return sum(MESSAGES.values())
