"""The reference that everybody would write first: `getone`, handle, `send_and_wait` each message, commit each record.

It runs the very handlers of the gateway or of the tax service, in their place and on their topics; only the loop is
plain. Ready is said on the address that the real process would have.
"""

import argparse
import asyncio
import inspect
import sys
from datetime import UTC, datetime
from typing import Any

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from prometheus_client import CollectorRegistry

from chopar.avro import SchemaFiles
from chopar.bus import port
from chopar.bus.kafka import KafkaBus
from chopar.messages.evidence import EvidenceProvided, EvidenceUnavailable, TaxDebt
from chopar.messages.exchange import ExchangeRecorded
from chopar.observe import health_app, serve
from chopar.provider import ProviderHandler
from chopar.schema_registry import Decoder, Encoder, HttpSchemaRegistry
from chopar.secret_files import ensure_secret
from chopar.topics import DEMAND_SUBMITTED
from gateway.__main__ import GROUP
from gateway.handlers import GatewayHandler
from gateway.law_reader import LawReader
from gateway.settings import GatewaySettings
from services.tax.handlers import provider
from services.tax.settings import TaxSettings
from services.tax.store import CoalescingTaxRegister, SqlTaxStore
from tests.load.asker import AGENCY


async def loop(bootstrap: str, group: str, topic: str, handler: Any, ready: dict[str, str]) -> None:
    """Consume for ever."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, linger_ms=0)
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await producer.start()
    await consumer.start()
    while not consumer.assignment():
        await asyncio.sleep(0.05)
    places = consumer.assignment()
    await handler.assigned({port.TopicPartition(*place): await consumer.position(place) for place in places})
    ready.clear()
    async for message in consumer:
        headers = tuple(message.headers)
        record = port.Record(
            message.topic, message.partition, message.offset, message.timestamp, message.key, message.value, headers
        )
        await handler.ready_for([record])
        if hasattr(handler, "seen"):
            handler.seen(record)
        outputs = handler.handle(record)
        if inspect.isawaitable(outputs):
            outputs = await outputs
        for out in (*outputs.before, *outputs.after):
            await producer.send_and_wait(out.topic, out.value, out.key, out.partition, headers=list(out.headers))
        await consumer.commit({TopicPartition(message.topic, message.partition): message.offset + 1})


async def gateway() -> None:
    """The gateway's handler in a plain loop."""
    settings, metrics, ready = GatewaySettings.read(), CollectorRegistry(), {"loop": "starting"}
    bus = KafkaBus(settings.kafka.bootstrap)
    law = LawReader(
        bus, SchemaFiles.shipped(), home=settings.home, lists_folder=settings.lists_folder, instance="plain"
    )
    handler = GatewayHandler(bus, law, metrics, settings.home / "first_records")
    topic = f"{DEMAND_SUBMITTED.name}{AGENCY}"

    async def work() -> None:
        await asyncio.gather(law.follow(), law.mark(), loop(settings.kafka.bootstrap, GROUP, topic, handler, ready))

    await serve(health_app(lambda: ready, metrics), settings.http.address, work())


async def tax() -> None:
    """The tax service's handler in a plain loop."""
    settings, metrics, ready = TaxSettings.read(), CollectorRegistry(), {"loop": "starting"}
    files, registry = SchemaFiles.shipped(), HttpSchemaRegistry(settings.schema_registry.url)
    encoder = Encoder(files, registry)
    await encoder.prepare(ExchangeRecorded, EvidenceProvided, EvidenceUnavailable, TaxDebt)
    handler = ProviderHandler(
        provider,
        CoalescingTaxRegister(SqlTaxStore(settings.store.url)),
        encoder=encoder,
        decoder=Decoder(files, registry),
        secret=ensure_secret(settings.home, provider.agency),
        clock=lambda: datetime.now(UTC),
        metrics=metrics,
    )
    work = loop(settings.kafka.bootstrap, provider.group, provider.topic, handler, ready)
    await serve(health_app(lambda: ready, metrics), settings.http.address, work)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("role", choices=("gateway", "tax"))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(runner.run({"gateway": gateway, "tax": tax}[arguments.parse_args().role]()))
