"""The one process that keeps a local stack running: `python -m chopar.broker.supervisor --home DIR --plan FILE`.

It starts what the plan names, in parallel where nothing waits for another, restarts what dies, and keeps
`HOME/stack.json` true. SIGTERM (or SIGINT) stops all in reverse order, the broker last. SIGHUP tries again what
has failed. `local_stack.start` has it detached; by hand it stays in the foreground.

When it is killed, what it started runs on; the next supervisor finds it in stack.json, takes over what is still to run
as it is, and ends the rest. It imports the standard library alone: it is there for as long as the stack is.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from chopar.broker.jars import ensure_jars
from chopar.broker.launch import Launcher, put_aside
from chopar.broker.member import Member, write_log
from chopar.broker.plan import load_plan
from chopar.broker.ports import DEFAULT_PORT_BASE, require_free
from chopar.broker.processes import end_process, identity_of
from chopar.broker.stack import FileMark, Home, ProcessStatus, Stack, mark_of, read_stack, write_stack
from chopar.broker.supervisor_lock import SupervisorLock
from chopar.errors import ChoparError, ConfigurationError

LOOK_SECONDS = 1.0  # how often stack.json is looked at: soon enough for somebody who waits at a command line


class Supervisor:
    """Runs the members of one plan."""

    def __init__(self, launcher: Launcher, lock: SupervisorLock) -> None:
        self._home = launcher.home
        self._lock = lock
        self._written: FileMark | None = None  # how stack.json looked when we had written it
        self._unwritable = ""
        self._launcher = launcher
        self._members: dict[str, Member] = {}
        for entry in launcher.plan.entries:
            needs = [self._members[name] for name in entry.after]
            self._members[entry.name] = Member(entry, launcher, self._write, needs)
        self._stack = Stack(
            supervisor_pid=0,
            supervisor_started="",
            started_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            plan=str(launcher.plan.path),
            digest=launcher.digest,
            port_base=launcher.base,
            addresses=dict(launcher.addresses),
            processes=[member.status for member in self._members.values()],
        )

    def take_over(self, former: Stack | None) -> None:
        """Adopt what a killed supervisor left running and end what is not wanted so any more.

        Blocks for as long as ending takes; called before anything else runs.

        Raises:
            ConfigurationError: a port that is needed is taken by somebody else.
        """
        adopted = False
        unwanted = []
        for process in former.processes if former else ():
            if not process.runs:
                continue
            member = self._members.get(process.name)
            if member is not None and process.kind != "task" and process.command_digest == member.status.command_digest:
                member.adopt(process)
                adopted = True
            else:
                unwanted.append(process)
        end_all(unwanted)
        if former is not None and adopted:  # the same stack goes on, so what it has done is done
            for process in former.processes:
                member = self._members.get(process.name)
                if member and process.state == "done" and process.command_digest == member.status.command_digest:
                    member.adopt(process)
        for name, member in self._members.items():
            if member.status.identity is None:
                for port, what_for in self._launcher.ports(member.entry).items():
                    require_free(port, what_for if what_for == name else f"{what_for} ({name})")

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT, then stop everything and remove stack.json.

        Raises:
            ConfigurationError: this system does not tell one process from another.
        """
        me = identity_of(os.getpid())
        if me is None:
            raise ConfigurationError("This system has neither /proc nor ps to tell processes apart.")
        self._stack.supervisor_pid, self._stack.supervisor_started = me.pid, me.started
        self._lock.sign()
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._try_again)
        self._write()
        stopped = asyncio.create_task(stop.wait())
        kept = asyncio.create_task(self._keep_findable())
        running = {asyncio.create_task(member.run(), name=name) for name, member in self._members.items()}
        try:
            while not stop.is_set():
                done, _ = await asyncio.wait({stopped, *running}, return_when=asyncio.FIRST_COMPLETED)
                for task in done & running:
                    task.result()  # a task of the plan is done; what else ends here is a fault of ours and is raised
                running -= done
        finally:
            for task in (stopped, kept, *running):
                task.cancel()
            await asyncio.gather(stopped, kept, *running, return_exceptions=True)
            await self._stop()

    async def _stop(self) -> None:
        self._stack.stopping = True
        self._write()
        for layer in reversed(self._launcher.plan.layers):
            await asyncio.gather(*(self._members[entry.name].stop() for entry in layer), return_exceptions=True)
        self._home.stack_file.unlink(missing_ok=True)

    def _try_again(self) -> None:
        for member in self._members.values():
            member.try_again()

    async def _keep_findable(self) -> None:
        """Put stack.json and the lock right when somebody has deleted or changed them, or the disk was full."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            with contextlib.suppress(ChoparError, OSError):  # a disk that is full or a folder that is not ours now
                if self._lock.deleted:  # the whole folder, maybe: then nobody could stop what runs
                    self._home.make()
                self._lock.keep()
            if self._written is None or mark_of(self._home.stack_file) != self._written:
                if self._written is not None:
                    write_log("stack.json was deleted or changed by somebody else and is written anew")
                self._write()

    def _write(self) -> None:
        """Write stack.json; a full disk must not end the stack, and the next look tries again."""
        try:
            self._written = write_stack(self._home.folder, self._stack)
            self._unwritable = ""
        except OSError as error:
            self._written = None
            if str(error) != self._unwritable:  # once, not every second
                self._unwritable = str(error)
                write_log(f"stack.json cannot be written: {error}")


def end_all(processes: Sequence[ProcessStatus]) -> list[str]:
    """End processes in the reverse of this order, the broker last; give the names of those that had to be killed."""
    killed = []
    backwards = list(reversed(processes))
    for process in sorted(backwards, key=lambda process: process.kind == "broker"):
        if process.identity is not None and not end_process(process.identity, process.stop_seconds):
            killed.append(process.name)
    return killed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the supervisor; give the exit code: 0 stopped as told (or detached), 2 it could not begin and said why."""
    parser = argparse.ArgumentParser("python -m chopar.broker.supervisor", description="Keep a local stack running.")
    parser.add_argument("--home", type=Path, required=True, help="folder of the stack's state")
    parser.add_argument("--plan", type=Path, required=True, help="what to start, such as deploy/local.toml")
    parser.add_argument("--port-base", type=int, default=DEFAULT_PORT_BASE, help="where the ports begin")
    parser.add_argument("--java", type=Path, help="the program that runs the broker")
    parser.add_argument("--jars", type=Path, help="the folder with the broker's jars")
    parser.add_argument("--detach", action="store_true", help="go on in the background; print its pid")
    options = parser.parse_args(arguments)
    home = Home(options.home.resolve())
    try:
        home.make()
        with SupervisorLock(home) as lock:
            class_path = ensure_jars(options.jars.absolute()) if options.jars else ()
            java = options.java.absolute() if options.java else None
            launcher = Launcher(load_plan(options.plan), home.folder, options.port_base, java, class_path)
            supervisor = Supervisor(launcher, lock)
            supervisor.take_over(read_stack(home.folder))
            if options.detach and not _detach(home.log("supervisor")):
                return 0
            asyncio.run(supervisor.run())
    except ChoparError as error:
        print(error, file=sys.stderr)  # noqa: T201 (its standard error is read by who started it, or is its log)
        return 2
    return 0


def _detach(log: Path) -> bool:
    """Go on in a child that belongs to nobody: own session, output into the log. Tell whether this is the child.

    Everything that can fail for the user's reasons has been done by now, so who started us has heard of it. No thread
    runs yet, and the locks go over to the child.
    """
    pid = os.fork()
    if pid:
        os.write(1, f"{pid}\n".encode())
        return False
    os.setsid()
    put_aside(log)
    os.chdir("/")
    with log.open("ab") as file, open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    return True


if __name__ == "__main__":
    sys.exit(main())
