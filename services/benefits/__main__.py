"""The benefits service: `python -m services.benefits`; `--seed` fills its register with synthetic entries."""

import argparse
import asyncio
import sys

import structlog

from chopar.messages.social import AssignedBenefits, SocialRegisterCategory
from chopar.population import Recipe
from chopar.process import register_parser, run
from services.benefits.handlers import provider
from services.benefits.seed import fill
from services.benefits.settings import BenefitsSettings
from services.benefits.store import CoalescingSocialRegister, SqlSocialStore


async def main(settings: BenefitsSettings, arguments: argparse.Namespace, stop: asyncio.Event) -> None:
    """Wire the service and run it until `stop` is set."""
    store = SqlSocialStore(settings.store.url)
    register = CoalescingSocialRegister(store)
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

        await serve(provider, register, [SocialRegisterCategory, AssignedBenefits], settings, stop)
    finally:
        await register.close()
        await store.close()


if __name__ == "__main__":
    options = register_parser("services.benefits", "Answers whether a person stands in the social register.")
    sys.exit(run(BenefitsSettings, main, options))
