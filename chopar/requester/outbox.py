"""What a durable asker has kept and the broker has not acknowledged yet: sent until it has.

Whatever is kept is sent by whoever looks, so several processes of one database share it; what one of them is sending at
this moment another may send too, which costs a repetition and changes nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from chopar.bus.inbox import Inbox
from chopar.bus.port import Sent
from chopar.errors import ChoparError, DeliveryError, TooLargeError, UnavailableError
from chopar.requester import kept_disputes, store
from chopar.requester.kept_disputes import OpenDispute, Unsent

_AT_ONCE = 500

_log = structlog.get_logger()


class Outbox:
    """Sends what is kept.

    Args:
        inbox: in whose database it is kept.
        deliver: sends demands by their ids and bytes; one entry each, in order, as of `Producer.send`.
        deliver_dispute: sends a dispute by its id, its demand's and its bytes, or raises why it was not acknowledged.
        clock: aware UTC time; a dispute of a demand that has expired is not sent.
    """

    def __init__(
        self,
        inbox: Inbox,
        *,
        deliver: Callable[[Sequence[tuple[UUID, bytes]]], Awaitable[list[Sent | ChoparError]]],
        deliver_dispute: Callable[[UUID, UUID, bytes], Awaitable[None]],
        clock: Callable[[], datetime],
    ) -> None:
        self._inbox = inbox
        self._deliver = deliver
        self._deliver_dispute = deliver_dispute
        self._clock = clock
        self._sending: set[str] = set()
        self._added: set[str] = set()
        """Demands that were kept because one before them had no record, and that nobody has tried to send."""
        self._news = asyncio.Event()
        self._disputing = asyncio.Lock()

    async def add(self, demands: Sequence[tuple[str, bytes, datetime]], within: AsyncConnection | None) -> None:
        """Keep demands: id, bytes, end of life; and send them, unless that is the application's transaction to say.

        Raises:
            StoreUnavailableError: the database does not answer. Whether they are kept is unknown.
        """
        if not demands:
            return
        if within is not None:
            await store.add(within, demands)
            return
        ids = {demand_id for demand_id, _, _ in demands}
        self._sending |= ids
        try:
            async with self._inbox.batch() as batch:
                await store.add(batch, demands)
            await self._send([(demand_id, value) for demand_id, value, _ in demands])
        finally:
            self._sending -= ids

    async def add_dispute(self, dispute: Unsent, opened: OpenDispute, within: AsyncConnection | None) -> None:
        """Keep a dispute, and send it, as of `add`."""
        if within is not None:
            await kept_disputes.add(within, dispute, opened)
            return
        async with self._inbox.batch() as batch:
            await kept_disputes.add(batch, dispute, opened)
        await self.send_disputes()

    async def send_disputes(self) -> None:
        """Send the disputes that are not sent. There are few: a human being is behind each.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        async with self._disputing:
            async with self._inbox.batch() as batch:
                waiting = await kept_disputes.unsent(batch, self._clock(), _AT_ONCE)
            for one in waiting:
                try:
                    await self._deliver_dispute(one.dispute_id, one.demand_id, one.value)
                except UnavailableError as error:
                    _log.warning("dispute.waits", count=len(waiting), code=error.code)
                    return
                except TooLargeError as error:
                    _log.error("dispute.unsendable", demand_id=str(one.demand_id), code=error.code)
                async with self._inbox.batch() as batch:
                    await kept_disputes.note_sent(batch, one.dispute_id)

    async def send_waiting(self, among: Collection[str] | None = None) -> set[str]:
        """Send those that are not sent, of these ids or of all; gives the ids of all that were not.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        unsent: set[str] = set()
        found = settled = _AT_ONCE
        while found == settled == _AT_ONCE:
            async with self._inbox.batch() as batch:
                kept = await store.unsent(batch, _AT_ONCE)
            unsent |= {demand_id for demand_id, _ in kept}
            mine = [one for one in kept if one[0] not in self._sending and (among is None or one[0] in among)]
            self._sending |= {demand_id for demand_id, _ in mine}
            try:
                found, settled = len(kept), await self._send(mine)
            finally:
                self._sending -= {demand_id for demand_id, _ in mine}
        return unsent

    def send_soon(self, demand_ids: Iterable[str]) -> None:
        """These were kept by others, for a next holder, and wait for nobody's look: `rest` sends them."""
        self._added |= set(demand_ids)
        self._news.set()

    async def rest(self, seconds: float) -> None:
        """Wait so long; what is to be sent soon is sent at once."""
        until = asyncio.get_running_loop().time() + seconds
        while True:
            try:
                async with asyncio.timeout_at(until):
                    await self._news.wait()
            except TimeoutError:
                return
            self._news.clear()
            added, self._added = self._added, set()
            try:
                await self.send_waiting(added)
            except UnavailableError as error:  # a later look sends it
                _log.warning("requester.waits", code=error.code)

    async def _send(self, demands: Sequence[tuple[str, bytes]]) -> int:
        """Send, and note what is acknowledged; the rest is sent again later. How many are done with."""
        if not demands:
            return 0
        try:
            results = await self._deliver([(UUID(demand_id), value) for demand_id, value in demands])
        except UnavailableError as error:
            _log.warning("demand.waits", count=len(demands), code=error.code)
            return 0
        told = [(demand_id, result) for (demand_id, _), result in zip(demands, results, strict=True)]
        sent = [demand_id for demand_id, result in told if isinstance(result, Sent)]
        unsendable = [demand_id for demand_id, result in told if isinstance(result, TooLargeError)]
        async with self._inbox.batch() as batch:
            await store.note_sent(batch, sent)
            for demand_id in unsendable:
                _log.error("demand.unsendable", demand_id=demand_id, code=TooLargeError.code)
                await store.forget_unsendable(batch, demand_id)
        left = len(demands) - len(sent) - len(unsendable)
        if left:
            _log.warning("demand.waits", count=left, code=DeliveryError.code)
        return len(demands) - left
