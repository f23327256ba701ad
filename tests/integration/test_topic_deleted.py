"""A topic is deleted while its records are being committed: the others of that process go on."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from chopar.bus.consume import ConsumeLoop, Outputs
from chopar.bus.kafka import KafkaBus
from chopar.bus.port import Record, TopicPartition
from tests.contract.bus_rig import FAST, Bench, KafkaRig, Script, unique, until

pytestmark = pytest.mark.broker


async def test_a_commit_of_a_topic_that_was_deleted_does_not_hold_up_the_others(bootstrap: str) -> None:
    """aiokafka tries a commit again for ever, and the loop waited 30 s for it."""
    async with AsyncExitStack() as stack:
        bench = Bench(KafkaRig(bootstrap), stack)
        topic, other, group = await bench.topic(1), await bench.topic(1), unique("group")
        admin = KafkaBus(bootstrap).admin()
        await admin.start()
        stack.push_async_callback(admin.stop)
        deleted = asyncio.Event()

        async def handle(record: Record) -> Outputs:
            if record.topic == topic:
                await admin.delete([topic])
                deleted.set()
            return Outputs()

        loop = ConsumeLoop(bench.bus, group, [topic, other], Script(handle), settings=FAST)
        running = asyncio.create_task(loop.run())
        try:
            await until(lambda: not loop.missing(), "it is there")
            await bench.send(topic, 0, b"last")
            await deleted.wait()
            await bench.send(other, 0, b"other")
            committed: dict[TopicPartition, int] = {}

            async def look() -> None:
                while committed.get(TopicPartition(other, 0)) != 1:
                    committed.update(await admin.committed(group))

            async with asyncio.timeout(20):
                await look()
        finally:
            loop.stop()
            await asyncio.gather(running, return_exceptions=True)
        assert running.exception() is None
