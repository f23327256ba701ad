"""The supervisor with small processes of the test's own: order, killing, taking over, stopping, refusing."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from chopar.broker.local_stack import start, stop
from chopar.broker.processes import is_alive, memory_bytes
from chopar.broker.running_stack import running_stack
from chopar.broker.stack import Home, ProcessStatus, Stack, read_stack
from chopar.broker.supervisor_lock import SupervisorLock, supervisor_of
from chopar.errors import ConfigurationError, UnavailableError
from tests.kafka_fixture import free_ports

SERVER = """
import http.server, os, signal, sys, time
name = os.environ["CHOPAR_NAME"]
def note(words):
    with open(os.environ["CHOPAR_NOTES"], "a") as notes:
        notes.write(f"{name} {words}\\n")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/ready" else 404)
        self.end_headers()
    def log_message(self, *words):
        pass
def leave(*_):
    note("stops")
    os._exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN if "stubborn" in sys.argv else leave)
host, port = os.environ["CHOPAR_ADDRESS"].split(":")
note("starts")
http.server.HTTPServer((host, int(port)), Handler).serve_forever()
"""

TASK = """
import os, sys
with open(os.environ["CHOPAR_NOTES"], "a") as notes:
    notes.write("task runs\\n")
if os.path.exists(os.environ["CHOPAR_BROKEN"]):
    sys.exit("the register is closed on Sundays")
"""

PLAN = """
[[start]]
name = "second"
kind = "process"
module = "small_server"
args = [{second_args}]
after = ["task"]
port_offset = 2
stop_seconds = 0.5
[start.environment]
CHOPAR_NAME = "second"
CHOPAR_NOTES = "{{home}}/notes"
CHOPAR_ADDRESS = "{{address}}"
CHOPAR_FIRST = "{{gateway}}"

[[start]]
name = "first"
kind = "process"
module = "small_server"
port_offset = 0
provides = "gateway"
[start.environment]
CHOPAR_NAME = "first"
CHOPAR_NOTES = "{{home}}/notes"
CHOPAR_ADDRESS = "{{address}}"

[[start]]
name = "task"
kind = "task"
module = "small_task"
after = ["first"]
[start.environment]
CHOPAR_NOTES = "{{home}}/notes"
CHOPAR_BROKEN = "{{home}}/broken"
"""


def eventually(condition: Callable[[], bool], seconds: float = 10) -> float:
    """Wait on a condition; give the seconds it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "not in time"
        time.sleep(0.01)
    return time.monotonic() - began


class Small:
    """A home, a plan and ports for one test."""

    def __init__(self, folder: Path) -> None:
        self.home, self.plan, self.base = folder / "home", folder / "plan.toml", free_ports(3)[0]
        (folder / "small_server.py").write_text(SERVER)
        (folder / "small_task.py").write_text(TASK)
        self.write_plan()

    def write_plan(self, second_args: str = "") -> None:
        self.plan.write_text(PLAN.format(second_args=second_args))

    def start(self) -> Stack:
        def tell(step: str, done: int, total: int) -> None:
            self.told.append(step)

        self.told: list[str] = []
        return start(self.home, self.plan, self.base, tell, environ=os.environ, deadline_seconds=30)

    def stack(self) -> Stack:
        stack = read_stack(self.home)
        assert stack is not None
        return stack

    def process(self, name: str) -> ProcessStatus:
        process = self.stack().process(name)
        assert process is not None
        return process

    def pid(self, name: str) -> int:
        pid = self.process(name).pid
        assert pid is not None
        return pid

    def notes(self) -> list[str]:
        return (self.home / "notes").read_text().splitlines()

    def back(self, name: str, before: ProcessStatus) -> Callable[[], bool]:
        """The condition that another process runs in its place, and all is ready."""
        return lambda: self.process(name).pid not in (None, before.pid) and self.stack().ready

    def kill_supervisor(self) -> None:
        supervisor = self.stack().supervisor
        os.kill(supervisor.pid, signal.SIGKILL)
        eventually(lambda: not is_alive(supervisor))


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Small]:
    small = Small(tmp_path)
    yield small
    stop(small.home)


