"""A hop of the bare echo: aiokafka `getmany` and `send_batch`, no codec, no order between outputs, no table, no law.

It does what the gateway or the tax service does with a record, less everything that is ours: so many messages of the
same sizes to as many topics, in the partition of the cause. Four batches may be in flight, offsets are committed each
tenth of a second. With `--waits` it has what is said before acknowledged, then what is said after, then takes the next
batch: the least that anything costs which keeps "no record, no document". Says `ready` on standard output when it
consumes.
"""

import argparse
import asyncio
import sys

import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.load.echo_parts import DEMAND, GATEWAY_SAYS, REQUESTED, TAX_SAYS, Batches, producer, values

ROLES: dict[str, tuple[str, tuple[tuple[str, ...], ...]]] = {
    "gateway": (DEMAND, GATEWAY_SAYS),
    "tax": (REQUESTED, TAX_SAYS),
}
IN_FLIGHT = 4
COMMIT_SECONDS = 0.1


async def hop(options: argparse.Namespace) -> None:
    """Pass on, for ever."""
    topic, steps = ROLES[options.role]
    if not options.waits:
        steps = (tuple(said for step in steps for said in step),)
    bodies = values(options.sizes)
    sender = producer(options.bootstrap)
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=options.bootstrap,
        group_id=f"load.echo.{options.role}",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await sender.start()
    await consumer.start()
    while not consumer.assignment():
        await asyncio.sleep(0.05)
    slots = asyncio.Semaphore(IN_FLIGHT)
    done: dict[TopicPartition, int] = {}

    async def finish(flying: list[asyncio.Future[object]], offsets: dict[TopicPartition, int], last: object) -> None:
        await asyncio.gather(*flying)
        if isinstance(last, asyncio.Task):
            await last
        done.update(offsets)
        slots.release()

    async def commit() -> None:
        while True:
            await asyncio.sleep(COMMIT_SECONDS)
            if done:
                offsets = dict(done)
                done.clear()
                await consumer.commit(offsets)

    committing = asyncio.create_task(commit())
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    last: asyncio.Task[None] | None = None
    batches = Batches(sender)
    while not committing.done():
        got = await consumer.getmany(timeout_ms=500, max_records=500)
        if not got:
            continue
        await slots.acquire()
        flying: list[asyncio.Future[object]] = []
        for step in steps:
            for place, messages in got.items():
                for message in messages:
                    for said in step:
                        batches.add(said, place.partition, message.key, bodies[said])
            flying = await batches.send()
            if options.waits:
                await asyncio.gather(*flying)
        offsets = {place: messages[-1].offset + 1 for place, messages in got.items()}
        last = asyncio.create_task(finish(flying, offsets, last))


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("role", choices=tuple(ROLES))
    arguments.add_argument("--bootstrap", required=True)
    arguments.add_argument("--sizes", default="")
    arguments.add_argument("--waits", action="store_true", help="for what is to be acknowledged first")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(hop(arguments.parse_args()))
