"""The loop that everybody writes first: offsets committed by the client every few seconds, acts on what it reads.

It is here to be caught. Killed between an act and the commit that follows it acts again when it comes back. It writes
each act as a row, since rows can be counted; a harness in which it looks right has broken nothing.
"""

import argparse
import asyncio
import sqlite3
from pathlib import Path

from aiokafka import AIOKafkaConsumer

from chopar.topics import EVIDENCE_PROVIDED
from tests.fault.feeder import AGENCY

FILE = "naive.sqlite3"


async def consume(bootstrap: str, file: Path) -> None:
    """Act on every answer, until killed."""
    acts = sqlite3.connect(file, isolation_level=None)
    acts.execute("PRAGMA journal_mode=WAL")
    acts.execute("CREATE TABLE IF NOT EXISTS effects (demand_id TEXT NOT NULL)")
    consumer = AIOKafkaConsumer(
        EVIDENCE_PROVIDED.of(AGENCY),
        bootstrap_servers=bootstrap.split(","),
        group_id="naive",
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        async for record in consumer:
            acts.execute("INSERT INTO effects VALUES (?)", ((record.key or b"").decode(),))
    finally:
        await consumer.stop()


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--bootstrap", required=True)
    options.add_argument("--home", type=Path, required=True)
    given = options.parse_args()
    asyncio.run(consume(given.bootstrap, given.home / FILE))
