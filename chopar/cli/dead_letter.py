"""The noun `dead-letter`: what could not be handled, and what is to become of it.

What is listed and shown is masked. Each replay, each discard and each look at a letter's bytes is written down in
`operations.replayed`, with who and why, before anything else happens.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chopar.cli.session import Session
from chopar.errors import ConfigurationError

if TYPE_CHECKING:
    from chopar.bus.port import Bus, Record
    from chopar.cli.dead_letter_list import Decisions, Letter
    from chopar.messages.operations import ReplayAction
    from chopar.schema_registry import SchemaRegistry

app = typer.Typer(name="dead-letter", no_args_is_help=True, rich_markup_mode=None)

Topic = Annotated[str, typer.Option("--topic", help="Only topics whose names contain this.", metavar="TEXT")]
Code = Annotated[str, typer.Option("--code", help="Only those given up for this code.")]
Since = Annotated[
    str,
    typer.Option("--since", help="Only those that failed since: 30m, 2h, 7d, or an ISO date or time.", metavar="TIME"),
]
Places = Annotated[
    list[str] | None,
    typer.Argument(help="Dead letters as `list` names them: TOPIC.dlq/PARTITION/OFFSET.", metavar="LETTER"),
]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept for ever, so no identifiers.")]
By = Annotated[str, typer.Option("--by", help="Who decides.  [default: the login name]", metavar="NAME")]
Every = Annotated[bool, typer.Option("--all", help="Every letter, where no filter is given.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@app.callback()
def _dead_letter() -> None:
    """List what could not be handled; look at it, replay or discard it."""


@app.command("list")
def list_(
    context: typer.Context,
    topic: Topic = "",
    code: Code = "",
    since: Since = "",
    undecided: Annotated[bool, typer.Option("--open", help="Only those neither replayed nor discarded.")] = False,
) -> int:
    """List dead letters: why, from where, since when, what was decided. No value is shown, no key but a demand id."""
    from chopar.cli import dead_letter_list as listing
    from chopar.cli.dead_letter_again import with_new_letters

    session = Session.of(context)
    wanted = listing.Filter(topic, code, listing.read_since(since, datetime.now(UTC)))

    async def rows(bus: "Bus", registry: "SchemaRegistry") -> tuple[list[dict[str, Any]], str]:
        decided = await listing.decisions(bus, registry)
        letters = [
            one for one in await listing.letters(bus, wanted) if not undecided or one.place not in decided.settled
        ]
        decided = await with_new_letters(bus, decided, letters)
        hint = "" if letters else await listing.other_codes(bus, wanted)
        return [listing.row(letter, decided) for letter in letters], hint

    shown, hint = _run(session, rows)
    narrowed = wanted != listing.Filter() or undecided
    session.output.show(shown, *listing.to_text(shown, narrowed, hint))
    return 0


@app.command()
def show(
    context: typer.Context,
    letter: Annotated[str, typer.Argument(help="TOPIC.dlq/PARTITION/OFFSET, as `list` names it.", metavar="LETTER")],
    reveal: Annotated[
        bool, typer.Option("--reveal", help="Show key and bytes too; written down with --reason.")
    ] = False,
    reason: Reason = "",
    by: By = "",
) -> int:
    """Show one dead letter: headers, sizes, digest and the record's name; key and bytes only with --reveal."""
    from chopar.cli import dead_letter_show as showing
    from chopar.cli.dead_letter_again import with_new_letters
    from chopar.cli.dead_letter_decide import write_down
    from chopar.cli.dead_letter_list import Letter, Place, decisions, letter_at
    from chopar.messages.operations import ReplayAction

    session = Session.of(context)
    place = Place.parse(letter)
    name = _due(session, reason, by) if reveal else ""

    async def look(bus: "Bus", registry: "SchemaRegistry") -> dict[str, Any]:
        record: Record = await letter_at(bus, place)
        one = [Letter.of(record)]
        decided = await with_new_letters(bus, await decisions(bus, registry), one)
        shown = await showing.details(record, decided, registry)
        if reveal:
            await write_down(
                bus, registry, ReplayAction.REVEAL, one, reason=reason, by=name, clock=lambda: datetime.now(UTC)
            )
            shown |= showing.revealed(record)
        return shown

    shown = _run(session, look)
    if reveal:
        session.output.say(f"These bytes may be about a person. That {name} looked at them is written down.")
    session.output.show(shown, *showing.to_text(shown))
    return 0


