"""The tax service: `python -m services.tax`; `--seed` fills its register with synthetic entries."""

import argparse
import asyncio
import sys

import structlog

from chopar.messages.evidence import TaxDebt
from chopar.population import Recipe
from chopar.process import register_parser, run
from services.tax.handlers import provider
from services.tax.seed import fill
from services.tax.settings import TaxSettings
from services.tax.store import SqlTaxStore


async def main(settings: TaxSettings, arguments: argparse.Namespace, stop: asyncio.Event) -> None:
    """Wire the service and run it until `stop` is set."""
    store = SqlTaxStore(settings.store.url)
    try:
        if arguments.backup:
            await store.backup(arguments.backup)
            return
        await store.create_schema(migrate=settings.store.migrate or arguments.migrate)
        if arguments.seed:
            added = await fill(store, Recipe(settings.seed, settings.people, settings.firms))
            structlog.get_logger().info("register.seeded", added=added)
        if arguments.seed or arguments.migrate:
            return
        from chopar.provider_process import serve  # only here: half a second of imports that a seeding does not need

        await serve(provider, store, [TaxDebt], settings, stop)
    finally:
        await store.close()


if __name__ == "__main__":
    options = register_parser("services.tax", "Answers whether a person or business owes taxes.")
    sys.exit(run(TaxSettings, main, options))
