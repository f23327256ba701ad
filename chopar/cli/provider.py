"""`chopar provider`: begin a provider of one's own, and check that one keeps what the exchange promises of it."""

from pathlib import Path
from typing import Annotated

import typer

from chopar.cli.exit_codes import ExitCode
from chopar.cli.output import Table
from chopar.cli.session import Session

_NOT_ASKED = "the grounds in force are not known here (no gateway answers; --gateway names one)"

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
        typer.Option(
            "--field",
            help="A field of the evidence, NAME:string|boolean|long|date, or LIST.NAME:KIND; may be repeated.",
            show_default="those of the grounds",
        ),
    ] = None,
    into: Annotated[Path | None, typer.Option("--into", help="The folder to make; ./NAME if left out.")] = None,
) -> int:
    """Write a provider with its schema and its tests into a new folder; nothing that exists is overwritten.

    Without --field the evidence has the fields that the grounds in force let through, asked of the gateway.
    """
    from chopar.cli.provider_grounds import grounds_in_force
    from chopar.cli.provider_init import Plan, write
    from chopar.near import near_miss

    session = Session.of(context)
    holder = agency or name
    known = session.run(lambda: grounds_in_force(session))
    grounds = known.of_type(evidence, holder) if known else ()
    plan = Plan.of(
        name, agency=holder, evidence_type=evidence, fields=field or [], grounds=grounds, addresses=_addresses(session)
    )
    folder = into or session.cwd / name
    files = write(plan, folder)
    if known is None and not field:
        session.output.say(f"{_NOT_ASKED}, so nobody looked which fields they let through")
    elif known is not None and not grounds:
        near = near_miss(evidence, known.evidence_types)
        session.output.say(f"no ground in force names the evidence type {evidence}: nobody may ask for it.{near}")
    elif grounds and holder not in {ground.holder for ground in grounds}:
        holders = ", ".join(sorted({ground.holder for ground in grounds}))
        session.output.say(f"the grounds for {evidence} name another holder than {holder}: {holders}")
    if known is not None and holder not in known.agencies:
        near = near_miss(holder, known.agencies)
        session.output.say(f"the lists know no agency {holder}: nothing can be asked of it.{near}")
    if plan.made_up:
        session.output.say(
            f"the one field `{plan.fields[0].name}` is made up: name the right ones by --field NAME:KIND, or call this "
            f"where a gateway answers that knows them; nothing is overwritten, so remove {folder} first"
        )
    data = {
        "folder": str(folder),
        "files": files,
        "record": plan.shipped.RECORD if plan.shipped else f"{plan.package}.{plan.record}",
        "grounds": [ground.id for ground in grounds],
    }
    session.output.show(data, *files, f"\nBegin with {folder}/README.md")
    return ExitCode.DONE


def _addresses(session: Session) -> dict[str, str]:
    """Where the stack is that runs here, if one does."""
    from chopar.errors import UnavailableError

    try:
        return {"bootstrap": session.bootstrap, "registry": session.registry}
    except UnavailableError:
        return {}


@app.command("check")
def check_(
    context: typer.Context,
    target: Annotated[
        str, typer.Argument(help="The function that gives the conformance cases.", metavar="MODULE:FUNCTION")
    ],
) -> int:
    """Run the conformance kit in memory, and with --bootstrap on that Kafka too, on topics of its own.

    Compares the fields with the grounds in force, if a gateway answers: that of a local stack, or --gateway.
    """
    from chopar.cli.provider_check import against_grounds, findings_on, load, to_do
    from chopar.errors import ConfigurationError

    session = Session.of(context)
    try:
        conformance = load(target, session.cwd)
        rows = session.run(lambda: findings_on(session, lambda: load(target, session.cwd)))
        by_grounds, words = session.run(lambda: against_grounds(session, conformance))
        rows += by_grounds
    except SystemExit:  # its code would be ours, and 0 says that all is kept
        raise ConfigurationError("the provider ended the process (sys.exit) before it was checked") from None
    table = Table(
        ("bus", "evidence type", "check", "kept", "what is wrong"),
        [(row["bus"], row["evidence_type"], row["check"], row["passed"], row["said"]) for row in rows],
    )
    broken = sum(1 for row in rows if not row["passed"])
    left = to_do(target, conformance)
    for sentence in (*words, *left):
        session.output.say(sentence)
    summary = f"{len(rows)} checks, {broken} not kept" + (f", {len(left)} to do" if left else "")
    session.output.show(rows, table, summary)
    return ExitCode.NO if broken else ExitCode.DONE