def test_starts_in_order_and_once(small: Small) -> None:
    told: list[tuple[str, int, int]] = []
    stack = start(small.home, small.plan, small.base, lambda *step: told.append(step), environ=os.environ)
    assert [(process.name, process.state, process.ready) for process in stack.processes] == [
        ("first", "running", True),
        ("task", "done", True),
        ("second", "running", True),
    ]
    assert stack.addresses == {"gateway": f"http://127.0.0.1:{small.base}"}
    assert stack.supervised
    assert small.process("second").address == f"127.0.0.1:{small.base + 2}"
    assert small.notes() == ["first starts", "task runs", "second starts"]
    assert told[-1] == ("processes", 3, 3)
    again = small.start()
    assert again == stack, "a stack that runs is left alone"
    assert small.notes() == ["first starts", "task runs", "second starts"]


def test_stops_in_reverse_and_leaves_nothing(small: Small) -> None:
    stack = small.start()
    stopped = stop(small.home)
    assert stopped is not None
    assert small.notes()[-2:] == ["second stops", "first stops"]
    assert not stack.supervised
    assert not any(process.identity and is_alive(process.identity) for process in stack.processes)
    assert read_stack(small.home) is None
    assert stop(small.home) is None
    assert small.start().ready, "and comes up again"


@pytest.mark.parametrize("name", ["first", "second"])
def test_a_killed_process_is_back_in_seconds(small: Small, name: str) -> None:
    small.start()
    for count in (1, 2):
        before = small.process(name)
        os.kill(small.pid(name), signal.SIGKILL)
        assert eventually(small.back(name, before)) < 5
        after = small.process(name)
        assert after.restarts == count
        assert after.since != before.since
        assert after.exit == -signal.SIGKILL
    assert small.notes().count("task runs") == 1


def test_what_a_killed_supervisor_left_is_taken_over(small: Small) -> None:
    before = small.start()
    small.kill_supervisor()
    assert not small.stack().supervised
    after = small.start()
    assert after.supervisor != before.supervisor
    assert [process.identity for process in after.processes] == [process.identity for process in before.processes]
    assert small.notes() == ["first starts", "task runs", "second starts"], "nothing was started or run again"
    before_kill = small.process("second")
    os.kill(small.pid("second"), signal.SIGKILL)
    eventually(small.back("second", before_kill))
    stop(small.home)
    assert small.notes()[-2:] == ["second stops", "first stops"]


def test_an_orphan_whose_command_has_changed_is_replaced(small: Small) -> None:
    before = small.start()
    small.kill_supervisor()
    small.write_plan('"other"')
    after = small.start()
    assert after.process("first") is not None
    assert small.pid("first") == next(process.pid for process in before.processes if process.name == "first")
    assert small.pid("second") != next(process.pid for process in before.processes if process.name == "second")
    assert small.notes()[-2:] == ["second stops", "second starts"]


def test_a_running_stack_follows_a_changed_plan(small: Small) -> None:
    before = small.start()
    assert "changed" not in small.told
    small.write_plan('"other"')
    after = small.start()
    assert small.told[0] == "changed", "said before anything is stopped"
    assert not before.supervised
    assert after.ready
    assert after.digest != before.digest


def test_a_stack_without_supervisor_can_be_stopped(small: Small) -> None:
    small.write_plan('"stubborn"')
    stack = small.start()
    small.kill_supervisor()
    assert stop(small.home) is not None
    assert not any(process.identity and is_alive(process.identity) for process in stack.processes)
    assert small.notes()[-1] == "first stops"


def test_a_process_that_ignores_sigterm_is_killed_in_time(small: Small) -> None:
    small.write_plan('"stubborn"')
    stack = small.start()
    began = time.monotonic()
    stop(small.home)
    assert time.monotonic() - began < 5
    assert not any(process.identity and is_alive(process.identity) for process in stack.processes)
    assert "second did not stop within" in (small.home / "logs" / "supervisor.log").read_text()


