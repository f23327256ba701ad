"""Asks the bare echo: the same feeding as the asker's, no codec. Prints one line of JSON."""

import argparse
import asyncio
import json
import sys
import time
from typing import Any

import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.load.echo_parts import DEMAND, KEY_BYTES, PROVIDED, RESOLVED, Batches, producer, values
from tests.load.feeding import arguments, watched

PARTITIONS = 6
PLACES = [TopicPartition(topic, partition) for topic in (RESOLVED, PROVIDED) for partition in range(PARTITIONS)]


class EchoAsker:
    """Sends, reads and keeps count; done when the last hop's message is there."""

    def __init__(self, bootstrap: str, sizes: str) -> None:
        self._bootstrap = bootstrap
        self._value = values(sizes)[DEMAND]
        self.sender = producer(bootstrap)
        self._batches = Batches(self.sender)
        self.open: dict[bytes, float] = {}
        self.latencies: list[tuple[float, float]] = []
        self.freed = asyncio.Event()
        self.sent = 0
        self.answered = 0
        self.doubled = 0
        self._run = f"{time.time_ns():020d}"

    async def send(self, due: list[float]) -> None:
        """Send as many as there are times."""
        for due_at in due:
            key = f"{self._run}{self.sent:0{KEY_BYTES - len(self._run)}d}".encode()
            self._batches.add(DEMAND, self.sent % PARTITIONS, key, self._value)
            self.open[key] = due_at
            self.sent += 1
        await asyncio.gather(*await self._batches.send())

    async def read(self, consumer: AIOKafkaConsumer) -> None:
        """Take answers until cancelled."""
        while True:
            for place, messages in (await consumer.getmany(timeout_ms=200, max_records=500)).items():
                if place.topic == PROVIDED:
                    now = time.perf_counter()
                    for message in messages:
                        due_at = self.open.pop(message.key, None)
                        if due_at is None:
                            self.doubled += message.key.startswith(self._run.encode())
                        else:
                            self.latencies.append((now, now - due_at))
                            self.answered += 1
            self.freed.set()


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """One run."""
    asker = EchoAsker(options.bootstrap, options.sizes)
    consumer = AIOKafkaConsumer(bootstrap_servers=options.bootstrap, enable_auto_commit=False)
    await asker.sender.start()
    await consumer.start()
    consumer.assign(PLACES)
    await consumer.seek_to_end()
    reading = asyncio.create_task(asker.read(consumer))
    found = await watched(asker, reading, options)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await consumer.stop()
    await asker.sender.stop()
    return {**found, "changed": 0, "doubled": asker.doubled}


if __name__ == "__main__":
    told = arguments()
    told.add_argument("--sizes", default="")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.stdout.write(json.dumps(runner.run(measure(told.parse_args()))) + "\n")
