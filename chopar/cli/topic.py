"""The noun `topic`: what topics there are, what is in them, who writes and reads them."""

from typing import Annotated, Any

import typer

from chopar.cli.session import Session

app = typer.Typer(name="topic", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _topic() -> None:
    """List the topics with what is in them and who writes and reads them."""


@app.command("list")
def list_(
    context: typer.Context,
    name: Annotated[str, typer.Option("--name", help="Only topics whose names contain this.", metavar="TEXT")] = "",
    dead_letters: Annotated[bool, typer.Option("--dead-letters", help="The dead letter topics too.")] = False,
    not_empty: Annotated[bool, typer.Option("--not-empty", help="Only those that hold records.")] = False,
) -> int:
    """List topics: partitions, records, retention, writers, readers, and how far behind the readers' group is."""
    from chopar.cli.output import Table
    from chopar.cli.topic_rows import COLUMNS, rows_of, shown

    session = Session.of(context)
    rows = session.run(lambda: rows_of(session.bus()))
    chosen: list[dict[str, Any]] = [
        row
        for row in rows
        if name in row["name"]
        and (dead_letters or not row["dead_letters"] or (not_empty and row["records"]))
        and (row["records"] or not not_empty)
    ]
    session.output.show(chosen, Table(COLUMNS, [shown(row) for row in chosen], right=frozenset({"records", "lag"})))
    return 0
