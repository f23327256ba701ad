"""Noticing that a topic was deleted and made again under a client that reads it.

The new topic has the old one's name and other records at the same offsets. Whoever reads on where it stood skips what
the new one has before (tried: no error, unless the position lies behind its end), and a commit of the old position is
taken, so that the next owner skips it too. A cluster gives each topic an id of its own; it is learned when partitions
are taken over, stands beside every offset that is committed, and is asked for again now and then.

aiokafka 0.14 knows no topic ids: it speaks Metadata up to version 5 and Fetch up to 11. The upstream cure is Fetch 13,
which names topics by their ids, so that the broker refuses an old one.
"""

import asyncio
import time
from collections.abc import Callable, Collection
from io import BytesIO
from typing import Any

from aiokafka.errors import IncompatibleBrokerVersion, KafkaError
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Schema, TaggedFields

from chopar.errors import TopicReplacedError

_METADATA = 3
_FIRST_VERSION_WITH_IDS = 12
_ID_BYTES = 16
_CONFIRM_SECONDS = 1.0  # a broker that has not heard of the new topic yet would contradict one that has


class _Uuid(AbstractType[bytes]):  # type: ignore[misc]
    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(_ID_BYTES)


_TEXT = CompactString("utf-8")


class _Answer(Response):  # type: ignore[misc]
    API_KEY = _METADATA
    API_VERSION = _FIRST_VERSION_WITH_IDS
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(("node_id", Int32), ("host", _TEXT), ("port", Int32), ("rack", _TEXT), ("tags", TaggedFields)),
        ),
        ("cluster_id", _TEXT),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", _TEXT),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _Question(RequestStruct):  # type: ignore[misc]
    API_KEY = _METADATA
    API_VERSION = _FIRST_VERSION_WITH_IDS
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _Answer
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("name", _TEXT), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _Ask(Request[_Question]):  # type: ignore[misc]
    API_KEY = _METADATA

    def __init__(self, topics: Collection[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[Any]) -> Any:
        return request_struct_class([(bytes(_ID_BYTES), topic, {}) for topic in self._topics], False, False, {})


class TopicIds:
    """The ids of the topics that one client reads.

    Args:
        every_seconds: how often they are asked for again.
    """

    def __init__(self, every_seconds: float) -> None:
        self._every_seconds = every_seconds
        self._known: dict[str, str] = {}
        self._asking: asyncio.Task[None] | None = None
        self._ask_at: float | None = None
        self.answered = True
        """Whether a broker answered when they were asked for last."""
        self.replaced: set[str] = set()
        """Topics that are not those that were read: nothing of them may be committed."""

    def of(self, topic: str) -> str:
        """The id by which a topic is known, as text; empty: by none."""
        return self._known.get(topic, "")

    async def learn(self, network: Any, topics: Collection[str]) -> None:
        """Ask for the ids of topics.

        Args:
            network: aiokafka's client below a consumer.
            topics: those that are read.

        Raises:
            TopicReplacedError: one is not the one that was known.
            KafkaError: no broker answers.
        """
        found = await _asked(network, topics)
        if self._other_than(found):
            await asyncio.sleep(_CONFIRM_SECONDS)
            found = await _asked(network, topics)
            self.require(self._other_than(found))
        self._known |= found

    def require(self, replaced: Collection[str]) -> None:
        """Raise TopicReplacedError if there are any."""
        self.replaced |= set(replaced)
        if replaced:
            raise TopicReplacedError(
                f"{', '.join(sorted(replaced))}: deleted and made again under this reader; "
                "what the former topic held unread is gone, and offsets of it mean nothing in the new one"
            )

    def look(self, network: Any, topics: Callable[[], Collection[str]]) -> None:
        """Ask anew when it is time, beside whoever calls; to be called again and again.

        Args:
            network: as of `learn`.
            topics: gives those that are read; asked when it is time.

        Raises:
            TopicReplacedError: as it was answered.
        """
        asking, now = self._asking, time.monotonic()
        if asking is None:
            if self._ask_at is None:
                self._ask_at = now + self._every_seconds
            elif now >= self._ask_at and (read := topics()):
                self._asking = asyncio.create_task(self.learn(network, read))
        elif asking.done():
            self._asking, self._ask_at = None, now + self._every_seconds
            if not asking.cancelled():
                try:
                    asking.result()
                    self.answered = True
                except (KafkaError, OSError):
                    self.answered = False

    async def close(self) -> None:
        """Ask no more."""
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    def _other_than(self, found: dict[str, str]) -> set[str]:
        return {topic for topic, one in found.items() if self._known.get(topic, one) != one}


async def _asked(network: Any, topics: Collection[str]) -> dict[str, str]:
    """The ids of those that exist; none of a broker that gives topics no ids."""
    node = network.get_random_node()
    if node is None or not topics:
        return {}
    try:
        answer = await network.send(node, _Ask(topics))
    except (IncompatibleBrokerVersion, NotImplementedError):
        return {}
    return {topic: found.hex() for code, topic, found, *_ in answer.topics if not code}
