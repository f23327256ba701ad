"""The benefits service: `python -m services.benefits`; `--seed` fills its register with synthetic entries."""

import argparse
import asyncio
import sys

from chopar.messages.social import AssignedBenefits, SocialRegisterCategory
from chopar.population import Recipe
from chopar.process import register_parser, run
from chopar.provider.register import tend
from services.benefits.handlers import provider
from services.benefits.seed import fill
from services.benefits.settings import BenefitsSettings
from services.benefits.store import CoalescingSocialRegister, SqlSocialStore


async def main(settings: BenefitsSettings, arguments: argparse.Namespace, stop: asyncio.Event) -> None:
    """Wire the service and run it until `stop` is set."""
    store = SqlSocialStore(settings.store.url)
    register = CoalescingSocialRegister(store)
    try:
        recipe = Recipe(settings.seed, settings.people, settings.firms)
        migrate = settings.store.migrate
        goes_on = await tend(store, arguments, migrate=migrate, fill=lambda: fill(store, recipe))
        if not goes_on:
            return
        from chopar.provider.process import serve  # only here: half a second of imports that a seeding does not need

        await serve(
            provider, register, [SocialRegisterCategory, AssignedBenefits], settings, stop, correct=arguments.correct
        )
    finally:
        await register.close()
        await store.close()


if __name__ == "__main__":
    options = register_parser("services.benefits", "Answers whether a person stands in the social register.")
    sys.exit(run(BenefitsSettings, main, options))