@app.command()
def replay(
    context: typer.Context,
    letters: Places = None,
    topic: Topic = "",
    code: Code = "",
    since: Since = "",
    every: Every = False,
    reason: Reason = "",
    by: By = "",
    yes: Yes = False,
) -> int:
    """Have dead letters handled again, as of their original offset and time, by the process that gave them up.

    `list` shows what came of it. A filter means letters that nobody has decided on. Exit code 0: all that was meant is,
    or will be, as wanted; 1: not one that was named (discarded before, or replayed in vain), or one cannot be replayed.
    """
    from chopar.messages.operations import ReplayAction

    return _decide(context, ReplayAction.REPLAY, letters, (topic, code, since), every, reason, by, yes)


@app.command()
def discard(
    context: typer.Context,
    letters: Places = None,
    topic: Topic = "",
    code: Code = "",
    since: Since = "",
    every: Every = False,
    reason: Reason = "",
    by: By = "",
    yes: Yes = False,
) -> int:
    """Decide that dead letters are never handled; they stay where they are until they expire.

    A filter means letters that nobody has decided on. Exit code 0: all that was meant is as wanted; 1: not one that was
    named, which was replayed before.
    """
    from chopar.messages.operations import ReplayAction

    return _decide(context, ReplayAction.DISCARD, letters, (topic, code, since), every, reason, by, yes)


def _decide(
    context: typer.Context,
    action: "ReplayAction",
    places: list[str] | None,
    filters: tuple[str, str, str],
    every: bool,
    reason: str,
    by: str,
    yes: bool,
) -> int:
    """Find the letters, ask, write the decision down, and say what was decided."""
    from chopar.cli import dead_letter_list as listing
    from chopar.cli.dead_letter_again import with_new_letters
    from chopar.cli.dead_letter_decide import left, message, plan, write_down

    session = Session.of(context)
    topic, code, since = filters
    which = "which ones: dead letters by name, or a filter (--topic, --code, --since), or --all; one of these"
    name = _due(session, reason, by, *([] if bool(places) + any(filters) + every == 1 else [which]))
    named = [listing.Place.parse(text) for text in places or ()]
    wanted = listing.Filter(topic, code, listing.read_since(since, datetime.now(UTC)))

    async def look(bus: "Bus", registry: "SchemaRegistry") -> "tuple[list[Letter], Decisions, str]":
        decided, hint = await listing.decisions(bus, registry), ""
        if named:
            letters = [listing.Letter.of(await listing.letter_at(bus, one)) for one in dict.fromkeys(named)]
        else:
            letters = await listing.letters(bus, wanted)
            hint = "" if letters else await listing.other_codes(bus, wanted)
        return letters, await with_new_letters(bus, decided, letters), hint

    letters, decided, hint = _run(session, look)
    found = plan(action, letters, decided)
    for one in found.due:
        message(action, one, reason, name, datetime.now(UTC))  # what is wrong with the words is said before asking
    if found.due and not yes:
        _ask(session, f"{action.capitalize()} {_count(found.due)}?")
    if found.due:
        _run(
            session,
            lambda bus, registry: write_down(
                bus, registry, action, found.due, reason=reason, by=name, clock=lambda: datetime.now(UTC)
            ),
        )
    done = "to be replayed" if action == "replay" else "discarded"
    sentences = [f"{_count(found.due)} {done}{hint}"]
    if found.due and action == "replay":
        sentences.append("what comes of it: `chopar dead-letter list`")
    sentences += [left(one, decided) for one in (*found.already, *found.otherwise)]
    sentences += [f"{one.place}: cannot be replayed, {one.why_not_replayable}" for one in found.impossible]
    result = {
        key: [str(one.place) for one in getattr(found, key)] for key in ("due", "already", "otherwise", "impossible")
    }
    session.output.show({"action": action, **result}, *sentences)
    return 1 if found.impossible or (named and found.otherwise) else 0


def _ask(session: Session, question: str) -> None:
    """Go on only if somebody says yes; who could not be asked is told how to do without."""
    try:
        sure = typer.confirm(question, err=True)
    except typer.Abort:
        session.output.say("\nNobody said yes; with --yes nobody is asked.")
        raise
    if not sure:
        raise typer.Abort


def _run(session: Session, work: Any) -> Any:
    """Run `work(bus, registry)` against what the session addresses."""

    async def with_clients() -> Any:
        bus, registry = session.bus(), session.schema_registry()
        try:
            return await work(bus, registry)
        finally:
            await registry.aclose()

    return session.run(with_clients)


def _due(session: Session, reason: str, by: str, *more: str) -> str:
    """Who decides; what is missing for that is said all at once."""
    from chopar.cli.login import UNKNOWN, login_name

    name = by.strip() or login_name(session.environ)
    missing = [*more]
    if not reason.strip():
        missing.append("--reason: it is written down with who decided")
    if not name:
        missing.append(UNKNOWN)
    if missing:
        raise ConfigurationError(f"still to be said: {'; '.join(missing)}")
    return name


def _count(letters: "list[Letter]") -> str:
    return f"{len(letters)} dead letter{'' if len(letters) == 1 else 's'}"
