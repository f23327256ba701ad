"""What the gateway's listener answers beside health: an application that is made when it is first asked for.

FastAPI, the page and its texts take twelve megabytes and a third of the start, and a gateway that only answers demands
is never asked for them. What they say is `gateway.http`'s.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

from chopar.health import AsgiApp, Receive, Scope, Send
from gateway.law_reader import LawReader


class WhenAsked:
    """An application that is made for its first request, in a thread: whatever else runs goes on meanwhile.

    Args:
        make: makes it; called once, unless it fails.
    """

    def __init__(self, make: Callable[[], AsgiApp]) -> None:
        self._make = make
        self._made: AsgiApp | None = None
        self._making = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._making:
            if self._made is None:
                self._made = await asyncio.to_thread(self._make)
        await self._made(scope, receive, send)


def site(law: LawReader, lists_folder: Path) -> AsgiApp:
    """The application.

    Args:
        law: which lists hold.
        lists_folder: where list versions lie, which are open data.
    """

    def make() -> AsgiApp:
        from gateway.http import gateway_app

        return gateway_app(law, lists_folder)

    return WhenAsked(make)
