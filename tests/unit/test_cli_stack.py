"""`up`, `status` and `doctor` where no stack has to run: the examples, progress, what has ended, the machine."""

import io
import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from chopar.broker.jars import locked_jars
from chopar.broker.plan import ExampleDemand, load_plan
from chopar.broker.processes import identity_of
from chopar.broker.stack import ProcessStatus, Stack, write_stack
from chopar.bus.memory import MemoryBus
from chopar.bus.port import Outgoing
from chopar.cli import doctor_machine, doctor_stack
from chopar.cli.demand_answer import Answer, DocumentAnswer
from chopar.cli.main import main
from chopar.cli.output import Format, Output
from chopar.cli.session import Session, require_address, take_shared
from chopar.cli.status import row
from chopar.cli.up import asked_by, plan_path, progress_words, silence
from chopar.errors import ConfigurationError
from chopar.identifiers import BusinessId, PersonId
from chopar.messages.demand import Outcome
from chopar.population import DEFAULT_SEED, Population
from chopar.secret_files import ensure_secret
from chopar.topics import LAW_ACTIVATED


def call(*arguments: str, home: Path) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    code = main(arguments, environ={"CHOPAR_HOME": str(home)}, out=out, err=err)
    return code, out.getvalue(), err.getvalue()


def process(name: str, pid: int | None = None, **more: object) -> ProcessStatus:
    identity = identity_of(pid) if pid else None
    status = ProcessStatus(name=name, kind="process", log=f"/logs/{name}.log", command_digest="d", stop_seconds=8.0)
    status.pid, status.started = (identity.pid, identity.started) if identity else (None, None)
    for key, value in more.items():
        setattr(status, key, value)
    return status


@contextmanager
def stack_of(home: Path, *processes: ProcessStatus, supervised: bool = True) -> Iterator[Stack]:
    me = identity_of(os.getpid())
    assert me is not None
    stack = Stack(
        supervisor_pid=me.pid,
        supervisor_started=me.started if supervised else "another",
        started_at="2026-01-15T10:00:00Z",
        plan="plan",
        digest="d",
        port_base=18080,
        addresses={"bootstrap": "127.0.0.1:1", "registry": "http://127.0.0.1:1", "gateway": "127.0.0.1:1"},
        processes=list(processes),
    )
    write_stack(home, stack)
    yield stack


def test_the_examples_are_about_the_first_of_the_population() -> None:
    plan = load_plan(plan_path(None))
    asked = asked_by(plan.demands)
    population = Population.make(DEFAULT_SEED)
    kinds = {demand.subject.kind: demand.subject.id for demand in asked}
    assert kinds["person"] == population.people_for_examples()[0].pinfl.text
    assert kinds["business"] == population.firms_for_examples()[0].stir.text
    assert PersonId(kinds["person"])
    assert BusinessId(kinds["business"])


def test_what_belongs_to_the_business_of_an_example_is_drawn_from_the_population() -> None:
    plan = load_plan(plan_path(None))
    firm = Population.make(DEFAULT_SEED).firms_for_examples()[0]
    [sale] = [demand for demand in asked_by(plan.demands) if demand.subject.kind == "business"]
    assert [(party.role, party.id) for party in sale.parties] == [("owner", firm.founders[0].text)]
    assert {document.parameters["account_address"] for document in sale.documents} == {firm.objects[0].account_address}
    assert [document.about for document in sale.documents if document.about] == ["owner"]


def test_an_example_may_name_its_subject_itself() -> None:
    example = ExampleDemand(requester="a", procedure="p", documents=("d",), business="301234567")
    assert asked_by((example,))[0].subject.id == "301234567"


def test_a_silent_holder_is_named_and_a_silent_gateway_counted() -> None:
    arrived = DocumentAnswer("a", outcome=Outcome.FETCH, provider="tax-committee", arrived_ms=3.0)
    waiting = DocumentAnswer("b", outcome=Outcome.FETCH, provider="mia-migration")
    unresolved = Answer(None, False, (DocumentAnswer("c"),))
    assert silence([Answer(None, False, (arrived,))]) == ([], 0)
    assert silence([Answer(None, False, (arrived, waiting)), unresolved]) == (["mia-migration"], 1)


def test_progress_in_words() -> None:
    assert progress_words("jars", 12_000_000, 45_000_000) == "fetching Kafka's jars: 12 of 45 MB"
    assert progress_words("processes", 2, 8) == "starting: 2 of 8 are ready"
    assert "other ports, settings or another plan: it is stopped" in progress_words("changed", 0, 8)


