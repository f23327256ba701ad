"""`make bench`: what an exchange costs, on a broker of its own, as processes of their own, in interleaved rounds.

Prints `efficiency_shipped=` and a table, and writes all of it as JSON. Fails only on a lost, changed or doubled answer:
figures are measured and not judged, since they depend on the machine and on what else it does.
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chopar.bus.kafka import KafkaBus
from chopar.bus.port import TopicPartition
from chopar.topics import PARTITIONS, TopicLayout
from tests.load.accounting import machine
from tests.load.asker import AGENCY
from tests.load.stack import CHECKOUT, Stack, stack

MESSAGES = {
    f"demand.submitted.{AGENCY}": 1,
    f"demand.resolved.{AGENCY}": 1,
    "evidence.requested.tax-committee": 1,
    "exchange.recorded": 2,
    f"evidence.provided.{AGENCY}": 1,
}
"""How many of each topic a one-document exchange has."""

LIMIT_SECONDS = 300
FAULTS = ("lost", "changed", "doubled")


def child(module: str, *arguments: str) -> dict[str, Any]:
    """Run a process of the bench to its end and give what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", f"tests.load.{module}", *arguments],
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{module}: {done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def ask(here: Stack, *arguments: str) -> dict[str, Any]:
    """One run of the asker on what is running now."""
    pids = json.dumps(here.pids)
    return child("asker", "--bootstrap", here.bootstrap, "--registry", here.registry, "--pids", pids, *arguments)


@contextlib.contextmanager
def services(here: Stack, *, plain: bool = False) -> Iterator[None]:
    """The gateway and the tax service, as shipped or as a plain loop."""
    command = [sys.executable, "-m", "tests.load.plain"]
    with (
        here.running("gateway", [*command, "gateway"] if plain else None),
        here.running("tax", [*command, "tax"] if plain else None),
    ):
        yield


async def sizes(bootstrap: str) -> dict[str, dict[str, float]]:
    """Mean bytes of the records of each topic of an exchange: of values, and of key and headers."""
    places = [TopicPartition(topic, partition) for topic in MESSAGES for partition in range(PARTITIONS)]
    reader = KafkaBus(bootstrap).reader(dict.fromkeys(places))
    await reader.start()
    found: dict[str, list[tuple[int, int]]] = {topic: [] for topic in MESSAGES}
    try:
        ends = await reader.end_offsets(places)
        while any(reader.position(place) < end for place, end in ends.items()):
            for records in (await reader.fetch(5000, 0.5)).values():
                for record in records:
                    around = sum(len(name) + len(value) for name, value in record.headers) + len(record.key or b"")
                    found[record.topic].append((len(record.value or b""), around))
    finally:
        await reader.stop()
    return {
        topic: {"value": statistics.mean(v for v, _ in pairs), "key_and_headers": statistics.mean(a for _, a in pairs)}
        for topic, pairs in found.items()
    }


async def make_topic(bootstrap: str, name: str) -> None:
    """A topic with six partitions."""
    admin = KafkaBus(bootstrap).admin()
    await admin.start()
    try:
        await admin.create([TopicLayout(name, PARTITIONS)])
    finally:
        await admin.stop()


def bare(here: Stack, name: str, size: int, count: int, *, dressed: bool) -> dict[str, Any]:
    """One run of the ruler, on a topic of its own."""
    asyncio.run(make_topic(here.bootstrap, name))
    options = ["--bootstrap", here.bootstrap, "--topic", name, "--broker-pid", str(here.pids["broker"])]
    options += ["--size", str(size), "--count", str(count), *(["--dressed"] if dressed else [])]
    return child("bare", *options)


def spread(values: Sequence[float], digits: int = 4) -> dict[str, float]:
    """Median, smallest and largest."""
    return {
        "median": round(statistics.median(values), digits),
        "least": round(min(values), digits),
        "most": round(max(values), digits),
    }


def per_exchange_ms(run: Mapping[str, Any]) -> dict[str, float]:
    """CPU of each process for one exchange, and of all."""
    cost = {name: seconds * 1000 / run["exchanges"] for name, seconds in run["cpu_seconds"].items()}
    return {**cost, "total": sum(cost.values())}


def exchange_figures(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Figures of some runs of the same kind."""
    costs = [per_exchange_ms(run) for run in runs]
    return {
        "exchanges_per_second": spread([run["exchanges"] / run["seconds"] for run in runs], 1),
        "cpu_ms_per_exchange": {name: spread([cost[name] for cost in costs]) for name in costs[0]},
        "latency_ms": {p: spread([run["latency_ms"][p] for run in runs], 1) for p in runs[0]["latency_ms"]},
    }


def measure(here: Stack, options: argparse.Namespace) -> dict[str, Any]:
    """All rounds."""
    with services(here):
        first = [ask(here, "--warm", "1", "--seconds", "1", "--in-flight", "200")]
    mean = asyncio.run(sizes(here.bootstrap))
    message_bytes = sum(
        (mean[topic]["value"] + mean[topic]["key_and_headers"]) * times for topic, times in MESSAGES.items()
    ) / sum(MESSAGES.values())
    runs: dict[str, list[dict[str, Any]]] = {}
    loads = []
    for number in range(options.rounds):
        loads.append(round(os.getloadavg()[0], 2))
        for dressed, name in ((False, "bare"), (True, "bare_dressed")):
            found = bare(here, f"load.{name}.{number}", round(message_bytes), options.messages, dressed=dressed)
            runs.setdefault(name, []).append(found)
        with services(here):
            runs.setdefault("shipped", []).append(ask(here, "--warm", "3", "--seconds", str(options.seconds)))
            for rate in options.rates:
                run = ask(here, "--warm", "2", "--seconds", str(options.seconds), "--rate", str(rate))
                runs.setdefault(f"open_loop_{rate}", []).append(run)
        if options.plain:
            with services(here, plain=True):
                run = ask(here, "--warm", "3", "--seconds", str(options.seconds), "--in-flight", "64")
                runs.setdefault("plain", []).append(run)
        say(f"round {number + 1} of {options.rounds}: load {loads[-1]}")
    return {"first": first, "runs": runs, "sizes": mean, "message_bytes": message_bytes, "load_average": loads}


def figures(measured: Mapping[str, Any]) -> dict[str, Any]:
    """Medians, spreads and ratios of what was measured."""
    runs = measured["runs"]
    result: dict[str, Any] = {"message_bytes": round(measured["message_bytes"], 1)}
    for name in ("bare", "bare_dressed"):
        each = [sum(run["cpu_seconds"].values()) * 1000 / run["messages"] for run in runs[name]]
        result[name] = {"cpu_ms_per_message": spread(each, 5)}
    exchanges = [name for name in runs if not name.startswith("bare")]
    result |= {name: exchange_figures(runs[name]) for name in exchanges}
    total = result["shipped"]["cpu_ms_per_exchange"]["total"]["median"]
    messages = sum(MESSAGES.values())
    for name, key in (("bare", "efficiency_shipped"), ("bare_dressed", "efficiency_shipped_dressed")):
        result[key] = round(messages * result[name]["cpu_ms_per_message"]["median"] / total, 4)
    if "plain" in runs:
        shipped, plain = (result[name]["exchanges_per_second"]["median"] for name in ("shipped", "plain"))
        result["times_plain"] = round(shipped / plain, 1)
    everything = [run for name in exchanges for run in runs[name]] + measured["first"]
    result["answers"] = {what: sum(run[what] for run in everything) for what in ("sent", *FAULTS)}
    result["memory_mib"] = runs["shipped"][-1]["memory_mib"]
    return result


def say(words: str) -> None:
    """Print, at once."""
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def table(found: Mapping[str, Any]) -> None:
    """The figures for people, then the one for machines."""
    for name in ("bare", "bare_dressed"):
        cost = found[name]["cpu_ms_per_message"]
        size = f"{found['message_bytes']} bytes"
        say(f"{name}: {cost['median']} ms CPU a message ({cost['least']}-{cost['most']}) of {size}")
    for name, row in found.items():
        if not isinstance(row, dict) or "cpu_ms_per_exchange" not in row:
            continue
        rate, cost = row["exchanges_per_second"], row["cpu_ms_per_exchange"]
        parts = ", ".join(f"{process} {each['median']:.3f}" for process, each in cost.items() if process != "total")
        say(
            f"{name}: {rate['median']} exchanges/s ({rate['least']}-{rate['most']}); CPU ms an exchange "
            f"{cost['total']['median']:.3f} ({cost['total']['least']:.3f}-{cost['total']['most']:.3f}): {parts}; "
            + ", ".join(f"{p} {each['median']} ms" for p, each in row["latency_ms"].items())
        )
    if "times_plain" in found:
        say(f"times_plain={found['times_plain']} (goal P2: 10)")
    say(f"answers: {found['answers']}")
    say(f"efficiency_shipped_dressed={found['efficiency_shipped_dressed']}")
    say(f"efficiency_shipped={found['efficiency_shipped']} (goal P1: 0.30)")


def main() -> int:
    """Run the bench; 1 if an answer was lost, changed or doubled."""
    arguments = argparse.ArgumentParser(prog="python -m tests.load.bench")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--seconds", type=float, default=6.0, help="of each window")
    arguments.add_argument("--messages", type=int, default=60_000, help="of each run of the ruler")
    arguments.add_argument("--rates", type=int, nargs="*", default=[10, 100], help="open loop, exchanges a second")
    arguments.add_argument("--plain", action=argparse.BooleanOptionalAction, default=True, help="the plain loop too")
    arguments.add_argument("--out", type=Path, default=CHECKOUT / "docs" / "benchmarks", help="folder of the result")
    options = arguments.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="chopar-bench-", ignore_cleanup_errors=True) as folder,
        stack(Path(folder)) as here,
    ):
        measured = measure(here, options)
    found = figures(measured)
    began = datetime.now(UTC)
    told = {name: value for name, value in vars(options).items() if name != "out"}
    result = {
        "measured_at": began.isoformat(timespec="seconds"),
        "options": told,
        "machine": machine(),
        "load_average": measured["load_average"],
        "figures": found,
        "sizes": measured["sizes"],
        "runs": measured["runs"],
    }
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"{began:%Y-%m-%d}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    say(f"load average at the start of each round: {measured['load_average']}, {os.cpu_count()} cores")
    table(found)
    return int(any(found["answers"][what] for what in FAULTS))


if __name__ == "__main__":
    sys.exit(main())
