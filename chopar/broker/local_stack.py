"""Starts and stops the local stack, for the command line and for tests: `start` is idempotent, `stop` ends by pid.

The work is the supervisor's; here it is put into the background, waited for, and asked to go. Blocking.
"""

import contextlib
import fcntl
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from chopar.broker.explain import last_words, what_is_missing
from chopar.broker.jars import Progress, class_path, ensure_jars, jar_cache
from chopar.broker.java import find_java
from chopar.broker.launch import Launcher
from chopar.broker.plan import load_plan
from chopar.broker.processes import ProcessIdentity, end_process, identity_of, is_alive, send_signal, wait_gone
from chopar.broker.running_stack import running_stack
from chopar.broker.stack import FileMark, Home, ProcessStatus, Stack, mark_of, read_stack
from chopar.broker.supervisor import end_all
from chopar.broker.supervisor_lock import supervisor_of
from chopar.errors import ConfigurationError, UnavailableError

START_SECONDS = 180.0  # 10 s when quiet; a loaded machine with empty caches is what this allows for
POLL_SECONDS = 0.05
FAILURES_TO_GIVE_UP = 4  # ended so often without having been ready: it will not come up by itself
_GIVE_UP_SECONDS = 30.0  # a supervisor stops what it started within this


def start(
    home: Path,
    plan: Path,
    port_base: int,
    progress: Progress | None = None,
    *,
    environ: Mapping[str, str],
    deadline_seconds: float = START_SECONDS,
) -> Stack:
    """Have the stack running, and return once everything in it is ready.

    A stack that runs as the plan says is left alone; what had failed is tried again. One that runs by another
    plan, or on other ports, is stopped first. What a killed supervisor left behind is taken over.

    Args:
        home: the folder of its state; made if absent.
        plan: what to start.
        port_base: where its ports begin.
        progress: told ("jars", bytes, bytes in all) while fetching and ("processes", ready, all) while starting.
        environ: the process environment: CHOPAR_JAVA, JAVA_HOME, XDG_CACHE_HOME.
        deadline_seconds: for all of it.

    Returns:
        The stack, ready.

    Raises:
        ConfigurationError: plan, Java, a jar or a port is wrong; nothing was started.
        UnavailableError: a process does not come up; the rest runs on, `stop` ends it. Names its log.
    """
    deadline = time.monotonic() + deadline_seconds
    place = Home(home.resolve())
    place.make()
    entries = load_plan(plan)
    java, cache = None, None
    if any(entry.kind == "broker" for entry in entries.entries):
        java, cache = find_java(environ), jar_cache(environ)
    launcher = Launcher(entries, place.folder, port_base, java, class_path(cache) if cache else ())
    digest = launcher.digest  # before anything is stopped or started: an entry that is wrong is said here
    with _only_starter(place, deadline):
        running = running_stack(place.folder)
        if running is not None and running.supervised and (running.stopping or running.digest != digest):
            if progress and not running.stopping:
                progress("changed", 0, len(running.processes))
            stop(place.folder)
            running = None
        if running is None or not running.supervised:
            if cache is not None:
                ensure_jars(cache, progress)
            _detach_supervisor(place, launcher, java, cache)
        elif any(_hopeless(process) for process in running.processes):
            send_signal(running.supervisor, signal.SIGHUP)
            _wait(place, lambda stack: not any(_hopeless(process) for process in stack.processes), deadline)
        return _wait_ready(place, progress, deadline)


def stop(home: Path, progress: Progress | None = None) -> Stack | None:
    """Stop the stack in this home, in reverse order, and return once it is gone; what is left of it is killed.

    Args:
        home: the folder of its state, which is kept.
        progress: told ("processes", stopped, all).

    Returns:
        The stack as it was, with pids of those alone that did run; without processes if only the supervisor knew
        them. None if there was nothing to stop.

    Raises:
        ConfigurationError: stack.json is not one of ours, and no supervisor lives.
    """
    place = Home(home.resolve())
    supervisor = supervisor_of(place)
    try:
        stack = running_stack(place.folder)
    except (ConfigurationError, UnavailableError):
        if supervisor is None:
            raise
        stack = None  # its supervisor knows what it runs, if nobody else does
    if stack is None:
        if supervisor is None:
            return None
        stack = Stack(supervisor.pid, supervisor.started, started_at="", plan="", digest="", port_base=0)
    supervisor = supervisor or stack.supervisor
    for process in stack.processes:
        if not process.runs:
            process.pid, process.started = None, None
    if send_signal(supervisor, signal.SIGTERM):
        _see_off(supervisor, stack.processes, progress)
    left = _if_readable(place)
    if left is not None and left.supervisor == supervisor:  # it had been killed, now or before
        end_all(left.processes)
        place.stack_file.unlink(missing_ok=True)
    if progress:
        progress("processes", len(stack.processes), len(stack.processes))
    return stack


