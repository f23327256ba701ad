"""`make bench`: what an exchange costs, on a broker of its own, as processes of their own, in interleaved rounds.

Prints `efficiency_shipped=` and every promise of the design with its goal, and writes all of it as JSON and as a page.
Fails only on a lost, changed or doubled answer: figures are measured and not judged, since they depend on the machine
and on what else it does. `--all` measures more, `--million` the drain behind a million demands, `--quick` less.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.load.accounting import machine
from tests.load.drain import drain
from tests.load.extras import agencies, missing_and_hit, partitions, shapes, without_each
from tests.load.figures import ANSWER_FAULTS, answers, efficiency, exchange_figures, promises, spread
from tests.load.index import with_index
from tests.load.page import page
from tests.load.rounds import Runs, messages_of_an_exchange, rounds
from tests.load.running import ask, child, echo_sizes, mean_bytes, services, sizes_of
from tests.load.stack import CHECKOUT, Stack, stack
from tests.load.stated import stated_state

OUT = CHECKOUT / "docs" / "benchmarks"
FEW, MANY = 20_000, 1_000_000
ENDING = (signal.SIGTERM, signal.SIGINT)
SECTIONS = ("no_record", "shapes", "without", "partitions", "agencies")


def say(words: str) -> None:
    """Print, at once."""
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def measure(here: Stack, options: argparse.Namespace) -> dict[str, Any]:
    """Everything on the one stack; then what needs its own."""
    with services(here):
        first = ask(here, warm=1, seconds=1, options=["--in-flight", "200"])
    sizes = sizes_of(here)
    runs: Runs = {}
    loads = [round(os.getloadavg()[0], 2)]
    found: dict[str, Any] = {}
    if not options.backlog_only:
        runs, loads = rounds(here, options, round(mean_bytes(sizes)), echo_sizes(sizes), say)
        found = figures_of(runs, mean_bytes(sizes))
    kept: list[Mapping[str, Any]] = [first, *(run for name in runs if "bare" not in name for run in runs[name])]
    found["table"] = child(here, "table_size", "--ids", str(MANY if options.million else 10 * FEW))
    for name, options_of in (("idle_mib", []), ("packages_mib", ["--packages"])):
        said = child(here, "idle", *options_of, "--bootstrap", here.bootstrap, *submitted(here))
        found[name] = said["memory_mib"]
    found["stated_mib"] = stated_state(sizes)
    if "no_record" in options.sections:
        found["no_record"] = missing_and_hit(here, options, kept)
    if "shapes" in options.sections:
        found["shapes"] = shapes(here, options, kept)
    if "without" in options.sections:
        found["without"] = without_each(here, options, kept)
    found["drain"] = {}
    for count in [] if options.quick and not options.backlog_only else [FEW, *([MANY] if options.million else [])]:
        found["drain"][str(count)] = one = drain(here, count)
        kept.append({"sent": count, "lost": one["lost"], "doubled": one["doubled"], "changed": 0})
        say(f"drained {one['answered']:,} of {count:,} waiting demands at {one['rate']} a second")
    return {"runs": runs, "load_average": loads, "sizes": sizes, "figures": found, "kept": kept}


def submitted(here: Stack) -> list[str]:
    """The topics that a gateway reads."""
    import asyncio

    from chopar.bus.kafka import KafkaBus
    from chopar.topics import DEAD_LETTER_SUFFIX, DEMAND_SUBMITTED

    async def names() -> list[str]:
        admin = KafkaBus(here.bootstrap).admin()
        await admin.start()
        try:
            return sorted(await admin.partitions())
        finally:
            await admin.stop()

    found = asyncio.run(names())
    return [name for name in found if name.startswith(DEMAND_SUBMITTED.name) and not name.endswith(DEAD_LETTER_SUFFIX)]


def figures_of(runs: Mapping[str, Sequence[Mapping[str, Any]]], message_bytes: float) -> dict[str, Any]:
    """Medians, spreads and ratios of the rounds."""
    result: dict[str, Any] = {"message_bytes": round(message_bytes, 1), "saturation": {}, "latency": {}}
    for name, kind in runs.items():
        if name.startswith("bare"):
            each = [sum(run["cpu_seconds"].values()) * 1000 / run["messages"] for run in kind]
            result[name] = {"cpu_ms_per_message": spread(each, 5)}
        elif name.startswith("latency "):
            _, who, label = name.split(" ", 2)
            result["latency"].setdefault(who, {})[label] = exchange_figures(kind)
        else:
            result["saturation"][name] = exchange_figures(kind)
    total = result["saturation"]["shipped"]["cpu_ms_per_exchange"]["total"]["median"]
    for name, key in (("bare", "efficiency_shipped"), ("bare_dressed", "efficiency_shipped_dressed")):
        result[key] = efficiency(messages_of_an_exchange(), result[name]["cpu_ms_per_message"]["median"], total)
    echo = result["saturation"].get("echo")
    if echo:
        result["efficiency_of_echo"] = efficiency(
            messages_of_an_exchange(),
            result["bare"]["cpu_ms_per_message"]["median"],
            echo["cpu_ms_per_exchange"]["total"]["median"],
        )
    return result


def told(found: Mapping[str, Any]) -> None:
    """The figures for people, then the one for machines."""
    if "saturation" in found:
        told_of_rounds(found)
    for name in ("table", "idle_mib", "packages_mib", "stated_mib", *SECTIONS):
        if name in found:
            say(f"{name}: {json.dumps(found[name])}")
    for count, one in found["drain"].items():
        say(f"drain {count}: " + json.dumps({name: value for name, value in one.items() if name != "samples"}))
    say("")
    for row in promises(found):
        verdict = {True: "reached", False: "NOT reached", None: ""}[row.reached]
        say(f"{row.name:3} {row.what:58} goal {row.goal:24} {row.measured:20} {verdict}".rstrip())
    say(f"answers: {found['answers']}")
    if "efficiency_shipped" in found:
        say(f"efficiency_shipped_dressed={found['efficiency_shipped_dressed']}")
        say(f"efficiency_shipped={found['efficiency_shipped']} (goal P1: 0.30)")


def told_of_rounds(found: Mapping[str, Any]) -> None:
    """What the rounds gave."""
    for name in ("bare", "bare_dressed"):
        cost, size = found[name]["cpu_ms_per_message"], found["message_bytes"]
        say(f"{name}: {cost['median']} ms CPU a message ({cost['least']}-{cost['most']}) of {size} bytes")
    kinds = dict(found["saturation"]) | {
        f"{w} at {at}": k for w, of in found["latency"].items() for at, k in of.items()
    }
    for name, row in kinds.items():
        rate, cost = row["exchanges_per_second"], row["cpu_ms_per_exchange"]
        parts = ", ".join(f"{process} {each['median']:.3f}" for process, each in cost.items() if process != "total")
        say(
            f"{name}: {rate['median']} exchanges/s ({rate['least']}-{rate['most']}); CPU ms an exchange "
            f"{cost['total']['median']:.3f} ({cost['total']['least']:.3f}-{cost['total']['most']:.3f}): {parts}; "
            + ", ".join(f"{p} {each['median']} ms" for p, each in row["latency_ms"].items())
        )
    memory = found["saturation"]["shipped"]["memory_mib"]
    say("memory, MiB: " + ", ".join(f"{name} {each['median']}" for name, each in memory.items()))


def arguments() -> argparse.ArgumentParser:
    """What can be asked for."""
    made = argparse.ArgumentParser(prog="python -m tests.load.bench")
    made.add_argument("--rounds", type=int, default=3)
    made.add_argument("--latency-rounds", type=int, default=2, help="of these, with latencies")
    made.add_argument("--seconds", type=float, default=5.0, help="of each window at saturation")
    made.add_argument("--latency-seconds", type=float, default=5.0, help="of each window at a fixed rate")
    made.add_argument("--messages", type=int, default=60_000, help="of each run of the ruler")
    made.add_argument("--quick", action="store_true", help="no references, no drain: for a first look")
    made.add_argument("--all", action="store_true", help="every section, longer windows")
    made.add_argument("--million", action="store_true", help="the drain behind a million demands too")
    made.add_argument("--backlog-only", action="store_true", help="no rounds: drains, starts, memory and the table")
    made.add_argument("--sections", nargs="*", choices=SECTIONS, default=[], help="which of those that --all has")
    made.add_argument("--out", type=Path, default=OUT, help="folder of the result")
    return made


def end_in_order(number: int, _: object) -> None:
    """End whatever was started; a second signal does not keep it from that."""
    for each in ENDING:
        signal.signal(each, signal.SIG_IGN)
    sys.exit(128 + number)


def main() -> int:
    """Run the bench; 1 if an answer was lost, changed or doubled."""
    options = arguments().parse_args()
    for number in ENDING:
        signal.signal(number, end_in_order)
    if options.all:
        options.sections = list(SECTIONS)
        options.latency_seconds = max(options.latency_seconds, 12.0)
    here_machine = machine()
    say(f"{here_machine}; load average {os.getloadavg()}")
    began = datetime.now(UTC)
    with (
        tempfile.TemporaryDirectory(prefix="chopar-bench-", ignore_cleanup_errors=True) as folder,
        stack(Path(folder)) as here,
    ):
        measured = measure(here, options)
    found, kept = measured.pop("figures"), measured.pop("kept")
    if "partitions" in options.sections:
        found["partitions"] = partitions(options, kept, say)
    if "agencies" in options.sections:
        found["agencies"] = agencies(options, kept, say)
    found["answers"] = answers(kept)
    result = {
        "version": version("chopar"),
        "measured_at": began.isoformat(timespec="seconds"),
        "options": {name: value for name, value in vars(options).items() if name != "out"},
        "machine": here_machine,
        "figures": found,
        **measured,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    name = f"{result['version']}-{began:%Y-%m-%d}{'-backlog' if options.backlog_only else ''}"
    (options.out / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    (options.out / f"{name}.html").write_text(page(result, promises(found)), "utf-8")
    index = options.out / "README.md"
    if index.is_file():
        results = {path.stem: json.loads(path.read_text("utf-8")) for path in options.out.glob("*.json")}
        index.write_text(with_index(index.read_text("utf-8"), results), "utf-8")
    say(f"load average at the start of each round: {measured['load_average']}, {os.cpu_count()} cores")
    told(found)
    return int(any(found["answers"][what] for what in ANSWER_FAULTS))


if __name__ == "__main__":
    sys.exit(main())
