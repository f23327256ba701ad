"""What the gateway's process listens with: health and metrics at once, the rest when it is first asked for.

FastAPI, the page and its texts take twelve megabytes and a third of the start, and a gateway that only answers demands
is never asked for them. What they say is `gateway.http`'s.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from chopar.observe import Ready, health_routes
from gateway.law_reader import LawReader


class WhenAsked:
    """An application that is made for its first request, in a thread: whatever else runs goes on meanwhile.

    Args:
        make: makes it; called once, unless it fails.
    """

    def __init__(self, make: Callable[[], ASGIApp]) -> None:
        self._make = make
        self._made: ASGIApp | None = None
        self._making = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._making:
            if self._made is None:
                self._made = await asyncio.to_thread(self._make)
        await self._made(scope, receive, send)


def listener(law: LawReader, ready: Ready, metrics: CollectorRegistry, lists_folder: Path) -> Starlette:
    """The whole listener.

    Args:
        law: which lists hold.
        ready: what is missing before the gateway can work.
        metrics: what `/metrics` shows.
        lists_folder: where list versions lie, which are open data.
    """

    def make() -> ASGIApp:
        from gateway.http import gateway_app

        return gateway_app(law, lists_folder)

    return Starlette(routes=[*health_routes(ready, metrics), Mount("/", WhenAsked(make))])
