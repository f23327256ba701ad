"""A broker, a schema registry, topics, lists in force and a filled tax register of one's own, for one run of the bench.

The gateway and the tax service are started and stopped by the bench: as the plan of the local stack says, or a
reference in their place.
"""

import compileall
import contextlib
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from chopar.broker.jars import ensure_jars, jar_cache
from chopar.broker.java import find_java
from chopar.broker.kafka_node import KafkaNode, new_cluster_id
from chopar.broker.launch import inherited
from chopar.broker.plan import Entry, load_plan
from tests.kafka_fixture import free_ports, run_node
from tests.load.accounting import peak_mib

CHECKOUT = Path(__file__).parents[2]
READY_SECONDS = 120.0
STOP_SECONDS = 20.0
TASK_SECONDS = 120
UNREACHABLE = 3


class Stack:
    """What runs for one run, and starts more of it."""

    def __init__(
        self, home: Path, bootstrap: str, broker_pid: int, ports: Sequence[int], variant: Sequence[str] = ()
    ) -> None:
        self.home = home
        self.variant = tuple(variant)
        """Options of `tests.load.variant`, if everything here runs otherwise than it ships."""
        self.bootstrap = bootstrap
        self.pids = {"broker": broker_pid}
        self._plan = load_plan(CHECKOUT / "deploy" / "local.toml")
        served = [entry for entry in self._plan.entries if entry.kind == "process"]
        self._addresses = {
            entry.name: f"127.0.0.1:{port}" for entry, port in zip(served, ports[: len(served)], strict=True)
        }
        self.registry = f"http://{self._addresses['schema-registry']}"

    def environment(self, name: str) -> dict[str, str]:
        """What an entry of the plan sees."""
        entry = self._plan.entry(name)
        model = self._plan.entry(entry.environment_of) if entry.environment_of else entry
        ours = {key: self._filled(text, model) for key, text in {**model.environment, **entry.environment}.items()}
        return inherited(os.environ) | ours

    def _filled(self, text: str, entry: Entry) -> str:
        return text.format(
            home=self.home,
            bootstrap=self.bootstrap,
            registry=self.registry,
            address=self._addresses.get(entry.name, ""),
        )

    def task(self, name: str) -> None:
        """Run a task of the plan to its end; again, while what it needs is not reached yet."""
        entry = self._plan.entry(name)
        command = self.command(entry.module, *(self._filled(text, entry) for text in entry.args))
        for last in (False, False, True):
            done = subprocess.run(
                command,
                env=self.environment(name),
                cwd=CHECKOUT,
                stdin=subprocess.DEVNULL,
                stdout=self._log(name),
                stderr=subprocess.STDOUT,
                timeout=TASK_SECONDS,
                check=False,
            )
            if done.returncode == 0:
                return
            if last or done.returncode != UNREACHABLE:
                raise RuntimeError(f"{name} ended with {done.returncode}: {self.home / name}.log")

    def command(self, module: str, *arguments: str, variant: Sequence[str] = ()) -> list[str]:
        """How a module is run here."""
        changed = (*self.variant, *variant)
        through = ["-m", "tests.load.variant", *changed] if changed else ["-m"]
        return [sys.executable, *through, module, *arguments]

    def peak_mib(self, name: str) -> float:
        """The most memory that a running process has had."""
        return peak_mib(self.pids[name])

    @contextlib.contextmanager
    def running(
        self,
        name: str,
        command: Sequence[str] | None = None,
        *,
        variant: Sequence[str] = (),
        ready: float = READY_SECONDS,
    ) -> Iterator[float]:
        """Run a process of the plan (or another command with its environment) for as long as the context is open.

        Args:
            name: of the entry.
            command: another command in its place.
            variant: options of `tests.load.variant` for this process alone.
            ready: how many seconds it may take until it is ready.

        Yields:
            How many seconds it took.
        """
        entry = self._plan.entry(name)
        began = time.monotonic()
        process = subprocess.Popen(
            command or self.command(entry.module, *entry.args, variant=variant),
            env=self.environment(name),
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=self._log(name),
            stderr=subprocess.STDOUT,
        )
        try:
            self._wait_ready(name, process, ready)
            self.pids[name] = process.pid
            yield time.monotonic() - began
        finally:
            self.pids.pop(name, None)
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    @contextlib.contextmanager
    def beside(self, name: str, module: str, *arguments: str) -> Iterator[None]:
        """Run a process that says `ready` on its standard output, and that the plan does not know."""
        process = subprocess.Popen(
            self.command(module, *arguments),
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log(name),
        )
        try:
            if process.stdout is None or process.stdout.readline() != b"ready\n":
                raise RuntimeError(f"{name} did not start: {self.home / name}.log")
            self.pids[name] = process.pid
            yield
        finally:
            self.pids.pop(name, None)
            process.terminate()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def _wait_ready(self, name: str, process: "subprocess.Popen[bytes]", seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise RuntimeError(f"{name} ended with {process.returncode}: {self.home / name}.log")
            with contextlib.suppress(OSError, urllib.error.URLError):
                url = f"http://{self._addresses[name]}/ready"
                with urllib.request.urlopen(url, timeout=2) as answer:
                    if answer.status == 200:
                        return
            time.sleep(0.05)
        raise RuntimeError(f"{name} is not ready after {seconds:.0f} s: {self.home / name}.log")

    def _log(self, name: str) -> int:
        return os.open(self.home / f"{name}.log", os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)


@contextlib.contextmanager
def stack(home: Path, variant: Sequence[str] = ()) -> Iterator[Stack]:
    """Broker, registry, topics, schemas, lists in force and register; all of it ends with the context."""
    for folder in ("chopar", "gateway", "services"):
        # As an image has it: a process that compiles its modules has some MiB more for as long as it lives.
        compileall.compile_dir(CHECKOUT / folder, quiet=2)
    java, class_path = find_java(os.environ), ensure_jars(jar_cache(os.environ))
    port, controller_port, *others = free_ports(12)
    node = KafkaNode(home / "kafka", port, controller_port)
    node.folder.mkdir(parents=True)
    node.format(java, class_path, new_cluster_id())
    node.write_files()
    with run_node(node, java, class_path) as broker:
        made = Stack(home, node.address, broker.pid, others, variant)
        made.task("seed-tax")
        made.task("apply-topics")
        with made.running("schema-registry"):
            made.task("push-schemas")
            made.task("activate")
            yield made
