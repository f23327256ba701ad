"""The real processes, started again whenever they end, as a supervisor would: some of them twice."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from chopar.broker.member import BACK_OFF_SECONDS, STEADY_SECONDS, TASK_TRIES
from chopar.broker.plan import load_plan
from chopar.broker.probes import http_ready
from tests.fault.tether import tethered

CHECKOUT = Path(__file__).parents[2]
READY_SECONDS = 60.0
STOP_SECONDS = 15.0
TASK_SECONDS = 120.0
_LOOK_AGAIN_SECONDS = 0.1


@dataclass
class Worker:
    """A process that is kept running.

    Attributes:
        name: also that of its log.
        kind: workers of one kind do the same work.
        command: what is run.
        environment: all of CHOPAR_... that it sees.
        address: where it says whether it is ready; None if it does not.
        left: the exit codes with which it ended by itself.
    """

    name: str
    kind: str
    command: Sequence[str]
    environment: Mapping[str, str]
    address: str | None = None
    wanted: bool = False
    process: asyncio.subprocess.Process | None = None
    keeper: asyncio.Task[None] | None = None
    expected: bool = False
    left: list[int] = field(default_factory=list)

    @property
    def runs(self) -> bool:
        """Whether its process is there, paused or not."""
        return self.process is not None and self.process.returncode is None

    def send(self, number: signal.Signals) -> None:
        """Signal it, if it runs."""
        if self.process is not None and self.process.returncode is None:
            self.expected = self.expected or number in (signal.SIGKILL, signal.SIGTERM)
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, number)


class Fleet:
    """All workers of a run.

    Args:
        home: where their state and logs lie.
        bootstrap: where they reach the brokers.
        ports: free ones: the schema registry's, then two or three for gateways and tax services each.
    """

    def __init__(self, home: Path, bootstrap: str, ports: Sequence[int]) -> None:
        self.home = home
        self.bootstrap = bootstrap
        self._plan = load_plan(CHECKOUT / "deploy" / "local.toml")
        registry, *others = (f"127.0.0.1:{port}" for port in ports)
        self.registry = f"http://{registry}"
        half = len(others) // 2
        self.workers: dict[str, Worker] = {}
        self._add("schema-registry", "schema-registry", registry, home)
        for number, address in enumerate(others[:half], 1):
            self._add(f"gateway-{number}", "gateway", address, home / f"gateway-{number}")
        for number, address in enumerate(others[half:], 1):  # one register, and one secret, as one agency has
            self._add(f"tax-{number}", "tax", address, home)
        module = [sys.executable, "-m"]
        where = ["--bootstrap", bootstrap, "--home", str(home)]
        for number in (1, 2):  # on one database
            name = f"requester-{number}"
            asker = [*module, "tests.fault.requester", *where, "--registry", self.registry, "--name", name]
            self.workers[name] = Worker(name, "requester", asker, {})
        naive = [*module, "tests.fault.naive", *where]
        self.workers["naive"] = Worker("naive", "naive", naive, {})

    def of(self, kind: str) -> list[Worker]:
        """The workers of a kind that are to run now."""
        return [worker for worker in self.workers.values() if worker.kind == kind and worker.wanted]

    async def task(self, name: str) -> None:
        """Run a task of the plan to its end, for the first instance of what it belongs to; tried as a supervisor does.

        Raises:
            RuntimeError: it failed each time.
        """
        for last in range(TASK_TRIES - 1, -1, -1):
            code = await self._once(name)
            if code == 0:
                return
            if not last:
                raise RuntimeError(f"{name} ended with {code}: {self._log(name)}")

    async def _once(self, name: str) -> int:
        entry = self._plan.entry(name)
        model = entry.environment_of
        like = self.workers.get(f"{model}-1")
        arguments = [text.format(registry=self.registry) for text in entry.args]
        environment = like.environment if like else None
        process = await self._spawn(name, [sys.executable, "-m", entry.module, *arguments], environment)
        try:
            async with asyncio.timeout(TASK_SECONDS):
                return await process.wait()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            raise

    def share_law(self) -> None:
        """Give the other gateways what operators carry over to a second machine: secrets and lists."""
        first = self.home / "gateway-1" / "gateway"
        for worker in self.workers.values():
            if worker.kind == "gateway" and worker.name != "gateway-1":
                for folder in ("secrets", "lists"):
                    shutil.copytree(first / folder, self.home / worker.name / "gateway" / folder)

    def forget_first_records(self, worker: Worker) -> None:
        """Empty a gateway's disk of what it can read again from the log."""
        shutil.rmtree(self.home / worker.name / "gateway" / "first_records", ignore_errors=True)

    def start(self, worker: Worker) -> None:
        """Keep it running from now on."""
        worker.wanted = True
        worker.keeper = asyncio.create_task(self._keep(worker))

    async def ready(self, worker: Worker, within_seconds: float = READY_SECONDS) -> bool:
        """Wait until it says that it is ready (or runs, if it says nothing); whether that came to be."""
        deadline = time.monotonic() + within_seconds
        while not (worker.runs and (worker.address is None or await http_ready(worker.address))):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        return True

    async def stop(self, worker: Worker) -> float:
        """Ask it to finish what it holds and to end, for good; gives the seconds it took."""
        began = time.monotonic()
        worker.wanted = False
        worker.send(signal.SIGTERM)
        if worker.process is not None:
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await worker.process.wait()
            except TimeoutError:
                worker.send(signal.SIGKILL)
        if worker.keeper is not None:
            await worker.keeper
        return time.monotonic() - began

    async def stop_all(self) -> None:
        """End all at once, by force."""
        for worker in self.workers.values():
            worker.wanted = False
            worker.send(signal.SIGKILL)
        keepers = [worker.keeper for worker in self.workers.values() if worker.keeper is not None]
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        for worker in self.workers.values():  # one that was started while the rest was being ended
            worker.send(signal.SIGKILL)
            if worker.process is not None:
                await worker.process.wait()

    def _add(self, name: str, kind: str, address: str, home: Path) -> None:
        entry = self._plan.entry(kind)
        ours = {
            key: text.format(home=home, bootstrap=self.bootstrap, registry=self.registry, address=address)
            for key, text in entry.environment.items()
        }
        command = [sys.executable, "-m", entry.module, *entry.args]
        self.workers[name] = Worker(name, kind, command, ours, address)

    async def _keep(self, worker: Worker) -> None:
        failures = 0
        while worker.wanted:
            began = time.monotonic()
            worker.expected = False
            worker.process = await self._spawn(worker.name, worker.command, worker.environment)
            code = await worker.process.wait()
            if not worker.expected:
                worker.left.append(code)
            failures = 1 if time.monotonic() - began > STEADY_SECONDS else failures + 1
            if worker.wanted:
                await asyncio.sleep(BACK_OFF_SECONDS[min(failures, len(BACK_OFF_SECONDS)) - 1])

    async def _spawn(
        self, name: str, command: Sequence[str], environment: Mapping[str, str] | None
    ) -> asyncio.subprocess.Process:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("CHOPAR_")}
        with self._log(name).open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *tethered(command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=CHECKOUT,
                env=inherited | {"PYTHONUNBUFFERED": "1"} | dict(environment or {}),
                start_new_session=True,
            )

    def _log(self, name: str) -> Path:
        return self.home / f"{name}.log"
