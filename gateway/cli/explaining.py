"""`chopar prohibited explain`: an entry in words, or the answer to a question with what decided and what nearly did."""

import datetime
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chopar.cli.exit_codes import ExitCode
from chopar.cli.session import Session
from chopar.errors import ConfigurationError, NotFoundError
from chopar.identifiers import AgencyId, DocumentType, ProcedureId, SubjectKind
from chopar.messages.demand import FetchMode
from gateway.cli.chosen import ListsOption, chosen
from gateway.cli.in_force import day_given, today
from gateway.naming import Called

if TYPE_CHECKING:
    from gateway.considered import Considered
    from gateway.evidence_directory import Place
    from gateway.list_version import ListVersion
    from gateway.may_they_ask import Answered
    from gateway.pages.may_they_ask import Words
    from gateway.prohibited_list import ProhibitedEntry


def explain(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="An entry's id, or a document type.", metavar="ENTRY|TYPE")],
    requester: Annotated[
        str, typer.Option("--requester", help="With --procedure: answer for this agency.", metavar="ID")
    ] = "",
    procedure: Annotated[str, typer.Option("--procedure", help="What for.", metavar="ID")] = "",
    on: Annotated[str, typer.Option("--on", help="The day in Tashkent; today if left out.", metavar="DATE")] = "",
    kind: Annotated[
        SubjectKind | None, typer.Option("--kind", help="Whom the case is about: `person` or `business`.")
    ] = None,
    about: Annotated[
        SubjectKind | None, typer.Option("--about", help="The paper is about another party, of that kind.")
    ] = None,
    circumstance: Annotated[
        list[str] | None, typer.Option("--circumstance", help="May be repeated.", metavar="CODE=yes|no")
    ] = None,
    fetch_on: Annotated[
        FetchMode | None, typer.Option("--fetch-on", help="Which access grounds are opened; as it is if left out.")
    ] = None,
    language: Annotated[str, typer.Option(help="Language of the sentences.", metavar="en|uz|ru")] = "en",
    lists: ListsOption = "",
) -> int:
    """Explain an entry, or every entry on a document type: act, source, doubts, and which grounds to know there are.

    With --requester and --procedure: whether they may ask that day, which entry decides, and which nearly did.
    """
    from chopar.texts import Texts, language_of
    from gateway.pages.may_they_ask import Words

    session = Session.of(context)
    words = Words(Texts.shipped(with_page=True), language_of(language))
    if bool(requester) is not bool(procedure):
        raise ConfigurationError("--requester and --procedure: both are due, or none")
    day = day_given("--on", on) or today()
    version, _, mode = chosen(session, lists)
    entries = [entry for entry in version.prohibited.values() if name in (entry.id, entry.document_type)]
    if not entries and DocumentType(name) not in version.documents:
        meant = _near(name, {*version.documents, *version.prohibited})
        raise NotFoundError(f"no entry and no document type of that name{meant}: `chopar prohibited list` shows all")
    if requester:
        paper = entries[0].document_type if entries else DocumentType(name)
        question = _Question(
            words, version, fetch_on or mode, requester, procedure, paper, day, kind, about, tuple(circumstance or ())
        )
        session.output.show(question.data(), *question.lines())
        return ExitCode.DONE
    if not entries:
        session.output.show([], f"{name}: {words.page('no_entry')}", words.page("not_complete"))
        return ExitCode.NO
    session.output.show(
        [entry_data(version, entry) for entry in entries],
        *(line for entry in entries for line in (*entry_lines(words, version, entry, day), "")),
        words.page("not_complete"),
    )
    return ExitCode.DONE


