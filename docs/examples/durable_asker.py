"""A requester that acts on answers, once, in its own database, whoever dies."""

from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from chopar import Delivered, Demand, DurableRequester, Inbox
from chopar.bus.port import Bus
from chopar.schema_registry import SchemaRegistry


def contract_office(bus: Bus, registry: SchemaRegistry, database: Path) -> DurableRequester:
    inbox = Inbox(f"sqlite+aiosqlite:///{database}")
    requester = DurableRequester("electricity-het", bus, registry, inbox, notes=database.with_suffix(".tried"))

    @requester.receives("tax-debt-certificate")
    async def enter(transaction: AsyncConnection, demand: Demand, delivered: Delivered) -> None:
        """Runs once for each answer that counts; what it writes is committed together with the note that it ran."""
        owes = delivered.evidence["has_debt"] if delivered.evidence else None  # None: no evidence, which proves nothing
        await transaction.execute(
            text("INSERT INTO application (case_id, owes_taxes) VALUES (:case_id, :owes)"),
            {"case_id": demand.case_id, "owes": owes},
        )

    return requester


#   async with contract_office(bus, registry, Path("office.db")) as requester:
#       await requester.submit(procedure="electricity-supply-contract", subject=PersonId(pinfl),
#                              documents=["tax-debt-certificate"], case_id="case-1", official="clerk-17")
#       await requester.run()  # until requester.stop()
