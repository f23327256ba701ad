"""Whether a broker answers who asks for the ids of topics, by a network of the test's own."""

import asyncio
from types import SimpleNamespace
from typing import Any

from aiokafka.errors import KafkaConnectionError

from chopar.bus.kafka.topic_ids import TopicIds


class Network:
    """Answers, or raises what it is told to."""

    def __init__(self) -> None:
        self.fails: BaseException | None = None

    def get_random_node(self) -> int:
        """Give the one node."""
        return 1

    async def send(self, node: int, request: Any) -> Any:
        """Answer with no topic."""
        if self.fails is not None:
            raise self.fails
        return SimpleNamespace(topics=[])


async def looked(ids: TopicIds, network: Network) -> bool:
    """Whether it counts as answered when it was asked once more."""
    for _ in range(4):  # due, asked, answered, noted
        ids.look(network, lambda: {"topic"})
        await asyncio.sleep(0)
    return ids.answered


async def test_a_broker_that_answers_again_is_noticed() -> None:
    ids, network = TopicIds(0.0), Network()
    assert await looked(ids, network)
    network.fails = KafkaConnectionError()
    assert not await looked(ids, network)
    network.fails = asyncio.CancelledError()  # by the client itself, which says nothing
    assert not await looked(ids, network)
    network.fails = None
    assert await looked(ids, network)
