"""`chopar prohibited lint | add | verify | diff | export | replay | history`: for those who keep the lists."""

import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chopar.cli.exit_codes import ExitCode
from chopar.cli.output import Table
from chopar.cli.session import Session
from chopar.errors import ConfigurationError, LawUnreadableError
from chopar.messages.demand import FetchMode
from gateway.cli.chosen import IN_FORCE, SHIPPED_FOLDER, counted, files_of, version_of
from gateway.cli.in_force import day_given, mode_in_force, text_of, today

if TYPE_CHECKING:
    from gateway.flaw import Flaw

FolderArgument = Annotated[Path, typer.Argument(help="Folder of lists (TOML).", metavar="DIR")]
FolderOption = Annotated[Path, typer.Option("--lists", help="Folder of lists (TOML) to change.", metavar="DIR")]
VersionArgument = Annotated[
    str,
    typer.Argument(
        help="A folder, a digest of a version on this machine, `in-force`, `planned` or `shipped`.", metavar="LISTS"
    ),
]


class Shown(StrEnum):
    """Tables of which there is an example."""

    ENTRY = "entry"
    GROUND = "ground"


def register(app: typer.Typer) -> None:
    """Put the verbs of this module under the noun."""
    app.command("lint")(lint_)
    app.command("add")(add_)
    app.command("verify")(verify_)
    app.command("diff")(diff)
    app.command("export")(export)
    app.command("replay")(replay_)
    app.command("history")(history)
    app.command("pass-over")(pass_over_)


def lint_(context: typer.Context, folder: FolderArgument = SHIPPED_FOLDER) -> int:
    """Look lists through for what is wrong; with an error they do not come into force."""
    from gateway.bundle import list_files
    from gateway.flaw import Flaw, Level
    from gateway.lint import errors, lint
    from gateway.list_version import ListVersion

    session = Session.of(context)
    try:
        flaws = lint(ListVersion.from_files(list_files(folder)), today())
    except LawUnreadableError as error:
        flaws = [Flaw(Level.ERROR, "unreadable", folder.name, str(error))]
    rows = [_flaw_row(flaw) for flaw in flaws]
    wrong = len(errors(flaws))
    lines = [f"{row['level']}: {row['about']}: {row['code']}: {row['said']}" for row in rows]
    words = f"{counted(wrong, 'error')}, {counted(len(flaws) - wrong, 'warning')}"
    session.output.show(rows, *lines, words)
    return ExitCode.NO if wrong else ExitCode.DONE


def _flaw_row(flaw: "Flaw") -> dict[str, Any]:
    return {"level": flaw.level.value, "code": flaw.code, "about": flaw.entry, "said": flaw.said}


def add_(
    context: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(help="Tables: [[entry]], [[ground]], [[document]], [[alternatives]].", metavar="FILE"),
    ] = None,
    lists: Annotated[
        Path | None, typer.Option("--lists", help="Folder of lists (TOML) to change.", metavar="DIR")
    ] = None,
    example: Annotated[
        Shown | None, typer.Option("--example", help="Only print a table to begin with, its keys explained.")
    ] = None,
) -> int:
    """Add what a file holds to a folder of lists, all of it or nothing; nothing if lint finds a new error.

    To change or take out what is in the lists, edit the TOML files of the folder, then `lint` and `diff in-force DIR`.
    """
    from gateway.bundle import alone, list_files
    from gateway.given_keys import example as example_of
    from gateway.keeping import add

    session = Session.of(context)
    if example is not None:
        text = example_of(example.value)
        session.output.show({"example": text}, *text.splitlines())
        return ExitCode.DONE
    if file is None or lists is None:
        raise ConfigurationError("FILE and --lists DIR are due; --example entry, or ground, shows what FILE may hold")
    text = text_of(file)
    with alone(lists):
        files = list_files(lists)
        changed, names = add(files, text)
        flaws = _written(lists, files, changed)
    if flaws:
        session.output.show({"added": [], "flaws": flaws}, "nothing was added:", *_told(flaws))
        return ExitCode.NO
    session.output.show({"added": names, "flaws": []}, *[f"added: {name}" for name in names])
    return ExitCode.DONE


