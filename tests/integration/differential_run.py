"""One gateway on one given log, in a process of its own: prints the digest of everything it says.

Run by test_differential.py with other hash seeds, time zones, settings, batches, headers and orders of files, and with
its whole clock moved, by the milliseconds that its argument says.
"""

# ruff: noqa: E402  the clock is moved before anybody can ask it
import sys

from tests.shifted_clock import shift

shift(int(sys.argv[1]))

import asyncio
import hashlib
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from chopar.avro import encode_body, frame
from chopar.bus.consume import ConsumeLoop, ConsumeSettings
from chopar.bus.memory import MemoryBus
from chopar.bus.port import Outgoing, TopicPartition
from chopar.identifiers import agency_id
from chopar.messages.law import ListActivated
from chopar.secret_files import secret_path
from chopar.topics import layouts
from gateway.bundle import install
from gateway.handlers import GatewayHandler
from gateway.law import MARK_KEY, activation_key
from gateway.law_reader import PARTITION, LawReader
from tests.standing import FILES, IDS, SECRET, activation, bundle

TOPIC = "demand.submitted.electricity-het"
OUTPUTS = ("demand.resolved.electricity-het", "evidence.requested.tax-committee", "exchange.recorded")


async def main(options: dict[str, Any]) -> str:
    """Lay the log, run the gateway to its end, and give the digest of its outputs."""
    home = Path(tempfile.mkdtemp(prefix="chopar-differential-"))
    secret = secret_path(home, "gateway-1")
    secret.parent.mkdir(mode=0o700)
    secret.write_bytes(SECRET)
    secret.chmod(0o600)
    now = {"ms": 0}
    bus = MemoryBus(lambda: now["ms"])
    agencies = [agency_id("electricity-het"), agency_id("tax-committee")]
    admin = bus.admin()
    await admin.start()
    await admin.create(list(layouts(agencies, agencies)))
    producer = bus.producer("log")
    await producer.start()
    for row in options["law"]:
        changes = {name: text.encode() for name, text in row["changes"].items()}
        files = bundle(changes)
        order = sorted(files, reverse=options["reversed_files"])
        install({name: files[name] for name in order}, home / "lists")
        message = activation(files, fetch_mode=row["fetch_mode"], effective_at=row["effective_at"], lead_seconds=6)
        value = frame(IDS[ListActivated.RECORD], encode_body(FILES.parsed(ListActivated.RECORD), message))
        now["ms"] = row["taken_at_ms"]
        await producer.send([Outgoing(*PARTITION, activation_key(message), value)])
    for row in options["demands"]:
        now["ms"] = row["timestamp_ms"]
        headers = tuple((name, value.encode()) for name, value in options["headers"].items())
        place = TopicPartition(TOPIC, row["partition"])
        await producer.send([Outgoing(*place, row["key"].encode(), bytes.fromhex(row["value"]), headers)])
    await producer.send([Outgoing(*PARTITION, MARK_KEY, b"")])
    law = LawReader(bus, FILES, home=home, lists_folder=home / "lists", instance=options["instance"])
    loop = ConsumeLoop(
        bus,
        "gateway",
        [TOPIC],
        GatewayHandler(bus, law, CollectorRegistry(), home / "first" if options["disk"] else None),
        settings=ConsumeSettings(
            max_records=options["batch"], **{"fetch_timeout_seconds": 0.02, **options["settings"]}
        ),
        clock=lambda: time.time_ns() // 1_000_000,
    )
    tasks = [asyncio.create_task(law.follow()), asyncio.create_task(loop.run())]
    ends = bus.end_offsets([TopicPartition(TOPIC, number) for number in range(6)])
    async with asyncio.timeout(60):
        while any(bus.group("gateway").committed.get(place, 0) < end for place, end in ends.items()):
            await asyncio.sleep(0.01)
    loop.stop()
    await tasks[1]
    tasks[0].cancel()
    digest = hashlib.sha256()
    count = 0
    for topic in OUTPUTS:
        for record in bus.records(topic):
            count += 1
            kept = [(name, value) for name, value in record.headers if name != "traceparent"]
            digest.update(repr((record.topic, record.partition, record.key, record.value, kept)).encode())
    return f"{count} {digest.hexdigest()}"


if __name__ == "__main__":
    print(asyncio.run(main(json.loads(sys.stdin.read()))))
