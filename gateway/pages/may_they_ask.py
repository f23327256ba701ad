"""The page "May they ask?": a question and its answer as HTML, in three languages, for a screen, a phone and paper.

Server-rendered and whole: no script, no font and no picture from anywhere, so a strict policy can go with it. What is
answered is `gateway.may_they_ask`'s.
"""

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from chopar.identifiers import AgencyId, ProcedureId, SubjectKind
from chopar.messages.demand import Outcome
from chopar.texts import Language, Texts
from gateway.list_version import ListVersion
from gateway.may_they_ask import KINDS, Answered, Question
from gateway.naming import Called
from gateway.pages.names import Choices, Name, name_of, naming_of
from gateway.resolution import Code, NextStep, ResolvedDocument, Rule

PATH = "/may-they-ask"
JSON_PATH = "/v1/may-they-ask"
LISTS_PATH = "/v1/lists"
CIRCUMSTANCE = "circumstance."
"""What the key of a circumstance begins with in an address."""

_TEMPLATES = Path(__file__).parent / "templates"
_LANGUAGE_NAMES = {Language.UZBEK: "Oʻzbekcha", Language.RUSSIAN: "Русский", Language.ENGLISH: "English"}
# Said otherwise than to an agency's official: names stand in no case, and nothing is an option of a command.
_STEPS_OF_THE_PAGE = {
    NextStep.WAIT_FOR_EVIDENCE: "step_wait_for_evidence",
    NextStep.REQUEST_BY_OFFICIAL_LETTER: "step_request_by_official_letter",
    NextStep.SAY_CIRCUMSTANCE: "step_say_circumstance",
    NextStep.CORRECT_DEMAND: "step_correct_demand",
}
_CHOICES_KEPT = 6  # two list versions in three languages


