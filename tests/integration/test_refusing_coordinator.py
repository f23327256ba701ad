"""A coordinator that refuses for a while whatever it is asked: every member is back once it answers again.

A broker that was killed does so until it has read its groups: for milliseconds, or for long where it has many. aiokafka
takes some of these answers for the end of the member.
"""

import asyncio
import random
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import GroupCoordinatorNotAvailableError, RequestTimedOutError, UnknownError
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest, SyncGroupRequest
from structlog.testing import capture_logs

from chopar.bus.consume import ConsumeLoop, ConsumeSettings, Outputs
from tests.contract.bus_rig import Bench, KafkaRig, Script, unique, until

pytestmark = pytest.mark.broker

SEED = 20261126
MEMBERS = 6
PATIENCE_SECONDS = 90.0  # six members join at once, on a machine that may be busy
ENOUGH = 60  # refusals: each member meets several of each kind
LOADING, AWAY, ELSEWHERE, OLD_GENERATION, UNKNOWN_MEMBER, DIVIDING, UNEXPECTED = 14, 15, 16, 22, 25, 27, -1
REFUSALS = {
    HeartbeatRequest: (LOADING, AWAY, ELSEWHERE, OLD_GENERATION, UNKNOWN_MEMBER, DIVIDING),
    JoinGroupRequest: (LOADING, AWAY, ELSEWHERE, UNKNOWN_MEMBER, DIVIDING, UNEXPECTED),
    SyncGroupRequest: (LOADING, AWAY, ELSEWHERE, OLD_GENERATION, UNKNOWN_MEMBER, DIVIDING, UNEXPECTED),
}
PATIENT = ConsumeSettings(fetch_timeout_seconds=0.1, retry_first_seconds=0.01, retry_most_seconds=0.05, restarts=1000)


class Refusing:
    """Answers in the place of the coordinator, four times of five."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.on = False
        self.said = 0
        self._random = random.Random(SEED)
        send, look_up = GroupCoordinator._send_req, AIOKafkaClient.coordinator_lookup

        async def refuse(coordinator: Any, request: Any) -> Any:
            codes = REFUSALS.get(type(request))
            if codes and self._refuses():
                return SimpleNamespace(error_code=self._random.choice(codes), API_VERSION=5, member_id="")
            answer = await send(coordinator, request)
            if isinstance(request, OffsetFetchRequest) and self._refuses():
                code = self._random.choice((LOADING, AWAY, ELSEWHERE))
                topics = [(topic, [(*one[:3], code) for one in ones]) for topic, ones in answer.topics]
                return SimpleNamespace(topics=topics)
            return answer

        async def find(client: Any, *what: Any) -> Any:
            if self._refuses():
                raise self._random.choice((GroupCoordinatorNotAvailableError, RequestTimedOutError, UnknownError))
            return await look_up(client, *what)

        patch.setattr(GroupCoordinator, "_send_req", refuse)
        patch.setattr(AIOKafkaClient, "coordinator_lookup", find)

    async def refuse(self, times: int) -> None:
        """Refuse so often, then answer again."""
        self.on, due = True, self.said + times
        await until(lambda: self.said >= due, "it has refused", PATIENCE_SECONDS)
        self.on = False

    def _refuses(self) -> bool:
        refuses = self.on and self._random.random() < 0.8
        self.said += refuses
        return refuses


async def test_all_members_are_back_after_a_coordinator_that_refused(
    bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncExitStack() as stack:
        said = stack.enter_context(capture_logs())
        bench = Bench(KafkaRig(bootstrap), stack)
        topics = [await bench.topic(1) for _ in range(MEMBERS)]
        handler = Script(lambda record: Outputs())
        loops = [ConsumeLoop(bench.bus, unique("group"), [topic], handler, settings=PATIENT) for topic in topics]
        running = [asyncio.create_task(loop.run()) for loop in loops]
        coordinator = Refusing(monkeypatch)
        try:
            for _ in range(2):
                await until(lambda: not any(loop.missing() for loop in loops), "all are there", PATIENCE_SECONDS)
                await coordinator.refuse(ENOUGH)
            await until(lambda: not any(loop.missing() for loop in loops), "all are back", PATIENCE_SECONDS)
            assert any(one["event"] == "bus.rebuilt" for one in said), "aiokafka gave some up"
            for number, topic in enumerate(topics):
                await bench.send(topic, 0, b"%d" % number)
            await until(lambda: set(handler.values()) == {b"%d" % number for number in range(MEMBERS)}, "all read")
        finally:
            for loop in loops:
                loop.stop()
            await asyncio.gather(*running, return_exceptions=True)
        assert [task.exception() for task in running] == [None] * MEMBERS
