"""What an answer of the gateway costs: its handler on demands that lie in memory, in CPU microseconds a demand.

No broker, no loop, no sending: reading, deciding, making messages, the table of first records on disk. Every scenario
asks about another person in each demand. Run it as `python -m tests.load.gateway_cpu`; compare by CPU time alone.
"""

import argparse
import asyncio
import gc
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from chopar.avro import encode_body, frame
from chopar.bus.memory import MemoryBus
from chopar.bus.port import Outgoing, Record, TopicPartition, partition_of
from chopar.identifiers import agency_id
from chopar.messages.demand import FetchMode
from chopar.messages.law import ListActivated
from chopar.secret_files import secret_path
from chopar.topics import layouts
from gateway.answer import demand_of
from gateway.bundle import install
from gateway.handlers import GatewayHandler
from gateway.law import MARK_KEY, activation_key
from gateway.law_reader import PARTITION, LawReader
from gateway.resolver import resolve
from tests.builders import NOW, NOW_MS, demand, demand_id, pinfl
from tests.standing import FILES, IDS, SECRET, activation, bundle, demand_value, standing

BATCH = 500
WARM = 2
PAPERS = (
    "psychoneurological-registration-certificate",
    "narcological-registration-certificate",
    "criminal-record-certificate",
    "tax-debt-certificate",
    "private-housing-certificate",
    "address-reference-certificate",
)
Changes = Callable[[int], Mapping[str, Any]]


def one_document(_: int) -> Mapping[str, Any]:
    """What the bench asks."""
    return {}


def six_documents(_: int) -> Mapping[str, Any]:
    """The six papers of a communal organisation."""
    return {"documents": tuple({"type": paper} for paper in PAPERS)}


def many_shapes(number: int) -> Mapping[str, Any]:
    """Some hundreds of different questions, as a country of agencies would ask."""
    procedures = ("electricity-supply-contract", "no-such-procedure", "gas-connection", "electricity-supply-contract")
    papers = [PAPERS[(number + step) % 6] for step in range(1 + number % 3)]
    return {
        "procedure": procedures[number // 7 % 4],
        "documents": tuple({"type": paper} for paper in dict.fromkeys(papers)),
        "circumstances": [{}, {"non-residential": "no"}, {"city-of-tashkent": "yes"}][number // 31 % 3],
        "parties": [(), ({"role": "seller", "kind": "person", "id": pinfl(number * 3 % 998_000)},)][number // 97 % 2],
        "official": f"official-{number % 400}",
    }


def own_parameters(number: int) -> Mapping[str, Any]:
    """A parameter that is another one in each demand."""
    return {"documents": ({"type": PAPERS[3], "parameters": {"account_address": f"Bobur koʻchasi {number}"}},)}


def never_alike(number: int) -> Mapping[str, Any]:
    """Nothing to remember: each demand names a role of its own."""
    return {"parties": ({"role": f"party-{number}", "kind": "person", "id": pinfl(number)},)}


SCENARIOS: dict[str, Changes] = {
    scenario.__name__: scenario for scenario in (one_document, six_documents, many_shapes, own_parameters, never_alike)
}


def records_of(changes: Changes, count: int) -> list[Record]:
    """Demands as they lie on the topic of electricity-het."""
    offsets = [itertools.count() for _ in range(6)]
    made = []
    for number in range(count):
        asked = demand(
            **{
                "demand_id": demand_id(number),
                "subject": {"kind": "person", "id": pinfl(number % 998_000)},
                "case_id": f"case-{number}",
                **changes(number),
            }
        )
        key = str(asked.demand_id).encode()
        place = partition_of(key, 6)
        topic = f"demand.submitted.{asked.requester}"
        headers = (("traceparent", b"00-%032x-%016x-01" % (number + 1, number + 1)),)
        stamp = NOW_MS + number // 10
        made.append(Record(topic, place, next(offsets[place]), stamp, key, demand_value(asked), headers))
    return made


async def gateway(home: Path) -> GatewayHandler:
    """A handler for which the committed lists hold, opened by inference."""
    secret = secret_path(home, "gateway-1")
    secret.parent.mkdir(mode=0o700)
    secret.write_bytes(SECRET)
    secret.chmod(0o600)
    bus = MemoryBus(lambda: NOW_MS + 3_600_000)
    admin = bus.admin()
    await admin.start()
    agencies = [agency_id("electricity-het"), agency_id("tax-committee")]
    await admin.create(list(layouts(agencies, agencies)))
    files = bundle()
    install(files, home / "lists")
    message = activation(files, fetch_mode=FetchMode.INFERRED)
    value = frame(IDS[ListActivated.RECORD], encode_body(FILES.parsed(ListActivated.RECORD), message))
    producer = bus.producer("law")
    await producer.start()
    await producer.send([Outgoing(*PARTITION, activation_key(message), value), Outgoing(*PARTITION, MARK_KEY, b"")])
    law = LawReader(bus, FILES, home=home, lists_folder=home / "lists", instance="bench")
    reading = asyncio.create_task(law.follow())
    handler = GatewayHandler(bus, law, CollectorRegistry(), home / "first_records")
    await handler.assigned({TopicPartition("demand.submitted.electricity-het", place): 0 for place in range(6)})
    await law.known_at(NOW_MS)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    return handler


async def cost(changes: Changes, count: int) -> list[float]:
    """CPU microseconds a demand of each batch but the first ones."""
    made = records_of(changes, count)
    found = []
    with tempfile.TemporaryDirectory(prefix="chopar-gateway-cpu-") as folder:
        handler = await gateway(Path(folder))
        gc.collect()
        gc.freeze()
        for start in range(0, count, BATCH):
            batch = made[start : start + BATCH]
            began = time.process_time()
            await handler.ready_for(batch)
            for record in batch:
                handler.seen(record)
            for record in batch:
                handler.handle(record)
            found.append((time.process_time() - began) * 1e6 / len(batch))
        gc.unfreeze()
        await handler.revoked(frozenset(record.topic_partition for record in made))
    return found[WARM:]


def resolver_rate(changes: Changes, count: int) -> float:
    """Documents a second that the resolver alone decides, each demand as it comes from reading it."""
    holds = standing()
    asked = [
        demand(**{"subject": {"kind": "person", "id": pinfl(number)}, **changes(number)}) for number in range(count)
    ]
    given = [demand_of(one) for one in asked]
    documents = sum(len(one.documents) for one in given)
    began = time.process_time()
    for one in given:
        resolve(one, holds.lists, NOW.date(), holds.fetch_mode)
    return documents / (time.process_time() - began)


def main(options: argparse.Namespace) -> None:
    """Print a line for each scenario, and all of it as JSON."""
    figures: dict[str, Any] = {}
    for name in options.scenarios or SCENARIOS:
        spent: Sequence[float] = asyncio.run(cost(SCENARIOS[name], options.count))
        rate = resolver_rate(SCENARIOS[name], options.count)
        figures[name] = {
            "microseconds": round(statistics.median(spent), 1),
            "least": round(min(spent), 1),
            "resolver_documents_per_second": round(rate),
        }
        print(
            f"{name:16} {figures[name]['microseconds']:8} µs (least {figures[name]['least']})  resolver {rate:9.0f}/s"
        )
    print(json.dumps(figures))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="demands of a scenario")
    parser.add_argument("scenarios", nargs="*", choices=[[], *SCENARIOS], help="all, if none is named")
    main(parser.parse_args())
