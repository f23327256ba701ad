"""A handler that has something to do behind a batch is asked for it when all that the batch led to is sent."""

import asyncio
from contextlib import AsyncExitStack

from chopar.bus.consume import Outputs
from chopar.bus.port import Outgoing, Record
from tests.contract.bus_rig import Bench, MemoryRig, Script, loop_of, unique, until


class Rests(Script):
    """Notes how much its outputs' topic held when it was asked to rest."""

    def __init__(self, rig: MemoryRig, target: str) -> None:
        super().__init__(lambda record: Outputs((self._out(record),), (self._out(record),)))
        self._rig = rig
        self._target = target
        self.found: list[int] = []

    def _out(self, record: Record) -> Outgoing:
        return Outgoing(self._target, record.partition, record.key, record.value)

    def rest(self) -> None:
        self.found.append(len(self._rig.bus.records(self._target, 0)))


async def test_a_handler_rests_when_its_outputs_are_sent() -> None:
    async with AsyncExitStack() as stack:
        rig = MemoryRig()
        bench = Bench(rig, stack)
        topic, target = await bench.topic(1), await bench.topic(1)
        handler = Rests(rig, target)
        loop = loop_of(bench, topic, handler, unique("group"))
        running = asyncio.create_task(loop.run())
        await bench.send(topic, 0, b"one")
        await until(lambda: handler.found == [2], "a rest after both outputs")
        await bench.send(topic, 0, b"two", b"three")
        await until(lambda: sum(1 for _ in handler.handled) == 3 and handler.found[-1] == 6, "another after the next")
        loop.stop()
        await running
