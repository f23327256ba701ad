"""A consumer's fetches wait until it wants more: a batch then has all that came until it was asked for.

aiokafka asks the broker for more as soon as its buffer is empty, which is when a batch begins to be handled. The answer
comes with the first record that arrives meanwhile and is put by until the batch is done; whatever arrives behind it
waits for the fetch after that, so for the rest of this batch and all of the next. Held back until the batch is done, a
fetch costs its own way to the broker, and no record waits for more than the batch under way. What is sent is also
written before the broker is asked for more, so that the woken broker does not take the core of who writes.

Who waits for records is told of them before aiokafka looks for what to ask next. It looks at every partition, hundreds
at a gateway, and would do so between a record and its handling: it does when more is wanted.

Behind a large batch more is waiting already: then aiokafka may ask ahead.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from aiokafka.protocol.fetch import FetchRequest

from chopar.bus.kafka.frames import quick


class FetchTurns:
    """Holds back the fetches of one consumer.

    Args:
        send: of aiokafka's client, or what stands in front of it.
    """

    def __init__(self, send: Callable[..., Awaitable[Any]]) -> None:
        self._send = send
        self._wanted = asyncio.Event()
        self._wanted.set()
        self._given = 0
        """So many answers are given out, and lead to another fetch when more is wanted."""

    def want(self) -> None:
        """There is nothing left to handle: let fetches go."""
        self._wanted.set()

    def hold(self) -> None:
        """Something is to be handled first. A fetch that is on its way stays there."""
        self._wanted.clear()

    async def send(self, node_id: Any, request: Any, **options: Any) -> Any:
        """Send a request, a fetch when it is wanted."""
        if isinstance(request, FetchRequest):
            request = quick(request)
            await self._wanted.wait()
        return await self._send(node_id, request, **options)

    def tell_at_once(self, fetcher: Any) -> None:
        """Have aiokafka's fetcher tell who waits first, and go on when more is wanted.

        The upstream cure is to notify in `Fetcher._proc_fetch_request`, where the records are put into the buffer.
        """
        process = fetcher._proc_fetch_request

        async def processed(*given: Any) -> bool:
            found: bool = await process(*given)
            if not found or not fetcher._fetch_waiters:
                return found
            self.hold()
            for waiter in fetcher._fetch_waiters:
                fetcher._notify(waiter)
            self._given += 1
            try:
                await self._wanted.wait()
            finally:
                self._given -= 1
            return False  # who waits by now knows what is there

        fetcher._proc_fetch_request = processed

    @contextlib.contextmanager
    def resting(self, fetcher: Any) -> Iterator[None]:
        """While records are taken: do not wake aiokafka's fetcher for it, if it goes on later anyway."""
        consumed = fetcher._wait_consume_future
        if self._given:
            fetcher._wait_consume_future = None
        try:
            yield
        finally:
            if fetcher._wait_consume_future is None:
                fetcher._wait_consume_future = consumed
