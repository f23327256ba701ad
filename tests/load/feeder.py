"""Puts so many waiting demands on the log, as fast as may be. Prints one line of JSON.

Demands are made once by the library and then copied with an id and a person of their own: composing a million would
take longer than draining them.
"""

import argparse
import asyncio
import json
import sys
import time
from typing import Any

import uvloop

from chopar.avro import SchemaFiles
from chopar.bus.kafka import KafkaBus
from chopar.bus.port import Outgoing, partition_of
from chopar.envelope import Origin, outgoing
from chopar.errors import ChoparError
from chopar.identifiers import derived_uuid
from chopar.messages.demand import Demand, Subject
from chopar.requester.requester import Requester
from chopar.schema_registry import Encoder, HttpSchemaRegistry
from chopar.topics import DEMAND_SUBMITTED, PARTITIONS
from tests.load.asker import AGENCY, DOCUMENTS, PROCEDURE, expectations
from tests.load.table_size import uuid7

BATCH = 2000


async def feed(options: argparse.Namespace) -> dict[str, Any]:
    """Send them."""
    bus, registry = KafkaBus(options.bootstrap), HttpSchemaRegistry(options.registry)
    encoder = Encoder(SchemaFiles.shipped(), registry)
    await encoder.prepare(Demand)
    people = list(expectations())
    demand = Requester(AGENCY, bus, registry).compose(
        procedure=PROCEDURE,
        subject=Subject(kind="person", id=people[0]),
        documents=DOCUMENTS,
    )
    model = encoder.encode(demand)
    own_id, own_person = str(demand.demand_id).encode(), people[0].encode()
    if model.count(own_id) != 1 or model.count(own_person) != 1:
        raise RuntimeError("a demand does not hold its id and its person as texts: make them otherwise")
    before, _, rest = model.partition(own_id)
    between, _, behind = rest.partition(own_person)
    topic = DEMAND_SUBMITTED.of(AGENCY)
    producer = bus.producer("feeder")
    await producer.start()
    began = time.perf_counter()
    for first in range(0, options.count, BATCH):
        records: list[Outgoing] = []
        now = time.time_ns() // 1_000_000
        for number in range(first, min(options.count, first + BATCH)):
            fresh = uuid7(now)
            key = str(fresh).encode()
            value = b"".join((before, key, between, people[number % len(people)].encode(), behind))
            origin = Origin(source=f"/agencies/{AGENCY}", time_ms=now, correlation_id=fresh)
            message_id = derived_uuid("demand", key, value)
            records.append(outgoing(topic, partition_of(key, PARTITIONS), value, message_id, Demand.RECORD, origin))
        for result in await producer.send(records):
            if isinstance(result, ChoparError):
                raise result
    took = time.perf_counter() - began
    await producer.stop()
    await registry.aclose()
    return {"count": options.count, "seconds": took}


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--bootstrap", required=True)
    arguments.add_argument("--registry", required=True)
    arguments.add_argument("--count", type=int, required=True)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.stdout.write(json.dumps(runner.run(feed(arguments.parse_args()))) + "\n")
