"""What a process shows of itself: logs, metrics, health.

Logs are structlog: JSON lines where nobody looks, colours on a terminal. What is placed last masks runs of digits that
could be identifiers, and drops bodies, whatever wrote them; how lines are written is `chopar.log_lines`. Metrics and
health are Starlette routes on one small listener. What is measured is decided where it happens.
"""

import asyncio
import errno
import logging
import os
import re
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, TypeAlias

import structlog
import uvicorn
from prometheus_client import CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from chopar.errors import ConfigurationError, StopError
from chopar.log_lines import JsonLines, Lines, TimeAndLevel

# A UUID comes first and stays as it is: one in a hundred has nine digits in a row, and logs are found by them.
_IDENTIFIER = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<!\d)(?:\d{14}|\d{9})(?!\d)")
_MAY_BE_IDENTIFIER = re.compile(rb"[0-9]{9}")  # quick to say of a whole line
_SHORTEST = 9  # of a text that can hold one
# `localhost` stands for IPv6 too, where a machine may have none.
_NO_SUCH_ADDRESS = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
_BODIES = frozenset({"body", "value", "evidence", "subject", "parameters", "pinfl", "stir", "name"})

Ready: TypeAlias = Callable[[], Mapping[str, str]]
"""What is missing before this process can work, by name; empty when it is ready."""


class HasLogContext(Protocol):
    """What is being worked on, and what every line says of it."""

    def log_context(self) -> Mapping[str, Any]:
        """Keys and values; asked only when a line is written."""


BEING_HANDLED: ContextVar[HasLogContext | None] = ContextVar("chopar_being_handled", default=None)
"""What this task works on. Set for every record, so it costs no more than that; rendered by `add_what_is_handled`."""


def add_what_is_handled(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The structlog processor that says in each line to which record it belongs."""
    handled = BEING_HANDLED.get()
    if handled is not None:
        for key, value in handled.log_context().items():
            event.setdefault(key, value)
    return event


def mask(text: str) -> str:
    """Replace every run of exactly 14 or 9 digits (a PINFL, a STIR) by dots."""
    if len(text) < _SHORTEST:
        return text
    return _IDENTIFIER.sub(lambda found: found[0] if "-" in found[0] else "…", text)


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, Mapping):
        return {key: _masked(part) for key, part in value.items() if key not in _BODIES}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_masked(part) for part in value]
    return value


def drop_personal_data(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The structlog processor that stands last: masks identifiers in every string, drops bodies."""
    for key in list(event):
        if key in _BODIES:
            del event[key]
        else:
            event[key] = _masked(event[key])
    return event


def configure_logging(level: str, *, process: str, stream: Any = None, for_good: bool = True) -> None:
    """Set structlog and the standard logging of libraries up, once, in `__main__`.

    Args:
        level: debug, info, warning or error.
        process: bound to every line.
        stream: where lines go; standard output by default.
        for_good: whether loggers may remember this set-up; False where it will be another one later (in tests).
    """
    out = stream or sys.stdout
    shown = out.isatty()
    renderer: Any = structlog.dev.ConsoleRenderer() if shown else structlog.processors.JSONRenderer()
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        add_what_is_handled,
        TimeAndLevel(),
        structlog.processors.format_exc_info,
    ]
    rendering = (
        [drop_personal_data, renderer] if shown else [JsonLines(drop_personal_data, _MAY_BE_IDENTIFIER, _BODIES)]
    )
    structlog.configure(
        processors=[*shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.PrintLoggerFactory(out) if shown else Lines(out),
        cache_logger_on_first_use=for_good,
    )
    structlog.contextvars.bind_contextvars(process=process)
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)


def health_routes(ready: Ready, metrics: CollectorRegistry) -> list[Route]:
    """The routes `/live`, `/ready` (503 with what is missing) and `/metrics`."""

    async def live(_: Request) -> Response:
        return JSONResponse({"live": True})

    async def readiness(_: Request) -> Response:
        missing = ready()
        return JSONResponse({"ready": not missing, "missing": dict(missing)}, status_code=503 if missing else 200)

    async def measured(_: Request) -> Response:
        return Response(generate_latest(metrics), media_type="text/plain; version=0.0.4")

    return [Route("/live", live), Route("/ready", readiness), Route("/metrics", measured)]


def health_app(ready: Ready, metrics: CollectorRegistry, routes: Sequence[Route] = ()) -> Starlette:
    """An application of the health routes and others."""
    return Starlette(routes=[*routes, *health_routes(ready, metrics)])


async def serve(app: ASGIApp, address: str, until: Awaitable[object]) -> None:
    """Serve an application on `host:port` until something is awaited to its end, then stop within a few seconds.

    Signals stay with the caller.

    Raises:
        ConfigurationError: nothing can listen there; then nothing was awaited.
        StopError: what was awaited was cancelled, and not by us.
    """
    try:
        listeners = _listeners(address)
    except OSError as error:
        if isinstance(until, Coroutine):
            until.close()
        raise ConfigurationError(
            f"{address}: this process cannot listen there ({error.strerror}): stop what does, or set another "
            f"address in the variable that ends in HTTP__ADDRESS"
        ) from None
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=3,
        lifespan="off",
    )
    server = uvicorn.Server(config)
    server.capture_signals = _no_signals  # type: ignore[method-assign]
    running = asyncio.ensure_future(server.serve(listeners))
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


def _listeners(address: str) -> list[socket.socket]:
    """A socket for each address that `host:port` stands for; made here, as uvicorn ends the process where it fails."""
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


@contextmanager
def _no_signals() -> Iterator[None]:
    yield
