"""`chopar prohibited list | explain | show | coverage | activate`: the list of what may not be demanded, in a folder.

Reads the lists in force where a stack runs, else those that are shipped, or those of `--lists`, and says which they
are. What keeps and changes them is `keeping`'s.
"""

import datetime
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chopar.cli.exit_codes import ExitCode
from chopar.cli.output import Table
from chopar.cli.session import Session
from chopar.errors import ConfigurationError, LawIncompleteError, LawUnreadableError, NotFoundError
from chopar.identifiers import AgencyId
from chopar.messages.demand import FetchMode
from chopar.near import did_you_mean
from gateway.bundle import list_files
from gateway.cli.chosen import ByOption, ListsOption, chosen, counted
from gateway.cli.explaining import coverage as coverage_of
from gateway.cli.explaining import entry_row, explain, group, instead, scope, since
from gateway.cli.in_force import Beginning, beginning, bring_into_force, day_given, lists_of, moment, short
from gateway.cli.keeping import register
from gateway.lint import require_sound
from gateway.list_version import ListVersion
from gateway.pages.names import name_of
from gateway.prohibited_list import ProhibitedEntry
from gateway.tashkent import day_of

if TYPE_CHECKING:
    from gateway.pages.may_they_ask import Words

app = typer.Typer(name="prohibited", no_args_is_help=True, rich_markup_mode=None)

app.command("explain")(explain)


@app.callback()
def _prohibited() -> None:
    """What may not be demanded, from whom, since when and by which act. The list is not complete, and says so."""


@app.command("list")
def list_(
    context: typer.Context,
    requester: Annotated[str, typer.Option("--requester", help="Only what binds this agency.", metavar="ID")] = "",
    document: Annotated[str, typer.Option("--document", help="Only this document type.", metavar="TYPE")] = "",
    on: Annotated[str, typer.Option("--on", help="Only entries with a start by this day.", metavar="DATE")] = "",
    language: Annotated[str, typer.Option(help="Language of the sentences.", metavar="en|uz|ru")] = "en",
    lists: ListsOption = "",
) -> int:
    """List the entries: document, who may not ask, since when, what happens instead, how sure that is."""
    from chopar.texts import Texts, language_of
    from gateway.pages.may_they_ask import Words

    session = Session.of(context)
    words = Words(Texts.shipped(with_page=True), language_of(language))
    day = day_given("--on", on)
    version = chosen(session, lists).version
    if requester and AgencyId(requester) not in version.agencies:
        raise NotFoundError(f"no agency of that id stands in the lists{did_you_mean(requester, version.agencies)}")
    entries = [
        entry
        for entry in version.prohibited.values()
        if (not document or entry.document_type == document)
        and (not requester or _binds(version, entry, AgencyId(requester), day))
        and (day is None or entry.in_force_from is None or entry.in_force_from <= day)
    ]
    lines = [line for entry in entries for line in _listed(words, version, entry)]
    session.output.show(
        [entry_row(version, entry) for entry in entries],
        *lines,
        words.page("entries_listed", count=str(len(entries))),
        words.page("not_complete"),
    )
    return ExitCode.DONE if entries else ExitCode.NO


def _listed(words: "Words", version: ListVersion, entry: ProhibitedEntry) -> Iterator[str]:
    """An entry in some lines that a narrow screen, a pipe and paper take alike."""
    yield f"{entry.id}: {name_of(entry.id, entry, words.language).text}"
    groups = [group(words, version, one) for one in sorted(entry.barred_groups)]
    agencies = [name_of(one, version.agencies[one], words.language).text for one in sorted(entry.barred_agencies)]
    yield f"  {words.page('not_asked_by')}: {'; '.join([*groups, *agencies])} ({scope(words, version, entry)})"
    yield f"  {words.page('in_force_from')}: {since(words, entry)}"
    yield f"  {words.page('instead')}: {instead(words, version, entry)}"
    yield f"  {words.page('confidence')}: {words.say('basis', entry.confidence)}"
    yield f"  {words.page('coverage')}: {coverage_of(words, version, entry)}"


@app.command("show")
def show(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Id of an entry, ground or document.", metavar="ID")],
    lists: ListsOption = "",
) -> int:
    """Show what the files say of an id, as they say it: every table that has it, and those that name it."""
    from gateway.list_version import FILES
    from gateway.lists.reading import loads

    session = Session.of(context)
    files = chosen(session, lists).files
    found: list[dict[str, Any]] = []
    for file in FILES:
        for array, tables in loads(files[file].decode()).items():
            for table in tables:
                named = sorted(key for key, value in table.items() if name == value or name in _texts(value))
                if named:
                    found.append({"file": file, "array": array, "named_as": named, "table": table})
    if not found:
        raise NotFoundError("no such id stands in the lists")
    found.sort(key=lambda one: "id" not in one["named_as"])
    shown = [one for one in found if "id" in one["named_as"]] or found
    lines = [
        line
        for one in shown
        for line in (
            f"{one['file']}:",
            *(f"  {key}: {part}" for key, value in one["table"].items() for part in _lines(value)),
        )
    ]
    others = [f"{one['file']}: {one['array']} {_called(one['table'])}" for one in found if one not in shown]
    session.output.show(found, *lines, *(["named in:", *others] if others else []))
    return ExitCode.DONE


