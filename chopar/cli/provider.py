"""`chopar provider`: begin a provider of one's own, and check that one keeps what the exchange promises of it."""

from pathlib import Path
from typing import Annotated

import typer

from chopar.cli.exit_codes import ExitCode
from chopar.cli.output import Table
from chopar.cli.session import Session

app = typer.Typer(name="provider", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _provider() -> None:
    """An agency that answers: begin one, check one."""


@app.command("init")
def init(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Of the project, as pension-office.", metavar="NAME")],
    agency: Annotated[str, typer.Option("--agency", help="The agency's id; NAME if left out.", metavar="ID")] = "",
    evidence: Annotated[
        str, typer.Option("--evidence", help="The evidence type that it answers.", metavar="TYPE")
    ] = "example-status",
    field: Annotated[
        list[str] | None,
        typer.Option("--field", help="A field of the evidence, NAME:string|boolean|long|date; may be repeated."),
    ] = None,
    into: Annotated[Path | None, typer.Option("--into", help="The folder to make; ./NAME if left out.")] = None,
) -> int:
    """Write a provider with its schema and its tests into a new folder; nothing that exists is overwritten."""
    from chopar.cli.provider_init import Plan, write

    session = Session.of(context)
    plan = Plan.of(name, agency=agency or name, evidence_type=evidence, fields=field or ["status:string"])
    folder = into or session.cwd / name
    files = write(plan, folder)
    data = {"folder": str(folder), "files": files}
    session.output.show(data, *files, f"\nBegin with {folder}/README.md")
    return ExitCode.DONE


@app.command("check")
def check_(
    context: typer.Context,
    target: Annotated[
        str, typer.Argument(help="The function that gives the conformance cases.", metavar="MODULE:FUNCTION")
    ],
) -> int:
    """Run the conformance kit in memory, and with --bootstrap on that Kafka too, on topics of its own."""
    from chopar.cli.provider_check import findings_on, load
    from chopar.errors import ConfigurationError

    session = Session.of(context)
    try:
        conformance = load(target, session.cwd)
        rows = session.run(lambda: findings_on(session, conformance))
    except SystemExit:  # its code would be ours, and 0 says that all is kept
        raise ConfigurationError("the provider ended the process (sys.exit) before it was checked") from None
    table = Table(
        ("bus", "evidence type", "check", "kept", "what is wrong"),
        [(row["bus"], row["evidence_type"], row["check"], row["passed"], row["said"]) for row in rows],
    )
    broken = sum(1 for row in rows if not row["passed"])
    session.output.show(rows, table, f"{len(rows)} checks, {broken} not kept")
    return ExitCode.NO if broken else ExitCode.DONE
