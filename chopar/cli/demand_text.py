"""How the answer to a demand is shown as text: a table, and sentences that say what follows."""

from collections.abc import Iterator, Mapping
from typing import Any

from chopar.cli.demand_answer import Answer, DocumentAnswer
from chopar.cli.output import Table, instant, plain
from chopar.messages.entitlement import ALWAYS
from chopar.texts import Language, Texts

_COLUMNS = ("document", "outcome", "person may be asked", "rule", "next step", "evidence", "ms")
_MINUTES = len("YYYY-MM-DDTHH:MM")
_TIYIN = "_tiyin"


def parts(answer: Answer, texts: Texts, language: Language = Language.ENGLISH, title: str = "") -> list[Table | str]:
    """The table of an answer and, below it, one sentence for each thing that follows."""
    table = Table(_COLUMNS, [_row(document) for document in answer.documents], title, right=frozenset({"ms"}))
    return [table, *_sentences(answer, texts, language)]


def evidence_line(evidence: Mapping[str, Any]) -> str:
    """Evidence on one line: what was let through, with its source and day."""
    given = [name for name in evidence if name not in ALWAYS]
    facts = ", ".join(_fact(name, evidence[name], ": ") for name in given if evidence[name] is not None)
    as_of = str(plain(evidence.get("as_of")))[:_MINUTES].replace("T", " ")
    source = f"as of {as_of}, {evidence.get('source_register')}"
    if evidence.get("register_coverage"):
        source += f": {evidence['register_coverage']}"
    if evidence.get("linked_by"):
        source += f"; the person has another number by {' and '.join(evidence['linked_by'])}"
    return f"{facts or 'nothing let through'} ({source})"


def evidence_rows(evidence: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Evidence field by field, in the same words; what is unknown or was not let through is left out."""
    return [_field(name, value) for name, value in evidence.items() if value is not None]


def _row(document: DocumentAnswer) -> tuple[object, ...]:
    name = f"{document.document_type} @{document.about}" if document.about else document.document_type
    rule = document.rule
    outcome = f"{document.outcome} / {document.code}" if document.outcome else "no answer yet"
    decided = f"{rule.entry} ({rule.confidence})" if rule else None
    evidence: str | None = document.unavailable
    if document.evidence is not None:
        evidence = evidence_line(document.evidence)
    elif document.unavailable and document.register_coverage:
        evidence = f"{document.unavailable}: {document.register_coverage}"
    time = None if document.arrived_ms is None else f"{document.arrived_ms:.0f}"
    return name, outcome, document.person_may_be_asked, decided, document.next_step, evidence, time


def _sentences(answer: Answer, texts: Texts, language: Language) -> Iterator[str]:
    said: dict[tuple[str, str | None], list[str]] = {}
    for document in answer.documents:
        # What a fetch has come to is said by what arrived.
        if document.next_step and document.evidence is None and document.unavailable is None:
            said.setdefault((document.next_step, document.provider), []).append(document.document_type)
    for (code, provider), types in said.items():
        sentence = texts.say("next_step", code, language, holder=provider or "-")
        yield f"{', '.join(dict.fromkeys(types))}: {sentence}"
    for document in answer.documents:
        if document.without_record:
            then = "" if document.provider in document.without_record else f"; {document.provider} was asked next"
            yield f"{document.document_type}: {', '.join(document.without_record)} had no record{then}"
    for code in sorted({document.unavailable for document in answer.documents if document.unavailable}):
        yield f"{code}: {texts.say('unavailable', code, language)}"
    reasons = {document.code for document in answer.documents if document.outcome == "refused" and document.code}
    for code in sorted(reasons):
        yield f"{code}: {texts.say('code', code, language)}"
    if answer.status != "refused":
        yield texts.say("always", "paper_accepted", language)
    digest = f", list {answer.list_digest[:12]}" if answer.list_digest else ""
    mode = f", fetch mode {answer.fetch_mode}" if answer.fetch_mode else ""
    named = "rehearsal" if answer.rehearsal else f"demand {answer.demand_id or 'not sent'}"
    when = "waiting; the last that came took" if answer.status == "waiting" else f"{answer.status} in"
    yield f"{named}: {when} {answer.elapsed_ms:.0f} ms{digest}{mode}"


def _fact(name: str, value: Any, between: str) -> str:
    return between.join(_field(name, value))


def _field(name: str, value: Any) -> tuple[str, str]:
    """A field and its value; money in soum, as people count it."""
    if name.endswith(_TIYIN) and isinstance(value, int):
        amount = f"{value // 100:,}.{value % 100:02}".replace(",", " ")
        return name.removesuffix(_TIYIN), f"{amount} soum"
    return name, _value(value)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        if value.keys() >= {"count", "members"}:  # relatives
            members = f" ({_value(value['members'])})" if value["members"] else ""
            return f"{'some' if value['count'] is None else value['count']}{members}"
        if value.keys() >= {"surname", "given_name"}:  # somebody in an act
            names = (value.get(name) for name in ("role", "surname", "given_name", "patronymic"))
            born = f", born {value['born_on']}" if value.get("born_on") else ""
            return " ".join(name for name in names if name) + born
        if value.keys() == {"relation", "acts"}:
            return " by ".join(filter(None, (value["relation"], " and ".join(value["acts"] or ()))))
        return ", ".join(_fact(name, part, " ") for name, part in value.items() if part is not None)
    if isinstance(value, list | tuple):
        return "; ".join(_value(part) for part in value) or "none"
    return instant(value) if hasattr(value, "astimezone") else str(plain(value))