def test_a_pid_that_was_given_to_another_is_spared(small: Small) -> None:
    small.start()
    small.kill_supervisor()
    path = small.home / "stack.json"
    original = path.read_text()
    document = json.loads(original)
    for process in document["processes"]:
        if process["name"] == "second":
            process["started"] = "1@another"
    path.write_text(json.dumps(document))
    second = next(process for process in read_stack_text(original) if process.name == "second").identity
    assert second is not None
    try:
        stop(small.home)
        assert is_alive(second)
    finally:
        os.kill(second.pid, signal.SIGKILL)


def read_stack_text(text: str) -> list[ProcessStatus]:
    return [ProcessStatus(**process) for process in json.loads(text)["processes"]]


def test_a_failing_task_is_reported_with_its_last_words_and_tried_again(small: Small) -> None:
    small.home.mkdir()
    (small.home / "broken").touch()
    with pytest.raises(UnavailableError, match=r"(?s)task does not come up: ended with 1, .*Sundays") as caught:
        small.start()
    assert "task.log" in str(caught.value)
    assert small.process("task").state == "failed"
    assert small.process("second").state == "waiting"
    (small.home / "broken").unlink()
    assert small.start().ready


def test_a_module_that_cannot_run_is_reported(small: Small, tmp_path: Path) -> None:
    (tmp_path / "small_server.py").write_text("raise SystemExit('no such register')")
    with pytest.raises(UnavailableError, match=r"(?s)first does not come up.*no such register"):
        small.start()
    (tmp_path / "small_server.py").write_text(SERVER)
    assert small.start().ready, "a second try does not wait for the back-off"


def test_a_taken_port_is_named_and_nothing_is_started(small: Small) -> None:
    with (
        socket.create_server(("127.0.0.1", small.base + 2)),
        pytest.raises(ConfigurationError, match=rf"Port {small.base + 2}, wanted for second, .*CHOPAR_PORT_BASE"),
    ):
        small.start()
    assert read_stack(small.home) is None
    assert not (small.home / "notes").exists()


