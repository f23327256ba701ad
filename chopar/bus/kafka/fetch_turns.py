"""A consumer's fetches wait until it wants more: a batch then has all that came until it was asked for.

aiokafka asks the broker for more as soon as its buffer is empty, which is when a batch begins to be handled. The answer
comes with the first record that arrives meanwhile and is put by until the batch is done; whatever arrives behind it
waits for the fetch after that, so for the rest of this batch and all of the next. Held back until the batch is done, a
fetch costs its own way to the broker, and no record waits for more than the batch under way. What is sent is also
written before the broker is asked for more, so that the woken broker does not take the core of who writes.

Behind a large batch more is waiting already: then aiokafka may ask ahead.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka.protocol.fetch import FetchRequest


class FetchTurns:
    """Holds back the fetches of one consumer.

    Args:
        send: of aiokafka's client, or what stands in front of it.
    """

    def __init__(self, send: Callable[..., Awaitable[Any]]) -> None:
        self._send = send
        self._wanted = asyncio.Event()
        self._wanted.set()

    def want(self) -> None:
        """There is nothing left to handle: let fetches go."""
        self._wanted.set()

    def hold(self) -> None:
        """Something is to be handled first. A fetch that is on its way stays there."""
        self._wanted.clear()

    async def send(self, node_id: Any, request: Any, **options: Any) -> Any:
        """Send a request, a fetch when it is wanted."""
        if isinstance(request, FetchRequest):
            await self._wanted.wait()
        return await self._send(node_id, request, **options)
