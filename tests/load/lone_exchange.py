"""Where a demand that is alone spends its time: every step in asker, gateway and holder, beside the echo that waits.

`python -m tests.load.lone_exchange` runs the real gateway and tax service, and the echo that has the same
acknowledgements to wait for, asks each of them ten times a second in turn, and prints for each step of an exchange the
median of its time, its tenth percentile, and the median of the CPU that the process spent in it. All clocks are those
of the one machine. Under other load the times of both grow: what is compared is one beside the other.

`--against TREE` has the services of another checkout run in turn with those of this one.
"""

import argparse
import bisect
import contextlib
import itertools
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.load.running import ask, echo_sizes, sizes_of
from tests.load.stack import CHECKOUT, Stack, stack

LONGEST_NS = 90_000_000
"""An exchange that takes longer was disturbed, or is not alone any more at ten a second."""


class Step(NamedTuple):
    """A process has come to something."""

    at: int
    cpu: int
    name: str


Steps = Sequence[Step]

# Each row: what it is called, the process, and the step that ends it; each begins where the one before has ended.
WAY = (
    ("asker: begun -> Produce written", "asker", "written Produce"),
    ("-> gateway reads Fetch", "gateway", "fetched"),
    ("gateway: -> batch given", "gateway", "given"),
    ("gateway: -> Produce (before) written", "gateway", "written Produce"),
    ("gateway: -> acknowledged", "gateway", "read Produce"),
    ("gateway: -> Produce (after) written", "gateway", "written Produce"),
    ("-> holder reads Fetch", "holder", "fetched"),
    ("holder: -> batch given", "holder", "given"),
    ("holder: -> Produce (before) written", "holder", "written Produce"),
    ("holder: -> acknowledged", "holder", "read Produce"),
    ("holder: -> Produce (after) written", "holder", "written Produce"),
    ("-> asker reads Fetch", "asker", "fetched"),
    ("asker: -> given", "asker", "given"),
)


def read(path: Path) -> list[Step]:
    """The steps of a process; `fetched` is the answer to a fetch that led to records being given."""
    steps: list[Step] = []
    fetched = -1
    for line in path.read_text("ascii").splitlines():
        at, cpu, name = line.split(" ", 2)
        steps.append(Step(int(at), int(cpu), name))
        if name == "read Fetch":
            fetched = len(steps) - 1
        elif name == "given" and fetched >= 0:
            steps[fetched] = steps[fetched]._replace(name="fetched")
            fetched = -1
    return steps


def exchanges(traces: Mapping[str, Steps]) -> Iterator[list[tuple[int, int]]]:
    """Nanoseconds and CPU of each step, of each exchange that came through undisturbed."""
    starts = {who: [step.at for step in steps] for who, steps in traces.items()}
    begun = [step for step in traces["asker"] if step.name == "begun"]
    for begin, following in itertools.pairwise(begun):
        found: list[tuple[int, int]] = []
        last = begin
        who_last = "asker"
        for row, (_, who, name) in enumerate(WAY):
            steps = traces[who]
            index = bisect.bisect_right(starts[who], last.at)
            while index < len(steps) and steps[index].name != name:
                index += 1
            if row == len(WAY) - 2 and index < len(steps):  # the asker is told what was resolved before
                index = last_before(steps, name, following.at, index)
            if index >= len(steps) or steps[index].at > following.at or steps[index].at - begin.at > LONGEST_NS:
                break
            step = steps[index]
            found.append((step.at - last.at, step.cpu - last.cpu if who == who_last else 0))
            last, who_last = step, who
        else:
            found.append((last.at - begin.at, 0))
            yield found


def last_before(steps: Steps, name: str, limit: int, index: int) -> int:
    """The last step of a name before a time."""
    best = index
    while index < len(steps) and steps[index].at < limit:
        if steps[index].name == name:
            best = index
        index += 1
    return best