@dataclass(frozen=True, slots=True)
class Asked:
    """What stands in the address of the page, as far as it means something.

    Args:
        question: None as long as something was not chosen, or is wrong.
        requester, procedure, document: what was chosen; empty where the lists do not know it, so that nothing is
            repeated that somebody put into an address.
        on: the day as it is shown.
        kind: whom the case is about, if that was said.
        about: whom the paper is about, if not the subject.
        circumstances: what was said.
        flaw: code of what is wrong, if something is.
        near: ids of the lists that look like one that they do not know.
    """

    question: Question | None
    requester: str = ""
    procedure: str = ""
    document: str = ""
    on: str = ""
    kind: SubjectKind | None = None
    about: SubjectKind | None = None
    circumstances: tuple[tuple[str, bool], ...] = ()
    flaw: str = ""
    near: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether agency, procedure and paper are all chosen, from what the lists know."""
        return bool(self.requester and self.procedure and self.document)

    def address(self, path: str, language: Language | None = None, **changed: str) -> str:
        """The address of the same question, or of one that differs in something."""
        query = {
            "requester": self.requester,
            "procedure": self.procedure,
            "document": self.document,
            "on": self.on,
            "kind": self.kind.value if self.kind else "",
            "about": self.about.value if self.about else "",
            **{f"{CIRCUMSTANCE}{code}": "yes" if said else "no" for code, said in self.circumstances},
            "lang": language.value if language else "",
        } | changed
        said = {name: value for name, value in query.items() if value}
        return f"{path}?{urlencode(said)}" if said else path


class MayTheyAskPage:
    """Renders the page.

    Args:
        texts: the shipped sentences, with those of the page.
    """

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        environment = Environment(
            loader=FileSystemLoader(_TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._template = environment.get_template("may_they_ask.html")
        self._style = (_TEMPLATES / "page.css").read_text(encoding="utf-8")
        sources = [path.read_bytes() for path in sorted(_TEMPLATES.iterdir())]
        self.edition = hashlib.sha256(b"".join(sources) + texts.edition.encode()).hexdigest()
        """Changes when the page would be another one for the same answer."""
        self._choices: dict[tuple[str, Language], Choices] = {}
        digest = base64.b64encode(hashlib.sha256(self._style.encode()).digest()).decode()
        self.policy = (
            f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'; "
            "frame-ancestors 'none'"
        )
        """What a browser may load for it: nothing but its own style."""

    def render(self, asked: Asked, answered: Answered | None, lists: ListVersion | None, language: Language) -> str:
        """The page.

        Args:
            asked: what stands in the address.
            answered: the answer, if there is a question.
            lists: the list version that holds; None: none could be read.
            language: of the page.
        """
        words = Words(self._texts, language)
        choices = self._choices_of(lists, language) if lists else Choices((), (), ())
        procedure = lists.procedures.get(ProcedureId(asked.procedure)) if lists else None
        subjects = procedure.subjects if procedure else ()
        return self._template.render(
            say=words.page,
            style=self._style,
            language=language,
            languages=[(one, _LANGUAGE_NAMES[one], asked.address(PATH, one)) for one in Language],
            path=PATH,
            asked=asked,
            choices=choices,
            kinds=KINDS if len(subjects) > 1 or (asked.kind and asked.kind not in subjects) else (),
            kind=answered.kind if answered else asked.kind,
            about_kinds=KINDS,
            circumstances=_circumstances(words, asked, answered),
            circumstance_key=CIRCUMSTANCE,
            answer=answer_view(words, answered, lists) if answered and lists else None,
            list_digest=lists.digest if lists else "",
            paper_accepted=words.say("always", "paper_accepted"),
            json_address=asked.address(JSON_PATH, language) if answered and asked.is_whole else "",
            lists_path=LISTS_PATH,
        )

    def _choices_of(self, lists: ListVersion, language: Language) -> Choices:
        key = (lists.digest, language)
        if key not in self._choices:
            if len(self._choices) >= _CHOICES_KEPT:
                self._choices.clear()
            self._choices[key] = Choices.of(lists, language)
        return self._choices[key]


class Words:
    """The shipped sentences in one language."""

    def __init__(self, texts: Texts, language: Language) -> None:
        self._texts = texts
        self.language = language

    def say(self, kind: str, code: str, **values: str) -> str:
        """The sentence for a code of a kind."""
        return self._texts.say(kind, code, self.language, **values)

    def page(self, code: str, **values: str) -> str:
        """A sentence of the page."""
        return self.say("page", code, **values)

    def holder(self, document: ResolvedDocument, lists: ListVersion) -> Name | None:
        """Who holds the data, by name: whom to ask, or the requester itself."""
        holder: AgencyId | None = document.provider
        if holder is None and document.code is Code.OWN_REGISTER and document.rule is not None:
            holder = lists.prohibited[document.rule.entry].holder
        return name_of(holder, lists.agencies[holder], self.language) if holder else None

    def outcome(self, document: ResolvedDocument) -> str:
        """The outcome, as the page says it: a page that sends nothing has had nothing refused."""
        if document.outcome is Outcome.REFUSED:
            return self.page("outcome_refused")
        return self.say("outcome", document.outcome)

    def step(self, document: ResolvedDocument, holder: Name | None) -> str:
        """What to do next, as the page says it."""
        own = _STEPS_OF_THE_PAGE.get(document.next_step)
        named = holder.text if holder else ""
        return self.page(own, holder=named) if own else self.say("next_step", document.next_step, holder=named)


@dataclass(frozen=True, slots=True)
class Source:
    """Where something was read, and its address if it has one."""

    text: str
    address: str


@dataclass(frozen=True, slots=True)
class RuleView:
    """The rule that decided, in words."""

    entry: str
    name: Name | None
    act: str
    sources: tuple[Source, ...]
    since: str
    since_kind: str
    text_read: str
    confidence: str
    disposition_basis: str
    also_binding: tuple[Name, ...]
    coverage: str
    ground: str
    ground_basis: str


@dataclass(frozen=True, slots=True)
class AlternativeView:
    """Another holder that may prove the paper, and how it stands with it, in words."""

    holder: Name
    evidence: Name
    standing: str


@dataclass(frozen=True, slots=True)
class DocumentView:
    """The outcome of one paper, in words."""

    document_type: str
    name: Name
    may: str
    headline: str
    outcome: str
    reason: str
    step: str
    holder: Name | None
    evidence: Name | None
    parameters: tuple[str, ...]
    alternatives: tuple[AlternativeView, ...]
    named_basis: str
    rule: RuleView | None


@dataclass(frozen=True, slots=True)
class AnswerView:
    """An answer in words: the paper that was asked about, then what replaces it."""

    requester: Name
    procedure: Name
    on: str
    kind: str
    about: str
    regulation: str
    documents: tuple[DocumentView, ...]
    conducted_by: tuple[tuple[Name, str], ...]


def answer_view(words: Words, answered: Answered, lists: ListVersion) -> AnswerView:
    """An answer in words of a language.

    Args:
        words: of the language.
        answered: the question and its answer.
        lists: by which it was answered.
    """
    return _Answer(words, answered, lists).view()


class _Answer:
    """Makes the words of one answer."""

    def __init__(self, words: Words, answered: Answered, lists: ListVersion) -> None:
        self._words = words
        self._answered = answered
        self._lists = lists

    def view(self) -> AnswerView:
        question, lists, words = self._answered.question, self._lists, self._words
        requester = lists.agencies[AgencyId(question.requester)]
        procedure = lists.procedures[ProcedureId(question.procedure)]
        language = words.language
        return AnswerView(
            requester=name_of(requester.id, requester, language),
            procedure=name_of(procedure.id, procedure, language),
            on=question.on.isoformat(),
            kind=words.page(self._answered.kind.value),
            about=words.page(f"about_{question.about.value if question.about else 'subject'}"),
            regulation=lists.legal_bases[procedure.id].act,
            documents=tuple(self._document(document) for document in self._answered.resolution.documents),
            conducted_by=tuple(self._conductors()),
        )

    def _conductors(self) -> Iterable[tuple[Name, str]]:
        question = self._answered.question
        same = Asked(
            question,
            procedure=question.procedure,
            document=question.document,
            on=question.on.isoformat(),
            kind=question.kind,
            about=question.about,
            circumstances=tuple(question.circumstances.items()),
        )
        for agency in self._answered.conducted_by:
            name = name_of(agency, self._lists.agencies[agency], self._words.language)
            yield name, same.address(PATH, self._words.language, requester=agency)

    def _document(self, document: ResolvedDocument) -> DocumentView:
        words, rule = self._words, document.rule
        kind = self._lists.documents[document.document_type]
        holder = words.holder(document, self._lists)
        may = document.person_may_be_asked.value
        return DocumentView(
            document_type=document.document_type,
            name=name_of(kind.id, kind, words.language),
            may=may,
            headline=words.page(f"answer_{may}"),
            outcome=words.outcome(document),
            reason=words.say("code", document.code),
            step=words.step(document, holder),
            holder=holder,
            evidence=self._evidence(document.evidence_type) if document.evidence_type else None,
            parameters=tuple(words.say("parameter", p) for p in rule.ground.parameters) if rule and rule.ground else (),
            alternatives=tuple(
                AlternativeView(
                    name_of(one.provider, self._lists.agencies[one.provider], words.language),
                    self._evidence(one.evidence_type),
                    words.say("code", one.code),
                )
                for one in document.alternatives
            ),
            named_basis=words.say("basis", document.named_basis) if document.named_basis else "",
            rule=self._rule(rule) if rule else None,
        )

    def _evidence(self, evidence_type: str) -> Name:
        return naming_of(Called.EVIDENCE_TYPE, evidence_type, self._lists, self._words.language)

    def _rule(self, rule: Rule) -> RuleView:
        words, entry, ground = self._words, self._lists.prohibited.get(rule.entry), rule.ground
        coverage = self._lists.coverages.get(entry.coverage) if entry else None
        return RuleView(
            entry=rule.entry,
            name=name_of(entry.id, entry, words.language) if entry else None,
            act=rule.act or words.page("no_act"),
            sources=tuple(_source(text) for text in rule.source.split(" | ") if text),
            since=rule.in_force_from.isoformat() if rule.in_force_from else "",
            since_kind=words.say("in_force_basis", rule.in_force_basis),
            text_read=words.say("text_read", rule.text_read),
            confidence=words.say("basis", rule.confidence),
            disposition_basis=words.say("basis", rule.disposition_basis),
            also_binding=tuple(name_of(one, self._lists.prohibited[one], words.language) for one in rule.also_binding),
            coverage=words.page("knows", known=str(coverage.known), total=str(coverage.total))
            if coverage
            else words.page("coverage_open"),
            ground=(ground.act or words.page("no_act")) if ground else "",
            ground_basis=words.say("basis", ground.basis) if ground else "",
        )


def _source(text: str) -> Source:
    """Only what is plainly an address of a page becomes a link."""
    is_address = text.startswith(("https://", "http://")) and not any(character.isspace() for character in text)
    return Source(text, text if is_address else "")


def _circumstances(words: Words, asked: Asked, answered: Answered | None) -> list[tuple[str, str, str]]:
    """Those that are offered: code, question, and what was said (`yes`, `no` or nothing)."""
    said = {code: "yes" if is_so else "no" for code, is_so in asked.circumstances}
    offered = answered.circumstances if answered else tuple(said)
    return [(code, words.say("circumstance", code), said.get(code, "")) for code in offered]
