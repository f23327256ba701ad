"""stack.json, where its home is, and who is who among processes and ports."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from chopar.broker.ports import require_free
from chopar.broker.processes import (
    ProcessIdentity,
    end_process,
    identity_of,
    is_alive,
    memory_bytes,
    send_signal,
)
from chopar.broker.stack import ProcessStatus, Stack, find_home, read_stack, write_stack
from chopar.errors import ConfigurationError


def a_stack() -> Stack:
    me = identity_of(os.getpid())
    assert me is not None
    status = ProcessStatus("tax", "process", "/l/tax.log", "d1", 8.0, state="running", pid=me.pid, started=me.started)
    return Stack(me.pid, me.started, "2026-01-01T00:00:00+00:00", "/p", "d", 18080, {"bootstrap": "h:1"}, [status])


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert read_stack(tmp_path) is None
    write_stack(tmp_path, a_stack())
    assert read_stack(tmp_path) == a_stack()
    assert [path.name for path in tmp_path.iterdir()] == ["stack.json"]
    assert a_stack().supervised
    assert not a_stack().ready


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "processes": [{}]}', "\xff"])
def test_a_file_that_is_no_stack_is_refused_and_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "stack.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigurationError, match=r"stack\.json cannot be read"):
        read_stack(tmp_path)


def test_home_is_named_or_near_or_the_checkouts(tmp_path: Path) -> None:
    checkout, below = tmp_path / "checkout", tmp_path / "project" / "a" / "b"
    below.mkdir(parents=True)
    assert find_home({"CHOPAR_HOME": "/x/y"}, below, checkout) == Path("/x/y")
    assert find_home({"CHOPAR_HOME": "rel"}, below, checkout) == below / "rel"
    assert find_home({}, below, checkout) == checkout / ".chopar"
    assert find_home({}, below, None) == below / ".chopar"
    (tmp_path / "project" / ".chopar").mkdir()
    assert find_home({}, below, checkout) == tmp_path / "project" / ".chopar"


def test_a_pid_that_belongs_to_another_by_now_is_left_alone() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        identity = identity_of(child.pid)
        assert identity is not None
        stranger = ProcessIdentity(child.pid, "1@earlier")
        assert is_alive(identity)
        assert not is_alive(stranger)
        assert not send_signal(stranger, signal.SIGKILL)
        assert end_process(stranger, 0)
        assert is_alive(identity)
        assert end_process(identity, 10)
        assert not is_alive(identity), "a zombie has ended"
        assert child.wait() == -signal.SIGTERM
    assert identity_of(child.pid) is None


def test_who_does_not_stop_is_killed() -> None:
    program = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"on\n"
        identity = identity_of(child.pid)
        assert identity is not None
        assert not end_process(identity, 0.1)
        assert child.wait() == -signal.SIGKILL


def test_memory_is_told_in_bytes() -> None:
    mine = memory_bytes(os.getpid())
    assert mine is not None
    assert 5 * 2**20 < mine < 2**32
    assert memory_bytes(2**22 + 1) is None


def test_a_taken_port_is_named_with_its_holder_and_the_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"Port {port}, wanted for Kafka, .*CHOPAR_PORT_BASE=") as caught:
            require_free(port, "Kafka")
        if Path("/proc/net/tcp").exists():
            assert f"pid {os.getpid()} (" in str(caught.value)
    require_free(port, "Kafka")


def test_the_supervisor_imports_the_standard_library_alone() -> None:
    program = (
        "import sys; import chopar.broker.supervisor; "
        "print(sorted({name.split('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)))"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-S", "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['__main__', 'chopar']"
