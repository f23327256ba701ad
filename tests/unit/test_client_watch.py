"""When a client counts as stranded, by a clock and a broker of the test's own."""

import asyncio

import pytest

from chopar.bus.kafka.client_watch import ClientWatch
from chopar.bus.kafka.connection import KafkaClientSettings
from chopar.errors import BrokerUnavailableError

SETTINGS = KafkaClientSettings(unanswered_seconds=12.0, division_seconds=45.0)


class Scene:
    """A watch, the seconds it sees, and whether another client finds the coordinator."""

    def __init__(self) -> None:
        self.now = 100.0
        self.there = False
        self.asked = 0
        self.watch = ClientWatch(SETTINGS, self.found, lambda: "fetching runs", lambda: self.now)

    async def found(self) -> bool:
        self.asked += 1
        return self.there

    async def look(self, seconds: float, *, answered: bool = True, settled: bool = True) -> None:
        """Look so long after the last look, and let what was asked be answered."""
        self.now += seconds
        self.watch.look(answered=answered, settled=settled)
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def test_a_member_that_alone_does_not_find_its_coordinator_is_stranded() -> None:
    scene = Scene()
    scene.there = True
    await scene.look(0, answered=False)
    await scene.look(11.9, answered=False)
    assert scene.asked == 0
    await scene.look(0.2, answered=False)
    assert scene.asked == 1
    await scene.look(0.1, answered=False)
    await scene.look(11.9, answered=False)
    assert scene.asked == 1, "it has a moment to find a broker that has just come back"
    await scene.look(0.2, answered=False)
    assert scene.asked == 2
    with pytest.raises(BrokerUnavailableError, match=r"for 24 s, but another client is answered \(fetching runs\)"):
        await scene.look(0.1, answered=False)


async def test_a_broker_that_is_away_is_waited_for_and_asked_for_now_and_then() -> None:
    scene = Scene()
    for _ in range(600):
        await scene.look(1, answered=False, settled=False)
    assert 30 <= scene.asked <= 50
    await scene.look(1)
    scene.there = True
    await scene.look(11, answered=False)
    await scene.look(11, answered=False)
    assert scene.asked <= 50, "it is counted from when the coordinator was known last"


async def test_a_broker_that_is_back_for_a_moment_is_waited_for_on() -> None:
    scene = Scene()
    for _ in range(600):
        scene.there = scene.asked % 2 == 0  # found at every first asking, and at no second
        await scene.look(1, answered=False)
    assert scene.asked > 30


async def test_a_member_that_finds_it_meanwhile_goes_on() -> None:
    scene = Scene()
    scene.there = True
    await scene.look(0, answered=False)
    await scene.look(13, answered=False)
    await scene.look(0.1)
    await scene.look(0.1, answered=False)
    await scene.look(11, answered=False)
    assert scene.asked == 1, "what was answered then says nothing of now"


@pytest.mark.parametrize("settled", [True, False])
@pytest.mark.parametrize("looks_after", [0, 1])
async def test_what_another_client_found_in_an_earlier_outage_is_not_used_in_a_later_one(
    *, settled: bool, looks_after: int
) -> None:
    scene = Scene()
    scene.there = True
    await scene.look(0, answered=False)
    await scene.look(13, answered=False)  # asked, and answered only when this client had found its way itself
    for _ in range(looks_after):
        await scene.look(0.1, answered=False)
    await scene.look(0.1, settled=settled)
    scene.there = False
    await scene.look(100, answered=False)
    await scene.look(11, answered=False)
    assert scene.asked == 1
    await scene.look(1.1, answered=False)
    assert scene.asked == 2
    for _ in range(60):
        await scene.look(1, answered=False)


async def test_a_division_without_end_is_left() -> None:
    scene = Scene()
    await scene.look(0, settled=False)
    await scene.look(44.9, settled=False)
    await scene.look(0.05)
    await scene.look(0, settled=False)
    await scene.look(44.9, settled=False)
    with pytest.raises(BrokerUnavailableError, match="not done within 45 s"):
        await scene.look(0.2, settled=False)


async def test_a_division_is_not_counted_while_the_broker_is_away() -> None:
    scene = Scene()
    await scene.look(0, settled=False)
    await scene.look(44, answered=False, settled=False)
    await scene.look(2, settled=False)
    await scene.look(44, settled=False)
    assert scene.asked == 0


async def test_an_asking_that_was_cancelled_is_no_answer() -> None:
    """aiokafka cancels work of its own."""
    scene = Scene()

    async def cancelled() -> bool:
        scene.asked += 1
        raise asyncio.CancelledError

    scene.watch = ClientWatch(SETTINGS, cancelled, str, lambda: scene.now)
    for _ in range(60):
        await scene.look(1, answered=False)
    assert 3 <= scene.asked <= 5


async def test_what_is_asked_ends_with_the_watch() -> None:
    ended = asyncio.Event()

    async def found() -> bool:
        try:
            return await asyncio.Event().wait()
        finally:
            ended.set()

    now = [0.0]
    watch = ClientWatch(SETTINGS, found, str, lambda: now[0])
    watch.look(answered=False, settled=True)
    now[0] = 13.0
    watch.look(answered=False, settled=True)
    await asyncio.sleep(0)
    await watch.close()
    assert ended.is_set()