def test_status_of_a_stack_whose_process_is_gone(tmp_path: Path) -> None:
    alive = process("gateway", os.getpid(), state="running", ready=True, address="127.0.0.1:18080")
    gone = process("tax", state="restarting", problem="ended with 1")
    with stack_of(tmp_path, alive, gone):
        code, out, err = call("status", "--format", "json", home=tmp_path)
    shown = json.loads(out)
    assert (code, shown["ready"], shown["lag"]) == (1, False, None)
    first, second = shown["processes"]
    assert (first["pid"], first["ready"], first["address"]) == (os.getpid(), True, "127.0.0.1:18080")
    assert first["memory_bytes"] > 1_000_000
    assert (second["pid"], second["ready"], second["memory_bytes"]) == (None, False, None)
    assert "tax is not ready (ended with 1)" in err
    assert {"name", "pid", "address", "ready", "since", "restarts", "memory_bytes", "lag"} <= set(first)


def test_status_of_a_stack_without_a_supervisor_says_what_to_do(tmp_path: Path) -> None:
    with stack_of(tmp_path, process("gateway", os.getpid(), state="running", ready=True), supervised=False):
        code, out, err = call("status", home=tmp_path)
    assert code == 1
    assert "gateway" in out
    assert "chopar up" in err


def test_a_process_shows_the_lag_of_the_groups_of_all_its_agencies(tmp_path: Path) -> None:
    lags = {"gateway": 3, "provider.gas-company": 4, "provider.water-company": 5, "provider.office": 6}
    for name, agency in (("companies", "gas-company"), ("companies", "water-company"), ("services", "office")):
        ensure_secret(tmp_path / name, agency)

    def lag(name: str, lags: dict[str, int] | None = lags) -> object:
        return row(process(name), lags, tmp_path, datetime.now(UTC))["lag"]

    assert (lag("gateway"), lag("companies"), lag("services")) == (3, 9, 6)
    assert lag("schema-registry") is None
    assert lag("gas") is None, "the first word of an agency's id is not a process"
    assert lag("companies", {"gateway": 0}) is None, "its groups have not committed yet"
    assert lag("gateway", None) is None


def restarted(log: Path, ago: timedelta, **more: Any) -> ProcessStatus:
    """A process that was started again some time ago, and wrote shortly before by which error it ended."""
    now = datetime.now(UTC)
    at = (now - ago).isoformat().replace("+00:00", "Z")
    said = {"code": "law_unreadable", "reason": "offset 15: pass it over", "event": "process.stopped", "level": "error"}
    log.write_text(f"{json.dumps(said | {'timestamp': at})}\nTraceback\n[]\n{json.dumps({'level': 'info'})}\n")
    since = (now - ago).isoformat()
    return process("gateway", os.getpid(), log=str(log), restarts=3, since=since, **more)


def test_a_crash_loop_is_told_also_in_the_moment_in_which_all_is_ready(tmp_path: Path) -> None:
    one = restarted(tmp_path / "log", timedelta(seconds=1), state="running", ready=True, exit=1)
    with stack_of(tmp_path, one):
        code, out, err = call("status", "--format", "json", home=tmp_path)
        [check] = doctor_stack.processes(tmp_path, datetime.now(UTC)).values()
    assert (code, json.loads(out)["ready"]) == (0, True)
    told = "it ended with 1 and was started again (restarts in all: 3); its last error is law_unreadable: offset 15: "
    assert f"gateway is ready, but {told}pass it over: its log is {tmp_path / 'log'}" in err
    assert (check.name, check.state, check.reason) == ("gateway", "note", f"{told}pass it over")


def test_a_process_that_ended_with_its_supervisor_is_not_said_to_have_been_started_again(tmp_path: Path) -> None:
    one = restarted(tmp_path / "log", timedelta(seconds=1), state="running", exit=-9)
    one.pid = one.started = None
    with stack_of(tmp_path, one):
        _, _, err = call("status", home=tmp_path)
    assert "gateway is not ready (it ended with -9 (restarts in all: 3)" in err


@pytest.mark.parametrize(("minutes", "exit_code", "words"), [(60, 1, False), (1, 0, True)])
def test_a_restart_long_ago_or_by_hand_is_no_failure(tmp_path: Path, minutes: int, exit_code: int, words: bool) -> None:
    one = restarted(tmp_path / "log", timedelta(minutes=minutes), state="running", ready=True, exit=exit_code)
    with stack_of(tmp_path, one):
        code, _, err = call("status", home=tmp_path)
        assert doctor_stack.processes(tmp_path, datetime.now(UTC)) == {}
    assert code == 0
    assert ("was started again" in err) is words


