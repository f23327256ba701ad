"""One consumer group of an asker, one database: also where two are new and start at the same moment."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from chopar.bus.memory import MemoryBus
from chopar.bus.memory.clients import MemoryAdmin
from chopar.bus.port import TopicPartition
from chopar.errors import ConfigurationError
from chopar.requester.durable_requester import DurableRequester
from chopar.requester.group_owner import OWNER
from tests.durable_rig import DEADLINE_SECONDS, HET, METADATA, RESOLVED, DurableRig

GROUP = f"requester.{HET}"
PLACE = TopicPartition(RESOLVED, 0)


@pytest.fixture
async def rigs(tmp_path: Path) -> AsyncIterator[tuple[DurableRig, DurableRig]]:
    """Two systems of one agency on one bus, with a database each."""
    made = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        made.append(DurableRig(tmp_path / name))
    first, second = made
    await first.start()
    second.bus, second.registry, second.encoder = first.bus, first.registry, first.encoder
    second.others = first.others
    async with second.engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
    yield first, second
    for rig in made:
        await rig.close()


class Meeting(MemoryAdmin):
    """Two that ask whose the group is are both told that it is nobody's, before either writes itself down."""

    def __init__(self, bus: MemoryBus, barrier: asyncio.Barrier) -> None:
        super().__init__(bus)
        self._barrier: asyncio.Barrier | None = barrier

    async def noted(self, group: str, place: TopicPartition) -> str:
        found = await super().noted(group, place)
        if not found and self._barrier is not None:
            await self._barrier.wait()
        return found


async def met(rigs: tuple[DurableRig, DurableRig]) -> list[DurableRequester]:
    """Two askers that have both found that the group is nobody's."""
    bus, barrier = rigs[0].bus, asyncio.Barrier(2)
    bus.admin = lambda: Meeting(bus, barrier)  # type: ignore[method-assign]
    made = [rig.made() for rig in rigs]
    await asyncio.gather(*(requester.__aenter__() for requester in made))
    return made


async def test_of_two_new_databases_that_start_at_once_exactly_one_goes_on(rigs: tuple[DurableRig, DurableRig]) -> None:
    requesters = await met(rigs)
    running = [asyncio.create_task(requester.run()) for requester in requesters]
    done, left = await asyncio.wait(running, timeout=DEADLINE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    [refused], [goes_on] = done, left
    with pytest.raises(ConfigurationError, match="of its own"):
        refused.result()
    winner = running.index(goes_on)
    rig = rigs[winner]
    demand = await rig.ask(requesters[winner])
    await rig.resolve(demand)
    await rig.provide(demand)
    await rig.read()
    assert rig.letters() == []
    assert await requesters[winner].waiting() == []
    requesters[winner].stop()
    await goes_on
    loser = rigs[1 - winner]
    for requester in requesters:
        await requester.__aexit__(None, None, None)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="of its own"):
            await loser.made().__aenter__()


async def test_a_database_that_is_not_new_is_told_apart_too(rigs: tuple[DurableRig, DurableRig]) -> None:
    """A copy of a program with its own database, which was read by another group until now."""
    first, second = rigs
    async with second.made(group="another"):
        pass
    async with first.running():
        with pytest.raises(ConfigurationError, match="absolute path"):
            await second.made().__aenter__()
    async with first.running():  # the same again
        pass


async def test_whose_a_group_is_is_written_down_again_before_a_broker_forgets_it(
    rigs: tuple[DurableRig, DurableRig],
) -> None:
    rig, _ = rigs
    async with rig.running():
        known = await written_down(rig)
        rig.bus.group(GROUP + OWNER).notes.clear()
        rig.now += timedelta(hours=7)
        assert await written_down(rig) == known


async def written_down(rig: DurableRig) -> str:
    """Whose the group is, as soon as that is known."""
    notes = rig.bus.group(GROUP + OWNER).notes
    async with asyncio.timeout(DEADLINE_SECONDS):
        while PLACE not in notes:
            await asyncio.sleep(0.01)
    return notes[PLACE]
