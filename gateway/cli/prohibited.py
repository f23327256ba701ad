"""`chopar prohibited list | explain | show | coverage | activate`: the list of what may not be demanded, in a folder.

Reads the lists of this distribution, or those of `--lists`. What a running gateway answers by is asked of it with
`chopar demand create --on`.
"""

import datetime
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from chopar.cli.exit_codes import ExitCode
from chopar.cli.output import Table
from chopar.cli.session import Session
from chopar.errors import ConfigurationError, NotFoundError
from chopar.identifiers import AgencyId
from chopar.messages.demand import FetchMode
from gateway.bundle import list_files
from gateway.cli.in_force import bring_into_force, today
from gateway.cli.keeping import register
from gateway.lint import require_sound
from gateway.list_version import ListVersion
from gateway.prohibited_list import ProhibitedEntry

LISTS = Path(__file__).parents[1] / "lists"

app = typer.Typer(name="prohibited", no_args_is_help=True, rich_markup_mode=None)

ListsOption = Annotated[
    Path | None, typer.Option("--lists", help="Folder of lists; those shipped if it is left out.", metavar="DIR")
]


@app.callback()
def _prohibited() -> None:
    """What may not be demanded, from whom, since when and by which act. The list is not complete, and says so."""


def _lists(folder: Path | None) -> ListVersion:
    return ListVersion.from_files(list_files(folder or LISTS))


def _day(text: str) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(text) if text else None
    except ValueError:
        raise ConfigurationError("--on: a day as YYYY-MM-DD is due") from None


@app.command("list")
def list_(
    context: typer.Context,
    requester: Annotated[str, typer.Option("--requester", help="Only what binds this agency.", metavar="ID")] = "",
    document: Annotated[str, typer.Option("--document", help="Only this document type.", metavar="TYPE")] = "",
    on: Annotated[str, typer.Option("--on", help="Only entries with a start by this day.", metavar="DATE")] = "",
    lists: ListsOption = None,
) -> int:
    """List the entries: document, who may not ask, since when, what happens instead, how sure that is."""
    session = Session.of(context)
    version, day = _lists(lists), _day(on)
    if requester and AgencyId(requester) not in version.agencies:
        raise NotFoundError(f"no agency {requester} stands in the lists")
    entries = [
        entry
        for entry in version.prohibited.values()
        if (not document or entry.document_type == document)
        and (not requester or _binds(version, entry, AgencyId(requester), day))
        and (day is None or entry.in_force_from is None or entry.in_force_from <= day)
    ]
    rows = [_row(version, entry) for entry in entries]
    columns = ("entry", "document", "not asked by", "since", "instead", "confidence", "coverage")
    table = Table(
        columns,
        [
            (
                row["entry"],
                row["document_type"],
                ", ".join(row["barred"]),
                f"{row['in_force_from'] or 'not found'} ({row['in_force_basis']})",
                row["disposition"],
                row["confidence"],
                row["coverage"],
            )
            for row in rows
        ],
    )
    session.output.show(rows, table, f"{len(rows)} entries. The list that is known is not complete.")
    return ExitCode.DONE if rows else ExitCode.NO


@app.command("explain")
def explain(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="An entry's id, or a document type.", metavar="ENTRY|TYPE")],
    lists: ListsOption = None,
) -> int:
    """Explain an entry, or every entry on a document type: act, source, doubts, and which grounds to know there are."""
    session = Session.of(context)
    version = _lists(lists)
    entries = [e for e in version.prohibited.values() if name in (e.id, e.document_type)]
    if not entries:
        raise NotFoundError(f"no entry and no document type {name}; `chopar prohibited list` shows all")
    explained = [_explained(version, entry) for entry in entries]
    parts = [
        Table(("", ""), [(key.replace("_", " "), _text(value)) for key, value in one.items()], title=one["entry"])
        for one in explained
    ]
    session.output.show(explained, *parts)
    return ExitCode.DONE


@app.command("show")
def show(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Id of an entry, ground or document.", metavar="ID")],
    lists: ListsOption = None,
) -> int:
    """Show what the files say of an id, as they say it: every table that has it, and those that name it."""
    import tomllib

    session = Session.of(context)
    files = list_files(lists or LISTS)
    found: list[dict[str, Any]] = []
    for file, content in files.items():
        for array, tables in tomllib.loads(content.decode()).items():
            for table in tables:
                named = sorted(key for key, value in table.items() if name == value or name in _texts(value))
                if named:
                    found.append({"file": file, "array": array, "named_as": named, "table": table})
    if not found:
        raise NotFoundError(f"no id {name} stands in the lists")
    found.sort(key=lambda one: "id" not in one["named_as"])
    shown = [one for one in found if "id" in one["named_as"]] or found
    parts = [
        Table(("", ""), [(key, _text(value)) for key, value in one["table"].items()], title=one["file"])
        for one in shown
    ]
    others = [f"{one['file']}: {one['array']} {one['table'].get('id', '')}" for one in found if one not in shown]
    session.output.show(found, *parts, *(["named in:", *others] if others else []))
    return ExitCode.DONE


def _texts(value: Any) -> list[str]:
    return [part for part in value if isinstance(part, str)] if isinstance(value, list) else []