def verify_(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Id of a ground, or of an entry.", metavar="ID")],
    lists: FolderOption,
    by: Annotated[str, typer.Option("--by", help="Who read the published text.", metavar="NAME")],
    text_ref: Annotated[str, typer.Option("--text-ref", help="Where it is published.", metavar="REF")],
    on: Annotated[str, typer.Option("--on", help="The day of reading; today if left out.", metavar="DATE")] = "",
    again: Annotated[bool, typer.Option("--again", help="Put it in the place of who said so before.")] = False,
) -> int:
    """Note that the published text of an act was read: in the mode `verified` this opens a ground."""
    from gateway.bundle import alone, list_files
    from gateway.keeping import verify

    session = Session.of(context)
    day = day_given("--on", on) or today()
    if day > today():
        raise ConfigurationError(f"--on: {day} is still to come; the day on which the text was read is due")
    with alone(lists):
        files = list_files(lists)
        changed = verify(files, name, by=by, text_ref=text_ref, on=day, again=again)
        flaws = _written(lists, files, changed)
    data = {"verified": None if flaws else name, "by": by, "on": day, "text_ref": text_ref, "flaws": flaws}
    if flaws:
        session.output.show(data, "nothing was written:", *_told(flaws))
        return ExitCode.NO
    session.output.show(
        data, f"{name}: {by} has read the published text ({text_ref}) on {day}; it holds when the lists are activated"
    )
    return ExitCode.DONE


def _written(folder: Path, before: dict[str, bytes], files: dict[str, bytes]) -> list[dict[str, Any]]:
    """Write changed files, each whole, unless lint finds errors that were not there before: those are given back.

    What the others name is written first, so that whoever reads between two of them reads lists that can be understood.
    """
    from gateway.bundle import write_file
    from gateway.lint import errors, lint
    from gateway.list_version import DIRECTORY, DOCUMENTS, GROUNDS, PROHIBITED, ListVersion

    found = errors(lint(ListVersion.from_files(files), today()))
    if found:
        there = set(errors(lint(ListVersion.from_files(before), today())))
        new = [_flaw_row(flaw) for flaw in found if flaw not in there]
        if new:
            return new
    try:
        for name in dict.fromkeys((DOCUMENTS, PROHIBITED, DIRECTORY, GROUNDS, *files)):
            if files[name] != before[name]:
                write_file(folder / name, files[name])
    except OSError as error:
        raise ConfigurationError(f"{folder}: the lists cannot be written there: {error.strerror}") from error
    return []


def _told(flaws: list[dict[str, Any]]) -> list[str]:
    return [f"lint: {flaw['about']}: {flaw['code']}: {flaw['said']}" for flaw in flaws]


def diff(context: typer.Context, before: VersionArgument, after: VersionArgument) -> int:
    """Say in words what differs between two list versions; exit code 1 if something does."""
    from gateway.compared_lists import differences

    session = Session.of(context)
    found = differences(version_of(session, before), version_of(session, after))
    rows = [
        {
            "part": one.part,
            "name": one.name,
            "kind": one.kind,
            "changes": {field: {"before": was, "after": now} for field, (was, now) in one.changes.items()},
        }
        for one in found
    ]
    session.output.show(rows, *[str(one) for one in found], counted(len(found), "difference"))
    return ExitCode.NO if found else ExitCode.DONE


def export(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="A folder that does not exist yet.", metavar="DIR")],
    lists: Annotated[str, typer.Option("--of", help="Which lists: as of `diff`.", metavar="LISTS")] = IN_FORCE,
) -> int:
    """Write lists into a folder, to keep and change them there."""
    from gateway.list_version import FILES

    session = Session.of(context)
    if folder.exists():
        raise ConfigurationError(f"{folder} exists already, and nothing in it is overwritten")
    files = {name: content for name, content in files_of(session, lists).items() if name in FILES}
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    session.output.show({"folder": str(folder), "files": sorted(files)}, *sorted(files))
    return ExitCode.DONE


