"""A provider as a process: bus, schema registry, register, health, until a signal ends it.

`services.*.__main__` calls `serve` with what is theirs: the provider, its register and the records of its evidence.
"""

import argparse
import asyncio
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import structlog
from prometheus_client import CollectorRegistry, Gauge
from pydantic_settings import SettingsConfigDict

from chopar.avro import SchemaFiles
from chopar.bus.consume import ConsumeLoop, ConsumeMetrics, ConsumeSettings
from chopar.bus.kafka import KafkaBus
from chopar.bus.loopback import require_loopback
from chopar.bus.replay import Replays
from chopar.errors import HandlerFailedError, SchemaRegistryUnavailableError
from chopar.health import Health, Ready
from chopar.listener import serve as listen
from chopar.messages.evidence import Evidence
from chopar.process import correct_option, parser, run
from chopar.provider.corrections import Corrections, read_identifiers
from chopar.provider.provider import RECORDS, Provider, ProviderHandler
from chopar.record_fields import require_equal_fields
from chopar.schema_registry import Decoder, Encoder, HttpSchemaRegistry
from chopar.secret_files import check_value, ensure_secret
from chopar.settings import AnsweringSettings

_ASK_AGAIN_SECONDS = 1.0
_LOOK_SECONDS = 0.1

_log = structlog.get_logger()


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Served:
    """One agency that a process answers for.

    Attributes:
        provider: who answers.
        register: given to its functions.
        evidence: the records that they return.
    """

    provider: Provider
    register: Any
    evidence: Sequence[type[Evidence]]


async def serve(
    provider: Provider,
    register: Any,
    evidence: Sequence[type[Evidence]],
    settings: AnsweringSettings,
    stop: asyncio.Event,
    files: SchemaFiles | None = None,
    *,
    correct: Path | None = None,
) -> None:
    """Answer one agency's requests until `stop` is set; the arguments are those of `Served` and `serve_all`."""
    await serve_all([Served(provider, register, evidence)], settings, stop, files, correct=correct)


def run_provider(
    provider: Provider,
    register: Any,
    evidence: Sequence[type[Evidence]],
    *,
    schemas: Path | None = None,
    prefix: str = "CHOPAR_PROVIDER_",
    argv: Sequence[str] | None = None,
) -> int:
    """Run a process that answers for one agency to its end, by settings from the environment; gives its exit code.

    Args:
        provider: who answers.
        register: given to its functions.
        evidence: the records that they return.
        schemas: a folder of `.avsc` files of one's own, beside those shipped.
        prefix: of the variables that say where broker, schema registry, home and listener are
            (`KAFKA__BOOTSTRAP`, `SCHEMA_REGISTRY__URL`, `HOME`, `HTTP__ADDRESS`).
        argv: the arguments; those of the process by default.
    """

    class Settings(AnsweringSettings):
        model_config = SettingsConfigDict(env_prefix=prefix)

    async def main(settings: Settings, arguments: argparse.Namespace, stop: asyncio.Event) -> None:
        files = SchemaFiles.shipped()
        if schemas is not None:
            files = files.with_texts(SchemaFiles.from_folder(schemas).texts)
        await serve(provider, register, evidence, settings, stop, files, correct=arguments.correct)

    options = parser("", f"Answers for {provider.agency}.", program=provider.agency)
    correct_option(options)
    return run(Settings, main, options, argv)