class _Question:
    """A question of the command line, answered as the public page answers it."""

    def __init__(
        self,
        words: "Words",
        version: "ListVersion",
        fetch_mode: FetchMode,
        requester: str,
        procedure: str,
        paper: DocumentType,
        day: datetime.date,
        kind: SubjectKind | None,
        about: SubjectKind | None,
        circumstances: tuple[str, ...],
    ) -> None:
        from gateway.considered import considered
        from gateway.may_they_ask import Question, answered

        if AgencyId(requester) not in version.agencies:
            raise NotFoundError(
                f"--requester: no agency of that id stands in the lists{_near(requester, version.agencies)}"
            )
        if ProcedureId(procedure) not in version.procedures:
            raise NotFoundError(
                f"--procedure: no procedure of that id stands in the lists{_near(procedure, version.procedures)}"
            )
        if SubjectKind.OBJECT in (kind, about):
            raise ConfigurationError("--kind and --about: person or business")
        said = dict(_circumstance(text) for text in circumstances)
        question = Question(requester, procedure, paper, day, kind, about, said)
        self._words, self._version, self._mode = words, version, fetch_mode
        self._answered: Answered = answered(question, version, fetch_mode)
        self._considered: tuple[Considered, ...] = considered(self._answered, version)

    def data(self) -> dict[str, Any]:
        from gateway.shown import shown

        question = self._answered.question
        return {
            "requester": question.requester,
            "procedure": question.procedure,
            "document_type": question.document,
            "on": question.on,
            "kind": self._answered.kind.value,
            "about": question.about,
            "refused": self._answered.resolution.refused,
            "documents": [shown(document) for document in self._answered.resolution.documents],
            "considered": [
                {
                    "entry": one.entry.id,
                    "decided": one.decided,
                    "nearly": one.nearly,
                    "why": [why.value for why in one.why],
                }
                for one in self._considered
            ],
            "complete": False,
            "fetch_mode": self._mode.value,
            "list_digest": self._version.digest,
        }

    def lines(self) -> Iterator[str]:
        from gateway.pages.may_they_ask import answer_view

        words = self._words
        view = answer_view(words, self._answered, self._version)
        for place, document in enumerate(view.documents):
            if place:
                yield words.page("replacement", paper=document.name.text)
            yield document.headline
            if not place:
                yield from _labelled(
                    (words.page("agency"), view.requester.text if view.requester else "—"),
                    (words.page("procedure"), view.procedure.text if view.procedure else "—"),
                    (words.page("paper"), document.name.text),
                    (words.page("day"), view.on),
                    (words.page("kind"), view.kind),
                    (words.page("about"), view.about),
                )
            yield from _labelled(
                (words.page("outcome"), document.outcome),
                (words.page("reason"), document.reason),
                (words.page("next_step"), document.step),
                *(
                    (words.page("alternatives"), f"{one.holder.text}: {one.evidence.text}. {one.standing}")
                    for one in document.alternatives
                ),
            )
            if document.rule:
                rule = document.rule
                yield from _labelled(
                    (words.page("entry"), rule.entry),
                    (words.page("act"), rule.act),
                    *((words.page("source"), source.text) for source in rule.sources),
                    (words.page("in_force_from"), f"{rule.since}: {rule.since_kind}".removeprefix(": ")),
                    (words.page("text_read"), rule.text_read),
                    (words.page("confidence"), rule.confidence),
                    (words.page("instead_basis"), rule.disposition_basis),
                    (words.page("coverage"), rule.coverage),
                )
            elif not place:
                yield f"  {words.page('no_rule')}"
        yield from self._entries()
        yield words.page("not_complete")

    def _entries(self) -> Iterator[str]:
        words = self._words
        if not self._considered:
            return
        yield words.page("considered")
        far = 0
        for one in self._considered:
            if one.decided or one.nearly or one.why[0].value == "binds":
                marked = words.say("considered", "decided") if one.decided else ""
                why = "; ".join(words.say("considered", part) for part in one.why)
                yield f"  {one.entry.id}: {marked or why}"
            else:
                far += 1
        if far:
            yield f"  {words.page('considered_others', count=str(far))}"


def _near(word: str, known: "Iterable[str]") -> str:
    from chopar.near import did_you_mean

    return did_you_mean(word, known)


def _circumstance(text: str) -> tuple[str, bool]:
    code, _, said = text.partition("=")
    if not code or said not in ("yes", "no"):
        raise ConfigurationError("--circumstance: write it as CODE=yes or CODE=no")
    return code, said == "yes"


def entry_data(version: "ListVersion", entry: "ProhibitedEntry") -> dict[str, Any]:
    """An entry with its grounds, as data."""
    return {
        **entry_row(version, entry),
        "name": entry.name_en,
        "act": entry.act,
        "sources": list(entry.sources),
        "text_read": entry.text_read.value,
        "disposition_basis": entry.disposition_basis.value,
        "data_class": entry.data_class.value,
        "holder": entry.holder,
        "replaced_by": entry.replaced_by,
        "parameters": list(entry.parameters),
        "alternatives": [str(place) for place in _in_order(version, entry)],
        "verified_by": entry.verified.by if entry.verified else None,
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
            for ground in version.grounds_for[entry.id]
        ],
    }


def entry_row(version: "ListVersion", entry: "ProhibitedEntry") -> dict[str, Any]:
    """What `list` says of an entry, as data."""
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