def replay_(
    context: typer.Context,
    folder: FolderArgument,
    since: Annotated[str, typer.Option("--since", help="Demands received from this day on.", metavar="DATE")] = "",
    until: Annotated[str, typer.Option("--until", help="Up to this day, included.", metavar="DATE")] = "",
    fetch_on: Annotated[
        FetchMode | None,
        typer.Option("--fetch-on", help="Which access grounds would be opened; as it is if left out."),
    ] = None,
) -> int:
    """Resolve recorded demands by other lists, and say whose outcomes would change; nothing is sent."""
    from gateway.bundle import list_files
    from gateway.changed_law import replay
    from gateway.cli.recorded import recorded
    from gateway.list_version import ListVersion

    session = Session.of(context)
    lists = ListVersion.from_files(list_files(folder))
    first, last = day_given("--since", since), day_given("--until", until)
    messages = session.run(lambda: recorded(session, first, last))
    mode = fetch_on or session.run(lambda: mode_in_force(session, session.bus()))
    found = replay(messages, lists, mode)
    rows = [
        {
            "requester": change.requester,
            "procedure": change.procedure,
            "document_type": change.document_type,
            "before": change.before,
            "after": change.after,
            "count": count,
        }
        for change, count in sorted(found.changes.items(), key=lambda one: (-one[1], one[0]))
    ]
    data = {
        "exchanges": found.exchanges,
        "documents": found.documents,
        "fetch_mode": mode.value,
        "left_out": dict(found.left_out),
        "changes": rows,
    }
    table = Table(
        ("requester", "procedure", "document", "was", "would be", "count"),
        [tuple(row.values()) for row in rows],
        right=frozenset({"count"}),
    )
    words = (
        f"{counted(found.exchanges, 'demand')} with {counted(found.documents, 'document')} resolved again in the mode "
        f"{mode}: {counted(sum(found.changes.values()), 'outcome')} would be another one"
    )
    left = [
        f"not compared: {counted(count, 'demand')} refused as {code}, which no list decides"
        for code, count in sorted(found.left_out.items())
    ]
    session.output.show(data, *([table] if rows else []), words, *left)
    return ExitCode.NO if rows else ExitCode.DONE


def history(context: typer.Context) -> int:
    """Say which lists held from when, in which mode, and who brought them into force."""
    from chopar.avro import SchemaFiles
    from gateway.activation import read_law

    session = Session.of(context)
    law = session.run(lambda: read_law(session.bus(), SchemaFiles.shipped()))
    counted_ones = law.counted()
    held = law.held_at(max(round(session.now().timestamp() * 1000), law.read_to_ms))
    until = [activation.message.effective_at for activation in counted_ones[1:]]
    rows = [
        {
            "holds_from": None if number == 0 else activation.message.effective_at,
            "holds_until": until[number] if number < len(until) else None,
            "list_digest": activation.message.list_digest,
            "fetch_mode": activation.message.fetch_mode.value,
            "secret_version": activation.message.secret_version,
            "rules_number": activation.message.rules_number,
            "activated_by": activation.message.activated_by,
            "activated_at": datetime.datetime.fromtimestamp(activation.taken_at_ms / 1000, datetime.UTC),
            "holds_now": activation is held,
        }
        for number, activation in enumerate(counted_ones)
    ]
    table = Table(
        ("holds from", "until", "lists", "fetch on", "by", "given at", "now"),
        [
            (
                row["holds_from"] or "the beginning",
                row["holds_until"],
                str(row["list_digest"])[:12],
                row["fetch_mode"],
                row["activated_by"],
                row["activated_at"],
                row["holds_now"],
            )
            for row in rows
        ],
    )
    session.output.show(rows, *([table] if rows else ["nothing was activated yet"]))
    return ExitCode.DONE if rows else ExitCode.NO


def pass_over_(
    context: typer.Context,
    offset: Annotated[int, typer.Argument(min=0, help="Of the record on law.activated.", metavar="OFFSET")],
    reason: Annotated[str, typer.Option("--reason", help="Why it is to say nothing.", metavar="WHY")],
    by: Annotated[str, typer.Option("--by", help="Who says so; the login name if left out.", metavar="NAME")] = "",
) -> int:
    """Have all gateways pass over a record of law.activated that nobody understands, which stops them until then."""
    from chopar.avro import SchemaFiles
    from gateway.activation import pass_over

    session = Session.of(context)
    who = session.who(by)

    async def work() -> bool:
        registry = session.schema_registry()
        try:
            return await pass_over(session.bus(), registry, SchemaFiles.shipped(), offset, by=who, reason=reason)
        finally:
            await registry.aclose()

    is_new = session.run(work)
    words = "is passed over from now on" if is_new else "was passed over already"
    session.output.show({"offset": offset, "is_new": is_new, "by": who}, f"the record at offset {offset} {words}")
    return ExitCode.DONE
