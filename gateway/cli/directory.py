"""`chopar directory list | apply`: which agency answers what on the exchange, and connecting one."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chopar.cli.exit_codes import ExitCode
from chopar.cli.output import Table, instant
from chopar.cli.session import Session
from chopar.errors import NotFoundError
from gateway.cli.chosen import ByOption
from gateway.cli.in_force import (
    beginning,
    bring_into_force,
    bundle_of,
    in_force,
    lists_of,
    moment,
    short,
    text_of,
)
from gateway.compared_lists import differences
from gateway.connecting import Held, connect, doubts, holdings
from gateway.lint import require_sound
from gateway.list_version import ListVersion
from gateway.tashkent import day_of

if TYPE_CHECKING:
    from gateway.activation import Activated
    from gateway.agencies import Agency
    from gateway.evidence_directory import DirectoryEntry
    from gateway.law import Activation

app = typer.Typer(name="directory", no_args_is_help=True, rich_markup_mode=None)

_HOURS = 3600


@app.callback()
def _directory() -> None:
    """Which agency holds which evidence, and whether it answers on the exchange."""


@app.command("list")
def list_(
    context: typer.Context,
    connected: Annotated[bool, typer.Option("--connected", help="Only holders that answer.")] = False,
    lists: Annotated[
        Path | None,
        typer.Option("--lists", help="Folder of lists; those in force if it is left out.", metavar="DIR"),
    ] = None,
) -> int:
    """List the holders: what they hold, whether they are connected, by when they promise to answer."""
    from gateway.bundle import list_files

    session = Session.of(context)
    if lists:
        standing = holdings(ListVersion.from_files(list_files(lists)))
    else:
        law = session.run(lambda: in_force(session, session.bus()))
        to_come = [(one.message.effective_at, lists_of(session, one)) for one in law.to_come]
        standing = holdings(lists_of(session, law.held), to_come)
    held = [one for one in standing if one.connected or one.entry.connected or not connected]
    rows = [_held_row(one) for one in held]
    table = Table(
        ("provider", "evidence type", "connected", "promises within", "note"),
        [
            (one.entry.provider, one.entry.evidence_type, _connected(one), f"{row['due_hours']} h", row["note"])
            for one, row in zip(held, rows, strict=True)
        ],
    )
    counted = f"{sum(one.connected for one in held)} of {len(rows)} are connected"
    session.output.show(rows, table, counted)
    return ExitCode.DONE if rows else ExitCode.NO


@app.command("apply")
def apply(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="[[holding]] tables, as `chopar provider init` writes them.")],
    by: ByOption = "",
) -> int:
    """Connect a holder: put a directory file into the lists in force and activate these; again changes nothing.

    Into lists that are planned for later it is put too, and they hold from when they were planned: else they would end
    it. Nothing else changes. It opens no data: that does an access ground. The fetch mode stays what it is.
    """
    session = Session.of(context)
    activated_by = session.who(by)
    first, *later = session.run(lambda: _applied(session, text_of(file), activated_by))
    added, done = [_row(entry) for entry in first.changed], first.done
    doubtful = doubts(first.before, first.changed)
    when = done.effective_at.isoformat() if done.effective_at else "now" if done.is_new else "already"
    data = {
        "changed": added,
        "differences": first.differences,
        "doubts": doubtful,
        "list_digest": done.message.list_digest,
        "is_new": done.is_new,
        "holds_from": done.effective_at,
        "planned": [
            {
                "list_digest": one.done.message.list_digest,
                "instead_of": one.instead_of.message.list_digest,
                "is_new": one.done.is_new,
                "holds_from": one.instead_of.message.effective_at,
                "differences": one.differences,
            }
            for one in later
        ],
    }
    lines = [
        f"{row['provider']}: {row['evidence_type']}, "
        + (f"connected, answered within {row['due_hours']} h" if row["connected"] else "not connected any more")
        for row in added
    ]
    for sentence in doubtful:
        session.output.say(sentence)
    words = f"list version {done.message.list_digest[:12]} holds from: {when}"
    also = [
        f"list version {one.done.message.list_digest[:12]} holds from: {moment(one.instead_of)}, "
        + (f"with this instead of the planned {short(one.instead_of)}" if one.done.is_new else "planned, and has this")
        for one in later
    ]
    session.output.show(data, *lines, words, *also)
    return ExitCode.DONE


@dataclass(frozen=True, slots=True)
class _Applied:
    """A directory file put into the lists of one activation, and what came of activating these at its time."""

    instead_of: "Activation"
    before: ListVersion
    changed: "list[DirectoryEntry]"
    differences: list[str]
    done: "Activated"


async def _applied(session: Session, text: str, by: str) -> list[_Applied]:
    """Put the file into what will hold when that counts, and into what is planned to follow: all, or none is begun."""
    from chopar.topics import layouts

    bus = session.bus()
    begins = await beginning(session, bus, None)
    if begins.before is None:
        raise NotFoundError("no lists were activated yet: `chopar prohibited activate DIR`")
    made = []
    for at, instead_of in ((begins.at, begins.before), *((one.message.effective_at, one) for one in begins.to_come)):
        files = bundle_of(session, instead_of)
        merged = connect(files, text)
        before, after = ListVersion.from_files(files), ListVersion.from_files(merged)
        require_sound(after, day_of(session.now()))
        made.append((at, instead_of, merged, before, after))
    new = sorted({one.id for *_, before, after in made for one in _new_agencies(before, after)})
    if new:  # an agency that was not in the lists has no topics yet
        admin = bus.admin()
        await admin.start()
        try:
            await admin.create(list(layouts(new, new)))
        finally:
            await admin.stop()
    applied = []
    for at, instead_of, merged, before, after in made:
        said = [str(one) for one in differences(before, after)]
        for sentence in said:
            session.output.say(f"instead of {short(instead_of)}: {sentence}")
        done = await bring_into_force(session, merged, at=at, instead_of=instead_of, fetch_mode=None, by=by)
        changed = [entry for place, entry in after.directory.items() if before.directory.get(place) != entry]
        applied.append(_Applied(instead_of, before, changed, said, done))
    return applied


def _new_agencies(before: ListVersion, after: ListVersion) -> "list[Agency]":
    return [one for one in after.agencies.values() if one.is_connected_kind and one.id not in before.agencies]


def _held_row(one: Held) -> dict[str, Any]:
    return {**_row(one.entry), "connected": one.connected, "changes_at": one.changes_at}


def _connected(one: Held) -> str:
    if one.changes_at is None:
        return "yes" if one.connected else "no"
    return f"{'until' if one.connected else 'from'} {instant(one.changes_at)}"


def _row(entry: "DirectoryEntry") -> dict[str, Any]:
    return {
        "provider": entry.provider,
        "evidence_type": entry.evidence_type,
        "connected": entry.connected,
        "due_hours": int(entry.due.total_seconds() // _HOURS),
        "basis": entry.basis.value,
        "note": entry.note or None,
    }
