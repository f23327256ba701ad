"""Fetch sessions: a broker that keeps what it was told is always told enough, whatever is lost on the way."""

import random
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.fetch import FetchRequest, FetchRequest_v11, FetchResponse_v4, FetchResponse_v11
from aiokafka.protocol.metadata import MetadataRequest

from chopar.bus.kafka.fetch_sessions import FetchSessions

MODERN, OLD = {1: (0, 11)}, {1: (0, 4)}
NOT_FOUND, WRONG_EPOCH = 70, 71
Told = dict[tuple[str, int], int]


class Broker:
    """Keeps sessions as KIP-227 says; what it was told of partitions is what it would answer for."""

    def __init__(self, versions: Any = MODERN, *, has_room: bool = True) -> None:
        self.versions = versions
        self.has_room = has_room
        self.sessions: dict[int, tuple[int, Told]] = {}
        self.told: Told = {}
        self.named: list[int] = []
        self.lose = ""
        self.made = 0

    async def send(self, node_id: Any, request: Any) -> Any:
        prepared = request.prepare(self.versions)
        lose, self.lose = self.lose, ""
        if lose == "request":
            raise KafkaConnectionError
        response = self.answer(FetchRequest_v11.decode(prepared.encode()) if self.versions is MODERN else prepared)
        if lose == "response":
            raise KafkaConnectionError
        return response

    def answer(self, request: Any) -> Any:
        given = {(topic, one[0]): one[-3] for topic, partitions in request.topics for one in partitions}
        self.named.append(len(given))
        if self.versions is not MODERN:
            self.told = given
            return FetchResponse_v4(0, [])
        code, asked, epoch = 0, request.session_id, request.session_epoch
        if epoch <= 0:
            assert request.forgotten_topics_data == []
            self.sessions.pop(asked, None)
            self.made += 1
            asked, self.told = (self.made if self.has_room and epoch == 0 else 0), given
        elif asked not in self.sessions:
            return FetchResponse_v11(0, NOT_FOUND, 0, [])
        elif self.sessions[asked][0] != epoch:
            return FetchResponse_v11(0, WRONG_EPOCH, 0, [])
        else:
            gone = {(topic, one) for topic, partitions in request.forgotten_topics_data for one in partitions}
            known = {place: at for place, at in self.sessions[asked][1].items() if place not in gone}
            self.told = known | given
        if asked:
            self.sessions[asked] = (epoch + 1, self.told)
        return FetchResponse_v11(0, code, asked, [])


def fetch(offsets: Told) -> FetchRequest:
    topics: dict[str, list[tuple[int, int, int]]] = {}
    for (topic, partition), offset in offsets.items():
        topics.setdefault(topic, []).append((partition, offset, 1000))
    return FetchRequest(500, 1, 10_000, 0, list(topics.items()))


ALL: Told = {(f"topic-{number}", partition): 0 for number in range(29) for partition in range(6)}


async def test_only_what_changed_is_named() -> None:
    broker = Broker()
    send = FetchSessions(broker.send).send
    await send(0, fetch(ALL))
    await send(0, fetch(ALL))
    moved = {**ALL, ("topic-3", 2): 17, ("topic-3", 3): 18}
    await send(0, fetch(moved))
    del moved["topic-1", 1]
    await send(0, fetch(moved))
    assert broker.named == [174, 0, 2, 0]
    assert broker.told == moved
    moved["topic-1", 1] = 0
    await send(0, fetch(moved))
    assert (broker.named[-1], broker.told, broker.made) == (1, moved, 1)


async def test_each_broker_has_its_own_session() -> None:
    one, other = Broker(), Broker()
    sessions = FetchSessions(lambda node_id, request: (one, other)[node_id].send(node_id, request))
    for _ in range(2):
        await sessions.send(0, fetch({("a", 0): 5}))
        await sessions.send(1, fetch({("b", 0): 6}))
    assert (one.named, one.told, other.named, other.told) == ([1, 0], {("a", 0): 5}, [1, 0], {("b", 0): 6})


@pytest.mark.parametrize("lost", ["request", "response"])
async def test_after_a_failure_all_is_named(lost: str) -> None:
    broker = Broker()
    send = FetchSessions(broker.send).send
    await send(0, fetch(ALL))
    broker.lose = lost
    with pytest.raises(KafkaConnectionError):
        await send(0, fetch({**ALL, ("topic-3", 2): 17}))
    await send(0, fetch(ALL))
    assert (broker.told, broker.named[-1], len(broker.sessions)) == (ALL, 174, 1)


async def test_a_broker_without_room_or_of_another_time_is_told_all() -> None:
    for broker in (Broker(has_room=False), Broker(OLD)):
        send = FetchSessions(broker.send).send
        for _ in range(3):
            await send(0, fetch(ALL))
        assert broker.named == [174] * 3


async def test_other_requests_pass_untouched() -> None:
    sent: list[Any] = []

    async def send(node_id: Any, request: Any, **options: Any) -> None:
        sent.append((node_id, request, options))

    request = MetadataRequest([])
    await FetchSessions(send).send(3, request, group="g")
    assert sent == [(3, request, {"group": "g"})]


@pytest.mark.parametrize("seed", range(50))
async def test_whatever_happens_an_answered_fetch_was_of_what_was_asked(seed: int) -> None:
    chance = random.Random(seed)
    broker = Broker()
    send = FetchSessions(broker.send).send
    asked = dict(list(ALL.items())[:20])
    for _ in range(200):
        for place in chance.sample(sorted(asked), min(3, len(asked))):
            asked[place] += chance.randrange(2)
        if chance.random() < 0.3:
            place = chance.choice(sorted(ALL))
            asked.pop(place, None) if place in asked else asked.update({place: 0})
        if chance.random() < 0.1:
            broker.sessions.clear()  # begun anew, or another has led it meanwhile
        broker.has_room = chance.random() < 0.9
        broker.lose = chance.choice(["request", "response"]) if chance.random() < 0.1 else ""
        try:
            response = await send(0, fetch(asked))
        except KafkaConnectionError:
            continue
        assert response.error_code or broker.told == asked
        if response.error_code:
            assert not (await send(0, fetch(asked))).error_code
            assert broker.told == asked


def test_aiokafka_still_writes_no_session_of_its_own() -> None:
    """When it does, `chopar.bus.kafka.fetch_sessions` has to go."""
    prepared = fetch(ALL).prepare(MODERN)
    assert (prepared.API_VERSION, prepared.session_id, prepared.session_epoch) == (11, 0, -1)
    assert prepared.forgotten_topics_data == []
