"""An idle aiokafka process: producer and consumer connected, nothing else. The measure of our own memory (P4).

With `--packages` it also imports what the design names for every process (fastavro, pydantic with its settings,
structlog, the Prometheus client, SQLite) and uses each once: what a gateway without a line of ours takes. Says its
memory (MiB) on standard output after a moment of idling, and ends.
"""

import argparse
import asyncio
import io
import os
import sys
from importlib import import_module

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from tests.load.accounting import resident_mib

IDLE_SECONDS = 2.0


def use_packages() -> object:
    """Import what the design names for every process and use each once; gives what has to stay."""
    import_module("chopar.plain_structlog")  # before structlog, as our processes do
    import sqlite3

    import fastavro
    import structlog
    from prometheus_client import CollectorRegistry, Counter, generate_latest
    from pydantic import BaseModel
    from pydantic_settings import BaseSettings

    class Settings(BaseSettings):
        name: str = "idle"

    class Message(BaseModel):
        name: str

    schema = fastavro.parse_schema(
        {"type": "record", "name": "Message", "fields": [{"name": "name", "type": "string"}]}
    )
    written = io.BytesIO()
    fastavro.schemaless_writer(written, schema, Message(name=Settings().name).model_dump())
    metrics, log = CollectorRegistry(), structlog.get_logger()
    Counter("things", "Things.", registry=metrics).inc()
    structlog.configure(
        processors=[structlog.processors.JSONRenderer()], logger_factory=structlog.ReturnLoggerFactory()
    )
    log.info("used", size_bytes=len(written.getvalue()), metrics=len(generate_latest(metrics)))
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE things (name TEXT)")
    return Settings, Message, schema, metrics, log, database


async def idle(options: argparse.Namespace) -> float:
    """Connect as a gateway does, to the same topics, and wait."""
    kept = use_packages() if options.packages else None
    producer = AIOKafkaProducer(bootstrap_servers=options.bootstrap, acks="all", enable_idempotence=True)
    consumer = AIOKafkaConsumer(
        *options.topics, bootstrap_servers=options.bootstrap, group_id="load.idle", enable_auto_commit=False
    )
    await producer.start()
    await consumer.start()
    await consumer.getmany(timeout_ms=int(IDLE_SECONDS * 1000))
    memory = resident_mib(os.getpid())
    await consumer.stop()
    await producer.stop()
    del kept
    return memory


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--bootstrap", required=True)
    arguments.add_argument("--packages", action="store_true", help="with the packages that every process of ours names")
    arguments.add_argument("topics", nargs="+")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.stdout.write(f'{{"memory_mib": {runner.run(idle(arguments.parse_args())):.1f}}}\n')
