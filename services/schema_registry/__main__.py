"""`python -m services.schema_registry`: reads the topic, answers the API. Only wiring."""

import argparse
import asyncio
import sys

from prometheus_client import CollectorRegistry, Gauge

from chopar.avro import SchemaFiles
from chopar.bus.kafka import KafkaBus
from chopar.bus.loopback import require_loopback
from chopar.health import Health
from chopar.listener import serve
from chopar.process import parser, run
from services.schema_registry.handlers import Deletion
from services.schema_registry.http import application
from services.schema_registry.model import Schemas
from services.schema_registry.settings import SchemaRegistrySettings
from services.schema_registry.store import SchemaTopic


async def main(settings: SchemaRegistrySettings, _: argparse.Namespace, stop: asyncio.Event) -> None:
    """Run until `stop` is set or the topic cannot be followed any more."""
    require_loopback([settings.http.address], settings.insecure, "listener")
    bus = KafkaBus(settings.kafka.bootstrap, insecure=settings.insecure)
    schemas = Schemas()
    topic = SchemaTopic(bus, schemas, write_timeout_seconds=settings.write_timeout_seconds)
    deletion = Deletion(frozenset(SchemaFiles.shipped().texts), settings.permanent_deletion)
    metrics = CollectorRegistry()
    Gauge("chopar_schema_registry_schemas", "Schemas by id.", registry=metrics).set_function(lambda: schemas.count)
    Gauge(
        "chopar_schema_registry_refused_records", "Records of the log that were not taken.", registry=metrics
    ).set_function(lambda: schemas.refused)
    following = asyncio.ensure_future(topic.follow())
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await serve(
            Health(topic.missing, metrics),
            settings.http.address,
            asyncio.wait({following, stopping}, return_when=asyncio.FIRST_COMPLETED),
            application(schemas, topic, metrics, deletion),
        )
        if following.done():
            await following
    finally:
        stopping.cancel()
        following.cancel()
        await asyncio.gather(following, stopping, return_exceptions=True)


if __name__ == "__main__":
    sys.exit(run(SchemaRegistrySettings, main, parser("services.schema_registry", "The schema registry.")))
