"""Noticing that a client has lost its way, where nothing but a new one helps.

aiokafka 0.14 looks for brokers and for the coordinator of its group in the background and tells nobody how that goes.
What it takes for a failure beyond its means it keeps until records are asked for, and none are while partitions are
divided. Where one of its own tasks has ended, or waits for another, it looks no more. When all brokers it knows have
moved to other addresses it never asks the bootstrap list again. A client that is stranded so says no word while the
broker has long been back. The upstream cures: hand such a failure to whoever waits for the group, bound each look-up,
and bootstrap again (KIP-899).

A broker that is away is no such case: a client waits for it, for hours if need be.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.errors import KafkaError

from chopar.bus.kafka.connection import KafkaClientSettings, closed
from chopar.errors import BrokerUnavailableError


class ClientWatch:
    """Watches over one client, which says at each fetch how it stands.

    Args:
        settings: how long a client may be without an answer, and how long a division of partitions may take.
        others: tells whether another client is answered.
        standing: says how this one stands, for the error.
        now: seconds, of a clock that never steps back.
    """

    def __init__(
        self,
        settings: KafkaClientSettings,
        others: Callable[[], Awaitable[bool]],
        standing: Callable[[], str],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._others = others
        self._standing = standing
        self._now = now
        self._unanswered_since: float | None = None
        self._unsettled_since: float | None = None
        self._asking: asyncio.Future[bool] | None = None
        self._asked_for: float | None = None
        """Since when it was unanswered as the other was asked: what that found then says nothing of another time."""
        self._found_at: float | None = None
        """When the other was answered first; it may have been the very moment in which the broker came back."""

    def look(self, *, answered: bool, settled: bool = True) -> None:
        """Take note of how the client stands, and ask by another one when an answer is overdue.

        Args:
            answered: whether a broker answers it; of a member of a group, whether it knows its coordinator.
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
            self._look_at_answers(now)

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
                f"dividing partitions: not done within {longest:.0f} s, although the coordinator is known "
                f"({self._standing()})"
            )

    def _look_at_answers(self, now: float) -> None:
        longest = self._settings.unanswered_seconds
        if self._unanswered_since is None:
            self._unanswered_since, self._found_at = now, None
        # As long again once the other is answered: to find a broker that is back takes seven seconds on a busy machine.
        if now < (self._unanswered_since if self._found_at is None else self._found_at) + longest:
            return
        asking = self._asking
        if asking is None or (asking.done() and self._asked_for != self._unanswered_since):
            self._asking, self._asked_for = asyncio.ensure_future(self._others()), self._unanswered_since
        elif asking.done():
            self._asking, found_at = None, self._found_at
            found = not asking.cancelled() and asking.result()
            if found and found_at is None:
                self._found_at = now
                return
            self._unanswered_since, self._found_at = now, None  # a broker that is still away is asked again later
            if found:
                raise BrokerUnavailableError(
                    f"no broker has answered for {2 * longest:.0f} s, but another client is answered "
                    f"({self._standing()})"
                )


async def is_answered(settings: KafkaClientSettings, options: dict[str, Any], group: str | None) -> bool:
    """Tell whether a client made for this reaches a broker, and the coordinator of a group.

    Args:
        settings: how long it may take.
        options: of the client.
        group: whose coordinator; None: any broker will do.
    """
    client = AIOKafkaClient(**options)
    try:
        async with asyncio.timeout(settings.request_timeout_seconds):
            await client.bootstrap()
            if group is None:
                return True
            node = await client.coordinator_lookup(CoordinationType.GROUP, group)
            return bool(await client.ready(node, group=ConnectionGroup.COORDINATION))
    except (KafkaError, OSError, TimeoutError, AssertionError):  # the last of a cluster that names no brokers yet
        return False
    finally:
        await closed(client.close(), settings)


def require_running(client: Any) -> None:
    """Notice that a task of aiokafka has ended which asks for records or for leaders: it tells nobody who waits.

    Args:
        client: a consumer that has started.

    Raises:
        BrokerUnavailableError: it reads no more.
    """
    for task in (client._fetcher.error_future, client._client._sync_task):
        if task is not None and task.done():
            error = _error_of(task)
            cause = type(error.__cause__ or error).__name__ if error else "cancelled"
            raise BrokerUnavailableError(f"reading has ended in the client ({cause})")


def standing_of(client: Any) -> str:
    """Say how the background tasks of a stranded consumer of aiokafka stand, for whoever looks for the cause.

    Args:
        client: the consumer.
    """
    network, coordinator = client._client, client._coordinator
    tasks = {
        "metadata": network._sync_task,
        "fetching": getattr(client._fetcher, "_fetch_task", None),
        "coordination": getattr(coordinator, "_coordination_task", None),
        "heartbeat": getattr(coordinator, "_heartbeat_task", None),
    }
    locks = {
        "connecting": network._get_conn_lock_value,
        "looking": getattr(coordinator, "_coordinator_lookup_lock", None),
    }
    words = [f"{name} {_ended(task)}" for name, task in tasks.items() if task is not None]
    words += [f"{name} under way" for name, lock in locks.items() if lock is not None and lock.locked()]
    words += ["kept " + type(kept).__name__ for kept in [getattr(coordinator, "_pending_exception", None)] if kept]
    return ", ".join(words)


def _ended(task: asyncio.Task[Any]) -> str:
    if not task.done():
        return "runs"
    error = _error_of(task)
    return "cancelled" if task.cancelled() else f"ended by {type(error).__name__}" if error else "ended"


def _error_of(task: asyncio.Task[Any]) -> BaseException | None:
    return None if task.cancelled() else task.exception()
