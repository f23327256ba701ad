"""Two fetches in place of one: nothing is missed and nothing given twice, and the silent partitions are left alone."""

import asyncio
import random
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.fetch import FetchRequest, FetchResponse_v11
from aiokafka.protocol.metadata import MetadataRequest

from chopar.bus.kafka.fetch_lanes import FetchLanes

MODERN = {1: (0, 11)}
Place = tuple[str, int]
ALL: list[Place] = [(f"topic-{number}", partition) for number in range(5) for partition in range(6)]
FIRST, SECOND, LAST = ALL[0], ALL[1], ALL[-1]


class Broker:
    """Holds a fetch until one of its partitions has more; a record is as good as its offset."""

    def __init__(self) -> None:
        self.ends = dict.fromkeys(ALL, 0)
        self.waiting: list[tuple[dict[Place, int], asyncio.Future[Any]]] = []
        self.asked: list[int] = []

    async def send(self, node_id: Any, request: Any, **options: Any) -> Any:
        prepared = request.prepare(MODERN)
        offsets = {(topic, one[0]): one[2] for topic, partitions in prepared.topics for one in partitions}
        self.asked.append(len(offsets))
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.waiting.append((offsets, answer))
        self._look()
        return await answer

    def append(self, place: Place) -> None:
        self.ends[place] += 1
        self._look()

    def expire(self) -> None:
        """Their time is up."""
        for _, answer in self.waiting:
            if not answer.done():
                answer.set_result(FetchResponse_v11(0, 0, 0, []))
        self._look()

    def fail(self) -> None:
        for _, answer in self.waiting:
            if not answer.done():
                answer.set_exception(KafkaConnectionError())
        self._look()

    def held(self) -> list[int]:
        return sorted(len(offsets) for offsets, answer in self.waiting if not answer.done())

    def _look(self) -> None:
        for offsets, answer in self.waiting:
            more = [place for place, offset in offsets.items() if self.ends[place] > offset]
            if more and not answer.done():
                topics: list[tuple[str, list[Any]]] = [
                    (
                        topic,
                        [(partition, 0, self.ends[topic, partition], 0, 0, [], -1, b"%d" % offsets[topic, partition])],
                    )
                    for topic, partition in more
                ]
                answer.set_result(FetchResponse_v11(0, 0, 0, topics))
        self.waiting = [one for one in self.waiting if not one[1].done()]


class Client:
    """Has one fetch under way, as aiokafka has with a broker, and takes one record of each partition in an answer."""

    def __init__(self, **options: Any) -> None:
        self.broker = Broker()
        self.now = 0.0
        self.lanes = FetchLanes(self.broker.send, lambda: self.now, **options)
        self.positions = dict.fromkeys(ALL, 0)
        self.got: dict[Place, list[int]] = {place: [] for place in ALL}

    async def fetch(self, without: frozenset[Place] = frozenset()) -> set[Place]:
        topics = [
            (topic, [(part, at, 1000)]) for (topic, part), at in self.positions.items() if (topic, part) not in without
        ]
        response = await self.lanes.send(0, FetchRequest(500, 1, 10_000, 0, topics))
        found = set()
        for topic, partitions in response.topics:
            for one in partitions:
                place = topic, one[0]
                assert place not in without
                assert int(one[-1]) == self.positions[place]
                self.got[place].append(int(one[-1]))
                self.positions[place] += 1
                found.add(place)
        return found


