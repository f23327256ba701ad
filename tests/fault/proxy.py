"""A TCP proxy in front of a broker that can be told to cut, to delay, or to lose what goes one way.

TCP loses no bytes of a connection that lives on, so a connection on which bytes were swallowed is broken off when the
fault ends: to both ends it was a network that had stopped carrying. What was swallowed may have been an
acknowledgement, which is the case that a producer must not mistake for a failure, nor for a success.
"""

import asyncio
import contextlib
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from enum import StrEnum

HOST = "127.0.0.1"
_CHUNK_BYTES = 256 * 1024


class Fault(StrEnum):
    """What the proxy does to what passes."""

    NONE = "none"
    CUT = "cut"
    """Connections are reset, new ones too."""
    DELAY = "delay"
    """Each piece arrives later."""
    DROP_TO_BROKER = "drop_to_broker"
    """What clients send is swallowed."""
    DROP_TO_CLIENT = "drop_to_client"
    """What the broker answers is swallowed."""


class _Connection:
    """One client's connection and ours to the broker for it."""

    def __init__(self, client: StreamWriter, broker: StreamWriter) -> None:
        self.client = client
        self.broker = broker
        self.holes: set[Fault] = set()
        """The directions in which something was swallowed."""

    def reset(self) -> None:
        for writer in (self.client, self.broker):
            writer.transport.abort()


class Proxy:
    """Listens on a port and passes everything to another one.

    Args:
        port: where clients connect.
        target: the broker's port.
        sleep: waits so many seconds.
    """

    def __init__(self, port: int, target: int, *, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep) -> None:
        self.port = port
        self._target = target
        self._sleep = sleep
        self._fault = Fault.NONE
        self._delay_seconds = 0.0
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self.felt = 0
        """Since the last break-down: connections reset or refused, pieces delayed or swallowed by it."""

    @property
    def address(self) -> str:
        """Where clients connect."""
        return f"{HOST}:{self.port}"

    @property
    def connections(self) -> int:
        """How many are open now."""
        return len(self._connections)

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, HOST, self.port)

    async def stop(self) -> None:
        """Listen no more, and reset what is open."""
        if self._server is not None:
            self._server.close()
            self._reset(list(self._connections))
            await self._server.wait_closed()

    def break_down(self, fault: Fault, delay_seconds: float = 0.0) -> None:
        """From now on do this, until `heal`.

        Args:
            fault: what to do.
            delay_seconds: of each piece, one way; for `Fault.DELAY`.
        """
        self._fault = fault
        self._delay_seconds = delay_seconds if fault is Fault.DELAY else 0.0
        self.felt = 0
        if fault is Fault.CUT:
            self.felt = len(self._connections)
            self._reset(list(self._connections))

    def heal(self) -> None:
        """Pass everything again; connections that missed something are reset."""
        self._fault = Fault.NONE
        self._delay_seconds = 0.0
        self._reset([connection for connection in self._connections if connection.holes])

    def _reset(self, connections: list[_Connection]) -> None:
        for connection in connections:
            connection.reset()

    def _cuts(self) -> bool:
        return self._fault is Fault.CUT

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        if self._cuts():
            self.felt += 1
            writer.transport.abort()
            return
        try:
            from_broker, to_broker = await asyncio.open_connection(HOST, self._target)
        except OSError:  # the broker is dead, and a client has to hear of it
            writer.transport.abort()
            return
        connection = _Connection(writer, to_broker)
        if self._cuts():  # meanwhile
            connection.reset()
            return
        self._connections.add(connection)
        try:
            pumps = [
                asyncio.create_task(self._pump(connection, reader, to_broker, Fault.DROP_TO_BROKER)),
                asyncio.create_task(self._pump(connection, from_broker, writer, Fault.DROP_TO_CLIENT)),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            self._connections.discard(connection)
            connection.reset()

    async def _pump(
        self, connection: _Connection, reader: StreamReader, writer: StreamWriter, dropped_by: Fault
    ) -> None:
        """Carry one direction until either end is gone."""
        with contextlib.suppress(OSError):
            while piece := await reader.read(_CHUNK_BYTES):
                if self._delay_seconds:
                    self.felt += 1
                    await self._sleep(self._delay_seconds)
                if self._fault is dropped_by or dropped_by in connection.holes:
                    self.felt += 1
                    connection.holes.add(dropped_by)  # the stream has a hole now: nothing behind it may pass
                    continue
                writer.write(piece)
                await writer.drain()
