"""How a command brings a folder of lists into force on the running stack, and what is in force there."""

import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from chopar.cli.session import Session
from chopar.errors import ConfigurationError, NotFoundError
from chopar.messages.demand import FetchMode
from gateway.tashkent import day_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chopar.bus.port import Bus
    from chopar.messages.law import ListActivated
    from gateway.activation import Activated
    from gateway.list_version import ListVersion


def today() -> datetime.date:
    """The day in Tashkent."""
    return day_of(datetime.datetime.now(datetime.UTC))


def day_given(option: str, text: str) -> datetime.date | None:
    """The day that an option holds; None if it was left out.

    Raises:
        ConfigurationError: it is no day, or not written as YYYY-MM-DD.
    """
    try:
        day = datetime.date.fromisoformat(text) if text else None
    except ValueError:
        day = None
    if text and (day is None or day.isoformat() != text):
        raise ConfigurationError(f"{option}: a day as YYYY-MM-DD is due")
    return day


_LARGEST_BYTES = 64 * 1024 * 1024


def text_of(file: Path) -> str:
    """What somebody has written into a file.

    Raises:
        ConfigurationError: it cannot be read, is no text, or is larger than any list.
    """
    try:
        with file.open("rb") as opened:
            content = opened.read(_LARGEST_BYTES + 1)
        text = content.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} cannot be read") from error
    if len(content) > _LARGEST_BYTES:
        raise ConfigurationError(f"{file} has more than {_LARGEST_BYTES // 1024 // 1024} MiB")
    return text


async def newest(bus: "Bus") -> "ListActivated | None":
    """The activation that will hold last; None if there is none.

    Raises:
        BrokerUnavailableError: no broker answers.
    """
    from chopar.avro import SchemaFiles
    from gateway.activation import read_law

    found = (await read_law(bus, SchemaFiles.shipped())).newest()
    return found.message if found else None


async def mode_in_force(bus: "Bus") -> FetchMode:
    """The fetch mode that will hold last; `verified`, the default, before any activation."""
    message = await newest(bus)
    return message.fetch_mode if message else FetchMode.VERIFIED


async def versions_standing(
    session: Session, bus: "Bus", now: datetime.datetime
) -> "tuple[ListVersion, ListVersion, datetime.datetime | None]":
    """The lists that hold now, those that will hold last, and from when these do; None: they hold.

    Raises:
        NotFoundError: nothing was activated yet.
        LawIncompleteError: a bundle is not on this machine.
    """
    from chopar.avro import SchemaFiles
    from gateway.activation import read_law
    from gateway.bundle import load
    from gateway.list_version import ListVersion

    law = await read_law(bus, SchemaFiles.shipped())
    last, held = law.newest(), law.held_at(round(now.timestamp() * 1000))
    if last is None or held is None:
        raise NotFoundError("no lists were activated yet: `chopar prohibited activate DIR`")
    folder = session.home() / "gateway" / "lists"
    to_come = ListVersion.from_files(load(last.message.list_digest, folder))
    if held is last:
        return to_come, to_come, None
    at = datetime.datetime.fromtimestamp(last.effective_at_ms / 1000, datetime.UTC)
    return ListVersion.from_files(load(held.message.list_digest, folder)), to_come, at


async def files_in_force(session: Session, bus: "Bus") -> tuple[dict[str, bytes], "ListActivated"]:
    """The bundle that will hold last, and its activation.

    Raises:
        NotFoundError: nothing was activated yet.
        LawIncompleteError: the bundle is not on this machine.
    """
    from gateway.bundle import load

    message = await newest(bus)
    if message is None:
        raise NotFoundError("no lists were activated yet: `chopar prohibited activate DIR`")
    return load(message.list_digest, session.home() / "gateway" / "lists"), message


async def bring_into_force(
    session: Session,
    lists: "Mapping[str, bytes]",
    *,
    at: datetime.datetime | None,
    fetch_mode: FetchMode | None,
    by: str,
) -> "Activated":
    """Activate lists (files by name); the secret, and the fetch mode if none is given, stay those that will hold last.

    Raises:
        LawUnreadableError: the lists cannot be understood.
        ConfigurationError: lint finds an error in them, they cannot be written, or `at` is too soon.
        UnavailableError: broker or schema registry do not answer.
    """
    from chopar.avro import SchemaFiles
    from gateway.activation import LEAD_SECONDS, activate

    home = session.home() / "gateway"
    bus, registry = session.bus(), session.schema_registry()
    try:
        before = await newest(bus)
        return await activate(
            bus,
            registry,
            SchemaFiles.shipped(),
            lists=lists,
            home=home,
            lists_folder=home / "lists",
            fetch_mode=fetch_mode or (before.fetch_mode if before else FetchMode.VERIFIED),
            lead_seconds=LEAD_SECONDS,
            secret_version=before.secret_version if before else 1,
            activated_by=by,
            clock=lambda: datetime.datetime.now(datetime.UTC),
            at=at,
        )
    finally:
        await registry.aclose()
