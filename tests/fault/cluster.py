"""Three brokers on loopback, each behind a proxy for its clients; they can be killed, paused, stopped and cut off.

Three copies of every record, two of which must exist before it is acknowledged. Brokers and controllers reach each
other directly: what the proxies break is the way between clients and a broker. All of it is thrown away at the end.
"""

import asyncio
import contextlib
import os
import resource
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from chopar.broker.jars import ensure_jars, jar_cache
from chopar.broker.java import find_java
from chopar.broker.kafka_node import JAVA_ENVIRONMENT, KafkaNode, new_cluster_id
from chopar.broker.probes import kafka_ready
from tests.fault.proxy import HOST, Proxy
from tests.fault.tether import tethered

NODES = 3
PORTS = 4 * NODES
"""How many ports a cluster needs."""

START_SECONDS = 90.0
STOP_SECONDS = 30.0
_ASK_SECONDS = 5.0
_LOOK_AGAIN_SECONDS = 0.2


@dataclass(frozen=True)
class ProxiedNode(KafkaNode):
    """A node that tells clients the proxy's port, and other brokers one of its own."""

    advertised_port: int = 0
    internal_port: int = 0

    def settings(self, data: Path | None = None) -> dict[str, str]:
        """The settings of any node, with a second listener."""
        settings = KafkaNode.settings(self, data)
        return settings | {
            "listeners": settings["listeners"] + f",INTERNAL://{HOST}:{self.internal_port}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{self.advertised_port},INTERNAL://{HOST}:{self.internal_port}",
            "listener.security.protocol.map": settings["listener.security.protocol.map"] + ",INTERNAL:PLAINTEXT",
            "inter.broker.listener.name": "INTERNAL",
        }


class Broker:
    """One broker and its proxy."""

    def __init__(self, node: ProxiedNode, java: Path, class_path: tuple[Path, ...]) -> None:
        self.node = node
        self.name = f"broker-{node.node_id}"
        self.proxy = Proxy(node.advertised_port, node.port)
        self._command = node.command(java, class_path)
        self._process: asyncio.subprocess.Process | None = None

    @property
    def runs(self) -> bool:
        """Whether its process is there, paused or not."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start it, and wait until it answers.

        Raises:
            RuntimeError: it does not.
        """
        with (self.node.folder / "stdout.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *tethered(self._command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | JAVA_ENVIRONMENT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not await kafka_ready(self.node.address):
            if not self.runs or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} does not come up: {self.node.folder}")
            await asyncio.sleep(0.1)

    async def kill(self) -> None:
        """End it without warning."""
        self.send(signal.SIGKILL)
        if self._process is not None:
            await self._process.wait()

    async def stop(self) -> None:
        """Let it hand over and end; by force if it takes too long."""
        self.send(signal.SIGTERM)
        if self._process is not None:
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await self._process.wait()
            except TimeoutError:
                await self.kill()

    def fill_disk(self) -> None:
        """Have every write to a file fail from now on, as on a full disk (Linux); a new process has room again."""
        if self._process is not None and self._process.returncode is None:
            _, hard = resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (0, hard))

    async def ended(self, within_seconds: float) -> bool:
        """Wait until it has ended by itself; whether it did."""
        if self._process is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_seconds):
                    await self._process.wait()
        return not self.runs

    def send(self, number: signal.Signals) -> None:
        """Signal it, if it runs."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)


class Cluster:
    """The three of them.

    Args:
        folder: theirs.
        ports: `PORTS` free ones.
    """

    def __init__(self, folder: Path, ports: Sequence[int]) -> None:
        java, self._class_path = find_java(os.environ), ensure_jars(jar_cache(os.environ))
        self._java = java
        numbers = range(1, NODES + 1)
        each = [ports[4 * n : 4 * n + 4] for n in range(NODES)]
        voters = tuple((number, each[number - 1][1]) for number in numbers)
        self.brokers = [
            Broker(
                ProxiedNode(
                    folder / f"broker-{number}",
                    port,
                    controller_port,
                    number,
                    voters,
                    advertised_port=advertised_port,
                    internal_port=internal_port,
                ),
                java,
                self._class_path,
            )
            for number, (port, controller_port, internal_port, advertised_port) in zip(numbers, each, strict=True)
        ]

    @property
    def bootstrap(self) -> str:
        """Where clients begin: the proxies."""
        return ",".join(broker.proxy.address for broker in self.brokers)

    @property
    def direct(self) -> str:
        """Where the harness itself looks, past the proxies."""
        return ",".join(f"{HOST}:{broker.node.internal_port}" for broker in self.brokers)

    async def start(self) -> None:
        """Format and start all."""
        cluster_id = new_cluster_id()
        for broker in self.brokers:
            broker.node.folder.mkdir(parents=True)
        await asyncio.gather(
            *(
                asyncio.to_thread(broker.node.format, self._java, self._class_path, cluster_id)
                for broker in self.brokers
            )
        )
        for broker in self.brokers:
            broker.node.write_files()
        await asyncio.gather(*(broker.proxy.start() for broker in self.brokers))
        await asyncio.gather(*(broker.start() for broker in self.brokers))

    async def stop(self) -> None:
        """End all at once; what they hold is not needed any more."""
        for broker in self.brokers:
            broker.send(signal.SIGKILL)
        await asyncio.gather(*(broker.kill() for broker in self.brokers), return_exceptions=True)
        await asyncio.gather(*(broker.proxy.stop() for broker in self.brokers), return_exceptions=True)

    async def missing_copies(self) -> int | None:
        """How many copies of partitions are not in step with their leaders; None if nobody says so now."""
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                admin = AIOKafkaAdminClient(bootstrap_servers=self.direct.split(","), request_timeout_ms=2000)
                try:
                    await admin.start()
                    topics = await admin.describe_topics()
                finally:
                    await admin.close()
        except (KafkaError, OSError, TimeoutError, AssertionError):
            return None
        return sum(
            len(partition["replicas"]) - len(partition["isr"]) for topic in topics for partition in topic["partitions"]
        )

    async def whole(self, within_seconds: float) -> bool:
        """Wait until every partition has all its copies; whether that came to be."""
        deadline = time.monotonic() + within_seconds
        while await self.missing_copies() != 0:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        return True