def _see_off(supervisor: ProcessIdentity, processes: Sequence[ProcessStatus], progress: Progress | None) -> None:
    """Wait until a supervisor that was told to stop has ended; kill it if it takes longer than all that it stops."""
    deadline = time.monotonic() + 10 + (sum(process.stop_seconds for process in processes) or _GIVE_UP_SECONDS)
    told = -1
    while is_alive(supervisor) and time.monotonic() < deadline:
        stopped = sum(not process.runs for process in processes)
        if progress and stopped != told:
            progress("processes", stopped, len(processes))
            told = stopped
        wait_gone(supervisor, 0.2)
    end_process(supervisor, 0)


def _if_readable(place: Home) -> Stack | None:
    with contextlib.suppress(ConfigurationError):
        return read_stack(place.folder)
    return None


def _detach_supervisor(place: Home, launcher: Launcher, java: Path | None, cache: Path | None) -> None:
    command = [sys.executable, "-m", "chopar.broker.supervisor", "--detach", "--home", str(place.folder)]
    command += ["--plan", str(launcher.plan.path), "--port-base", str(launcher.base)]
    if java is not None and cache is not None:
        command += ["--java", str(java), "--jars", str(cache)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode == 2:
        raise ConfigurationError(done.stderr.strip())
    if done.returncode != 0 or not done.stdout.strip().isdigit():
        raise UnavailableError(f"The supervisor could not be started: {done.stderr.strip().splitlines()[-1:]}")
    pid = int(done.stdout)
    deadline = time.monotonic() + 10
    while (stack := _if_readable(place)) is None or stack.supervisor_pid != pid:
        if time.monotonic() > deadline:
            # One that cannot write down what it runs could not be found again: it is not left behind.
            identity = identity_of(pid)
            if identity is not None:
                end_process(identity, _GIVE_UP_SECONDS)
            raise UnavailableError(
                f"The supervisor does not come up; its log is {place.log('supervisor')}. "
                f"Can {place.folder} be written to, and is its disk full?"
            )
        time.sleep(POLL_SECONDS)


def _wait_ready(place: Home, progress: Progress | None, deadline: float) -> Stack:
    told = -1

    def ready(stack: Stack) -> bool:
        nonlocal told
        count = sum(process.ready for process in stack.processes)
        if progress and count != told:
            told = count
            progress("processes", count, len(stack.processes))
        for process in stack.processes:
            if _hopeless(process):
                raise UnavailableError(last_words(process))
        return stack.ready

    return _wait(place, ready, deadline)


def _late(process: ProcessStatus) -> str:
    why = process.problem or what_is_missing(process)
    return f"{process.name} ({process.state}{', ' + why if why else ''}), log {process.log}"


def _hopeless(process: ProcessStatus) -> bool:
    return process.state == "failed" or (process.state == "restarting" and process.failures >= FAILURES_TO_GIVE_UP)


def _wait(place: Home, satisfied: Callable[[Stack], bool], deadline: float) -> Stack:
    """Wait until what the supervisor writes down satisfies."""
    seen: FileMark | None = None
    stack: Stack | None = None
    while True:
        mark = mark_of(place.stack_file)
        if mark is not None and mark != seen:
            seen = mark
            read = _if_readable(place)
            stack = read or stack  # the supervisor puts an unreadable one right
            if read is not None and satisfied(read):
                return read
        if stack is None or not stack.supervised:
            if mark is None:
                raise UnavailableError(f"The stack in {place.folder} was stopped while it was being started.")
            if stack is not None and place.stack_file.exists():
                raise UnavailableError(
                    f"The supervisor has ended; its log is {place.log('supervisor')}. Run `up` again."
                )
        if time.monotonic() > deadline:
            late = [process for process in stack.processes if not process.ready] if stack else []
            raise UnavailableError(
                "Not ready in time: "
                + "; ".join(_late(process) for process in late)
                + ". What has started runs on; try again, or stop it with `down`."
            )
        time.sleep(POLL_SECONDS)


@contextlib.contextmanager
def _only_starter(place: Home, deadline: float) -> Iterator[None]:
    with place.start_lock.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise UnavailableError(f"Somebody else is starting the stack in {place.folder}.") from None
                time.sleep(POLL_SECONDS)
        yield
