"""The listener of a process: health before whatever else it answers; how it ends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx2
import pytest
from prometheus_client import CollectorRegistry, Counter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from chopar.errors import StopError
from chopar.health import AsgiApp, Health
from chopar.listener import serve
from tests.kafka_fixture import free_ports

NOTHING_YET = {"kafka": "not yet"}


def health(missing: dict[str, str] | None = None) -> Health:
    metrics = CollectorRegistry()
    Counter("chopar_things", "Things.", registry=metrics).inc(3)
    return Health(lambda: missing or {}, metrics)


async def say(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"{request.url.path} {(await request.body()).decode()}")


APP = Starlette(routes=[Route("/{path:path}", say, methods=["GET", "POST"])])


@contextlib.asynccontextmanager
async def served(health: Health, app: AsgiApp | None = None) -> AsyncIterator[int]:
    [port] = free_ports(1)
    end = asyncio.Event()
    running = asyncio.ensure_future(serve(health, f"127.0.0.1:{port}", end.wait(), app))
    await asyncio.sleep(0)
    try:
        yield port
    finally:
        end.set()
        async with asyncio.timeout(10):
            await running


def client(port: int) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}")


async def sent(port: int, *parts: bytes) -> bytes:
    """All that comes back for some bytes, given one after the other; the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(0)
    async with asyncio.timeout(10):
        found = await reader.read()
    writer.close()
    return found


@pytest.mark.parametrize("app", [None, APP], ids=["alone", "before an application"])
async def test_health_is_answered_whatever_stands_behind(app: AsgiApp | None) -> None:
    async with (
        served(health(NOTHING_YET), app) as port,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
    ):
        live, ready, metrics = [await http.get(path) for path in ("/live", "/ready?x=1", "/metrics")]
        assert (live.status_code, live.json()) == (200, {"live": True})
        assert (ready.status_code, ready.json()) == (503, {"ready": False, "missing": NOTHING_YET})
        assert "chopar_things_total 3.0" in metrics.text
        assert metrics.headers["content-type"] == "text/plain; version=0.0.4"
        assert live.headers["date"].endswith("GMT")
        assert (await http.post("/ready")).status_code == 405
        head = await http.head("/live")
        assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "13")


async def test_what_is_not_health_is_nothing_where_nothing_stands_behind() -> None:
    async with served(health()) as port:
        asked = b"GET /v1/law HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        assert (await sent(port, asked)).startswith(b"HTTP/1.1 404 Not Found\r\n")
        assert (await sent(port, b"\x16\x03\x01 nonsense\r\n\r\n")).startswith(b"HTTP/1.1 400 Bad Request\r\n")


async def test_all_else_goes_to_the_application_as_it_came() -> None:
    async with served(health(), APP) as port:
        post = b"POST /v1/things HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\nconnection: close\r\n\r\n"
        for parts in ([post + b"0123456789"], [post, b"0123456789"], [post[:9], post[9:] + b"01234", b"56789"]):
            answer = await sent(port, *parts)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert answer.endswith(b"/v1/things 0123456789")
        assert (await sent(port, b"nonsense\r\n\r\n")).startswith(b"HTTP/1.1 400 Bad Request\r\n")


async def test_a_connection_that_stays_open_hears_of_health_too() -> None:
    async with (
        served(health(NOTHING_YET), APP) as port,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
    ):
        answers = [await http.get(path) for path in ("/first", "/ready", "/live", "/last")]
        assert [answer.status_code for answer in answers] == [200, 503, 200, 200]
        assert answers[1].json()["missing"] == NOTHING_YET
        assert "connection" not in answers[1].headers
        crowd = await asyncio.gather(*(http.get(f"/{number}") for number in range(20)))
        assert [answer.text for answer in crowd] == [f"/{number} " for number in range(20)]


async def test_an_end_does_not_wait_for_who_says_nothing_or_was_just_handed_on() -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with served(health(), APP) as port:
            silent, handed = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
            for _, writer in (silent, handed):
                stack.callback(writer.close)
            handed[1].write(b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n")
            await handed[1].drain()
        assert await silent[0].read() == b""


async def test_a_process_whose_work_is_cancelled_from_within_has_not_done_its_work() -> None:
    async def work() -> None:
        raise asyncio.CancelledError

    with pytest.raises(StopError, match="cancelled from within"):
        await serve(health(), f"127.0.0.1:{free_ports(1)[0]}", work())


async def test_a_process_that_has_done_its_work_just_ends() -> None:
    await serve(health(), f"127.0.0.1:{free_ports(1)[0]}", asyncio.sleep(0))
