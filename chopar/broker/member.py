"""One entry of the plan while the stack runs: started when what it needs is there, started again when it dies."""

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from chopar.broker.launch import Launcher
from chopar.broker.plan import Entry
from chopar.broker.probes import ended, http_ready, kafka_ready
from chopar.broker.processes import identity_of, is_alive, send_signal
from chopar.broker.stack import ProcessStatus
from chopar.errors import ConfigurationError

# Fast at first: a killed process is back in seconds. Slow at last: one that cannot live does not eat the machine.
BACK_OFF_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
STEADY_SECONDS = 30.0  # who lived this long begins again at the first back-off
TASK_TRIES = 3
KILLED_SECONDS = 5.0  # what the kernel may take to clear a killed process away


class Member:
    """Runs one entry.

    Args:
        entry: what to run.
        launcher: how to start it.
        changed: called after each change of `status`.
        needs: the members that must have come up first.
        now: the wall clock, for `since`.
    """

    def __init__(
        self,
        entry: Entry,
        launcher: Launcher,
        changed: Callable[[], None],
        needs: Sequence["Member"],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.entry = entry
        self.status = ProcessStatus(
            name=entry.name,
            kind=entry.kind,
            log=str(launcher.home.log(entry.name)),
            command_digest=launcher.commands[entry.name].digest,
            stop_seconds=entry.stop_seconds,
            address=launcher.address(entry),
        )
        self.came_up = asyncio.Event()
        self._try_again = asyncio.Event()
        self._launcher = launcher
        self._changed = changed
        self._needs = needs
        self._now = now
        self._child: subprocess.Popen[bytes] | None = None
        self._failures = 0

    def adopt(self, former: ProcessStatus) -> None:
        """Take over what a former supervisor started, and its history: a live process, or a task that is done."""
        self.status.pid, self.status.started = former.pid, former.started
        self.status.since, self.status.restarts, self.status.exit = former.since, former.restarts, former.exit
        if former.kind == "task":
            self.status.state, self.status.ready = "done", True
            self.came_up.set()

    async def run(self) -> None:
        """Run the entry: a task until it is done, anything else until cancelled. The process is left as it is."""
        if self.status.state == "done":
            return
        if self.status.identity is None:
            for need in self._needs:
                await need.came_up.wait()
        while True:
            began = time.monotonic()
            code = await self._live()
            if self.entry.kind == "task" and code == 0:
                self._set(state="done", ready=True, pid=None, started=None, exit=0)
                self.came_up.set()
                return
            self._failures = 1 if time.monotonic() - began > STEADY_SECONDS else self._failures + 1
            self.status.failures = 0 if self.status.ready else self.status.failures + 1
            given_up = self.entry.kind == "task" and self._failures >= TASK_TRIES
            state = "failed" if given_up else "restarting"
            self._set(state=state, ready=False, pid=None, started=None, exit=code)
            pause = None if given_up else BACK_OFF_SECONDS[min(self._failures, len(BACK_OFF_SECONDS)) - 1]
            self._try_again.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._try_again.wait(), pause)
            self.status.restarts += 1

    def try_again(self) -> None:
        """Start at once what waits in a back-off or was given up, as if it had not failed before."""
        if self.status.state in ("failed", "restarting"):
            self._failures = 0
            self._set(state="restarting", failures=0)
            self._try_again.set()

    async def stop(self) -> None:
        """End the process, if one runs: SIGTERM, and SIGKILL to its group when its time is over."""
        identity = self.status.identity
        if identity is not None and is_alive(identity):
            send_signal(identity, signal.SIGTERM)
            try:
                await asyncio.wait_for(ended(identity), self.entry.stop_seconds)
            except TimeoutError:
                self._say(f"did not stop within {self.entry.stop_seconds:.0f} s and is killed")
                send_signal(identity, signal.SIGKILL, group=True)
                await asyncio.wait_for(ended(identity), KILLED_SECONDS)
        self._set(state="stopped", ready=False, pid=None, started=None, exit=self._collect())

    async def _live(self) -> int | None:
        """Start the process, unless one was taken over, and see it through; give how it ended."""
        if self.status.identity is None and not await self._start():
            return None
        identity = self.status.identity
        if identity is None:  # it had ended before it could be looked at
            return self._collect()
        watch = asyncio.create_task(self._watch_readiness())
        try:
            await ended(identity)
        finally:
            watch.cancel()
        code = self._collect()
        self._say("ended" if code is None else f"ended with {code}")
        return code

    async def _start(self) -> bool:
        self._set(state="starting", problem=None)
        try:
            await asyncio.to_thread(self._launcher.prepare, self.entry)
            self._child = self._launcher.spawn(self.entry)
        except (ConfigurationError, OSError) as error:  # OSError: a full disk, no descriptors left; it may pass
            self._say(str(error))
            self.status.problem = str(error)
            return False
        identity = identity_of(self._child.pid)
        self._set(
            pid=identity.pid if identity else None,
            started=identity.started if identity else None,
            since=self._now().isoformat(timespec="milliseconds"),
        )
        self._say(f"started as pid {self._child.pid}")
        return True

    async def _watch_readiness(self) -> None:
        if self.entry.kind == "task":
            return
        wait = 0.05
        while True:
            ready = await self._is_ready()
            if ready != self.status.ready or self.status.state != ("running" if ready else "starting"):
                self._set(state="running" if ready else "starting", ready=ready)
                self._say("is ready" if ready else "is not ready")
            if ready:
                self.came_up.set()
                self.status.failures = 0
            wait = 5.0 if ready else min(wait * 1.2, 0.25)  # asked often while others wait for it, then now and then
            await asyncio.sleep(wait)

    async def _is_ready(self) -> bool:
        if self.status.address is None:
            return True
        return await (kafka_ready if self.entry.kind == "broker" else http_ready)(self.status.address)

    def _collect(self) -> int | None:
        """Collect our child, so that no zombie stays, and give its exit code; an adopted process has none for us."""
        child, self._child = self._child, None
        return child.wait() if child is not None else None

    def _set(self, **changes: object) -> None:
        for name, value in changes.items():
            setattr(self.status, name, value)
        self._changed()

    def _say(self, words: str) -> None:
        write_log(f"{self.entry.name} {words}", self._now())


def write_log(words: str, at: datetime | None = None) -> None:
    """Write a line into the supervisor's log, its standard output; on a full disk the line is lost and nothing ends."""
    line = f"{(at or datetime.now(UTC)).isoformat(timespec='milliseconds')} {words}\n"
    with contextlib.suppress(OSError):
        os.write(1, line.encode())
