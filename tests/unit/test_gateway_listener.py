"""The gateway's listener: health at once, the rest made when it is first asked for."""

import asyncio
import subprocess
import sys
from pathlib import Path

import httpx2
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.listener import WhenAsked
from tests.public_site import law_reader, site


async def test_health_and_all_else_answer_on_one_listener(tmp_path: Path) -> None:
    app = site(law_reader(tmp_path), tmp_path, ready=lambda: {"kafka": "not yet"})
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://x") as client:
        assert (await client.get("/ready")).status_code == 503
        assert (await client.get("/metrics")).status_code == 200
        assert (await client.get("/v1/law")).json()["in_force"]["activated_by"]
        assert "/v1/rehearsals" in (await client.get("/openapi.json")).json()["paths"]
        assert (await client.get("/nothing")).status_code == 404
        front = await client.get("/")
        assert (front.status_code, front.headers["location"]) == (307, "/may-they-ask")


async def test_it_is_made_once_and_again_only_if_that_failed() -> None:
    made: list[int] = []

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse(str(len(made)))(scope, receive, send)

    def make() -> ASGIApp:
        made.append(len(made))
        if len(made) == 1:
            raise OSError("no room")
        return answer

    async def other(_: object) -> PlainTextResponse:
        return PlainTextResponse("live")

    app = Starlette(routes=[Route("/live", other), Mount("/", WhenAsked(make))])
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://x") as client:
        assert (await client.get("/live")).text == "live"
        assert not made
        assert (await client.get("/a")).status_code == 500
        answers = await asyncio.gather(*(client.get(f"/{number}") for number in range(5)))
    assert [answer.text for answer in answers] == ["2"] * 5


def test_a_gateway_that_nobody_asks_holds_none_of_it() -> None:
    not_needed = {"fastapi", "jinja2", "starlette", "anyio", "websockets", "httpx2", "sqlalchemy"}
    not_needed |= {"rich", "pygments", "attr", "greenlet", "gateway.activation", "gateway.lint"}
    code = f"import sys, gateway.__main__; print(*sorted({not_needed} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == ""