@app.command("coverage")
def coverage(context: typer.Context, lists: ListsOption = None) -> int:
    """Say how much of the announced lists is known, how the acts were read, and what is our own reading."""
    session = Session.of(context)
    version = _lists(lists)
    announced = [
        {
            "list": one.id,
            "known": one.known,
            "total": one.total,
            "basis": one.basis.value,
            "entries": sum(1 for entry in version.prohibited.values() if entry.coverage == one.id),
            "note": one.note or None,
        }
        for one in version.coverages.values()
    ]
    counted: dict[str, dict[str, int]] = {}
    for what, values in (
        ("entries by how the text was read", [entry.text_read.value for entry in version.prohibited.values()]),
        ("entries by confidence", [entry.confidence.value for entry in version.prohibited.values()]),
        ("entries by kind of date", [entry.in_force_basis.value for entry in version.prohibited.values()]),
        ("grounds by how the text was read", [ground.text_read.value for ground in version.grounds.values()]),
        ("grounds by basis", [ground.basis.value for ground in version.grounds.values()]),
        (
            "holders of evidence",
            ["connected" if entry.connected else "not connected" for entry in version.directory.values()],
        ),
    ):
        counted[what] = dict(sorted(Counter(values).items()))
    data = {"list_digest": version.digest, "announced": announced, "counts": counted}
    session.output.show(
        data,
        Table(
            ("announced list", "known", "of", "basis", "note"),
            [(one["list"], one["known"], one["total"], one["basis"], one["note"]) for one in announced],
            right=frozenset({"known", "of"}),
        ),
        Table(
            ("", "", "count"),
            [(what, word, count) for what, words in counted.items() for word, count in words.items()],
            right=frozenset({"count"}),
        ),
        "The list that is known is not complete: what stands on none of these is not counted.",
    )
    return ExitCode.DONE


@app.command("activate")
def activate_(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Folder of lists (TOML).", metavar="DIR")],
    at: Annotated[
        str,
        typer.Option(
            "--at", help="From when, as 2026-12-01T00:00+05:00; as soon as it can be if left out.", metavar="TIME"
        ),
    ] = "",
    fetch_on: Annotated[
        FetchMode | None,
        typer.Option(
            "--fetch-on",
            help="Which access grounds are opened: those whose act was read, or all; as it is if left out.",
        ),
    ] = None,
    by: Annotated[str, typer.Option("--by", help="Who activates, as the record says it.", metavar="NAME")] = "operator",
) -> int:
    """Bring the lists of a folder into force on the running stack; nothing happens if they will hold already."""
    session = Session.of(context)
    moment = _moment(at)
    files = list_files(folder)
    lists = ListVersion.from_files(files)
    require_sound(lists, today())
    done = session.run(lambda: bring_into_force(session, files, at=moment, fetch_mode=fetch_on, by=by))
    row = {
        "list_digest": done.message.list_digest,
        "fetch_mode": done.message.fetch_mode.value,
        "entries": len(lists.prohibited),
        "is_new": done.is_new,
        "holds_from": done.effective_at,
        "activated_by": done.message.activated_by,
    }
    when = "already" if not done.is_new else (done.effective_at.isoformat() if done.effective_at else "now")
    words = (
        f"list version {done.message.list_digest[:12]} with {len(lists.prohibited)} entries, "
        f"fetch mode {done.message.fetch_mode.value}, holds from: {when}"
    )
    session.output.show(row, words)
    return ExitCode.DONE


def _moment(text: str) -> datetime.datetime | None:
    if not text:
        return None
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ConfigurationError("--at: a time with its zone is due, as 2026-12-01T00:00+05:00")
    return moment


def _binds(version: ListVersion, entry: ProhibitedEntry, requester: AgencyId, day: datetime.date | None) -> bool:
    groups = version.groups_of(requester, day or datetime.date.max)
    return requester in entry.barred_agencies or bool(groups & entry.barred_groups)


def _row(version: ListVersion, entry: ProhibitedEntry) -> dict[str, Any]:
    return {
        "entry": entry.id,
        "document_type": entry.document_type,
        "barred": sorted([*entry.barred_groups, *entry.barred_agencies]),
        "from_whom": [kind.value for kind in entry.from_whom],
        "scope": entry.scope or "any public service",
        "in_force_from": entry.in_force_from,
        "in_force_basis": entry.in_force_basis.value,
        "condition": entry.condition or None,
        "disposition": entry.disposition.value,
        "confidence": entry.confidence.value,
        "coverage": version.coverage_of(entry),
    }


def _explained(version: ListVersion, entry: ProhibitedEntry) -> dict[str, Any]:
    grounds = [ground for ground in version.grounds.values() if ground.made_from == entry.id]
    return {
        **_row(version, entry),
        "name": entry.name_en,
        "act": entry.act,
        "sources": list(entry.sources),
        "text_read": entry.text_read.value,
        "disposition_basis": entry.disposition_basis.value,
        "data_class": entry.data_class.value,
        "holder": entry.holder,
        "replaced_by": entry.replaced_by,
        "parameters": list(entry.parameters),
        "note": entry.note or None,
        "grounds": [
            {
                "ground": ground.id,
                "procedures": sorted(ground.procedures),
                "evidence_type": ground.evidence_type,
                "fields": list(ground.fields),
                "act": ground.act,
                "basis": ground.basis.value,
                "text_read": ground.text_read.value,
            }
            for ground in grounds
        ],
    }


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "\n".join(_text(part) for part in value) or "none"
    if isinstance(value, dict):
        parts = {key: ", ".join(part) if isinstance(part, list) else part for key, part in value.items() if part}
        return "; ".join(f"{key}: {part}" for key, part in parts.items())
    return "-" if value is None else str(value)


register(app)
