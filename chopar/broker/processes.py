"""A process by its pid and start time, so that a number the system has given to somebody else is never touched.

Linux tells all of it under /proc; elsewhere `ps` does, more slowly. POSIX only.
"""

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PROC = Path("/proc")
_DEAD_STATES = ("Z", "X", "")  # a zombie has ended: it only waits to be collected


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """Which process: the pid, and when it was started, as text that is only compared."""

    pid: int
    started: str


def identity_of(pid: int) -> ProcessIdentity | None:
    """Give the identity of the process that has this pid now, ended but uncollected ones included; None if none has."""
    _, started = _state_and_start(pid)
    return ProcessIdentity(pid, started) if started else None


def is_alive(identity: ProcessIdentity) -> bool:
    """Tell whether this very process still runs."""
    state, started = _state_and_start(identity.pid)
    return started == identity.started and state not in _DEAD_STATES


def send_signal(identity: ProcessIdentity, number: signal.Signals, *, group: bool = False) -> bool:
    """Signal this very process.

    Args:
        identity: whom; nothing is sent if the pid is somebody else's by now.
        number: the signal.
        group: the process group that it leads as well, so that what it started ends with it.

    Returns:
        Whether there was somebody to signal.
    """
    if not is_alive(identity):
        return False
    with contextlib.suppress(ProcessLookupError):
        if group and os.getpgid(identity.pid) == identity.pid:
            os.killpg(identity.pid, number)
        else:
            os.kill(identity.pid, number)
        return True
    return False


def end_process(identity: ProcessIdentity, grace_seconds: float) -> bool:
    """End a process that need not be our child: SIGTERM, and SIGKILL to its group if it does not go in time.

    Returns:
        Whether it went by itself (or had gone before).
    """
    if not send_signal(identity, signal.SIGTERM):
        return True
    if wait_gone(identity, grace_seconds):
        return True
    send_signal(identity, signal.SIGKILL, group=True)
    wait_gone(identity, 10)  # the kernel takes a while to clear a large process away
    return False


def wait_gone(identity: ProcessIdentity, deadline_seconds: float) -> bool:
    """Wait until a process has ended; tell whether it did in time."""
    deadline = time.monotonic() + deadline_seconds
    while is_alive(identity):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
    return True


def memory_bytes(pid: int) -> int | None:
    """Give a process's memory: its proportional share (PSS) where the kernel tells, else what is resident (RSS)."""
    for file, field in (("smaps_rollup", "Pss:"), ("status", "VmRSS:")):
        with contextlib.suppress(OSError):
            for line in (PROC / str(pid) / file).read_text("ascii", "replace").splitlines():
                if line.startswith(field):
                    return int(line.split()[1]) * 1024
    told = _ps(pid, "rss=")
    return int(told) * 1024 if told.isdigit() else None


def _state_and_start(pid: int) -> tuple[str, str]:
    if PROC.joinpath("self").exists():
        try:
            # The program's name stands in parentheses and may hold any character: what follows the last one is regular.
            fields = (PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        except OSError:
            return "", ""
        return fields[0], f"{fields[19]}@{_boot_id()}"  # field 22: clock ticks since the machine was started
    state, _, started = _ps(pid, "stat=,lstart=").partition(" ")
    return state[:1], started.strip()


@cache
def _boot_id() -> str:
    try:
        return (PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()[:8]
    except OSError:
        return ""


def _ps(pid: int, columns: str) -> str:
    try:
        done = subprocess.run(["ps", "-o", columns, "-p", str(pid)], capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
