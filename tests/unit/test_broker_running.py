"""What the command line says of a stack: who keeps it running, how far a download is, what stopped."""

import io
import json
import os
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from chopar.broker.explain import last_words
from chopar.broker.processes import identity_of
from chopar.broker.running_stack import running_stack
from chopar.broker.stack import Home, ProcessStatus, Stack, write_stack
from chopar.broker.supervisor_lock import SupervisorLock, supervisor_of
from chopar.cli.doctor_stack import processes, supervisor
from chopar.cli.main import main
from chopar.cli.up import Progress
from chopar.errors import ConfigurationError, UnavailableError


def stack_of(pid: int, started: str) -> Stack:
    return Stack(pid, started, "2026-01-15T10:00:00Z", plan="plan", digest="d", port_base=18080)


def test_doctor_looks_whether_the_supervisor_lives(tmp_path: Path) -> None:
    me = identity_of(os.getpid())
    assert me is not None
    assert supervisor(tmp_path) == []
    write_stack(tmp_path, stack_of(me.pid, me.started))
    assert [check.state for check in supervisor(tmp_path)] == ["ok"]
    write_stack(tmp_path, stack_of(me.pid, "another"))
    (check,) = supervisor(tmp_path)
    assert (check.name, check.state) == ("supervisor", "fail")
    assert "chopar up" in check.next
    out, err = io.StringIO(), io.StringIO()
    code = main(["doctor", "--format", "json"], environ={"CHOPAR_HOME": str(tmp_path)}, out=out, err=err)
    assert code == 1
    assert "supervisor" in {check["name"] for check in json.loads(out.getvalue())["checks"] if check["state"] == "fail"}
    assert "supervisor" in err.getvalue()


def test_doctor_says_what_a_process_waits_for(tmp_path: Path) -> None:
    """What its `/ready` says: that a register is away, and why."""
    said = "partitions wait for it: the tax register does not answer (SQLITE_BUSY)"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503)
            self.end_headers()
            self.wfile.write(json.dumps({"ready": False, "missing": {"register_unavailable": said}}).encode())

        def log_message(self, *_: object) -> None: ...

    me = identity_of(os.getpid())
    assert me is not None
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        address = f"127.0.0.1:{server.server_address[1]}"
        waiting = ProcessStatus("tax", "process", "tax.log", "d", 8.0, pid=me.pid, started=me.started, address=address)
        ready = ProcessStatus("gateway", "process", "gateway.log", "d", 8.0, pid=me.pid, started=me.started, ready=True)
        stack = stack_of(me.pid, me.started)
        stack.processes += [waiting, ready]
        write_stack(tmp_path, stack)
        [check] = processes(tmp_path, datetime.now(UTC)).values()
        server.shutdown()
        serving.join()
    assert (check.name, check.state, check.next) == ("tax", "fail", "see its log tax.log")
    assert check.reason == f"register_unavailable: {said}"


def test_the_lock_says_whose_it_is_while_it_is_held(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert supervisor_of(home) is None
    with SupervisorLock(home):
        assert supervisor_of(home) == identity_of(os.getpid())
        with pytest.raises(ConfigurationError, match=rf"Another supervisor .*pid {os.getpid()}.*chopar down"):
            SupervisorLock(home).__enter__()
        with pytest.raises(UnavailableError, match=rf"pid {os.getpid()}"):
            running_stack(tmp_path, patience_seconds=0)
    with SupervisorLock(home):
        pass


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"pid": "x", "started": "1"}', '{"pid": 1, "started": "never"}'])
def test_a_lock_that_says_nothing_names_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / "supervisor.lock").write_text(text)
    assert supervisor_of(Home(tmp_path)) is None
    assert running_stack(tmp_path) is None


def test_a_download_is_a_line_for_every_tenth() -> None:
    said: list[str] = []
    progress = Progress(said.append, 10)
    for megabyte in range(47):
        progress("jars", megabyte * 1_000_000, 46_000_000)
    assert 10 <= len(said) <= 11
    assert said[-1] == "fetching Kafka's jars: 46 of 46 MB"
    progress("processes", 1, 2)
    progress("processes", 2, 2)
    assert said[-2:] == ["starting: 1 of 2 are ready", "starting: 2 of 2 are ready"]


def test_the_reason_of_a_process_that_stopped_is_said_alone(tmp_path: Path) -> None:
    log = tmp_path / "apply-topics.log"
    process = ProcessStatus("apply-topics", "task", str(log), "d", 8.0, state="failed", exit=1, restarts=2)
    line = json.dumps({"event": "process.stopped", "reason": "topic a: retention.ms is 1. Alter the topic by hand"})
    log.write_text(f"of an earlier run\n{line}\n{line}\n")
    head = f"apply-topics does not come up: ended with 1, 2 restarts. Its log is {log}"
    assert last_words(process) == f"{head}\n  | topic a: retention.ms is 1. Alter the topic by hand"
    log.write_text("Traceback\nOSError: no\n")
    assert last_words(process) == f"{head}\n  | Traceback\n  | OSError: no"
