"""An agency's system that acts on answers, built as the guide says, as a process that is killed.

Its acts are rows without a key, in the transaction of the answer: an act that is done twice leaves two of them. Two
such processes share a database. Demands are handed over by the feeders, which submit into the same one.
"""

import argparse
import asyncio
import signal
import sqlite3
import sys
import time
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from chopar.bus.inbox import Inbox
from chopar.bus.kafka import KafkaBus
from chopar.bus.port import Bus
from chopar.errors import ChoparError
from chopar.messages.demand import Demand
from chopar.observe import configure_logging
from chopar.requester.completion import Delivered
from chopar.requester.durable_requester import Completed, DurableRequester
from chopar.schema_registry import HttpSchemaRegistry, SchemaRegistry
from tests.fault.feeder import AGENCY

FILE = "agency.sqlite3"
_TABLES = """
PRAGMA journal_mode=WAL;
CREATE TABLE IF NOT EXISTS effects (demand_id TEXT NOT NULL, said TEXT NOT NULL, acted_ms INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS completions (demand_id TEXT NOT NULL, undelivered INTEGER NOT NULL);
"""
_ACT = text("INSERT INTO effects VALUES (:demand_id, :said, :acted_ms)")
_COMPLETE = text("INSERT INTO completions VALUES (:demand_id, :undelivered)")


def create_tables(file: Path) -> None:
    """Make the application's own tables."""
    connection = sqlite3.connect(file)
    connection.executescript(_TABLES)
    connection.close()


def agency(bus: Bus, registry: SchemaRegistry, file: Path) -> DurableRequester:
    """The agency's system: submits, and acts."""
    requester = DurableRequester(AGENCY, bus, registry, Inbox(f"sqlite:///{file}"), notes=file.with_suffix(".tried"))

    @requester.receives()
    async def act(transaction: AsyncConnection, demand: Demand, delivered: Delivered) -> None:
        missing, evidence = delivered.unavailable, delivered.evidence or {}
        row = {
            "demand_id": str(demand.demand_id),
            "said": missing.code.value if missing else f"has_debt={evidence.get('has_debt')}",
            "acted_ms": time.time_ns() // 1_000_000,
        }
        await transaction.execute(_ACT, row)

    @requester.completed
    async def complete(transaction: AsyncConnection, demand: Demand, ended: Completed) -> None:
        row = {"demand_id": str(demand.demand_id), "undelivered": len(ended.undelivered)}
        await transaction.execute(_COMPLETE, row)

    return requester


async def main(bootstrap: str, registry_url: str, home: Path, name: str) -> None:
    """Run it until a signal."""
    registry = HttpSchemaRegistry(registry_url, cache=home / f"{name}-schemas")
    try:
        async with agency(KafkaBus(bootstrap), registry, home / FILE) as requester:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, requester.stop)
            await requester.run()
    finally:
        await registry.aclose()


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--bootstrap", required=True)
    options.add_argument("--registry", required=True)
    options.add_argument("--home", type=Path, required=True)
    options.add_argument("--name", required=True)
    given = options.parse_args()
    configure_logging("info", process=given.name)
    try:
        asyncio.run(main(given.bootstrap, given.registry, given.home, given.name))
    except ChoparError as error:  # begun again by whoever keeps it
        sys.exit(f"{error.code}: {error}")
