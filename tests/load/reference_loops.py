"""The very handlers of the gateway and of the tax service, wired for loops that are not ours: references of the bench.

`plain.py` and `faststream_loops.py` bring the loop; ready is said on the address that the real process would have.
"""

import argparse
import asyncio
import inspect
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

import uvloop
from aiokafka import ConsumerRecord
from prometheus_client import CollectorRegistry

from chopar.avro import SchemaFiles
from chopar.bus.consume import Outputs
from chopar.bus.kafka import KafkaBus
from chopar.bus.port import Record
from chopar.health import Health
from chopar.listener import serve
from chopar.messages.evidence import EvidenceProvided, EvidenceUnavailable, TaxDebt
from chopar.messages.exchange import ExchangeRecorded
from chopar.provider.provider import ProviderHandler
from chopar.schema_registry import Decoder, Encoder, HttpSchemaRegistry
from chopar.secret_files import ensure_secret
from chopar.topics import DEMAND_SUBMITTED
from gateway.__main__ import GROUP
from gateway.handlers import GatewayHandler
from gateway.law_reader import LawReader
from gateway.settings import GatewaySettings
from services.tax.handlers import provider
from services.tax.settings import TaxSettings
from services.tax.store import SqlTaxStore
from tests.load.asker import AGENCY


@dataclass
class Reference:
    """A handler and where its records come from. The loop empties `missing` when it consumes."""

    bootstrap: str
    group: str
    topic: str
    handler: Any
    missing: dict[str, str]


Loop: TypeAlias = Callable[[Reference], Awaitable[None]]


def record_of(message: ConsumerRecord) -> Record:
    """What aiokafka read, as our handlers take it."""
    headers = tuple(message.headers)
    return Record(
        message.topic, message.partition, message.offset, message.timestamp, message.key, message.value, headers
    )


async def outputs_of(handler: Any, record: Record) -> Outputs:
    """Handle one record, and give what follows."""
    await handler.ready_for([record])
    if hasattr(handler, "seen"):
        handler.seen(record)
    outputs = handler.handle(record)
    found: Outputs = await outputs if inspect.isawaitable(outputs) else outputs
    return found


async def gateway(loop: Loop) -> None:
    """The gateway's handler in a loop, until it is ended."""
    settings, metrics, missing = GatewaySettings.read(), CollectorRegistry(), {"loop": "starting"}
    law = LawReader(
        KafkaBus(settings.kafka.bootstrap),
        SchemaFiles.shipped(),
        home=settings.home,
        lists_folder=settings.lists_folder,
        instance="reference",
    )
    handler = GatewayHandler(KafkaBus(settings.kafka.bootstrap), law, metrics, settings.home / "first_records")
    here = Reference(settings.kafka.bootstrap, GROUP, DEMAND_SUBMITTED.of(AGENCY), handler, missing)

    async def work() -> None:
        await asyncio.gather(law.follow(), law.mark(), loop(here))

    await serve(Health(lambda: missing, metrics), settings.http.address, work())


async def tax(loop: Loop) -> None:
    """The tax service's handler in a loop, until it is ended."""
    settings, metrics, missing = TaxSettings.read(), CollectorRegistry(), {"loop": "starting"}
    files, registry = SchemaFiles.shipped(), HttpSchemaRegistry(settings.schema_registry.url)
    encoder = Encoder(files, registry)
    await encoder.prepare(ExchangeRecorded, EvidenceProvided, EvidenceUnavailable, TaxDebt)
    handler = ProviderHandler(
        provider,
        SqlTaxStore(settings.store.url),
        encoder=encoder,
        decoder=Decoder(files, registry),
        secret=ensure_secret(settings.home, provider.agency),
        clock=lambda: datetime.now(UTC),
        metrics=metrics,
    )
    here = Reference(settings.kafka.bootstrap, provider.group, provider.topic, handler, missing)

    async def work() -> None:
        await loop(here)

    await serve(Health(lambda: missing, metrics), settings.http.address, work())


def main(loops: dict[str, Loop]) -> int:
    """Run one of some loops in a role: `ROLE` or `ROLE --style STYLE`."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("role", choices=("gateway", "tax"))
    arguments.add_argument("--style", choices=tuple(loops), default=next(iter(loops)))
    options = arguments.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run({"gateway": gateway, "tax": tax}[options.role](loops[options.style]))
    return 0


def exit_with(loops: dict[str, Loop]) -> None:
    """The same, as a program."""
    sys.exit(main(loops))
