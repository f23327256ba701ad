"""The gateway: `python -m gateway`; `--apply-topics` makes the topics, `--activate` brings lists into force."""

import argparse
import asyncio
import os
import socket
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from chopar.avro import SchemaFiles
from chopar.bus.consume import ConsumeLoop, ConsumeMetrics, ConsumeSettings
from chopar.bus.kafka import KafkaBus
from chopar.bus.loopback import require_loopback
from chopar.bus.replay import Replays
from chopar.cli.login import who
from chopar.errors import ConfigurationError, TopicLayoutError, UnavailableError
from chopar.health import Health
from chopar.identifiers import AgencyId
from chopar.listener import serve
from chopar.messages.demand import FetchMode
from chopar.process import parser, run
from chopar.schema_registry import HttpSchemaRegistry
from chopar.topics import DEMAND_SUBMITTED, layouts
from gateway.bundle import list_files
from gateway.handlers import GatewayHandler
from gateway.law import LEAD_SECONDS
from gateway.law_reader import LawReader
from gateway.list_version import connected_agencies
from gateway.listener import site
from gateway.settings import GatewaySettings

GROUP = "gateway"
LISTS = Path(__file__).parent / "lists"

_AGAIN_SECONDS = 2.0

_log = structlog.get_logger()


async def apply_topics(bus: KafkaBus, agencies: Sequence[AgencyId]) -> None:
    """Make the topics of `chopar.topics` for agencies.

    Raises:
        TopicLayoutError: one exists with another number of partitions or other settings.
        BrokerUnavailableError: no broker answers.
    """
    admin = bus.admin()
    await admin.start()
    try:
        made = await admin.create(list(layouts(agencies, agencies)))
    except TopicLayoutError as error:
        raise TopicLayoutError(
            f"{error}. Alter the topic by hand; a local stack whose data may go is made anew after `make clean`"
        ) from error
    finally:
        await admin.stop()
    _log.info("topics.applied", made=len(made), agencies=len(agencies))


async def bring_into_force(bus: KafkaBus, settings: GatewaySettings, arguments: argparse.Namespace) -> None:
    """Activate the lists of a folder, if they differ from what will hold last."""
    from gateway.activation import activate  # with all that checks lists: no gateway that answers needs it

    if settings.schema_registry is None:
        raise ConfigurationError("CHOPAR_GATEWAY_SCHEMA_REGISTRY__URL: activation needs the schema registry")
    registry = HttpSchemaRegistry(settings.schema_registry.url)
    try:
        activated = await activate(
            bus,
            registry,
            SchemaFiles.shipped(),
            lists=list_files(arguments.lists),
            home=settings.home,
            lists_folder=settings.lists_folder,
            fetch_mode=FetchMode(arguments.fetch_mode),
            lead_seconds=arguments.lead_seconds,
            secret_version=arguments.secret_version,
            activated_by=who(arguments.by, os.environ),
            leave_others=arguments.leave_others,
            clock=lambda: datetime.now(UTC),
        )
    finally:
        await registry.aclose()
    _log.info(
        "law.activated" if activated.is_new else "law.unchanged",
        list_digest=activated.message.list_digest,
        fetch_mode=activated.message.fetch_mode.value,
        activated_by=activated.message.activated_by,
        holds_from=activated.effective_at.isoformat() if activated.effective_at else "now",
    )


async def keep(name: str, what: Any, stop: asyncio.Event) -> None:
    """Run a background task for ever: begun anew while its dependency is away, ended with the process otherwise."""
    while not stop.is_set():
        try:
            await what()
        except UnavailableError as error:
            _log.warning("gateway.awaits", task=name, code=error.code, reason=str(error))
            await asyncio.sleep(_AGAIN_SECONDS)


async def answer_demands(bus: KafkaBus, settings: GatewaySettings, stop: asyncio.Event) -> None:
    """Run the gateway until `stop` is set; what is in hand is finished first."""
    metrics = CollectorRegistry()
    instance = f"{socket.gethostname()}-{os.getpid()}"
    files = SchemaFiles.shipped()
    law = LawReader(bus, files, home=settings.home, lists_folder=settings.lists_folder, instance=instance)
    handler = GatewayHandler(bus, law, metrics, settings.home / "first_records")
    topics = [DEMAND_SUBMITTED.of(agency) for agency in connected_agencies(LISTS)]
    asked = settings.schema_registry
    registry = HttpSchemaRegistry(asked.url, cache=settings.home / "cache" / "schemas") if asked is not None else None
    replays = Replays(bus, GROUP, files, registry) if registry is not None else None
    notes = settings.home / "tried"
    sizes = ConsumeSettings(max_records=settings.max_records)
    loop = ConsumeLoop(
        bus, GROUP, topics, handler, settings=sizes, metrics=ConsumeMetrics(metrics), replays=replays, notes=notes
    )

    def ready() -> dict[str, str]:
        missing: dict[str, str] = {}
        if law.alarm is not None:
            missing["law"] = law.alarm
        elif law.law.newest() is None:
            missing["law"] = "no list version was activated yet"
        missing.update(loop.missing())
        if handler.rebuilding:
            missing["first_records"] = "being rebuilt from the log"
        return missing

    async def work() -> None:
        background: list[asyncio.Task[Any]] = [
            asyncio.create_task(keep("law", law.follow, stop)),
            asyncio.create_task(keep("marks", law.mark, stop)),
        ]
        running: asyncio.Task[Any] = asyncio.create_task(loop.run())
        waiting: asyncio.Task[Any] = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({running, waiting, *background}, return_when=asyncio.FIRST_COMPLETED)
            loop.stop()
            await running
            for task in background:
                if task.done():
                    task.result()
        finally:
            for task in (*background, waiting, running):
                task.cancel()

    try:
        health = Health(ready, metrics)
        await serve(health, settings.http.address, work(), site(law, settings.lists_folder))
    finally:
        if registry is not None:
            await registry.aclose()


async def main(settings: GatewaySettings, arguments: argparse.Namespace, stop: asyncio.Event) -> None:
    """Do what the options say."""
    require_loopback([settings.http.address], settings.insecure, "listener")
    bus = KafkaBus(settings.kafka.bootstrap, insecure=settings.insecure)
    if arguments.apply_topics:
        await apply_topics(bus, connected_agencies(arguments.lists))
    elif arguments.activate:
        await bring_into_force(bus, settings, arguments)
    else:
        await answer_demands(bus, settings, stop)


if __name__ == "__main__":
    options = parser("gateway", "Answers demands by the lists of what may not be demanded.")
    options.add_argument(
        "--apply-topics", action="store_true", help="make the topics for the lists' agencies, and exit"
    )
    options.add_argument("--activate", action="store_true", help="bring the lists of a folder into force, and exit")
    options.add_argument("--lists", type=Path, default=LISTS, help="folder of the lists (TOML)")
    options.add_argument("--fetch-mode", choices=[mode.value for mode in FetchMode], default=FetchMode.VERIFIED.value)
    options.add_argument(
        "--lead-seconds", type=int, default=LEAD_SECONDS, help="of the first activation; it binds later ones"
    )
    options.add_argument("--secret-version", type=int, default=1)
    options.add_argument("--by", default="", help="who activates, as the record says it; the login name by default")
    options.add_argument("--leave-others", action="store_true", help="if somebody else activated last, change nothing")
    sys.exit(run(GatewaySettings, main, options))
