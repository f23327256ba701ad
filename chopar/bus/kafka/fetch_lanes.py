"""A consumer with many partitions asks for the few that have something to say apart from those that are silent.

A broker that holds a fetch back until something comes looks at all of its partitions: when the fetch comes, when it is
answered, and for each record that reaches one of them. A gateway holds six of every requester, so a lone demand paid
for all of them, at the broker and on its way. Here a fetch of aiokafka is two: a busy one of the partitions that said
something lately, and a quiet one, on a connection of its own, of the others. The quiet one stays at the broker until a
silent partition speaks (or half a second is over) while the busy one comes and goes.

Whatever is wanted is asked for by one of both, or is as soon as one of both has come back. A partition may be asked for
by both for a while: what is given back is only what is wanted, at the offset at which it is wanted.
"""

import asyncio
import copy
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeAlias

from aiokafka.protocol.fetch import FetchRequest

from chopar.bus.kafka.fetch_sessions import FetchSessions, by_topic

_FEW = 24
"""So many partitions are asked for at once: looking at them costs less than a second fetch."""

_SILENT_SECONDS = 30.0
"""A partition that has said nothing for so long is silent."""

_QUIET_CONNECTION = 2  # aiokafka numbers its own connections to a broker 0 and 1

_Send: TypeAlias = Callable[..., Awaitable[Any]]
_Place: TypeAlias = tuple[str, int]
_Asked: TypeAlias = dict[_Place, tuple[int, ...]]


class _Lane:
    """One fetch with one broker, that may outlive the call in which it was sent."""

    def __init__(self, send: _Send, back: Callable[[], None]) -> None:
        self._send = send
        self._back = back
        self.asked: _Asked = {}
        self.task: asyncio.Task[Any] | None = None

    def ask(self, request: Any, asked: _Asked) -> None:
        """Send a fetch of these, unless one is under way."""
        if self.task is None and asked:
            mine = copy.copy(request)
            mine._topics = by_topic((topic, one) for (topic, _), one in asked.items())
            self.asked = asked
            self.task = asyncio.ensure_future(self._fetch(mine))
            self.task.add_done_callback(_look)  # it may fail when nobody waits for it any longer

    async def _fetch(self, request: Any) -> Any:
        try:
            return await self._send(request)
        finally:
            self._back()  # a turn sooner than by the task's end

    def uncovered(self, wanted: _Asked) -> _Asked:
        """What of this no fetch under way asks for."""
        return wanted if self.task is None else dict(wanted.items() - self.asked.items())

    def cancel(self) -> None:
        """Nobody wants it any longer."""
        if self.task is not None:
            self.task.cancel()
            self.task = None


class FetchLanes:
    """The fetches of one consumer.

    Args:
        send: of aiokafka's client; it has at most one fetch under way with a broker.
        now: seconds, of a clock that never steps back.
        few: so many partitions are not told apart.
    """

    def __init__(self, send: _Send, now: Callable[[], float] = time.monotonic, few: int = _FEW) -> None:
        self._send = send
        self._now = now
        self._few = few
        self._busy_session, self._quiet_session = FetchSessions(send), FetchSessions(send)
        self._lanes: dict[Any, tuple[_Lane, _Lane]] = {}
        self._back: dict[Any, asyncio.Future[None]] = {}
        """Done when a fetch with a broker has come back."""
        self._spoke_at: dict[_Place, float] = {}

    async def send(self, node_id: Any, request: Any, **options: Any) -> Any:
        """Send a request, a fetch by two ways."""
        if not isinstance(request, FetchRequest):
            return await self._send(node_id, request, **options)
        lanes = self._lanes.get(node_id)
        if sum(len(partitions) for _, partitions in request.topics) <= self._few and (
            lanes is None or not any(lane.task for lane in lanes)
        ):
            return await self._busy_session.send(node_id, request, **options)
        if lanes is None:
            back = partial(self._come_back, node_id)
            lanes = self._lanes[node_id] = (
                _Lane(partial(self._busy_session.send, node_id, **options), back),
                _Lane(partial(self._quiet_session.send, node_id, group=_QUIET_CONNECTION), back),
            )
        busy, quiet = lanes
        wanted: _Asked = {(topic, one[0]): one for topic, partitions in request.topics for one in partitions}
        try:
            while True:
                apart = self._apart(wanted)
                for lane in lanes:
                    if lane.task is not None and lane.task.done():
                        task, lane.task = lane.task, None
                        response = task.result()
                        self._keep(response, lane.asked, wanted)
                        if response.topics or lane is busy or not apart:
                            # aiokafka looks up what it has asked of each partition of the answer, and of no other
                            request._topics = by_topic(
                                (topic, wanted[topic, one[0]]) for topic, ones in response.topics for one in ones
                            )
                            return response
                busy.ask(request, apart if quiet.task is None else quiet.uncovered(wanted) | apart)
                quiet.ask(request, busy.uncovered(wanted))
                self._back[node_id] = asyncio.get_running_loop().create_future()
                if not any(lane.task is not None and lane.task.done() for lane in lanes):
                    await self._back[node_id]
        except asyncio.CancelledError:
            for lane in lanes:
                lane.cancel()
            raise

    def _come_back(self, node_id: Any) -> None:
        back = self._back.get(node_id)
        if back is not None and not back.done():
            back.set_result(None)

    def _apart(self, wanted: _Asked) -> _Asked:
        """Those that said something lately; all, if they are few."""
        if len(wanted) <= self._few:
            return wanted
        since = self._now() - _SILENT_SECONDS
        for place in [place for place, at in self._spoke_at.items() if at < since]:
            del self._spoke_at[place]
        return {place: wanted[place] for place in self._spoke_at if place in wanted}

    def _keep(self, response: Any, asked: _Asked, wanted: _Asked) -> None:
        """Leave in a response what is wanted, and note who spoke."""
        now = self._now()
        topics = []
        for topic, partitions in response.topics:
            kept = []
            for one in partitions:
                place = topic, one[0]
                if place in wanted and wanted[place] == asked.get(place):
                    kept.append(one)
                    if one[-1]:
                        self._spoke_at[place] = now
            if kept:
                topics.append((topic, kept))
        response.topics = topics


def _look(task: asyncio.Task[Any]) -> None:
    """Look at a failure, for else asyncio complains about errors that nobody retrieved."""
    if not task.cancelled():
        task.exception()
