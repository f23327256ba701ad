"""The schema registry on an in-memory bus: in the test's own loop, and behind a real listener."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import uvicorn
from prometheus_client import CollectorRegistry

from chopar.bus.memory import MemoryBus
from chopar.health import AsgiApp, Health
from services.schema_registry.handlers import Deletion
from services.schema_registry.http import application
from services.schema_registry.model import Schemas
from services.schema_registry.store import SchemaTopic

DEADLINE_SECONDS = 10.0


def memory_bus() -> MemoryBus:
    """A bus whose clock stands still."""
    return MemoryBus(lambda: 1_790_000_000_000)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that others bring about."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():
            await asyncio.sleep(0)


@dataclass
class Instance:
    """One registry on a bus."""

    bus: MemoryBus
    schemas: Schemas = field(default_factory=Schemas)
    metrics: CollectorRegistry = field(default_factory=CollectorRegistry)
    write_timeout_seconds: float = 10.0
    deletion: Deletion = field(default_factory=Deletion)

    def __post_init__(self) -> None:
        self.waits: list[float] = []
        self.topic = SchemaTopic(
            self.bus, self.schemas, write_timeout_seconds=self.write_timeout_seconds, back_off=self._back_off
        )
        api = application(self.schemas, self.topic, self.metrics, self.deletion)
        self.app = Health(self.topic.missing, self.metrics).before(api)

    async def _back_off(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(0)

    @contextlib.asynccontextmanager
    async def following(self, *, ready: bool = True) -> AsyncIterator["Instance"]:
        """Follow the topic meanwhile; begin when the log was read."""
        task = asyncio.create_task(self.topic.follow())
        try:
            if ready:
                await until(lambda: task.done() or not self.topic.missing())
            if task.done():
                task.result()
            yield self
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


@contextlib.asynccontextmanager
async def listening(app: AsgiApp) -> AsyncIterator[str]:
    """Serve an application on a free port; gives its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1))
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await until(lambda: server.started or task.done())
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task