async def serve_all(
    served: Sequence[Served],
    settings: AnsweringSettings,
    stop: asyncio.Event,
    files: SchemaFiles | None = None,
    *,
    correct: Path | None = None,
) -> None:
    """Answer requests until `stop` is set; what is in hand is finished first.

    Each agency keeps its own consumer group, secret and loop, so that it can move to a process of its own; schemas,
    metrics and listener are shared. If one loop ends by an error, all end.

    Args:
        served: the agencies, one at least.
        settings: of the process.
        stop: set by a signal.
        files: the schemas to read and write with, where the evidence is of one's own
            (`SchemaFiles.shipped().with_texts(...)`); those shipped by default.
        correct: a file of identifiers, one a line, or `-`. Who asked about them is answered again as the registers are
            now, and that is all that is done.

    Raises:
        ConfigurationError: an address is not loopback, a secret or that file is not as it should be, or an evidence
            record has other fields than its class.
        HandlerFailedError: some could not be corrected; all others were.
        StopError: going on would lose something.
        UnavailableError: the broker was away for too long; the supervisor starts this process again.
    """
    require_loopback([settings.http.address], settings.insecure, "listener")
    require_loopback([urlsplit(settings.schema_registry.url).netloc], settings.insecure, "schema registry")
    metrics = CollectorRegistry()
    bus = KafkaBus(settings.kafka.bootstrap, insecure=settings.insecure)
    files = files or SchemaFiles.shipped()
    registry = HttpSchemaRegistry(
        settings.schema_registry.url, cache=settings.home / "cache" / "schemas" / served[0].provider.agency
    )
    for model in {model for one in served for model in one.evidence}:
        require_equal_fields(model, files.text(model.RECORD))
    encoder, decoder = Encoder(files, registry), Decoder(files, registry)
    missing = {"schema_registry": "schema ids are being asked for"}
    consumed = ConsumeMetrics(metrics)

    secrets = Gauge("chopar_secret", "1 for the check value of a secret", ["agency", "check"], registry=metrics)

    def handler_of(one: Served) -> ProviderHandler:
        secret = ensure_secret(settings.home, one.provider.agency)
        # Instances with different secrets give different answers to one request: an alert compares what they show here.
        secrets.labels(one.provider.agency, check_value(secret)).set(1)
        return ProviderHandler(
            one.provider,
            one.register,
            encoder=encoder,
            decoder=decoder,
            secret=secret,
            clock=_now,
            metrics=metrics,
        )

    if correct is not None:
        identifiers = read_identifiers(correct)
        try:
            await encoder.prepare(*RECORDS, *{record for one in served for record in one.evidence})
            failed = 0
            for one in served:
                async with Corrections(handler_of(one), bus, decoder, _now) as corrections:
                    failed += (await corrections.correct_all(identifiers)).failed
            if failed:
                raise HandlerFailedError(f"{failed} requests could not be answered again; correction.failed says which")
        finally:
            await registry.aclose()
        return

    def loop_of(one: Served) -> ConsumeLoop:
        handler = handler_of(one)
        replays = Replays(bus, one.provider.group, files, registry)
        return ConsumeLoop(
            bus,
            one.provider.group,
            [one.provider.topic],
            handler,
            settings=ConsumeSettings(max_concurrency=one.provider.at_once),
            metrics=consumed,
            replays=replays,
            notes=settings.home / "tried",
        )

    loops = {one.provider.agency: loop_of(one) for one in served}

    def ready() -> dict[str, str]:
        of_loops = (
            (name if len(loops) == 1 else f"{agency}.{name}", what)
            for agency, loop in loops.items()
            for name, what in loop.missing().items()
        )
        return {**missing, **dict(of_loops)}

    async def work() -> None:
        records = {record: None for one in served for record in one.evidence}
        await _prepared(encoder, (*RECORDS, *records), stop, missing)
        if not stop.is_set():
            saying = asyncio.create_task(_say_when_ready(served, ready, settings.http.address))
            try:
                await _all_until_stopped(list(loops.values()), stop)
            finally:
                saying.cancel()

    try:
        await listen(Health(ready, metrics), settings.http.address, work())
    finally:
        await registry.aclose()


async def _all_until_stopped(loops: Sequence[ConsumeLoop], stop: asyncio.Event) -> None:
    """Run loops until `stop` is set or one fails; then the others finish what they hold, and its error is raised."""
    ends = [asyncio.create_task(until_stopped(loop, stop)) for loop in loops]
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_EXCEPTION)
    except asyncio.CancelledError:
        for end in ends:
            end.cancel()
        raise
    finally:
        stop.set()
        outcomes = await asyncio.gather(*ends, return_exceptions=True)
    for outcome in outcomes:
        if outcome is not None:
            raise outcome


async def _say_when_ready(served: Sequence[Served], ready: Ready, address: str) -> None:
    """Write down once that requests are answered from now on: by whom, of what, and where to look."""
    while ready():  # noqa: ASYNC110  asked of consumers, which say it to nobody by themselves
        await asyncio.sleep(_LOOK_SECONDS)
    for one in served:
        _log.info(
            "provider.ready",
            agency=one.provider.agency,
            answers=", ".join(one.provider.evidence_types),
            look_at=f"http://{address}/ready",
        )


async def _prepared(
    encoder: Encoder, records: Sequence[Any], stop: asyncio.Event, missing: MutableMapping[str, str]
) -> None:
    """Look up the schema ids; while the schema registry is away, ask again and say so in `/ready`."""
    while not stop.is_set():
        try:
            await encoder.prepare(*records)
        except SchemaRegistryUnavailableError as error:
            if missing["schema_registry"] != str(error):
                missing["schema_registry"] = str(error)
                _log.warning("schema_registry.awaited", reason=str(error))
            await _wait(stop, _ASK_AGAIN_SECONDS)
        else:
            del missing["schema_registry"]
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
