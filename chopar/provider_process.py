"""A provider as a process: bus, schema registry, register, health, until a signal ends it.

`services.*.__main__` calls `serve` with what is theirs: the provider, its register and the records of its evidence.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import structlog
from prometheus_client import CollectorRegistry

from chopar.avro import SchemaFiles
from chopar.bus.consume import ConsumeLoop, ConsumeMetrics
from chopar.bus.kafka import KafkaBus
from chopar.bus.loopback import require_loopback
from chopar.bus.replay import Replays
from chopar.errors import SchemaRegistryUnavailableError
from chopar.messages.evidence import Evidence, EvidenceProvided, EvidenceUnavailable
from chopar.messages.exchange import ExchangeRecorded
from chopar.observe import health_app
from chopar.observe import serve as serve_http
from chopar.provider import Provider, ProviderHandler
from chopar.schema_registry import Decoder, Encoder, HttpSchemaRegistry
from chopar.secret_files import ensure_secret
from chopar.settings import ProviderSettings

_ASK_AGAIN_SECONDS = 1.0

_log = structlog.get_logger()


async def serve(
    provider: Provider,
    register: Any,
    evidence: Sequence[type[Evidence]],
    settings: ProviderSettings,
    stop: asyncio.Event,
    files: SchemaFiles | None = None,
) -> None:
    """Answer requests until `stop` is set; what is in hand is finished first.

    Args:
        provider: who answers.
        register: given to its functions.
        evidence: the records that they return.
        settings: of the process.
        stop: set by a signal.
        files: the schemas to read and write with, where the evidence is of one's own
            (`SchemaFiles.shipped().with_texts(...)`); those shipped by default.

    Raises:
        ConfigurationError: an address is not loopback, or a secret is not as it should be.
        StopError: going on would lose something.
        UnavailableError: the broker was away for too long; the supervisor starts this process again.
    """
    require_loopback([settings.http.address], settings.insecure, "listener")
    require_loopback([urlsplit(settings.schema_registry.url).netloc], settings.insecure, "schema registry")
    metrics = CollectorRegistry()
    bus = KafkaBus(settings.kafka.bootstrap, insecure=settings.insecure)
    files = files or SchemaFiles.shipped()
    registry = HttpSchemaRegistry(
        settings.schema_registry.url, cache=settings.home / "cache" / "schemas" / provider.agency
    )
    encoder = Encoder(files, registry)
    missing = {"schema_registry": "schema ids are not known yet"}
    handler = ProviderHandler(
        provider,
        register,
        encoder=encoder,
        decoder=Decoder(files, registry),
        secret=ensure_secret(settings.home, provider.agency),
        clock=lambda: datetime.now(UTC),
        metrics=metrics,
    )
    loop = ConsumeLoop(
        bus,
        provider.group,
        [provider.topic],
        handler,
        metrics=ConsumeMetrics(metrics),
        replays=Replays(bus, provider.group, files, registry),
    )

    def ready() -> dict[str, str]:
        return {**missing, **loop.missing()}

    async def work() -> None:
        records = (ExchangeRecorded, EvidenceProvided, EvidenceUnavailable, *evidence)
        await _prepared(encoder, records, stop)
        missing.pop("schema_registry", None)
        if not stop.is_set():
            await until_stopped(loop, stop)

    try:
        await serve_http(health_app(ready, metrics), settings.http.address, work())
    finally:
        await registry.aclose()


async def _prepared(encoder: Encoder, records: Sequence[Any], stop: asyncio.Event) -> None:
    """Look up the schema ids; while the schema registry is away, ask again and say so in `/ready`."""
    while not stop.is_set():
        try:
            await encoder.prepare(*records)
        except SchemaRegistryUnavailableError as error:
            _log.warning("schema_registry.awaited", reason=str(error))
            await _wait(stop, _ASK_AGAIN_SECONDS)
        else:
            return


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return


async def until_stopped(loop: ConsumeLoop, stop: asyncio.Event) -> None:
    """Run a consume loop until `stop` is set, then let it finish what it holds."""
    waiting = asyncio.create_task(stop.wait())
    waiting.add_done_callback(lambda _: loop.stop())
    try:
        await loop.run()
    finally:
        waiting.cancel()
