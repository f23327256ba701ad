"""The utility companies: `python -m services.utilities --agency electricity-het`, one or several in a process."""

import argparse
import asyncio
import sys
from pathlib import Path

import structlog

from chopar.errors import ConfigurationError
from chopar.identifiers import agency_id
from chopar.messages.utility import UtilityDebt
from chopar.population import Recipe
from chopar.process import register_parser, run
from services.utilities.handlers import provider_of
from services.utilities.model import COMPANIES
from services.utilities.seed import fill
from services.utilities.settings import PLACE_OF_AGENCY, UtilitiesSettings
from services.utilities.store import CoalescingUtilityRegister, SqlUtilityStore


async def main(settings: UtilitiesSettings, arguments: argparse.Namespace, stop: asyncio.Event) -> None:
    """Wire the companies that were named and run them until `stop` is set."""
    urls = settings.stores_of(list(dict.fromkeys(arguments.agency)))
    stores = {COMPANIES[agency_id(agency)]: SqlUtilityStore(url) for agency, url in urls.items()}
    registers = {company: CoalescingUtilityRegister(store) for company, store in stores.items()}
    try:
        if arguments.backup:
            if len(stores) > 1 and PLACE_OF_AGENCY not in str(arguments.backup):
                raise ConfigurationError(f"--backup: the word {PLACE_OF_AGENCY} is due, a file for each agency")
            for company, store in stores.items():
                await store.backup(Path(str(arguments.backup).replace(PLACE_OF_AGENCY, company.agency)))
            return
        for company, store in stores.items():
            await store.create_schema(migrate=settings.store.migrate or arguments.migrate)
            await store.require_owner(company)
        if arguments.seed:
            added = await fill(stores, Recipe(settings.seed, settings.people, settings.firms))
            structlog.get_logger().info("register.seeded", added=added)
        if arguments.seed or arguments.migrate:
            return
        for store in stores.values():
            await store.warn_if_empty()
        from chopar.provider.process import Served, serve_all  # not for a seeding, which needs no broker

        served = [Served(provider_of(company), register, [UtilityDebt]) for company, register in registers.items()]
        await serve_all(served, settings, stop, correct=arguments.correct)
    finally:
        for register in registers.values():
            await register.close()
        for store in stores.values():
            await store.close()


if __name__ == "__main__":
    options = register_parser(
        "services.utilities", "Answers whether anything is owed to a utility company for an object."
    )
    options.add_argument(
        "--agency",
        action="append",
        required=True,
        choices=sorted(COMPANIES),
        help="a company to answer for; several may be named",
    )
    sys.exit(run(UtilitiesSettings, main, options))
