"""Brings a list version into force: installs the bundle, learns the schema ids, appends a `ListActivated`.

Run by those who keep the lists (`python -m gateway --activate`). It appends only if something differs from what would
hold at its own time, says from when it holds, and does not wait for it. What is planned for later stays as it is.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from chopar.avro import SchemaFiles, encode_body, frame, parse_schema, schema_name, unframe
from chopar.bus.between import between
from chopar.bus.port import Bus, Outgoing
from chopar.errors import (
    ChoparError,
    ConfigurationError,
    LawUnreadableError,
    NotFoundError,
    NotOurFramingError,
    SchemaNotYetKnownError,
    UndecodableError,
    UnknownSchemaError,
)
from chopar.messages.demand import FetchMode
from chopar.messages.law import AcceptedSchema, ListActivated, ListMark
from chopar.schema_registry import SchemaRegistry
from chopar.secret_files import ensure_secret, read_secret
from gateway.bundle import install, load, schema_texts, with_schemas
from gateway.law import Activation, Law, activation_key
from gateway.law_reader import PARTITION, read_activation, understood
from gateway.lint import require_sound
from gateway.list_version import FILES, ListVersion
from gateway.standing import ACCEPTED, OUTPUTS, RULES_NUMBER, secret_check, secret_name
from gateway.tashkent import day_of

_ASK_AGAIN_SECONDS = 1.0
_LEADS_AHEAD = 1.5
"""How many leads ahead a later activation takes effect: one is due, half a one is left for the broker to take it."""


@dataclass(frozen=True, slots=True)
class Activated:
    """What came of it. `effective_at` is None where it holds already, as the first one does."""

    message: ListActivated
    is_new: bool
    effective_at: datetime | None


async def read_law(bus: Bus, files: SchemaFiles) -> Law:
    """Read `law.activated` to its present end."""
    law = Law()
    reader = bus.reader({PARTITION: None})
    await reader.start()
    try:
        end = (await reader.end_offsets([PARTITION]))[PARTITION]
        while reader.position(PARTITION) < end:
            for record in (await reader.fetch(500, 1.0)).get(PARTITION, []):
                law.read(record.offset, record.timestamp_ms, await understood(bus, files, record))
    finally:
        await reader.stop()
    return law


async def pass_over(
    bus: Bus, registry: SchemaRegistry, files: SchemaFiles, offset: int, *, by: str, reason: str
) -> bool:
    """Have everybody pass over a record that nobody understands: its key is given no value, whatever was written.

    Args:
        registry: says whether it is an activation by a schema of another release, which other gateways do understand.
        offset: of the record.
        by: who says so; stands in the headers, with the reason.

    Returns:
        Whether it was not passed over already.

    Raises:
        NotFoundError: there is no record.
        ConfigurationError: it is an activation, of another release too, or a mark.
        UnavailableError: broker or schema registry do not answer.
    """
    reader = bus.reader({PARTITION: None})
    await reader.start()
    try:
        begin = await reader.beginning_offsets([PARTITION])
        end = await reader.end_offsets([PARTITION])
    finally:
        await reader.stop()
    found = None
    if begin[PARTITION] <= offset < end[PARTITION]:
        async with contextlib.aclosing(between(bus, {PARTITION: offset}, end)) as records:
            found = await anext(records, None)
    if found is None or found.offset != offset:
        raise NotFoundError(f"law.activated holds no record at offset {offset}")
    try:
        read_activation(files, found)
    except LawUnreadableError:
        pass
    else:
        raise ConfigurationError(
            f"the record at offset {offset} can be understood; what holds is changed by activating"
        )
    if await _is_of_another_release(registry, found.value or b""):
        raise ConfigurationError(
            f"the record at offset {offset} is an activation by a schema of another release: install that one"
        )
    try:
        await understood(bus, files, found)
    except LawUnreadableError:
        headers = (("passed_over_by", by.encode()), ("reason", reason.encode()))
        producer = bus.producer("law.pass-over")
        await producer.start()
        try:
            [sent] = await producer.send([Outgoing(*PARTITION, found.key, None, headers)])
        finally:
            await producer.stop()
        if isinstance(sent, ChoparError):
            raise sent from None
        return True
    return False


async def _is_of_another_release(registry: SchemaRegistry, value: bytes) -> bool:
    """Whether the schema registry says that a value which cannot be read is an activation."""
    try:
        schema_id, _ = unframe(value)
    except NotOurFramingError:
        return False
    while True:
        try:
            schema = parse_schema(await registry.text_of(schema_id))
        except (UnknownSchemaError, UndecodableError):
            return False
        except SchemaNotYetKnownError:  # for some seconds, as a follower may lag
            await asyncio.sleep(_ASK_AGAIN_SECONDS)
        else:
            return schema_name(schema) == ListActivated.RECORD


async def activate(
    bus: Bus,
    registry: SchemaRegistry,
    files: SchemaFiles,
    *,
    lists: Mapping[str, bytes],
    home: Path,
    lists_folder: Path,
    fetch_mode: FetchMode | None,
    lead_seconds: int,
    secret_version: int | None,
    activated_by: str,
    clock: Callable[[], datetime],
    at: datetime | None = None,
    leave_others: bool = False,
    instead_of: Activation | None = None,
) -> Activated:
    """Bring lists into force; those in which lint finds an error do not come into force, whoever asks for it.

    Args:
        lists: the TOML files, by name; what else is among them stays out.
        home: where the gateway's secret lies; made if there is none of this version.
        lists_folder: the gateway's list directory.
        fetch_mode: which access grounds are opened; None: as they would be at that time, `verified` at first.
        lead_seconds: of the first activation; later ones are bound by that one's.
        secret_version: None: the one that would hold at that time, 1 at first.
        clock: aware UTC time; says from when it holds, and the day on which the lists are looked through.
        at: from when it is to hold; as soon as it can if left out (the first one holds at once, whatever it says).
        leave_others: whether nothing is done where somebody else's activation would hold then, or later.
        instead_of: what was found to hold at that time, if it has to be that still.

    Raises:
        LawUnreadableError: the lists cannot be understood.
        ConfigurationError: lint finds an error in them, they cannot be written, `at` is too soon to count,
            something else than `instead_of` holds then, or the secret is not the one that was activated.
        LawIncompleteError: a schema of before is to be accepted further, and its list version is not here.
        UnavailableError: broker or schema registry do not answer, or a schema is not registered.
    """
    records = sorted({model.RECORD for model in (*ACCEPTED, *OUTPUTS, ListActivated, ListMark)})
    texts = {record: files.texts[record] for record in records}
    files_of_lists = {name: content for name, content in lists.items() if name in FILES}
    version = ListVersion.from_files(files_of_lists)  # held, so that it is not read again when it is written
    require_sound(version, day_of(clock()))
    written = [
        AcceptedSchema(record=r, sha256=hashlib.sha256(t.encode()).digest(), id=await registry.id_of(r, t))
        for r, t in texts.items()
    ]
    law = await read_law(bus, files)
    effective_at = effective_from(law, at, clock())
    effective_ms = int(effective_at.timestamp() * 1000)
    before = law.held_at(effective_ms)
    if instead_of is not None and (before is None or before.offset != instead_of.offset):
        raise ConfigurationError("somebody else activated lists meanwhile: nothing was activated; begin again")
    former = _former_writers(before, written, lists_folder)
    further = {f"{schema.record}~{schema.sha256.hex()[:12]}": text for schema, text in former.items()}
    digest = install(with_schemas(files_of_lists, texts | further), lists_folder)
    schemas = (*written, *former)
    fetch_mode = fetch_mode or (before.message.fetch_mode if before else FetchMode.VERIFIED)
    secret_version = secret_version or (before.message.secret_version if before else 1)
    check = _secret_check(law, home, secret_version)
    message = ListActivated(
        list_digest=digest,
        fetch_mode=fetch_mode,
        secret_version=secret_version,
        secret_check=check,
        rules_number=RULES_NUMBER,
        schemas=schemas,
        effective_at=effective_at,
        lead_seconds=before.message.lead_seconds if before else lead_seconds,
        activated_by=activated_by,
    )
    others = [one for one in (before, *law.to_come(effective_ms)) if one and one.message.activated_by != activated_by]
    if before and ((leave_others and others) or _same(before.message, message)):
        coming = before is not law.counted()[0] and before.message.effective_at > clock()
        return Activated(before.message, is_new=False, effective_at=before.message.effective_at if coming else None)
    ids = {schema.record: schema.id for schema in schemas}
    value = frame(ids[ListActivated.RECORD], encode_body(files.parsed(ListActivated.RECORD), message))
    producer = bus.producer("gateway.activation")
    await producer.start()
    try:
        [sent] = await producer.send([Outgoing(PARTITION.topic, PARTITION.partition, activation_key(message), value)])
    finally:
        await producer.stop()
    if isinstance(sent, ChoparError):
        raise sent
    return Activated(message, is_new=True, effective_at=effective_at if before else None)


def _former_writers(
    before: Activation | None, written: list[AcceptedSchema], lists_folder: Path
) -> dict[AcceptedSchema, str]:
    """The schemas that agencies were allowed to write so far, by libraries of before, with their texts.

    An agency changes its library when it likes: what it writes is read on, until nobody accepts it any more.
    """
    known = {schema.sha256 for schema in written}
    accepted = {model.RECORD for model in ACCEPTED}
    former = [
        schema
        for schema in (before.message.schemas if before is not None else ())
        if schema.record in accepted and schema.sha256 not in known
    ]
    if before is None or not former:
        return {}
    texts = schema_texts(load(before.message.list_digest, lists_folder))
    return {schema: texts[schema.sha256] for schema in former}


def effective_from(law: Law, at: datetime | None, now: datetime) -> datetime:
    """When an activation that is appended now takes effect: as asked for, else as soon as it can.

    Raises:
        ConfigurationError: it is asked for sooner than the lead allows.
    """
    if law.newest() is None:
        return at or now
    soonest = now + timedelta(milliseconds=law.lead_ms)
    if at is not None and at <= soonest:
        raise ConfigurationError(
            f"from {at:%Y-%m-%dT%H:%M:%S%z} it would not count: {soonest.isoformat()} at the soonest"
        )
    return at or now + timedelta(milliseconds=law.lead_ms * _LEADS_AHEAD)


def _secret_check(law: Law, home: Path, version: int) -> bytes:
    """The check value of the secret of a version; a version that was never activated gets a new secret.

    Raises:
        ConfigurationError: the version was activated, and its secret is missing or another one: what it made could not
            be made again.
    """
    known = {a.message.secret_check for a in law.counted() if a.message.secret_version == version}
    if not known:
        return secret_check(ensure_secret(home, secret_name(version)))
    try:
        check = secret_check(read_secret(home, secret_name(version)))
    except ConfigurationError as error:
        raise ConfigurationError(f"{error}; restore it, or activate with --secret-version {version + 1}") from error
    if check not in known:
        raise ConfigurationError(
            f"the gateway's secret {version} is not the one that was activated: restore it, "
            f"or activate with --secret-version {version + 1}"
        )
    return check


def _same(left: ListActivated, right: ListActivated) -> bool:
    ignored = {"effective_at", "activated_by"}
    return left.model_dump(exclude=ignored) == right.model_dump(exclude=ignored)
