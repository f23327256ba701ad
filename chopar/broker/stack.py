"""The running stack as it is written down: `HOME/stack.json`, read by the command line and by the next supervisor.

Written by the supervisor alone, each time whole and by rename, so a reader never sees half of it. Addresses, pids and
start times are all there is: nothing about people.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from chopar.broker.processes import ProcessIdentity, is_alive
from chopar.errors import ConfigurationError

HOME_FOLDER = ".chopar"
STACK_FILE = "stack.json"
FORMAT = 1

FileMark = tuple[int, int, int]  # when it was changed, inode, size
State = Literal["waiting", "starting", "running", "restarting", "done", "failed", "stopped"]


@dataclass(slots=True)
class ProcessStatus:
    """One entry of the plan as it stands.

    Attributes:
        name: the entry's name.
        kind: broker, process or task.
        log: where its output goes.
        command_digest: of command line, folder and environment: a process is taken over only if it is equal.
        stop_seconds: how long it may take to stop.
        state: waiting (for what it needs), starting (not ready yet), running, restarting (it ended, back-off), done
            (a task), failed (a task that was given up), stopped.
        pid: of the process that runs now.
        started: its start time, as `processes` tells it.
        address: HOST:PORT, if it listens.
        ready: whether it said so when last asked; of a task, whether it is done.
        since: when the present process was started, UTC in ISO 8601.
        restarts: how often it was started again.
        failures: how often in a row it ended without having been ready.
        exit: how the last one ended; negative is a signal, None is unknown.
        problem: why it cannot be started, in words.
    """

    name: str
    kind: str
    log: str
    command_digest: str
    stop_seconds: float
    state: State = "waiting"
    pid: int | None = None
    started: str | None = None
    address: str | None = None
    ready: bool = False
    since: str | None = None
    restarts: int = 0
    failures: int = 0
    exit: int | None = None
    problem: str | None = None

    @property
    def identity(self) -> ProcessIdentity | None:
        """Which process runs for it, if one does."""
        return ProcessIdentity(self.pid, self.started) if self.pid is not None and self.started else None

    @property
    def runs(self) -> bool:
        """Whether that process is alive now, whatever was written down of it."""
        return self.identity is not None and is_alive(self.identity)


@dataclass(slots=True)
class Stack:
    """A stack that runs, or did when its supervisor last wrote.

    Attributes:
        supervisor_pid: and `supervisor_started`: the identity of the supervisor.
        started_at: when the supervisor was started, UTC in ISO 8601.
        plan: the plan's file.
        digest: of everything that is to be started; a different one means that the plan has changed.
        port_base: where the ports begin.
        addresses: "bootstrap", "registry", "gateway" and what else the plan provides.
        processes: in the order of starting.
        stopping: whether the supervisor is taking it down.
    """

    supervisor_pid: int
    supervisor_started: str
    started_at: str
    plan: str
    digest: str
    port_base: int
    addresses: dict[str, str] = field(default_factory=dict)
    processes: list[ProcessStatus] = field(default_factory=list)
    stopping: bool = False

    @property
    def supervisor(self) -> ProcessIdentity:
        """The identity of the supervisor."""
        return ProcessIdentity(self.supervisor_pid, self.supervisor_started)

    @property
    def supervised(self) -> bool:
        """Whether the supervisor is alive; if not, the processes may run on without one."""
        return is_alive(self.supervisor)

    @property
    def ready(self) -> bool:
        """Whether everything is ready or done."""
        return all(process.ready for process in self.processes)

    def process(self, name: str) -> ProcessStatus | None:
        """Give the status of an entry by its name."""
        return next((process for process in self.processes if process.name == name), None)


@dataclass(frozen=True, slots=True)
class Home:
    """The folder that holds a stack's state, and the names of what lies in it."""

    folder: Path

    @property
    def stack_file(self) -> Path:
        """The running stack."""
        return self.folder / STACK_FILE

    @property
    def logs(self) -> Path:
        """One file per process, and the supervisor's."""
        return self.folder / "logs"

    @property
    def kafka(self) -> Path:
        """The broker's folder."""
        return self.folder / "kafka"

    @property
    def start_lock(self) -> Path:
        """Held while somebody starts the stack."""
        return self.folder / "up.lock"

    @property
    def supervisor_lock(self) -> Path:
        """Held by the supervisor as long as it lives."""
        return self.folder / "supervisor.lock"

    def log(self, name: str) -> Path:
        """Give the log file of a process."""
        return self.logs / f"{name}.log"

    def make(self) -> None:
        """Make the folders.

        Raises:
            ConfigurationError: they cannot be made.
        """
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"The folder {self.folder} cannot be made ({error.strerror}): set CHOPAR_HOME to one that can."
            ) from error


def find_home(environ: Mapping[str, str], cwd: Path, checkout: Path | None) -> Path:
    """Give the folder of the stack's state.

    Args:
        environ: CHOPAR_HOME decides if it is set.
        cwd: else the nearest folder from here upwards that has a `.chopar`.
        checkout: else the `.chopar` of this folder; of `cwd`, where there is no checkout.
    """
    chosen = environ.get("CHOPAR_HOME", "").strip()
    if chosen:
        return (cwd / Path(chosen).expanduser()).resolve()
    for folder in (cwd, *cwd.parents):
        if (folder / HOME_FOLDER).is_dir():
            return (folder / HOME_FOLDER).resolve()
    return ((checkout or cwd) / HOME_FOLDER).resolve()


def read_stack(home: Path) -> Stack | None:
    """Read what is written down about the stack in this home; None if nothing is.

    Raises:
        ConfigurationError: the file is there and is not one of ours.
    """
    path = Home(home).stack_file
    try:
        document = json.loads(path.read_text("utf-8"))
        if document.pop("format") != FORMAT:
            raise KeyError("format")
        processes = [ProcessStatus(**process) for process in document.pop("processes")]
        return Stack(**document, processes=processes)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"{path} cannot be read as a running stack ({type(error).__name__}), and no supervisor runs that "
            f"would write it anew. If nothing of it runs (`ps` tells), delete the file."
        ) from error


def write_stack(home: Path, stack: Stack) -> FileMark:
    """Write the stack down, whole, by rename; give the mark of the file as written."""
    path = Home(home).stack_file
    temporary = path.with_suffix(".json.new")
    temporary.write_text(json.dumps({"format": FORMAT} | asdict(stack), indent=1) + "\n", "utf-8")
    mark = mark_of(temporary)
    os.replace(temporary, path)
    return mark or (0, 0, 0)


def mark_of(path: Path) -> FileMark | None:
    """Give what tells whether a file is still the one that was written, without reading it; None if it is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size
