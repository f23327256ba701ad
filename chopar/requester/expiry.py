"""Telling an application that its demands have expired: when nothing can have come in time any more, thrice at most.

The callback has no record at hand that could become a dead letter. One that raises is tried again every minute; one
that kills its process is found by its note (`tries.py`): what was being told of when a process died is told of one at a
time from then on, and no more after the third death, until somebody has mended it (`DurableRequester.try_again`).
"""

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

import prometheus_client
import structlog

from chopar.bus.inbox import Inbox
from chopar.bus.port import Admin, TopicPartition, partition_of
from chopar.errors import UnavailableError
from chopar.requester import store, tries
from chopar.requester.demand_sender import CLOCKS_APART
from chopar.topics import PARTITIONS

_AT_ONCE = 500
_REST = timedelta(minutes=1)
_DEATHS = 3

_log = structlog.get_logger()


class Expiry:
    """Ends the demands of one database that have expired.

    Args:
        inbox: in whose database they are.
        group: of the consumers.
        topics: what they read.
        expire: ends demands of these ids, in a transaction that ends their tries too; gives those that the application
            failed on.
        clock: aware UTC time.
        metrics: where its gauge is kept.
    """

    def __init__(
        self,
        inbox: Inbox,
        group: str,
        topics: Sequence[str],
        *,
        expire: Callable[[Sequence[str]], Awaitable[list[str]]],
        clock: Callable[[], datetime],
        metrics: prometheus_client.CollectorRegistry,
    ) -> None:
        self._inbox = inbox
        self._group = group
        self._topics = tuple(topics)
        self._expire = expire
        self._clock = clock
        self._ends: tuple[datetime, dict[TopicPartition, int]] | None = None
        self._resting: dict[str, datetime] = {}
        """Those that are not to be tried now, and when each may be again."""
        self._given_up: set[str] = set()
        self._gauge = prometheus_client.Gauge(
            "chopar_completions_given_up",
            "Expired demands of which the application is not told any more, as its callback has killed its process",
            registry=metrics,
        )

    async def look(self, admin: Admin) -> None:
        """Say what is undelivered: when the group has done with all up to ends that were asked for after expiry.

        The ends are asked for once and kept until they are reached: on a busy partition a newer end would always lie
        ahead.

        Raises:
            UnavailableError: database, broker or schema registry do not answer.
        """
        now = self._clock()
        asked_at, ends = self._ends if self._ends is not None else (now, {})
        async with self._inbox.batch() as batch:
            until_ms = store.milliseconds(asked_at - CLOCKS_APART)
            # Those that are not tried now would stand before all others at every look.
            self._resting = {demand_id: again_at for demand_id, again_at in self._resting.items() if again_at > now}
            apart = self._resting.keys() | self._given_up
            overdue = await store.overdue(batch, until_ms, _AT_ONCE + len(apart))
            expired = [demand_id for demand_id in overdue if demand_id not in apart]
            begun = await tries.of(batch, expired)
        if not expired:
            self._ends = None
            return
        if self._ends is None:
            places = [TopicPartition(topic, number) for topic in self._topics for number in range(PARTITIONS)]
            first = await admin.offsets_at(places, 0)
            # Of a partition without records the group never commits anything.
            ends = {place: end for place, end in (await admin.end_offsets(places)).items() if first[place] < end}
            self._ends = now, ends
        committed = await admin.committed(self._group)
        behind = {place.partition for place, end in ends.items() if committed.get(place, 0) < end}
        ready = [one for one in expired if partition_of(one.encode(), PARTITIONS) not in behind]
        await self._tell([one for one in ready if one not in begun])
        for demand_id in ready:
            if demand_id in begun:
                await self._tell_warily(demand_id, begun[demand_id], now)
        if not behind:
            self._ends = None

    async def try_again(self, demand_id: str) -> None:
        """Forget how often it was tried.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        async with self._inbox.batch() as batch:
            await tries.end(batch, [demand_id])
        self._given_up.discard(demand_id)
        self._resting.pop(demand_id, None)

    async def given_up(self, demand_ids: Sequence[str]) -> set[str]:
        """Which of these are told of no more.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        async with self._inbox.batch() as batch:
            begun = await tries.of(batch, demand_ids)
        return {demand_id for demand_id, one in begun.items() if one.number >= _DEATHS}

    async def _tell_warily(self, demand_id: str, begun: tries.Tries, now: datetime) -> None:
        """One of which a process that died was telling, or of which another is telling now."""
        if begun.noted_ms > store.milliseconds(now - _REST):
            self._resting[demand_id] = now + _REST
        elif begun.number < _DEATHS:
            await self._tell([demand_id])
        else:
            self._given_up.add(demand_id)
            async with self._inbox.batch() as batch:
                self._gauge.set(await tries.as_often_as(batch, _DEATHS))
            _log.error(
                "completion.killed_its_process",
                demand_id=demand_id,
                times=begun.number,
                reason="processes died while the application was told that it has expired; it is told no more",
            )

    async def _tell(self, demand_ids: Sequence[str]) -> None:
        if not demand_ids:
            return
        async with self._inbox.batch() as batch:
            await tries.begin(batch, demand_ids, store.milliseconds(self._clock()))
        try:
            failed = await self._expire(demand_ids)
        except BaseException:  # a stop in the middle is no death either
            with contextlib.suppress(UnavailableError):
                async with self._inbox.batch() as batch:
                    await tries.end(batch, demand_ids)
            raise
        self._resting |= dict.fromkeys(failed, self._clock() + _REST)
