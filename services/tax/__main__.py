"""The tax service: `python -m services.tax`; `--seed` fills its register with synthetic entries."""

import argparse
import asyncio
import sys

from chopar.messages.evidence import TaxDebt
from chopar.population import Recipe
from chopar.process import register_parser, run
from chopar.provider.register import tend
from services.tax.handlers import provider
from services.tax.seed import fill
from services.tax.settings import TaxSettings
from services.tax.store import SqlTaxStore


async def main(settings: TaxSettings, arguments: argparse.Namespace, stop: asyncio.Event) -> None:
    """Wire the service and run it until `stop` is set."""
    store = SqlTaxStore(settings.store.url)
    try:
        recipe = Recipe(settings.seed, settings.people, settings.firms)
        migrate = settings.store.migrate
        goes_on = await tend(store, arguments, migrate=migrate, fill=lambda: fill(store, recipe))
        if not goes_on:
            return
        from chopar.provider.process import serve  # only here: half a second of imports that a seeding does not need

        await serve(provider, store, [TaxDebt], settings, stop, correct=arguments.correct)
    finally:
        await store.close()


if __name__ == "__main__":
    options = register_parser("services.tax", "Answers whether a person or business owes taxes.")
    sys.exit(run(TaxSettings, main, options))