async def turn() -> None:
    """Let all go on that can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def answered(client: Client, place: Place) -> None:
    """A fetch goes out, this one speaks, the fetch is answered with it."""
    fetching = asyncio.create_task(client.fetch())
    await turn()
    client.broker.append(place)
    assert await fetching == {place}


async def test_the_silent_are_left_alone_while_a_busy_one_comes_and_goes() -> None:
    client = Client(few=3)
    await answered(client, FIRST)
    for _ in range(4):
        await answered(client, FIRST)
    assert client.broker.asked == [30, 1, 29, 1, 1, 1]
    assert client.broker.held() == [29]


async def test_a_silent_one_is_answered_at_once_and_is_busy_from_then_on() -> None:
    client = Client(few=3)
    await answered(client, FIRST)
    await answered(client, LAST)
    assert client.broker.held() == [1]
    await answered(client, LAST)
    assert client.broker.held() == [1]  # by the quiet one, as the busy one was away
    client.broker.expire()
    await turn()
    assert await client.fetch() == set()
    client.broker.asked.clear()
    for place in (FIRST, LAST, LAST, FIRST):
        await answered(client, place)
    assert client.broker.asked == [2, 28, 2, 2, 2]


async def test_who_is_silent_for_long_is_silent_again() -> None:
    client = Client(few=3)
    await answered(client, FIRST)
    await answered(client, SECOND)
    client.broker.expire()
    await client.fetch()
    client.now = 29.0
    await answered(client, SECOND)
    assert client.broker.asked[-1] == 2
    client.now = 31.0
    await answered(client, SECOND)
    client.broker.expire()  # of the quiet one: the next takes the silent one along
    await answered(client, SECOND)
    await answered(client, SECOND)
    assert client.broker.asked[-1] == 1


async def test_a_few_are_asked_for_together() -> None:
    client = Client(few=30)
    for place in (FIRST, LAST, FIRST):
        await answered(client, place)
    assert client.broker.asked == [30, 30, 30]


async def test_who_gives_up_leaves_nothing_under_way() -> None:
    client = Client(few=3)
    await answered(client, FIRST)
    fetching = asyncio.create_task(client.fetch())
    await turn()
    fetching.cancel()
    await asyncio.gather(fetching, return_exceptions=True)
    await turn()
    assert all(answer.cancelled() for _, answer in client.broker.waiting)
    await answered(client, FIRST)
    await answered(client, LAST)


async def test_a_failure_is_told_and_all_is_asked_for_again() -> None:
    client = Client(few=3)
    await answered(client, FIRST)
    fetching = asyncio.create_task(client.fetch())
    await turn()
    client.broker.fail()
    with pytest.raises(KafkaConnectionError):
        await fetching
    with pytest.raises(KafkaConnectionError):
        await client.fetch()  # of the other one
    await answered(client, LAST)


async def test_other_requests_pass_untouched() -> None:
    sent: list[Any] = []

    async def send(node_id: Any, request: Any, **options: Any) -> None:
        sent.append((node_id, request, options))

    request = MetadataRequest([])
    await FetchLanes(send).send(3, request, group="g")
    assert sent == [(3, request, {"group": "g"})]


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_happens_each_record_comes_once_and_in_order(seed: int) -> None:
    chance = random.Random(seed)
    client = Client(few=3)
    busy = chance.sample(ALL, 4)
    paused: frozenset[Place] = frozenset()
    for _ in range(100):
        fetching = asyncio.create_task(client.fetch(paused))
        while not fetching.done():
            await turn()
            kind = chance.random()
            if kind < 0.6:
                client.broker.append(chance.choice(busy if chance.random() < 0.8 else ALL))
            elif kind < 0.8:
                client.broker.expire()
            elif kind < 0.83:
                client.broker.fail()
            elif kind < 0.86:
                fetching.cancel()
            await turn()
        client.now += chance.choice([0.0, 1.0, 20.0])
        if not fetching.cancelled() and fetching.exception() is not None:
            assert isinstance(fetching.exception(), KafkaConnectionError)
        if chance.random() < 0.1:
            paused = frozenset(chance.sample(ALL, chance.randrange(4)))
        if chance.random() < 0.05:  # read again from an offset, as after a delivery that failed
            place = chance.choice(busy)
            client.positions[place] = back = chance.randrange(client.positions[place] + 1)
            del client.got[place][back:]
    while client.positions != client.broker.ends:
        fetching = asyncio.create_task(client.fetch())
        await turn()
        client.broker.expire()
        await asyncio.gather(fetching, return_exceptions=True)
    assert client.got == {place: list(range(end)) for place, end in client.broker.ends.items()}
