"""How a demand of a durable asker ends, and goes on with the next holder where one has no record.

A demand that follows another belongs to it: the application knows the first one alone, which is complete when it has
its answers and all that follow it have ended. Works in the transaction of what ended it (`answers`); a callback
that fails leaves nothing changed.
"""

from collections.abc import Callable
from dataclasses import replace

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from chopar.errors import TooLargeError
from chopar.messages.demand import Demand
from chopar.requester import store
from chopar.requester.alternatives import first_of, following
from chopar.requester.answer_callbacks import Callbacks, Completed
from chopar.requester.answer_turn import Open, Turn
from chopar.requester.completion import Delivered, Waiting
from chopar.requester.store import KeptFollowing

_log = structlog.get_logger()


class Endings:
    """Ends demands.

    Args:
        callbacks: the application's.
        encoded: gives a demand's bytes, for the next holder of a document; None: nobody else is asked.
    """

    def __init__(self, callbacks: Callbacks, encoded: Callable[[Demand], bytes] | None) -> None:
        self._callbacks = callbacks
        self._encoded = encoded

    def following(self, one: Open, delivered: Delivered) -> tuple[Demand, bytes] | None:
        """The demand for the next holder, and its bytes, if there is one to ask."""
        if self._encoded is None:
            return None
        next_one = following(one.demand, delivered, one.completion.resolved)
        try:
            return None if next_one is None else (next_one, self._encoded(next_one))
        except TooLargeError as error:
            _log.error("demand.unsendable", demand_id=one.demand_id, code=error.code)
            return None

    async def follow(self, turn: Turn, demand: Demand, value: bytes) -> None:
        """Keep the demand for the next holder: it is sent when all of this is committed."""
        [document] = demand.documents
        first, demand_id = str(first_of(demand)), str(demand.demand_id)
        kept = KeptFollowing(document.type, document.about)
        await store.add_following(turn.batch, first, (demand_id, value, demand.expires_at), kept)
        turn.followings.setdefault(first, {}).setdefault(demand_id, kept)
        turn.added.add(demand_id)

    async def end(self, connection: AsyncConnection, turn: Turn, one: Open, *, expired: bool = False) -> None:
        """End a demand if nothing of it is open, and with it the one that it follows if nothing of that is.

        Args:
            connection: of the part of the transaction that is undone if the application's callback fails.
            turn: the transaction.
            one: of which something has ended; the one that it follows is loaded.
            expired: whether it ends even if it was never answered.
        """
        if one.kept.complete or not (one.completion.complete or expired):
            return
        first = turn.first_of(one)
        if first is not None and first.demand_id == one.demand_id:
            first = one  # as it will stand
        over = []
        if first is not one:
            waiting = Waiting.UNDELIVERED if one.undelivered else Waiting.ENDED
            await store.end_following(turn.batch, one.demand_id, waiting)
            over.append(one)
        if first is not None and self._is_over(turn, first, one, expired=expired):
            await self._tell(connection, turn, first, one)
            over.append(first)
        for each in over:
            each.kept.complete = True
            turn.changed[each.demand_id] = each.kept
        if first is not None and first is not one:
            known = turn.followings.get(first.demand_id, {})
            if one.demand_id in known:
                known[one.demand_id] = replace(known[one.demand_id], waiting=waiting)

    @staticmethod
    def _is_over(turn: Turn, first: Open, ending: Open, *, expired: bool) -> bool:
        if first.kept.complete or turn.waits_for_others(first, ending):
            return False
        return first.completion.complete or (first is ending and expired)

    async def _tell(self, connection: AsyncConnection, turn: Turn, first: Open, ending: Open) -> None:
        if self._callbacks.completed is not None:
            undelivered = tuple(turn.undelivered(first, ending))
            async with self._callbacks.in_time():
                completed = Completed(first.completion.resolved, undelivered)
                await self._callbacks.completed(connection, first.demand, completed)
