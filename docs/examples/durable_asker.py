"""A requester that acts on answers, once, in its own database, whoever dies: `python durable_asker.py PINFL CASE`."""

import asyncio
import sys
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from chopar import Completed, Delivered, Demand, DurableRequester, HttpSchemaRegistry, Inbox, KafkaBus, PersonId
from chopar.bus.port import Bus
from chopar.errors import ChoparError
from chopar.schema_registry import SchemaRegistry

OFFICE = Path.home() / "office.db"  # one agency, one database: at one place, wherever this is started


async def prepare(database: Path) -> None:
    """The application's own table; the tables of the inbox are made by themselves."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{database}")
    async with engine.begin() as connection:
        await connection.execute(
            text("CREATE TABLE IF NOT EXISTS application (case_id TEXT PRIMARY KEY, owes_taxes BOOLEAN)")
        )
    await engine.dispose()


def contract_office(bus: Bus, registry: SchemaRegistry, database: Path) -> DurableRequester:
    inbox = Inbox(f"sqlite+aiosqlite:///{database}")
    requester = DurableRequester("electricity-het", bus, registry, inbox, notes=database.with_suffix(".tried"))

    @requester.receives("tax-debt-certificate")
    async def enter(transaction: AsyncConnection, demand: Demand, delivered: Delivered) -> None:
        """Runs once for each answer that counts, corrections too: its writes and a note of it are one commit."""
        if delivered.followed_by:  # no record here: the next holder is asked, and its answer comes to this function
            return
        # Another holder may answer by another record. None: nobody has said so, which proves nothing.
        owes = delivered.evidence.get("has_debt") if delivered.evidence else None
        await transaction.execute(
            text(
                "INSERT INTO application (case_id, owes_taxes) VALUES (:case_id, :owes) "
                "ON CONFLICT (case_id) DO UPDATE SET owes_taxes = excluded.owes_taxes"  # a correction is one row still
            ),
            {"case_id": demand.case_id, "owes": owes},
        )

    return requester


async def ask(bus: Bus, registry: SchemaRegistry, database: Path, pinfl: str, case_id: str) -> None:
    await prepare(database)
    requester = contract_office(bus, registry, database)

    @requester.completed
    async def complete(transaction: AsyncConnection, demand: Demand, ended: Completed) -> None:
        if demand.case_id == case_id:  # an office does not stop here: its process runs on
            requester.stop()

    async with requester:
        await requester.submit(
            procedure="electricity-supply-contract",
            subject=PersonId(pinfl),
            documents=["tax-debt-certificate"],
            case_id=case_id,
            official="clerk-17",
        )
        print(f"{case_id}: asked; waits for the answer (Ctrl-C ends it, the next start goes on)")
        await requester.run()  # until requester.stop(); what is under way is gone on with at the next start


async def main(pinfl: str, case_id: str) -> None:
    registry = HttpSchemaRegistry("http://127.0.0.1:18081")
    await ask(KafkaBus("127.0.0.1:19092"), registry, OFFICE, pinfl, case_id)
    await registry.aclose()
    print(f"{case_id}: see the table application in {OFFICE}")


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:3]))
    except ChoparError as error:
        sys.exit(f"durable_asker: {error}")