async def test_doctor_names_a_process_once_and_by_its_last_error(tmp_path: Path) -> None:
    one = restarted(tmp_path / "log", timedelta(seconds=1), state="restarting", exit=1, address="127.0.0.1:1")
    one.pid = one.started = None

    class Here(Session):
        def bus(self) -> Any:
            return MemoryBus(lambda: 0)

    session = Here(Output(Format.TEXT, io.StringIO(), io.StringIO()), environ={"CHOPAR_HOME": str(tmp_path)})
    with stack_of(tmp_path, one, process("tax", os.getpid(), ready=True)):
        checks = await doctor_stack.stack_checks(session)
    [check] = [check for check in checks if check.state == "fail"]
    assert check.name == "gateway"
    assert "law_unreadable: offset 15: pass it over" in check.reason


def test_a_stack_file_that_is_none_of_ours_is_wrong_use(tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text("{}")
    code, _, err = call("status", home=tmp_path)
    assert code == 2
    assert "stack.json" in err


def test_shared_options_are_taken_wherever_they_stand() -> None:
    given, rest = take_shared(["--format=json", "demand", "list", "--bootstrap", "h:1", "--limit", "2", "--insecure"])
    assert given == {"--format": "json", "--bootstrap": "h:1", "--insecure": "yes"}
    assert rest == ["demand", "list", "--limit", "2"]
    assert take_shared(["a", "--", "--format", "x"]) == ({}, ["a", "--", "--format", "x"])


@pytest.mark.parametrize(
    ("address", "insecure", "words"),
    [
        ("127.0.0.1:9092", False, None),
        ("localhost:1,127.0.0.2:2", False, None),
        ("http://[::1]:18081", False, None),
        ("kafka.example:9092", True, None),
        ("kafka.example:9092", False, "--insecure"),
        ("127.0.0.1:1,10.0.0.1:2", False, "--insecure"),
        ("http://127.0.0.1.example/", False, "--insecure"),
        ("127.0.0.1", False, "HOST:PORT"),
        ("127.0.0.1:port", False, "HOST:PORT"),
        (":9092", False, "HOST:PORT"),
    ],
)
def test_addresses(address: str, insecure: bool, words: str | None) -> None:
    if words is None:
        require_address(address, "--bootstrap", insecure)
    else:
        with pytest.raises(ConfigurationError, match=words):
            require_address(address, "--bootstrap", insecure)


def test_doctor_on_a_machine_without_a_stack(tmp_path: Path) -> None:
    code, out, _ = call("doctor", "--format", "json", home=tmp_path / "new")
    shown = json.loads(out)
    checks = {check["name"]: check for check in shown["checks"]}
    assert code == (0 if shown["ok"] else 1)
    assert {"python", "venv", "kafka client", "java", "jars", "home", "docker", "stack"} <= set(checks)
    assert checks["python"]["state"] == "ok"
    assert sys.executable in checks["python"]["reason"]
    assert checks["stack"]["next"] == "chopar up"
    assert not (tmp_path / "new").exists()


def test_doctor_names_who_holds_a_port() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        check = doctor_machine._port("kafka", listener.getsockname()[1], None)
    assert check.state == "fail"
    assert f"pid {os.getpid()}" in check.reason
    assert "CHOPAR_PORT_BASE" in check.next


def test_doctor_finds_a_jar_that_is_not_the_locked_one(tmp_path: Path) -> None:
    first = locked_jars()[0]
    (tmp_path / first.filename).write_bytes(b"something else")
    check = doctor_machine.jars(tmp_path)
    assert check.state == "fail"
    assert first.filename in check.reason
    assert (tmp_path / first.filename).exists()


def test_doctor_says_how_to_get_a_java(tmp_path: Path) -> None:
    check = doctor_machine.java({"CHOPAR_JAVA": str(tmp_path / "nowhere")})
    assert check.state == "fail"
    assert "CHOPAR_JAVA" in check.reason


@pytest.mark.parametrize(
    ("stamp_ms", "state"), [(None, "note"), (1_000_000, "ok"), (1_009_000, "fail"), (900_000, "fail")]
)
async def test_doctor_compares_clocks_by_the_newest_mark(stamp_ms: int | None, state: str) -> None:
    bus = MemoryBus(lambda: stamp_ms or 0)
    admin = bus.admin()
    await admin.start()
    await admin.create([LAW_ACTIVATED.layout()])
    await admin.stop()
    if stamp_ms is not None:
        producer = bus.producer("test")
        await producer.start()
        await producer.send([Outgoing(LAW_ACTIVATED.of(), 0, b"mark", b"value")])
        await producer.stop()
    assert (await doctor_stack.clocks(bus, 1_001_000)).state == state
