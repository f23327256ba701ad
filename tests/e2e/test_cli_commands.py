"""The command line on a stack of its own: up, again, status, a demand, its trace, a refusal, kill -9, down."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.broker

CHECKOUT = Path(__file__).parents[2]
OFFSETS = (0, 1, 20, 1012, 1013)
DEADLINE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Done:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


class Cli:
    """Calls `chopar` on one home."""

    def __init__(self, home: Path, base: int) -> None:
        self.home = home
        self._environ = {**os.environ, "CHOPAR_HOME": str(home), "CHOPAR_PORT_BASE": str(base)}

    def __call__(self, *arguments: str) -> Done:
        command = [sys.executable, "-m", "chopar.cli", *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, env=self._environ, cwd=CHECKOUT, timeout=300, check=False
        )
        assert "Traceback" not in done.stderr
        return Done(done.returncode, done.stdout, done.stderr)


def free_base() -> int:
    """A port base of whose ports none is taken."""
    for base in range(25_000, 60_000, 100):
        try:
            for offset in OFFSETS:
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", base + offset))
        except OSError:
            continue
        return base
    raise AssertionError("no free ports")


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    call = Cli(tmp_path_factory.mktemp("home"), free_base())
    try:
        yield call
    finally:
        call("down")


@pytest.fixture(scope="module")
def first_up(cli: Cli) -> Done:
    return cli("up", "--format", "json")


@pytest.fixture(scope="module")
def pinfl(cli: Cli) -> str:
    return str(cli("population", "list", "--limit", "1", "--format", "json").data[0]["pinfl"])


def demand(cli: Cli, pinfl: str, *more: str) -> Done:
    return cli(
        "demand", "create", "--requester", "electricity-het", "--procedure", "electricity-supply-contract",
        "--person", pinfl, "--document", "tax-debt-certificate", *more, "--format", "json",
    )  # fmt: skip


def test_up_prints_both_answers_and_where_everything_listens(first_up: Done) -> None:
    assert first_up.code == 0, first_up.err
    shown = first_up.data
    assert {"bootstrap", "registry", "gateway"} <= set(shown["addresses"])
    assert shown["synthetic"] is True
    assert "synthetic" in first_up.err
    assert [example["fetch_mode"] for example in shown["demands"]] == ["inferred", "inferred"]
    person, firm = (example["answer"] for example in shown["demands"])
    assert [document["outcome"] for document in person["documents"]] == [
        "not_needed", "not_needed", "not_needed", "fetch", "gap", "gap",
    ]  # fmt: skip
    debt = person["documents"][3]["evidence"]
    assert debt["has_debt"] in (True, False)
    assert debt["debts"] is None
    assert [document["outcome"] for document in firm["documents"]] == ["fetch"]
    assert firm["documents"][0]["evidence"]["debts"] is not None


def test_up_again_leaves_everything_running(cli: Cli, first_up: Done) -> None:
    again = cli("up", "--format", "json")
    assert again.code == 0, again.err
    assert [process["pid"] for process in again.data["processes"]] == [
        process["pid"] for process in first_up.data["processes"]
    ]


def test_status_says_that_all_is_ready(cli: Cli, first_up: Done) -> None:
    status = cli("status", "--format", "json")
    assert status.code == 0, status.err
    assert status.data["ready"] is True
    assert status.data["memory_bytes"] > 0
    assert status.data["lag"].get("gateway") == 0


def test_a_demand_and_its_trace(cli: Cli, first_up: Done, pinfl: str) -> None:
    created = demand(cli, pinfl)
    assert created.code == 0, created.err
    assert created.data["status"] == "answered"
    traced = cli("demand", "trace", created.data["demand_id"], "--format", "json")
    assert traced.code == 0, traced.err
    assert sorted(hop["record"].rpartition(".")[2] for hop in traced.data["hops"]) == [
        "Demand", "DemandResolved", "EvidenceProvided", "EvidenceRequested", "ExchangeRecorded", "ExchangeRecorded",
    ]  # fmt: skip
    assert pinfl not in traced.out
    listed = cli("demand", "list", "--limit", "1", "--format", "json")
    assert listed.data[0]["demand_id"] == created.data["demand_id"]
    assert listed.data[0]["state"] == "ended"


@pytest.mark.parametrize(
    ("more", "code", "refusal"),
    [
        (("--document", "no-such-paper"), 2, "unknown_document"),
        (("--document", "tax-debt-certificate@nobody"), 2, "unknown_role"),
    ],
)
def test_wrong_use_is_printed_whole(
    cli: Cli, first_up: Done, pinfl: str, more: tuple[str, ...], code: int, refusal: str
) -> None:
    done = demand(cli, pinfl, *more)
    assert done.code == code
    assert refusal in [document["code"] for document in done.data["documents"]]


def test_a_malformed_identifier_is_refused_and_not_repeated(cli: Cli, first_up: Done, pinfl: str) -> None:
    done = demand(cli, pinfl[:13])
    assert (done.code, done.data["documents"][0]["code"]) == (2, "malformed_identifier")
    assert pinfl[:13] not in done.out + done.err


def test_a_rehearsal_of_the_day_before(cli: Cli, first_up: Done, pinfl: str) -> None:
    done = demand(cli, pinfl, "--on", "2022-06-30")
    assert (done.code, done.data["rehearsal"], done.data["demand_id"]) == (0, True, None)
    assert done.data["documents"][0]["outcome"] == "may_be_asked"


def test_a_killed_gateway_comes_back_and_answers(cli: Cli, first_up: Done, pinfl: str) -> None:
    def gateway() -> dict[str, Any]:
        processes = cli("status", "--format", "json").data["processes"]
        return next(process for process in processes if process["name"] == "gateway")

    killed = gateway()["pid"]
    os.kill(killed, signal.SIGKILL)
    deadline = time.monotonic() + DEADLINE_SECONDS
    while (now := gateway())["pid"] in (None, killed) or not now["ready"]:
        assert time.monotonic() < deadline, now
    assert now["restarts"] == 1
    assert demand(cli, pinfl).code == 0


def test_topics_and_doctor_see_the_stack(cli: Cli, first_up: Done) -> None:
    topics = cli("topic", "list", "--format", "json")
    assert topics.code == 0, topics.err
    assert "exchange.recorded" in [row["name"] for row in topics.data]
    doctor = cli("doctor", "--format", "json")
    assert doctor.code == 0, doctor.out


def test_down_ends_it_all_and_says_so(cli: Cli, first_up: Done) -> None:
    pids = [process["pid"] for process in cli("status", "--format", "json").data["processes"] if process["pid"]]
    assert cli("down").code == 0
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    status = cli("status")
    assert (status.code, status.out) == (3, "")
    assert "chopar up" in status.err
