"""An idle aiokafka process: producer and consumer connected, nothing else. The measure of our own memory (P4).

Says its memory (MiB) on standard output after a moment of idling, and ends.
"""

import argparse
import asyncio
import os
import sys

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from tests.load.accounting import resident_mib

IDLE_SECONDS = 2.0


async def idle(options: argparse.Namespace) -> float:
    """Connect as a gateway does, to the same topics, and wait."""
    producer = AIOKafkaProducer(bootstrap_servers=options.bootstrap, acks="all", enable_idempotence=True)
    consumer = AIOKafkaConsumer(
        *options.topics, bootstrap_servers=options.bootstrap, group_id="load.idle", enable_auto_commit=False
    )
    await producer.start()
    await consumer.start()
    await consumer.getmany(timeout_ms=int(IDLE_SECONDS * 1000))
    memory = resident_mib(os.getpid())
    await consumer.stop()
    await producer.stop()
    return memory


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--bootstrap", required=True)
    arguments.add_argument("topics", nargs="+")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.stdout.write(f'{{"memory_mib": {runner.run(idle(arguments.parse_args())):.1f}}}\n')
