"""What the bench runs as processes: askers, services, echo, ruler, references; a run gives a dictionary of figures."""

import asyncio
import contextlib
import json
import statistics
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from chopar.bus.kafka import KafkaBus
from chopar.bus.port import TopicPartition
from chopar.topics import PARTITIONS, TopicLayout
from tests.load.asker import AGENCY
from tests.load.echo_parts import DEMAND, PROVIDED, RECORDED, REQUESTED, RESOLVED, TOPICS
from tests.load.stack import CHECKOUT, Stack

MESSAGES = {
    f"demand.submitted.{AGENCY}": 1,
    f"demand.resolved.{AGENCY}": 1,
    "evidence.requested.tax-committee": 1,
    "exchange.recorded": 2,
    f"evidence.provided.{AGENCY}": 1,
}
"""How many of each topic a one-document exchange has."""
ECHOES = dict(zip(MESSAGES, (DEMAND, RESOLVED, REQUESTED, RECORDED, PROVIDED), strict=True))
LIMIT_SECONDS = 400
REFERENCES = {
    "plain": ("tests.load.plain", "plain"),
    "faststream_usual": ("tests.load.faststream_loops", "usual"),
    "faststream_batch": ("tests.load.faststream_loops", "batch"),
}


def child(here: Stack, module: str, *arguments: str, limit: float = LIMIT_SECONDS) -> dict[str, Any]:
    """Run a process of the bench to its end and give what it printed."""
    done = subprocess.run(
        here.command(f"tests.load.{module}", *arguments),
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{module}: {done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def ask(here: Stack, *, warm: float, seconds: float, options: Sequence[str] = ()) -> dict[str, Any]:
    """One run of the asker on what is running now."""
    pids = json.dumps({name: pid for name, pid in here.pids.items() if not name.startswith("echo")})
    windows = ["--warm", str(warm), "--seconds", str(seconds), *options]
    return child(here, "asker", "--bootstrap", here.bootstrap, "--registry", here.registry, "--pids", pids, *windows)


def ask_echo(here: Stack, sizes: str, *, warm: float, seconds: float, options: Sequence[str] = ()) -> dict[str, Any]:
    """One run of the echo's asker."""
    names = {"broker": "broker", "gateway": "echo-gateway", "tax": "echo-tax"}
    pids = json.dumps({name: here.pids[process] for name, process in names.items()})
    windows = ["--warm", str(warm), "--seconds", str(seconds), *options]
    return child(here, "echo_asker", "--bootstrap", here.bootstrap, "--pids", pids, "--sizes", sizes, *windows)


@contextlib.contextmanager
def services(here: Stack, reference: str = "", *, without: Sequence[str] = ()) -> Iterator[None]:
    """The gateway and the tax service: as shipped, with features taken out, or a reference in their place."""
    commands: dict[str, list[str] | None] = {"gateway": None, "tax": None}
    if reference:
        module, style = REFERENCES[reference]
        commands = {role: here.command(module, role, "--style", style) for role in commands}
    variant = [word for feature in without for word in ("--without", feature)]
    with (
        here.running("gateway", commands["gateway"], variant=variant),
        here.running("tax", commands["tax"], variant=variant),
    ):
        yield


@contextlib.contextmanager
def echo(here: Stack, sizes: str, *, waits: bool = False) -> Iterator[None]:
    """The bare echo's two hops; or of one that waits for acknowledgements where ours do."""
    make_topics(here, TOPICS)
    options = ["--bootstrap", here.bootstrap, "--sizes", sizes, *(["--waits"] if waits else [])]
    with (
        here.beside("echo-gateway", "tests.load.echo_hop", "gateway", *options),
        here.beside("echo-tax", "tests.load.echo_hop", "tax", *options),
    ):
        yield


def bare(here: Stack, name: str, size: int, count: int, *, dressed: bool) -> dict[str, Any]:
    """One run of the ruler, on a topic of its own."""
    make_topics(here, [name])
    options = ["--bootstrap", here.bootstrap, "--topic", name, "--broker-pid", str(here.pids["broker"])]
    options += ["--size", str(size), "--count", str(count), *(["--dressed"] if dressed else [])]
    return child(here, "bare", *options)


def make_topics(here: Stack, names: Iterable[str], partitions: int = PARTITIONS) -> None:
    """Make topics that are missing."""

    async def make() -> None:
        admin = KafkaBus(here.bootstrap).admin()
        await admin.start()
        try:
            await admin.create([TopicLayout(name, partitions) for name in names])
        finally:
            await admin.stop()

    asyncio.run(make())


@contextlib.contextmanager
def counting(here: Stack, topic: str, partitions: int = PARTITIONS) -> Iterator[Callable[[], int]]:
    """Tells how many records were ever written to a topic, by one connection: to ask often costs little."""
    admin = KafkaBus(here.bootstrap).admin()
    places = [TopicPartition(topic, number) for number in range(partitions)]
    with asyncio.Runner() as runner:
        runner.run(admin.start())
        try:
            yield lambda: sum(runner.run(admin.end_offsets(places)).values())
        finally:
            runner.run(admin.stop())


def sizes_of(here: Stack) -> dict[str, dict[str, float]]:
    """Mean bytes of the records of each topic of an exchange: of values, and of key and headers."""
    places = [TopicPartition(topic, partition) for topic in MESSAGES for partition in range(PARTITIONS)]
    found: dict[str, list[tuple[int, int]]] = {topic: [] for topic in MESSAGES}

    async def read() -> None:
        reader = KafkaBus(here.bootstrap).reader(dict.fromkeys(places))
        await reader.start()
        try:
            ends = await reader.end_offsets(places)
            while any(reader.position(place) < end for place, end in ends.items()):
                for records in (await reader.fetch(5000, 0.5)).values():
                    for record in records:
                        around = sum(len(name) + len(value) for name, value in record.headers) + len(record.key or b"")
                        found[record.topic].append((len(record.value or b""), around))
        finally:
            await reader.stop()

    asyncio.run(read())
    return {
        topic: {"value": statistics.mean(v for v, _ in pairs), "key_and_headers": statistics.mean(a for _, a in pairs)}
        for topic, pairs in found.items()
    }


def mean_bytes(sizes: dict[str, dict[str, float]]) -> float:
    """Of one message of an exchange, key and headers counted in."""
    whole = sum((sizes[topic]["value"] + sizes[topic]["key_and_headers"]) * times for topic, times in MESSAGES.items())
    return whole / sum(MESSAGES.values())


def echo_sizes(sizes: dict[str, dict[str, float]]) -> str:
    """The sizes of the echo's values, so that its messages are as large as ours; its key is on them as on ours."""
    bodies = {ECHOES[topic]: round(size["value"] + size["key_and_headers"]) - 36 for topic, size in sizes.items()}
    return json.dumps(bodies)