def entry_lines(words: "Words", version: "ListVersion", entry: "ProhibitedEntry", day: datetime.date) -> Iterator[str]:
    """An entry in words of a language; what the lists have in one language only stays as it is there."""
    from gateway.pages.names import name_of

    language = words.language
    yield f"{entry.id}: {name_of(entry.id, entry, language).text}"
    yield from _labelled(
        (words.page("paper"), name_of(entry.document_type, version.documents[entry.document_type], language).text),
        *((words.page("not_asked_by"), text) for text in _barred(words, version, entry, day)),
        (words.page("from_whom"), ", ".join(words.page(kind.value) for kind in entry.from_whom)),
        (words.page("scope"), scope(words, version, entry)),
        (words.page("in_force_from"), since(words, entry)),
        (words.page("condition"), words.say("circumstance", entry.condition) if entry.condition else ""),
        (words.page("instead"), instead(words, version, entry)),
        (words.page("instead_basis"), words.say("basis", entry.disposition_basis)),
        (words.page("in_order"), "; ".join(_named(words, version, place) for place in _in_order(version, entry))),
        (words.page("act"), entry.act),
        *((words.page("source"), source) for source in entry.sources),
        (words.page("text_read"), words.say("text_read", entry.text_read)),
        (
            words.page("verified"),
            f"{entry.verified.by}, {entry.verified.on}: {entry.verified.text_ref}" if entry.verified else "",
        ),
        (words.page("confidence"), words.say("basis", entry.confidence)),
        (words.page("coverage"), coverage(words, version, entry)),
        (words.page("note"), entry.note),
    )
    for ground in version.grounds_for[entry.id]:
        yield from _labelled(
            (words.page("ground"), f"{ground.id} ({words.say('basis', ground.basis)})"),
            (words.page("act"), ground.act or words.page("no_act")),
            (words.page("evidence"), f"{_evidence(words, version, ground.evidence_type)}: {', '.join(ground.fields)}"),
            *(
                (words.page("procedure"), name_of(one, version.procedures[one], language).text)
                for one in sorted(ground.procedures)
            ),
        )


def since(words: "Words", entry: "ProhibitedEntry") -> str:
    """From when an entry holds, and what kind of day that is."""
    kind = words.say("in_force_basis", entry.in_force_basis)
    return f"{entry.in_force_from}: {kind}" if entry.in_force_from else kind


def instead(words: "Words", version: "ListVersion", entry: "ProhibitedEntry") -> str:
    """What happens instead of asking."""
    from gateway.pages.names import name_of

    said = words.say("disposition", entry.disposition)
    if entry.replaced_by:
        return f"{said} ({name_of(entry.replaced_by, version.documents[entry.replaced_by], words.language).text})"
    if entry.holder:
        return f"{said} ({name_of(entry.holder, version.agencies[entry.holder], words.language).text})"
    return said


def _in_order(version: "ListVersion", entry: "ProhibitedEntry") -> "tuple[Place, ...]":
    """By whom the document may be proved, where the directory says so."""
    order = version.alternatives.get(entry.document_type)
    return order.in_order if order is not None and entry.holder else ()


def _named(words: "Words", version: "ListVersion", place: "Place") -> str:
    from gateway.pages.names import name_of

    holder = name_of(place.holder, version.agencies[place.holder], words.language).text
    connected = version.directory[place].connected
    said = "" if connected else f", {words.page('not_connected')}"
    return f"{holder} ({_evidence(words, version, place.evidence_type)}{said})"


def _evidence(words: "Words", version: "ListVersion", evidence_type: str) -> str:
    from gateway.pages.names import naming_of

    return naming_of(Called.EVIDENCE_TYPE, evidence_type, version, words.language).text


def group(words: "Words", version: "ListVersion", id_: str) -> str:
    """A group by its name."""
    from gateway.pages.names import naming_of

    return naming_of(Called.GROUP, id_, version, words.language).text


def scope(words: "Words", version: "ListVersion", entry: "ProhibitedEntry") -> str:
    """Where an entry bars, by the name of its scope."""
    from gateway.pages.names import naming_of

    if entry.every_public_service:
        return words.page("any_public_service")
    return naming_of(Called.SCOPE, entry.scope, version, words.language).text


def coverage(words: "Words", version: "ListVersion", entry: "ProhibitedEntry") -> str:
    """How much of the list that the entry stands on is known."""
    known = version.coverages.get(entry.coverage)
    if known is None:
        return words.page("coverage_open")
    return words.page("knows", known=str(known.known), total=str(known.total))


def _barred(words: "Words", version: "ListVersion", entry: "ProhibitedEntry", day: datetime.date) -> Iterator[str]:
    from gateway.pages.names import name_of

    def names(agencies: Iterable[AgencyId]) -> str:
        return "; ".join(name_of(one, version.agencies[one], words.language).text for one in sorted(agencies))

    for name in sorted(entry.barred_groups):
        members = {one.agency for one in version.memberships if one.group == name and one.holds_on(day)}
        yield f"{group(words, version, name)} ({names(members)})"
    if entry.barred_agencies:
        yield names(entry.barred_agencies)


def _labelled(*pairs: tuple[str, str]) -> Iterator[str]:
    yield from (f"  {label}: {text}" for label, text in pairs if text)
