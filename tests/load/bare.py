"""The ruler: what one message costs with bare aiokafka, `send` and `getmany`, broker included. Prints one line of JSON.

`--dressed` gives each message the key and the headers that ours have, and takes their bytes off its value.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from typing import Any

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from tests.load.accounting import cpu_of

PARTITIONS = 6
IN_FLIGHT = 2000
HEADERS = [
    ("ce_specversion", b"1.0"),
    ("ce_id", b"0" * 36),
    ("ce_source", b"/gateway"),
    ("ce_type", b"chopar.demand.DemandResolved"),
    ("ce_time", b"2026-01-01T00:00:00.000Z"),
    ("ce_correlationid", b"0" * 36),
    ("ce_causationid", b"0" * 36),
    ("content-type", b"application/avro"),
    ("traceparent", b"0" * 55),
]
DRESS_BYTES = 36 + sum(len(name) + len(value) for name, value in HEADERS)


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Produce so many messages, then read them; the client's and the broker's CPU for both."""
    pids = {"broker": options.broker_pid, "client": os.getpid()}
    size = options.size - (DRESS_BYTES if options.dressed else 0)
    values = [os.urandom(size - size // 2) + bytes(size // 2) for _ in range(256)]
    dress: dict[str, Any] = {"key": b"0" * 36, "headers": HEADERS} if options.dressed else {}
    producer = AIOKafkaProducer(
        bootstrap_servers=options.bootstrap, acks="all", enable_idempotence=True, linger_ms=5, max_batch_size=262_144
    )
    await producer.start()
    before, began = cpu_of(pids), time.perf_counter()
    flying: list[Any] = []
    for number in range(options.count):
        value = values[number % 256]
        flying.append(await producer.send(options.topic, value, partition=number % PARTITIONS, **dress))
        if len(flying) == IN_FLIGHT:
            await asyncio.gather(*flying)
            flying.clear()
    await asyncio.gather(*flying)
    await producer.stop()
    produced = time.perf_counter()
    consumer = AIOKafkaConsumer(bootstrap_servers=options.bootstrap, enable_auto_commit=False)
    await consumer.start()
    places = [TopicPartition(options.topic, partition) for partition in range(PARTITIONS)]
    consumer.assign(places)
    await consumer.seek_to_beginning()
    read = 0
    while read < options.count:
        read += sum(len(got) for got in (await consumer.getmany(timeout_ms=1000, max_records=2000)).values())
    after, ended = cpu_of(pids), time.perf_counter()
    await consumer.stop()
    return {
        "messages": options.count,
        "cpu_seconds": {name: after[name] - before[name] for name in pids},
        "produced_per_second": options.count / (produced - began),
        "consumed_per_second": options.count / (ended - produced),
    }


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--bootstrap", required=True)
    arguments.add_argument("--topic", required=True)
    arguments.add_argument("--broker-pid", type=int, required=True)
    arguments.add_argument("--size", type=int, required=True)
    arguments.add_argument("--count", type=int, default=60_000)
    arguments.add_argument("--dressed", action="store_true")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.stdout.write(json.dumps(runner.run(measure(arguments.parse_args()))) + "\n")
