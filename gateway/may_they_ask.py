"""May they ask? An agency, a procedure, a paper and a day, answered by the lists without anybody's identifier.

The answer is a rehearsal of the resolver's: who is asked about is made up, and so are the parameters that a holder
needs, since what they are decides nothing once they were accepted. Pure; words are `gateway.pages`' business, HTTP is
`gateway.public`'s.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date

from chopar.identifiers import AgencyId, DocumentType, ProcedureId, SubjectKind, pinfl_check_digit
from chopar.messages.demand import ActingAs, FetchMode
from gateway.access_ground import AccessGround
from gateway.demand import Demand, DocumentDemand, Party, Subject
from gateway.list_version import ListVersion
from gateway.prohibited_list import ProhibitedEntry
from gateway.resolution import Code, Resolution, ResolvedDocument
from gateway.resolver import SECOND_PERSON, resolve

OTHER = "other"
"""The role of the made-up party that a paper is about, if it is not about the subject."""

KINDS = (SubjectKind.PERSON, SubjectKind.BUSINESS)

# Numbers of nobody, by the published rules: two people and a business. No day makes them too young for a procedure.
_FIRST, _SECOND, _BUSINESS = "3010180001001", "3010180001002", "301234567"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked; the three ids as somebody wrote them, known or not.

    Args:
        requester: the agency that would ask.
        procedure: what for.
        document: the paper.
        on: the day in Tashkent, any.
        kind: whom the case is about; None: a person where the procedure has persons, else a business.
        about: kind of another party that the paper is about; None: it is about the subject.
        circumstances: yes and no by code; one that is absent is unsaid.
    """

    requester: str
    procedure: str
    document: str
    on: date
    kind: SubjectKind | None = None
    about: SubjectKind | None = None
    circumstances: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answered:
    """A question and what the resolver says.

    Args:
        question: as it was asked.
        kind: whom the case was taken to be about.
        resolution: the resolver's answer; its first document is the one asked about, any others replace it.
        circumstances: those that the answer depends on, and those that were said; in their order.
        conducted_by: who conducts the procedure, where it is not the agency of the question.
    """

    question: Question
    kind: SubjectKind
    resolution: Resolution
    circumstances: tuple[str, ...]
    conducted_by: tuple[AgencyId, ...]

    @property
    def document(self) -> ResolvedDocument:
        """The outcome of the paper that was asked about."""
        return self.resolution.documents[0]


def demand_of(question: Question, lists: ListVersion) -> tuple[Demand, SubjectKind]:
    """The question as a demand about nobody, and whom it was taken to be about."""
    procedure = lists.procedures.get(ProcedureId(question.procedure))
    kinds = procedure.subjects if procedure is not None else KINDS
    kind = question.kind or next(one for one in KINDS if one in kinds)
    parties = () if question.about is None else (Party(OTHER, question.about, _number(question.about)),)
    document_type = DocumentType(question.document)
    values = {SECOND_PERSON: _person(_SECOND)}
    names = {name for ground in _touching(document_type, lists)[1] for name in ground.parameters}
    parameters = {name: values.get(name, "given") for name in sorted(names)}
    demand = Demand(
        requester=AgencyId(question.requester),
        procedure=ProcedureId(question.procedure),
        subject=Subject(kind, _number(kind)),
        documents=(DocumentDemand(document_type, OTHER if parties else None, parameters),),
        parties=parties,
        acting_as=_acting_as(ProcedureId(question.procedure), kind, lists),
        circumstances=question.circumstances,
    )
    return demand, kind


def answered(question: Question, lists: ListVersion, fetch_mode: FetchMode) -> Answered:
    """Answer a question; what is unknown in it is answered as the resolver refuses it."""
    demand, kind = demand_of(question, lists)
    resolution = resolve(demand, lists, question.on, fetch_mode, rehearsal=True)
    elsewhere = resolution.refused is Code.PROCEDURE_NOT_YOURS
    return Answered(
        question=question,
        kind=kind,
        resolution=resolution,
        circumstances=tuple(_circumstances(question, resolution, lists)),
        conducted_by=tuple(_conductors(question, lists)) if elsewhere else (),
    )


def conditions(document_type: DocumentType, lists: ListVersion) -> frozenset[str]:
    """The circumstances on which an answer about a paper can depend; nothing else can be said to a question."""
    entries, grounds = _touching(document_type, lists)
    return frozenset({entry.condition for entry in entries} | {ground.condition for ground in grounds}) - {""}


def _circumstances(question: Question, resolution: Resolution, lists: ListVersion) -> Iterator[str]:
    found = dict.fromkeys(question.circumstances)
    for document in resolution.documents:
        if document.code is Code.CONDITION_UNSAID and document.rule is not None:
            for name in (document.rule.entry, *document.rule.also_binding):
                condition = lists.prohibited[name].condition
                if condition:
                    found.setdefault(condition)
    procedure = lists.procedures.get(ProcedureId(question.procedure))
    implied = procedure.implies if procedure is not None else {}
    yield from (code for code in sorted(found) if code not in implied)


def _conductors(question: Question, lists: ListVersion) -> Iterator[AgencyId]:
    procedure = lists.procedures[ProcedureId(question.procedure)]
    for agency in lists.agencies:
        if procedure.conducted_by(agency, lists.groups_of(agency, question.on)):
            yield agency


def _touching(document_type: DocumentType, lists: ListVersion) -> tuple[list[ProhibitedEntry], list[AccessGround]]:
    """The entries and grounds about a paper, and about those that may replace it."""
    seen: set[DocumentType] = set()
    coming = [document_type]
    entries: list[ProhibitedEntry] = []
    grounds: list[AccessGround] = []
    while coming:
        one = coming.pop()
        if one in seen:
            continue
        seen.add(one)
        found = lists.entries_of.get(one, ())
        entries += found
        grounds += [ground for entry in found for ground in lists.grounds_for[entry.id]]
        grounds += lists.own_grounds_of.get(one, ())
        coming += [entry.replaced_by for entry in found if entry.replaced_by is not None]
    return entries, grounds


def _acting_as(procedure: ProcedureId, kind: SubjectKind, lists: ListVersion) -> ActingAs:
    """The capacity for which nobody else has to be made up."""
    basis = lists.legal_bases.get(procedure)
    if basis is None:
        return ActingAs.SELF
    allowed = basis.acting_for_person if kind is SubjectKind.PERSON else basis.acting_for_business
    return ActingAs.SELF if ActingAs.SELF in allowed or ActingAs.EX_OFFICIO not in allowed else ActingAs.EX_OFFICIO


def _number(kind: SubjectKind) -> str:
    return _person(_FIRST) if kind is SubjectKind.PERSON else _BUSINESS


def _person(first_thirteen: str) -> str:
    return first_thirteen + str(pinfl_check_digit(first_thirteen))
