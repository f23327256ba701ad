"""The registry office: `python -m services.registry_office`; `--seed` fills its register with synthetic acts."""

import argparse
import asyncio
import sys

from chopar.messages.civil_status import CIVIL_STATUS_EVIDENCE
from chopar.population import Recipe
from chopar.process import register_parser, run
from chopar.provider.register import tend
from services.registry_office.handlers import provider
from services.registry_office.seed import fill
from services.registry_office.settings import RegistryOfficeSettings
from services.registry_office.store import CoalescingCivilRegister, SqlCivilStore


async def main(settings: RegistryOfficeSettings, arguments: argparse.Namespace, stop: asyncio.Event) -> None:
    """Wire the service and run it until `stop` is set."""
    store = SqlCivilStore(settings.store.url)
    register = CoalescingCivilRegister(store)
    try:
        recipe = Recipe(settings.seed, settings.people, settings.firms)
        migrate = settings.store.migrate
        goes_on = await tend(store, arguments, migrate=migrate, fill=lambda: fill(store, recipe))
        if arguments.contradictions and not arguments.backup:
            for numbers in await store.contradictions():
                sys.stdout.write(f"{' '.join(numbers)}\n")
        if not goes_on or arguments.contradictions:
            return
        from chopar.provider.process import serve  # only here: half a second of imports that a seeding does not need

        await serve(provider, register, CIVIL_STATUS_EVIDENCE, settings, stop, correct=arguments.correct)
    finally:
        await register.close()
        await store.close()


if __name__ == "__main__":
    options = register_parser("services.registry_office", "Answers what follows from civil status acts.")
    options.add_argument(
        "--contradictions", action="store_true", help="list acts that give one person two births or deaths, and exit"
    )
    sys.exit(run(RegistryOfficeSettings, main, options))
