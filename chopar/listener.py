"""The one listener of a process: Uvicorn, with health before whatever else the process answers.

Loading Uvicorn takes three megabytes; Starlette, which takes more, only comes with an application that is made of it.
"""

import asyncio
import errno
import os
import socket
from collections.abc import Awaitable, Coroutine
from contextlib import nullcontext

import uvicorn

from chopar.errors import ConfigurationError, StopError
from chopar.health import NOT_FOUND, AsgiApp, Health, answering

_GRACE_SECONDS = 3
# `localhost` stands for IPv6 too, where a machine may have none.
_NO_SUCH_ADDRESS = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


async def serve(health: Health, address: str, until: Awaitable[object], app: AsgiApp | None = None) -> None:
    """Listen on `host:port` until something is awaited to its end, then stop within a few seconds.

    Signals stay with the caller.

    Args:
        health: what is answered whatever the application is.
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
    config = uvicorn.Config(
        health.before(app or answering(NOT_FOUND)),
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        lifespan="off",
        ws="none",
    )
    server = uvicorn.Server(config)
    server.capture_signals = nullcontext  # type: ignore[method-assign, assignment]
    running = asyncio.ensure_future(server.serve(sockets))
    waiting = asyncio.ensure_future(until)
    try:
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        server.should_exit = True
        await running
        if not waiting.done():
            waiting.cancel()
    if waiting.done():
        try:
            waiting.result()
        except asyncio.CancelledError as error:
            # A library that cancels what we wait for would otherwise look like a process that has done its work.
            raise StopError("what this process was doing was cancelled from within; it has to start over") from error


def _listening(address: str) -> list[socket.socket]:
    """A socket for each address that `host:port` stands for; made here, as Uvicorn ends the process where it fails."""
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
