"""Fetch sessions (KIP-227) for consumers of aiokafka, which asks for every partition anew by each fetch.

A gateway holds six partitions of every requester, most of them empty for hours. Without a session each fetch names them
all and each answer too: with 174 of them 2 ms of CPU here and 1 ms at the broker, whether one record came or none, and
all of it on the way of that record. In a session a fetch names what has changed since the last, and the answer what has
something to say. Whatever goes wrong, the next fetch begins another session with all partitions, as aiokafka's would.

aiokafka 0.14 writes session 0 and epoch -1 into each request (`FetchRequest.build`); the upstream cure is to keep id
and epoch by node in its `Fetcher`. Until then its client's `send` is replaced, of consumers in a group: a reader lives
too shortly to be worth one of the broker's slots.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeAlias

from aiokafka.protocol.fetch import FetchRequest

_FIRST_VERSION = 7  # of the request that knows sessions
_FULL = 0  # the epoch of a fetch that names all, and begins a session
_LAST_EPOCH = 2**31 - 1

_Send: TypeAlias = Callable[..., Awaitable[Any]]
_Place: TypeAlias = tuple[str, int]


class _Session:
    """What one broker has been told."""

    def __init__(self) -> None:
        self.id = 0
        self.epoch = _FULL
        self._told: dict[_Place, tuple[int, ...]] = {}

    def put_into(self, request: Any) -> None:
        """Have a request say only what has changed."""
        asked = {(topic, one[0]): one for topic, partitions in request.topics for one in partitions}
        request.session_id, request.session_epoch = self.id, self.epoch
        told, self._told = self._told, asked
        if self.epoch == _FULL:
            return
        request.topics = by_topic((place[0], one) for place, one in asked.items() if told.get(place) != one)
        request.forgotten_topics_data = by_topic(place for place in told if place not in asked)

    def answered(self, response: Any) -> None:
        """Go on with the session, if the broker does."""
        if response.API_VERSION < _FIRST_VERSION:
            return
        if response.error_code:
            self.begin_anew()  # it has forgotten the session, or counts otherwise
        elif not response.session_id:
            self.id, self.epoch = 0, _FULL  # it has no room for one
        else:
            self.id, self.epoch = response.session_id, self.epoch % _LAST_EPOCH + 1

    def begin_anew(self) -> None:
        """The next request names all, ends this session if there still is one, and begins another."""
        self.epoch = _FULL


class _InSession(FetchRequest):  # type: ignore[misc]
    """A fetch that is put into a session when it is known which version the broker speaks."""

    def __init__(self, request: Any, session: _Session) -> None:
        self._request = request
        self._session = session

    def prepare(self, versions: Mapping[int, tuple[int, int]]) -> Any:
        prepared = self._request.prepare(versions)
        if prepared.API_VERSION >= _FIRST_VERSION:
            self._session.put_into(prepared)
        return prepared


class FetchSessions:
    """The sessions of one consumer: one with each broker.

    Args:
        send: of aiokafka's client; it has at most one fetch under way with a broker.
    """

    def __init__(self, send: _Send) -> None:
        self._send = send
        self._sessions: dict[Any, _Session] = {}

    async def send(self, node_id: Any, request: Any, **options: Any) -> Any:
        """Send a request, a fetch in its session."""
        if not isinstance(request, FetchRequest):
            return await self._send(node_id, request, **options)
        session = self._sessions.setdefault(node_id, _Session())
        try:
            response = await self._send(node_id, _InSession(request, session), **options)
        except BaseException:
            session.begin_anew()  # whether the broker has counted it is not known
            raise
        session.answered(response)
        return response


def by_topic(items: Iterable[tuple[str, Any]]) -> list[tuple[str, list[Any]]]:
    """Pairs of topic and item, as requests have them."""
    found: dict[str, list[Any]] = {}
    for topic, item in items:
        found.setdefault(topic, []).append(item)
    return list(found.items())
