"""`chopar gap list`: what is barred and cannot be fetched yet, counted: the list of what to connect or to read next."""

from typing import Annotated, Any

import typer

from chopar.cli.exit_codes import ExitCode
from chopar.cli.output import Table, instant
from chopar.cli.session import Session
from gateway.cli.chosen import counted, say_planned
from gateway.cli.in_force import InForce, in_force, lists_of

app = typer.Typer(name="gap", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _gap() -> None:
    """Documents that may not be demanded and cannot be fetched yet."""


@app.command("list")
def list_(
    context: typer.Context,
    all_: Annotated[bool, typer.Option("--all", help="Also those that are closed by now.")] = False,
    requester: Annotated[str, typer.Option("--requester", help="Only of this agency.", metavar="ID")] = "",
) -> int:
    """List gaps by requester, document, holder and reason, the most frequent first, and since when they are met.

    A gap is open if it is by the lists in force now, whatever is planned.
    """
    session = Session.of(context)
    found, standing = session.run(lambda: _rows(session))
    say_planned(session, standing)
    rows = [row for row in found if (all_ or row["open"]) and requester in ("", row["requester"])]
    table = Table(
        ("requester", "document", "missing", "to connect or to read", "count", "since", "last"),
        [
            (
                row["requester"],
                row["document_type"],
                row["code"] if row["open"] else f"{row['code']} (closed)",
                ", ".join(row["grounds"]) or f"{row['holder']} {row['evidence_type']}",
                row["count"],
                instant(row["since"]),
                instant(row["last"]),
            )
            for row in rows
        ],
        right=frozenset({"count"}),
    )
    session.output.show(rows, *([table] if rows else []), counted(len(rows), "gap"))
    return ExitCode.DONE


async def _rows(session: Session) -> tuple[list[dict[str, Any]], InForce]:
    from dataclasses import asdict

    from gateway.cli.recorded import recorded
    from gateway.gaps import gaps

    standing = await in_force(session, session.bus())
    lists, mode = lists_of(session, standing.held), standing.held.message.fetch_mode
    return [asdict(gap) for gap in gaps(await recorded(session, None, None), lists, mode)], standing