def _called(table: dict[str, Any]) -> str:
    """By what a table is found: its id, or what stands for one."""
    keys = ("id",) if "id" in table else ("provider", "evidence_type") if "provider" in table else ("document_type",)
    return " ".join(str(table.get(key, "")) for key in keys)


def _texts(value: Any) -> list[str]:
    """The texts of a list, and the parts of those that name a holder and what it holds."""
    texts = [part for part in value if isinstance(part, str)] if isinstance(value, list) else []
    return texts + [part for text in texts if text.count("/") == 1 for part in text.split("/")]


@app.command("coverage")
def coverage(context: typer.Context, lists: ListsOption = "") -> int:
    """Say how much of the announced lists is known, how the acts were read, and what is our own reading."""
    session = Session.of(context)
    version = chosen(session, lists).version
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
    counts: dict[str, dict[str, int]] = {}
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
        counts[what] = dict(sorted(Counter(values).items()))
    data = {"list_digest": version.digest, "announced": announced, "counts": counts}
    session.output.show(
        data,
        *(f"{one.id}: {one} ({one.basis}); {one.note or 'no note'}" for one in version.coverages.values()),
        Table(
            ("what", "which", "count"),
            [(what, word, count) for what, words in counts.items() for word, count in words.items()],
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
    by: ByOption = "",
    secret_version: Annotated[
        int | None,
        typer.Option(
            "--secret-version",
            min=1,
            help="Of the gateway's secret; a new one is made here and is due at every gateway; as it is if left out.",
            metavar="N",
        ),
    ] = None,
) -> int:
    """Bring the lists of a folder into force on the running stack; nothing happens if they would hold then anyway.

    Says first what they change in the lists that would hold at that time, which may be planned ones. What is planned
    for later stays planned, and is named.
    """
    session = Session.of(context)
    wanted = _moment(at)
    files = list_files(folder)
    lists = ListVersion.from_files(files)
    require_sound(lists, day_of(session.now()))
    activated_by = session.who(by)
    begins = session.run(lambda: beginning(session, session.bus(), wanted))
    found = _changes(session, begins, lists, fetch_on, secret_version)
    done = session.run(
        lambda: bring_into_force(
            session,
            files,
            at=begins.at,
            instead_of=begins.before,
            fetch_mode=fetch_on,
            by=activated_by,
            secret_version=secret_version,
        )
    )
    row = {
        "list_digest": done.message.list_digest,
        "fetch_mode": done.message.fetch_mode.value,
        "entries": len(lists.prohibited),
        "secret_version": done.message.secret_version,
        "is_new": done.is_new,
        "holds_from": done.effective_at,
        "activated_by": done.message.activated_by,
        "instead_of": begins.before.message.list_digest if begins.before else None,
        "differences": found,
        "planned": [
            {"list_digest": one.message.list_digest, "holds_from": one.message.effective_at} for one in begins.to_come
        ],
    }
    when = done.effective_at.isoformat() if done.effective_at else "now" if done.is_new else "already"
    words = (
        f"list version {done.message.list_digest[:12]} with {len(lists.prohibited)} entries, "
        f"fetch mode {done.message.fetch_mode.value}, holds from: {when}"
        + ("" if done.is_new else f" (activated before by {done.message.activated_by})")
    )
    session.output.show(row, words)
    for one in begins.to_come:
        if one.message.list_digest != done.message.list_digest:
            session.output.say(
                f"from {moment(one)} version {short(one)} follows, as planned by {one.message.activated_by}: what "
                "these change and it does not ends then. To have it in both: `chopar prohibited export DIR --of "
                f"{short(one)}`, change that too, and activate it with --at {moment(one)}"
            )
    return ExitCode.DONE


def _changes(
    session: Session, begins: Beginning, lists: ListVersion, fetch_on: FetchMode | None, secret_version: int | None
) -> list[str] | None:
    """Say what lists change in those that would hold at their time; None if these cannot be read."""
    from gateway.compared_lists import differences

    if begins.before is None:
        return []
    what = f"version {short(begins.before)}, which would hold at that time"
    try:
        found = [str(one) for one in differences(lists_of(session, begins.before), lists)]
    except (LawIncompleteError, LawUnreadableError) as error:
        session.output.say(f"what changes in {what}, cannot be said: {error}")
        return None
    mode = begins.before.message.fetch_mode
    if fetch_on not in (None, mode):
        found.append(f"fetch mode: {mode} -> {fetch_on}")
    secret = begins.before.message.secret_version
    if secret_version not in (None, secret):
        found.append(f"secret version: {secret} -> {secret_version}")
    if found:
        session.output.say(f"{counted(len(found), 'difference')} to {what}:")
    for sentence in found:
        session.output.say(f"  {sentence}")
    return found


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


def _lines(value: Any) -> list[str]:
    """A value of a file, a line for each of several."""
    if isinstance(value, list):
        return [str(part) for part in value]
    if isinstance(value, dict):
        return [f"{key} = {'yes' if part else 'no'}" for key, part in value.items()]
    return [("yes" if value else "no") if isinstance(value, bool) else str(value)]


register(app)