def table(columns: dict[str, list[list[tuple[int, int]]]]) -> str:
    """All steps: milliseconds of the median and of the tenth percentile, and of CPU."""
    head = f"{'median / tenth percentile (CPU) ms':40}" + "".join(f"{name:>26}" for name in columns)
    lines = [head]
    for number, name in enumerate([*(row[0] for row in WAY), "all"]):
        cells = ""
        for found in columns.values():
            times = sorted(one[number][0] / 1e6 for one in found)
            cpu = statistics.median(one[number][1] / 1e6 for one in found) if found else 0.0
            median, tenth = (statistics.median(times), times[len(times) // 10]) if times else (0.0, 0.0)
            cells += f"{median:10.3f} /{tenth:7.3f} ({cpu:.3f})"
        lines.append(f"{name:40}{cells}")
    lines.append("exchanges: " + ", ".join(f"{name} {len(found)}" for name, found in columns.items()))
    return "\n".join(lines)


def inside(traces: Mapping[str, Steps], exchanges_seen: int) -> str:
    """The CPU between any two steps of a process that follow each other in most exchanges."""
    lines: list[str] = []
    for who, steps in traces.items():
        found: dict[tuple[str, str], list[float]] = {}
        for one, following in itertools.pairwise(steps):
            found.setdefault((one.name, following.name), []).append((following.cpu - one.cpu) / 1e6)
        for (one_name, following_name), cpu in sorted(found.items(), key=lambda item: -statistics.median(item[1])):
            if len(cpu) * 2 > exchanges_seen:
                lines.append(f"{who:8} {one_name:24} -> {following_name:24} {statistics.median(cpu):.3f} ({len(cpu)})")
    return "\n".join(lines)


def command(tree: Path, here: Stack, file: Path, module: str, *arguments: str) -> list[str]:
    """How a module of a checkout is run and traced."""
    words = ["env", "-C", str(tree), f"PYTHONPATH={tree}", sys.executable, "-m", "tests.load.trace"]
    return [*words, str(file), module, *arguments]


@contextlib.contextmanager
def traced_services(here: Stack, tree: Path, files: dict[str, Path]) -> Iterator[None]:
    """Gateway and tax service of a checkout."""
    with (
        here.running("gateway", command(tree, here, files["gateway"], "gateway")),
        here.running("tax", command(tree, here, files["holder"], "services.tax")),
    ):
        yield


@contextlib.contextmanager
def traced_echo(here: Stack, tree: Path, files: dict[str, Path], sizes: str) -> Iterator[None]:
    """Both hops of the echo that waits."""
    from tests.load.echo_parts import TOPICS
    from tests.load.running import make_topics

    make_topics(here, TOPICS)
    options = ["--bootstrap", here.bootstrap, "--sizes", sizes, "--waits"]
    with contextlib.ExitStack() as running:
        for who, role in (("gateway", "gateway"), ("holder", "tax")):
            words = [str(files[who]), "tests.load.echo_hop", role, *options]
            running.enter_context(here.beside(f"echo-{role}", "tests.load.trace", *words))
        yield


def asked(here: Stack, tree: Path, file: Path, module: str, arguments: Sequence[str], seconds: float) -> None:
    """One asker, to its end."""
    import subprocess

    rest = ["--bootstrap", here.bootstrap, "--rate", "10", "--warm", "1", "--seconds", str(seconds), *arguments]
    done = subprocess.run(
        command(tree, here, file, module, *rest), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])


def main() -> None:
    """Run, and print the table."""
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=4)
    options.add_argument("--seconds", type=float, default=8.0)
    options.add_argument("--against", type=Path, help="another checkout")
    options.add_argument("--no-echo", action="store_true")
    options.add_argument("--inside", action="store_true", help="the CPU between any two steps of each process too")
    arguments = options.parse_args()
    trees = {"here": CHECKOUT, **({"there": arguments.against} if arguments.against else {})}
    columns: dict[str, list[list[tuple[int, int]]]] = {}
    with tempfile.TemporaryDirectory(prefix="chopar-lone-") as folder, stack(Path(folder)) as here:
        with here.running("gateway"), here.running("tax"):
            ask(here, warm=1, seconds=2, options=["--in-flight", "200"])
        sizes = echo_sizes(sizes_of(here))
        for number in range(arguments.rounds):
            for name, tree in trees.items():
                files = {who: here.home / f"{name}-{number}-{who}" for who in ("asker", "gateway", "holder")}
                with traced_services(here, tree, files):
                    words = ["--registry", here.registry]
                    asked(here, tree, files["asker"], "tests.load.asker", words, arguments.seconds)
                traces = {who: read(file) for who, file in files.items()}
                columns.setdefault(name, []).extend(exchanges(traces))
                if arguments.inside:
                    sys.stdout.write(f"{name}\n{inside(traces, int(arguments.seconds * 10))}\n")
            if not arguments.no_echo:
                files = {who: here.home / f"echo-{number}-{who}" for who in ("asker", "gateway", "holder")}
                with traced_echo(here, CHECKOUT, files, sizes):
                    words = ["--sizes", sizes]
                    asked(here, CHECKOUT, files["asker"], "tests.load.echo_asker", words, arguments.seconds)
                columns.setdefault("echo", []).extend(exchanges({who: read(file) for who, file in files.items()}))
            sys.stdout.write(table(columns) + "\n\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
