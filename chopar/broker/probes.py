"""Whether a process is ready, and when it ends; without threads and without a client library, for the supervisor."""

import asyncio
import contextlib
import os
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator

from chopar.broker.kafka_node import API_VERSIONS_REQUEST, is_api_versions_answer
from chopar.broker.processes import ProcessIdentity, is_alive

PROBE_TIMEOUT_SECONDS = 2.0


async def http_ready(address: str) -> bool:
    """Tell whether GET /ready is answered with 200.

    Args:
        address: HOST:PORT.
    """
    request = f"GET /ready HTTP/1.1\r\nHost: {address}\r\nUser-Agent: chopar-supervisor\r\nConnection: close\r\n\r\n"
    status = await _ask(address, request.encode("ascii"), 12)
    return status.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200"))


async def kafka_ready(address: str) -> bool:
    """Tell whether a broker answers an ApiVersions request.

    Args:
        address: HOST:PORT.
    """
    return is_api_versions_answer(await _ask(address, API_VERSIONS_REQUEST, 10))


async def ended(identity: ProcessIdentity) -> None:
    """Return once this process has ended, be it our child or not; it is left to the caller to collect it."""
    try:
        descriptor = os.pidfd_open(identity.pid)
    except AttributeError:  # not Linux
        while is_alive(identity):  # noqa: ASYNC110 (another process sets no event)
            await asyncio.sleep(0.2)
        return
    except OSError:  # gone
        return
    try:
        if not is_alive(identity):  # the pid was somebody else's by the time it was opened
            return
        loop = asyncio.get_running_loop()
        gone = asyncio.Event()
        loop.add_reader(descriptor, gone.set)
        try:
            await gone.wait()
        finally:
            loop.remove_reader(descriptor)
    finally:
        os.close(descriptor)


async def _ask(address: str, request: bytes, size: int) -> bytes:
    with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
        async with asyncio.timeout(PROBE_TIMEOUT_SECONDS), _connection(address) as (reader, writer):
            writer.write(request)
            await writer.drain()
            return await reader.readexactly(size)
    return b""


@contextlib.asynccontextmanager
async def _connection(address: str) -> AsyncIterator[tuple[StreamReader, StreamWriter]]:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