def test_two_at_once_start_one_stack(small: Small) -> None:
    program = (
        "import os, sys; from pathlib import Path; from chopar.broker.local_stack import start; "
        "print(start(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), environ=os.environ).supervisor_pid)"
    )
    command = [sys.executable, "-c", program, str(small.home), str(small.plan), str(small.base)]
    with contextlib.ExitStack() as running:
        starters = [running.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE)) for _ in range(2)]
        answers = {starter.communicate(timeout=60)[0] for starter in starters}
    assert answers == {f"{small.stack().supervisor_pid}\n".encode()}
    assert small.notes() == ["first starts", "task runs", "second starts"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_supervisor_is_detached_and_light(small: Small, tmp_path: Path) -> None:
    ours = os.open(tmp_path / "ours", os.O_CREAT | os.O_RDWR)
    os.set_inheritable(ours, True)
    try:
        stack = small.start()
    finally:
        os.close(ours)
    for pid in (stack.supervisor_pid, small.pid("first"), small.pid("second")):
        folder = Path(f"/proc/{pid}/fd")
        opened = {number.name: os.readlink(number) for number in folder.iterdir()}
        assert str(tmp_path / "ours") not in opened.values()
        assert opened["0"] == "/dev/null"
        assert opened["1"] == opened["2"]
        assert opened["1"].startswith(str(small.home / "logs"))
        assert os.getsid(pid) == pid
    memory = memory_bytes(stack.supervisor_pid)
    assert memory is not None
    assert memory < 25 * 2**20


def test_sigterm_to_the_supervisor_is_enough(small: Small) -> None:
    stack = small.start()
    os.kill(stack.supervisor_pid, signal.SIGTERM)
    eventually(lambda: not stack.supervised)
    assert read_stack(small.home) is None
    assert small.notes()[-2:] == ["second stops", "first stops"]


def test_a_deleted_or_damaged_stack_file_is_written_anew(small: Small) -> None:
    stack = small.start()
    path = small.home / "stack.json"
    path.unlink()
    assert running_stack(small.home) == stack
    path.write_text("{")
    assert running_stack(small.home) == stack
    path.write_text(json.dumps({"format": 1} | asdict(replace(stack, supervisor_pid=1))))
    assert running_stack(small.home) == stack, "one of another supervisor does not count"
    path.unlink()
    assert small.start() == stack, "`up` finds what runs, and starts no second one"
    assert "written anew" in (small.home / "logs" / "supervisor.log").read_text()


@pytest.mark.parametrize("text", [None, "nonsense"])
def test_a_stack_that_only_its_supervisor_knows_is_stopped(small: Small, text: str | None) -> None:
    stack = small.start()
    path = small.home / "stack.json"
    path.unlink()
    path.mkdir()  # a folder in its place cannot be replaced by a file: as good as a full disk
    with pytest.raises(UnavailableError, match=rf"\(pid {stack.supervisor_pid}\).*chopar down"):
        running_stack(small.home, patience_seconds=1.5)
    assert "cannot be written" in (small.home / "logs" / "supervisor.log").read_text()
    assert small.notes()[-1] == "second starts", "it goes on"
    if text is not None:
        path.rmdir()
        path.write_text(text)
    stopped = stop(small.home)
    assert stopped is not None
    assert stopped.supervisor == stack.supervisor
    assert not stack.supervised
    assert small.notes()[-2:] == ["second stops", "first stops"]
    if path.is_dir():
        path.rmdir()


def test_a_deleted_home_does_not_hide_the_stack(small: Small) -> None:
    stack = small.start()
    shutil.rmtree(small.home)
    eventually(lambda: supervisor_of(Home(small.home)) == stack.supervisor)
    with pytest.raises(ConfigurationError, match=rf"pid {stack.supervisor_pid}"), SupervisorLock(Home(small.home)):
        pass
    stop(small.home)
    assert not stack.supervised


def test_a_moved_home_is_stopped_from_its_new_place(small: Small) -> None:
    stack = small.start()
    old, small.home = small.home, small.home.with_name("moved")
    old.rename(small.home)
    log = small.home / "logs" / "supervisor.log"
    eventually(lambda: "cannot be written" in log.read_text())
    assert running_stack(small.home) == stack
    stop(small.home)
    assert not stack.supervised
    assert read_stack(small.home) is None
    assert not old.exists(), "nothing is left at the old place"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_does_not_end_the_stack(small: Small) -> None:
    """Its log on a full disk, and stack.json not writable: it goes on, and starts again what dies."""
    small.home.mkdir()
    (small.home / "logs").mkdir()
    (small.home / "logs" / "supervisor.log").symlink_to("/dev/full")
    stack = small.start()
    new = small.home / "stack.json.new"
    new.symlink_to("/dev/full")
    second = small.process("second").identity
    assert second is not None
    os.kill(second.pid, signal.SIGKILL)
    eventually(lambda: small.notes().count("second starts") == 2)
    assert small.process("second").identity == second, "what is written down is old: nothing could be written"
    assert stack.supervised
    new.unlink()
    eventually(lambda: small.stack().ready and small.process("second").restarts == 1)


def test_only_what_ran_is_said_to_be_stopped(small: Small) -> None:
    small.home.mkdir()
    (small.home / "broken").touch()
    with pytest.raises(UnavailableError):
        small.start()
    stopped = stop(small.home)
    assert stopped is not None
    assert [process.name for process in stopped.processes if process.pid is not None] == ["first"]


def test_what_is_not_ready_in_time_is_named_with_its_reason(small: Small, tmp_path: Path) -> None:
    (tmp_path / "small_server.py").write_text(
        SERVER.replace("200 if self.path", "503 if self.path").replace(
            "self.end_headers()",
            'self.end_headers(); self.wfile.write(b\'{"missing": {"law": "no list was activated"}}\')',
        )
    )
    with pytest.raises(UnavailableError, match=r"first \(starting, law: no list was activated\)"):
        start(small.home, small.plan, small.base, environ=os.environ, deadline_seconds=3)
