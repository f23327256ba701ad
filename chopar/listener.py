"""The one listener of a process: health answered here, all else by an application behind Uvicorn, loaded when asked.

Most processes are never asked for more than health, and Uvicorn with what it loads takes four megabytes and wakes up
ten times a second. So a request's head is read here; if it is none of `chopar.health`'s, the connection goes on to
Uvicorn as it is, with what has come so far, and stays there. One that is answered here is closed.
"""

import asyncio
import errno
import os
import socket
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import nullcontext
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from chopar.errors import ConfigurationError, StopError
from chopar.health import NOT_FOUND, Answer, AsgiApp, Health

if TYPE_CHECKING:
    import uvicorn

_GRACE_SECONDS = 3
_HEAD_SECONDS = 5.0
"""How long a head may take to come."""
_LARGEST_HEAD_BYTES = 65_536
"""As Uvicorn has it."""
# `localhost` stands for IPv6 too, where a machine may have none.
_NO_SUCH_ADDRESS = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})

_BAD_REQUEST = Answer(HTTPStatus.BAD_REQUEST, "text/plain; charset=utf-8", b"Bad Request")


async def serve(health: Health, address: str, until: Awaitable[object], app: AsgiApp | None = None) -> None:
    """Listen on `host:port` until something is awaited to its end, then stop within a few seconds.

    Signals stay with the caller.

    Args:
        health: what is answered here.
        address: where.
        until: what the process does.
        app: answers all else; nothing does if there is none.

    Raises:
        ConfigurationError: nothing can listen there; then nothing was awaited.
        StopError: what was awaited was cancelled, and not by us.
    """
    try:
        sockets = _listening(address)
    except OSError as error:
        if isinstance(until, Coroutine):
            until.close()
        raise ConfigurationError(
            f"{address}: this process cannot listen there ({error.strerror}): stop what does, or set another "
            f"address in the variable that ends in HTTP__ADDRESS"
        ) from None
    behind = _Uvicorn(health.before(app)) if app is not None else None
    open_here: set[asyncio.BaseTransport] = set()
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(lambda: _Connection(health, behind, open_here), sock=one) for one in sockets]
    waiting = asyncio.ensure_future(until)
    try:
        await asyncio.wait({waiting})
    finally:
        for server in servers:
            server.close()
        for transport in list(open_here):
            transport.close()
        if behind is not None:
            await behind.stop()
        if not waiting.done():
            waiting.cancel()
    try:
        waiting.result()
    except asyncio.CancelledError as error:
        # A library that cancels what we wait for would otherwise look like a process that has done its work.
        raise StopError("what this process was doing was cancelled from within; it has to start over") from error


class _Connection(asyncio.Protocol):
    """Reads the head of a connection's first request."""

    def __init__(self, health: Health, behind: "_Uvicorn | None", open_here: set[asyncio.BaseTransport]) -> None:
        self._health = health
        self._behind = behind
        self._open_here = open_here
        self._seen = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._open_here.add(transport)
        self._too_late = asyncio.get_running_loop().call_later(_HEAD_SECONDS, transport.close)

    def connection_lost(self, _: Exception | None) -> None:
        self._let_go()

    def data_received(self, data: bytes) -> None:
        self._seen += data
        if b"\r\n\r\n" not in self._seen and len(self._seen) < _LARGEST_HEAD_BYTES:
            return
        words = self._seen[: self._seen.find(b"\r\n")].decode("latin-1").split(" ")
        is_request = len(words) == 3 and words[2].startswith("HTTP/1.")
        found = self._health.answer(words[0], words[1].partition("?")[0]) if is_request else None
        if found is None and self._behind is not None:
            self._let_go()
            self._behind.take(self._transport, self._seen)
        else:
            self._say(words[0], found or (NOT_FOUND if is_request else _BAD_REQUEST))

    def _say(self, method: str, answer: Answer) -> None:
        head = (
            f"HTTP/1.1 {answer.status.value} {answer.status.phrase}\r\n"
            f"date: {formatdate(usegmt=True)}\r\n"
            f"content-type: {answer.content_type}\r\n"
            f"content-length: {len(answer.body)}\r\n"
            "connection: close\r\n\r\n"
        )
        self._transport.write(head.encode() + (b"" if method == "HEAD" else answer.body))
        self._transport.close()

    def _let_go(self) -> None:
        self._too_late.cancel()
        self._open_here.discard(self._transport)


class _Uvicorn:
    """Uvicorn without sockets of its own: connections are handed to it.

    Args:
        app: what it serves.
    """

    def __init__(self, app: AsgiApp) -> None:
        self._app = app
        self._server: asyncio.Future[uvicorn.Server] | None = None
        self._serving: asyncio.Task[None] | None = None
        self._handing: set[asyncio.Task[None]] = set()

    def take(self, transport: asyncio.Transport, seen: bytes) -> None:
        """Go on with a connection of which so much was read."""
        transport.pause_reading()
        handing = asyncio.ensure_future(self._hand(transport, seen))
        self._handing.add(handing)
        handing.add_done_callback(self._handing.discard)

    async def _hand(self, transport: asyncio.Transport, seen: bytes) -> None:
        if self._server is None:
            # In a thread: whatever else runs goes on meanwhile.
            self._server = asyncio.ensure_future(asyncio.to_thread(self._loaded))
        try:
            server = await asyncio.shield(self._server)
        except asyncio.CancelledError:
            transport.close()
            raise
        if self._serving is None:
            self._serving = asyncio.ensure_future(server.serve(sockets=[]))
        if transport.is_closing():
            return
        make = cast("Callable[..., asyncio.Protocol]", server.config.http_protocol_class)
        protocol = make(config=server.config, server_state=server.server_state, app_state={})
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        transport.resume_reading()
        protocol.data_received(seen)

    def _loaded(self) -> "uvicorn.Server":
        import uvicorn

        config = uvicorn.Config(
            self._app, log_config=None, access_log=False, timeout_graceful_shutdown=_GRACE_SECONDS, lifespan="off"
        )
        config.load()
        server = uvicorn.Server(config)
        server.capture_signals = nullcontext  # type: ignore[method-assign, assignment]
        return server

    async def stop(self) -> None:
        """Finish what was begun, within the grace."""
        for handing in list(self._handing):
            handing.cancel()
        if self._server is not None and self._serving is not None:
            self._server.result().should_exit = True
            await self._serving


def _listening(address: str) -> list[socket.socket]:
    """A socket for each address that `host:port` stands for."""
    host, _, port = address.rpartition(":")
    found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    made: list[socket.socket] = []
    failure: OSError | None = None
    for family, _, _, _, place in dict.fromkeys(found):
        try:
            made.append(socket.create_server(place[:2], family=family))
        except OSError as error:
            if error.errno not in _NO_SUCH_ADDRESS:
                for one in made:
                    one.close()
                raise OSError(error.errno, os.strerror(error.errno or 0)) from error
            failure = error
    if not made:
        raise failure or OSError(0, "no address")
    return made
