"""`chopar directory list | apply`: which agency answers what on the exchange, and connecting one."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chopar.cli.exit_codes import ExitCode
from chopar.cli.output import Table, instant
from chopar.cli.session import Session
from gateway.cli.chosen import ByOption
from gateway.cli.in_force import bring_into_force, files_in_force, text_of, versions_standing
from gateway.connecting import Held, connect, doubts, holdings
from gateway.list_version import ListVersion

if TYPE_CHECKING:
    from gateway.activation import Activated
    from gateway.evidence_directory import DirectoryEntry

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
        now = last = ListVersion.from_files(list_files(lists))
        changes_at = None
    else:
        now, last, changes_at = session.run(lambda: versions_standing(session, session.bus(), datetime.now(UTC)))
    held = [one for one in holdings(now, last, changes_at) if one.connected or one.entry.connected or not connected]
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

    It opens no data: that does an access ground. The fetch mode stays what it is.
    """
    session = Session.of(context)
    activated_by = session.who(by)
    added, doubtful, done = session.run(lambda: _applied(session, text_of(file), activated_by))
    when = done.effective_at.isoformat() if done.effective_at else "now" if done.is_new else "already"
    data = {
        "changed": added,
        "doubts": doubtful,
        "list_digest": done.message.list_digest,
        "is_new": done.is_new,
        "holds_from": done.effective_at,
    }
    lines = [
        f"{row['provider']}: {row['evidence_type']}, "
        + (f"connected, answered within {row['due_hours']} h" if row["connected"] else "not connected any more")
        for row in added
    ]
    for sentence in doubtful:
        session.output.say(sentence)
    session.output.show(data, *lines, f"list version {done.message.list_digest[:12]} holds from: {when}")
    return ExitCode.DONE


async def _applied(session: Session, text: str, by: str) -> "tuple[list[dict[str, Any]], list[str], Activated]":
    from chopar.topics import layouts

    bus = session.bus()
    files, message = await files_in_force(session, bus)
    before = ListVersion.from_files(files)
    merged = connect(files, text)
    after = ListVersion.from_files(merged)
    changed = [entry for place, entry in after.directory.items() if before.directory.get(place) != entry]
    new = sorted({agency.id for agency in after.agencies.values() if agency.is_connected_kind} - set(before.agencies))
    if new:  # an agency that was not in the lists has no topics yet
        admin = bus.admin()
        await admin.start()
        try:
            await admin.create(list(layouts(new, new)))
        finally:
            await admin.stop()
    done = await bring_into_force(session, merged, at=None, fetch_mode=message.fetch_mode, by=by)
    return [_row(entry) for entry in changed], doubts(before, changed), done


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
