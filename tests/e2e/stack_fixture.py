"""One stack for all end-to-end tests: `chopar up` on a home and on ports of its own, once a session.

The developer's running stack is not touched. A test that stops or kills something brings it back before it ends.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from chopar.broker.stack import Stack, read_stack
from chopar.bus.kafka import KafkaBus
from chopar.bus.port import Outgoing, Record, TopicPartition
from chopar.identifiers import uuid7

CHECKOUT = Path(__file__).parents[2]
OFFSETS = (0, 1, 20, 22, 23, 24, 1012, 1013)
DEADLINE_SECONDS = 60.0
COMMAND_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Done:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)

    @property
    def sentence(self) -> str:
        """The one line that an error is: no trace, no log, nothing on stdout."""
        assert self.out == "", self.out
        [line] = self.err.strip().splitlines()
        assert line.endswith((".", "?", "`"))
        return line


class Cli:
    """Calls `chopar` on one home, and keeps what it said."""

    def __init__(self, home: Path, base: int) -> None:
        self.home = home
        self.said: list[str] = []
        self._environ = {**os.environ, "CHOPAR_HOME": str(home), "CHOPAR_PORT_BASE": str(base)}

    def __call__(self, *arguments: str, home: Path | None = None) -> Done:
        command = [sys.executable, "-m", "chopar.cli", *arguments]
        environ = self._environ | ({"CHOPAR_HOME": str(home)} if home else {})
        done = subprocess.run(
            command, capture_output=True, text=True, env=environ, cwd=CHECKOUT, timeout=COMMAND_SECONDS, check=False
        )
        assert "Traceback" not in done.stderr, done.stderr
        self.said.append(done.stderr)
        return Done(done.returncode, done.stdout, done.stderr)

    def demand(
        self,
        subject: str,
        *more: str,
        document: str = "tax-debt-certificate",
        requester: str = "electricity-het",
        procedure: str = "electricity-supply-contract",
    ) -> Done:
        """Demand a paper about a person (or, by nine digits, a business)."""
        about = "--business" if len(subject) == 9 else "--person"
        return self(
            "demand", "create", "--requester", requester, "--procedure", procedure,
            about, subject, "--document", document, *more, "--format", "json",
        )  # fmt: skip


class RunningStack:
    """The stack of this session, as it is written down, and a bus on it."""

    def __init__(self, cli: Cli, first_up: Done) -> None:
        self.cli = cli
        self.first_up = first_up

    @property
    def written(self) -> Stack:
        stack = read_stack(self.cli.home)
        assert stack is not None, "the stack is down"
        return stack

    def address(self, what: str) -> str:
        return self.written.addresses[what]

    def bus(self) -> KafkaBus:
        return KafkaBus(self.address("bootstrap"))

    def process(self, name: str) -> dict[str, Any]:
        """A process as `chopar status` shows it."""
        processes = self.cli("status", "--format", "json").data["processes"]
        return dict(next(process for process in processes if process["name"] == name))

    def pid(self, name: str) -> int:
        process = self.written.process(name)
        assert process is not None
        assert process.pid is not None
        return process.pid

    def back_after(self, name: str, killed: int) -> None:
        """Wait until a process runs and is ready under another pid."""

        def back() -> bool:
            process = self.written.process(name)
            return process is not None and process.ready and process.pid not in (None, killed)

        wait_for(back, f"{name} is not back")

    async def records(self) -> list[Record]:
        """Everything on every topic up to its present end; Kafka's own left out."""
        admin = self.bus().admin()
        await admin.start()
        try:
            topics = await admin.partitions()
        finally:
            await admin.stop()
        places = [TopicPartition(t, n) for t, count in topics.items() if not t.startswith("__") for n in range(count)]
        reader = self.bus().reader(dict.fromkeys(places))
        await reader.start()
        try:
            ends = await reader.end_offsets(places)
            found: list[Record] = []
            while any(reader.position(place) < end for place, end in ends.items()):
                for records in (await reader.fetch(5000, 1.0)).values():
                    found += records
            return found
        finally:
            await reader.stop()

    async def send(self, *records: Outgoing) -> None:
        """Send records as they are, acknowledged."""
        producer = self.bus().producer("test")
        await producer.start()
        try:
            failed = [sent for sent in await producer.send(records) if isinstance(sent, Exception)]
            assert not failed
        finally:
            await producer.stop()


def wait_for(condition: Callable[[], object], words: str, deadline_seconds: float = DEADLINE_SECONDS) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + deadline_seconds
    while not condition():
        assert time.monotonic() < deadline, words
        time.sleep(0.05)


def new_key() -> bytes:
    """The key of a new demand."""
    return str(uuid7(datetime.now(UTC), int.from_bytes(os.urandom(10), "big"))).encode()


def free_base() -> int:
    """A port base of whose ports none is taken: above those of other tests, below those that clients are given."""
    first = 25_000 + os.getpid() % 50 * 100
    for base in chain(range(first, 31_000, 100), range(25_000, first, 100)):
        try:
            for offset in OFFSETS:
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", base + offset))
        except OSError:
            continue
        return base
    raise AssertionError("no free ports")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """The stack, running; its first `up` sent the example demands."""
    cli = Cli(tmp_path_factory.mktemp("home"), free_base())
    try:
        yield RunningStack(cli, cli("up", "--format", "json"))
    finally:
        cli("down")


@pytest.fixture(scope="session")
def cli(stack: RunningStack) -> Cli:
    """Calls `chopar` on the stack."""
    assert stack.first_up.code == 0, stack.first_up.err
    return stack.cli


@pytest.fixture(scope="session")
def people(cli: Cli) -> list[dict[str, Any]]:
    """People of the registers: `pinfl` and `name`."""
    return list(cli("population", "list", "--limit", "40", "--format", "json").data)


@pytest.fixture(scope="session")
def firms(cli: Cli) -> list[dict[str, Any]]:
    """Firms of the registers: `stir`, `name`, `objects`."""
    return list(cli("population", "list", "--businesses", "--limit", "10", "--format", "json").data)


@pytest.fixture(scope="session")
def pinfl(people: list[dict[str, Any]]) -> str:
    """Somebody in every register."""
    return str(people[0]["pinfl"])
