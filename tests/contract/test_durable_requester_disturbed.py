"""Two processes of a durable asker under what a seed does to them: each answer is acted on once, and none is lost.

They are killed where they stand and expelled while they work, commits and sends fail, records are held back and come
twice and in any order, the bus is away. In the end one undisturbed process reads what is left.
"""

import asyncio
import contextlib
import logging
import random
from pathlib import Path

import pytest
import structlog

from chopar.bus.memory import SendFault
from chopar.bus.port import TopicPartition
from chopar.errors import UnavailableError
from chopar.messages.demand import Demand
from chopar.topics import PARTITIONS
from tests.durable_rig import HET, PROVIDED, RESOLVED, DurableRig
from tests.world import collect_what_was_killed

SEEDS = range(6)
DEMANDS = 12
DISTURBANCES = 25
PLACES = [TopicPartition(topic, number) for topic in (RESOLVED, PROVIDED) for number in range(PARTITIONS)]


class Disturbed:
    """An agency with two processes, and a seed."""

    def __init__(self, home: Path, seed: int) -> None:
        self.rig = DurableRig(home)
        self.chance = random.Random(seed)
        self.running: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Everything that a seed does, and then the end."""
        await self.rig.start()
        async with self.rig.made() as office:  # it asks, and acts on nothing
            demands = [await self.rig.ask(office, "paper-a", "paper-b", case_id=f"case-{n}") for n in range(DEMANDS)]
        answering = asyncio.create_task(self.answer(demands))
        await self.disturb()
        await answering
        for name in list(self.running):
            await self.kill(name)
        self.mend()
        async with self.rig.running():
            told = [
                f"{demand.case_id} {what}"
                for demand in demands
                for what in ("resolved", "received paper-a True", "received paper-b False", "completed")
            ]
            await self.rig.until_done(*told)
            await self.rig.read()
            assert sorted(await self.rig.done()) == sorted(told)
        assert self.rig.letters() == []
        await self.rig.close()

    async def answer(self, demands: list[Demand]) -> None:
        """Gateway and provider: a resolution is acknowledged before what follows from it, all of it may come again."""
        waiting = [(demand, 0) for demand in demands]
        while waiting:
            demand, step = waiting.pop(self.chance.randrange(len(waiting)))
            if step == 0:
                await self.rig.resolve(demand)
            else:
                await self.rig.provide(demand, ("paper-a", "paper-b")[step - 1], has_debt=step == 1)
            if step < 2:
                waiting.append((demand, step + 1))
            if self.chance.random() < 0.3:
                waiting.append((demand, step))
            await asyncio.sleep(self.chance.choice((0, 0, 0.005, 0.02)))

    async def disturb(self) -> None:
        lost, uncommitted = (self.chance.choice((0.0, 0.1, 0.4)) for _ in range(2))
        fault = self.chance.random
        self.rig.bus.faults.send = lambda record: (
            SendFault.WRITTEN if record.topic.startswith("demand.submitted") and fault() < lost else None
        )
        self.rig.bus.faults.commit = lambda group, offsets: fault() < uncommitted
        for _ in range(DISTURBANCES):
            name = self.chance.choice(("one", "two"))
            match self.chance.randrange(6):
                case 0 | 1 | 2:
                    if name not in self.running:
                        self.running[name] = asyncio.create_task(self.live())
                case 3:
                    await self.kill(name)
                case 4:
                    members = self.rig.bus.members(f"requester.{HET}")
                    if members:
                        await self.rig.bus.expel(self.chance.choice(members))
                case _:
                    self.rig.bus.release(self.chance.choice(PLACES))
            await asyncio.sleep(self.chance.choice((0.0, 0.005, 0.02, 0.1)))

    def mend(self) -> None:
        self.rig.bus.faults.send = lambda record: None
        self.rig.bus.faults.commit = lambda group, offsets: False

    async def live(self) -> None:
        """What a supervisor does: start it again when the bus ends it."""
        while True:
            with contextlib.suppress(UnavailableError):
                async with self.rig.made() as requester:
                    await requester.run()
            await asyncio.sleep(0.01)

    async def kill(self, name: str) -> None:
        task = self.running.pop(name, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            del task
            collect_what_was_killed()


@pytest.mark.parametrize("seed", SEEDS)
async def test_whatever_a_seed_does_each_answer_is_acted_on_once(seed: int, tmp_path: Path) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    await Disturbed(tmp_path, seed).run()
