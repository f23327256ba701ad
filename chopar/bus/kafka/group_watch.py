"""Noticing that a member of a group has lost its way, where nothing but a new client helps.

aiokafka 0.14 looks for the coordinator of its group in the background and tells nobody how that goes. What it takes for
a failure beyond its means it keeps until records are asked for, and none are while partitions are divided; and where
one of its own tasks has ended or waits for another, it looks no more. A member that is stranded so holds no partition
and says no word, while the broker has long been back. The upstream cure is to hand such a failure to whoever waits for
the group, and a bound on each look-up.

A broker that is away is no such case: then a member waits for it, for hours if need be.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.errors import KafkaError

from chopar.bus.kafka.connection import KafkaClientSettings, closed
from chopar.errors import BrokerUnavailableError


class GroupWatch:
    """Watches over one member, which says at each fetch how it stands.

    Args:
        settings: how long a member may look for its coordinator, and how long a division of partitions may take.
        found: tells whether another client finds the coordinator.
        now: seconds, of a clock that never steps back.
    """

    def __init__(
        self,
        settings: KafkaClientSettings,
        found: Callable[[], Awaitable[bool]],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._found = found
        self._now = now
        self._unanswered_since: float | None = None
        self._unsettled_since: float | None = None
        self._asking: asyncio.Future[bool] | None = None

    def look(self, *, answered: bool, settled: bool) -> None:
        """Take note of how the member stands, and ask by another client when its coordinator is overdue.

        Args:
            answered: whether it knows its coordinator.
            settled: whether it knows which partitions it holds.

        Raises:
            BrokerUnavailableError: it has lost its way.
        """
        if answered and settled:
            self._unanswered_since = self._unsettled_since = None
            return
        now = self._now()
        if answered:
            self._unanswered_since = None
            self._look_at_division(now)
        else:
            self._unsettled_since = None
            self._look_at_coordinator(now)

    async def close(self) -> None:
        """Ask no more."""
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    def _look_at_division(self, now: float) -> None:
        longest = self._settings.division_seconds
        if self._unsettled_since is None:
            self._unsettled_since = now
        elif now - self._unsettled_since >= longest:
            raise BrokerUnavailableError(
                f"dividing partitions: not done within {longest:.0f} s, although the coordinator is known; joining anew"
            )

    def _look_at_coordinator(self, now: float) -> None:
        longest = self._settings.coordinator_seconds
        if self._unanswered_since is None:
            self._unanswered_since = now
        if now - self._unanswered_since < longest:
            return
        asking = self._asking
        if asking is None:
            self._asking = asyncio.ensure_future(self._found())
        elif asking.done():
            self._asking, self._unanswered_since = None, now  # a broker that is still away is asked again later
            if not asking.cancelled() and asking.result():
                raise BrokerUnavailableError(
                    f"looking for the group's coordinator: not found within {longest:.0f} s, but another client "
                    "finds it; joining anew"
                )


async def finds_coordinator(settings: KafkaClientSettings, options: dict[str, Any], group: str) -> bool:
    """Tell whether a client made for this finds the coordinator of a group, and reaches it.

    Args:
        settings: how long it may take.
        options: of the client.
        group: whose.
    """
    client = AIOKafkaClient(**options)
    try:
        async with asyncio.timeout(settings.request_timeout_seconds):
            await client.bootstrap()
            node = await client.coordinator_lookup(CoordinationType.GROUP, group)
            return bool(await client.ready(node, group=ConnectionGroup.COORDINATION))
    except (KafkaError, OSError, TimeoutError):
        return False
    finally:
        await closed(client.close(), settings)
