"""How a command brings a folder of lists into force on the running stack, and what is in force there."""

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chopar.cli.session import Session
from chopar.errors import ConfigurationError, NotFoundError
from chopar.messages.demand import FetchMode
from gateway.tashkent import TASHKENT, day_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chopar.bus.port import Bus
    from gateway.activation import Activated
    from gateway.law import Activation
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


@dataclass(frozen=True, slots=True)
class InForce:
    """What holds now, by the rule of the gateway, and what is planned to hold from later times, in their order."""

    held: "Activation"
    to_come: "tuple[Activation, ...]"

    @property
    def planned(self) -> str:
        """In words from when other lists hold, each with the beginning of its digest; empty if none are planned."""
        return "; ".join(
            f"from {moment(one)}: version {short(one)}"
            + (f" in the mode {one.message.fetch_mode}" * (one.message.fetch_mode != self.held.message.fetch_mode))
            for one in self.to_come
        )


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where a new activation comes: from when it holds, instead of what, and what is planned to follow it."""

    at: datetime.datetime
    before: "Activation | None"
    to_come: "tuple[Activation, ...]"


def moment(activation: "Activation") -> str:
    """From when an activation holds, in Tashkent."""
    return activation.message.effective_at.astimezone(TASHKENT).isoformat(timespec="seconds")


def short(activation: "Activation") -> str:
    """The beginning of the digest of an activation's lists, which is enough to name them."""
    return activation.message.list_digest[:12]


async def in_force(session: Session, bus: "Bus") -> InForce:
    """What is in force at this moment, and what is planned.

    Raises:
        NotFoundError: nothing was activated yet.
        BrokerUnavailableError: no broker answers.
    """
    from chopar.avro import SchemaFiles
    from gateway.activation import read_law

    law = await read_law(bus, SchemaFiles.shipped())
    now_ms = max(round(session.now().timestamp() * 1000), law.read_to_ms)  # the broker's clock may be ahead of ours
    held = law.held_at(now_ms)
    if held is None:
        raise NotFoundError("no lists were activated yet: `chopar prohibited activate DIR`")
    changing, last = [], held
    for one in law.to_come(now_ms):  # a plan that was withdrawn is followed by what holds before it, which is no change
        if (one.message.list_digest, one.message.fetch_mode) != (last.message.list_digest, last.message.fetch_mode):
            changing.append(one)
        last = one
    return InForce(held, tuple(changing))


async def mode_in_force(session: Session, bus: "Bus") -> FetchMode:
    """The fetch mode that holds; `verified`, the default, before any activation."""
    try:
        return (await in_force(session, bus)).held.message.fetch_mode
    except NotFoundError:
        return FetchMode.VERIFIED


def bundle_of(session: Session, activation: "Activation") -> dict[str, bytes]:
    """The bundle of an activation.

    Raises:
        LawIncompleteError: it is not on this machine.
    """
    from gateway.bundle import load

    return load(activation.message.list_digest, session.home() / "gateway" / "lists")


def lists_of(session: Session, activation: "Activation") -> "ListVersion":
    """The lists of an activation.

    Raises:
        LawIncompleteError: the bundle is not on this machine.
        LawUnreadableError: it cannot be understood.
    """
    from gateway.list_version import ListVersion

    return ListVersion.from_files(bundle_of(session, activation))


async def beginning(session: Session, bus: "Bus", at: datetime.datetime | None) -> Beginning:
    """Where an activation comes that is given now.

    Args:
        at: from when it is to hold; as soon as it can if left out.

    Raises:
        ConfigurationError: `at` is too soon to count.
        BrokerUnavailableError: no broker answers.
    """
    from chopar.avro import SchemaFiles
    from gateway.activation import effective_from, read_law

    law = await read_law(bus, SchemaFiles.shipped())
    effective = effective_from(law, at, session.now())
    effective_ms = int(effective.timestamp() * 1000)
    return Beginning(effective, law.held_at(effective_ms), law.to_come(effective_ms))


async def bring_into_force(
    session: Session,
    lists: "Mapping[str, bytes]",
    *,
    at: datetime.datetime,
    instead_of: "Activation | None",
    fetch_mode: FetchMode | None,
    by: str,
    secret_version: int | None = None,
) -> "Activated":
    """Activate lists (files by name); secret and fetch mode are those that would hold then, if none are given.

    Args:
        at: from when they hold, as `beginning` gives it.
        instead_of: what would hold then otherwise, by which was shown what changes.

    Raises:
        LawUnreadableError: the lists cannot be understood.
        ConfigurationError: lint finds an error in them, they cannot be written, `at` is too soon, or by now something
            else would hold then.
        UnavailableError: broker or schema registry do not answer.
    """
    from chopar.avro import SchemaFiles
    from gateway.activation import activate
    from gateway.law import LEAD_SECONDS

    home = session.home() / "gateway"
    bus, registry = session.bus(), session.schema_registry()
    try:
        return await activate(
            bus,
            registry,
            SchemaFiles.shipped(),
            lists=lists,
            home=home,
            lists_folder=home / "lists",
            fetch_mode=fetch_mode,
            lead_seconds=LEAD_SECONDS,
            secret_version=secret_version,
            activated_by=by,
            clock=session.now,
            at=at,
            instead_of=instead_of,
        )
    finally:
        await registry.aclose()
