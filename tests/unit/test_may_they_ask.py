"""May they ask? The answer is the resolver's, for every agency, procedure, paper and day, without anybody's number."""

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chopar.identifiers import AgencyId, DocumentType, PersonId, ProcedureId, SubjectKind
from chopar.messages.demand import ActingAs
from gateway.demand import Demand, DocumentDemand, Subject
from gateway.may_they_ask import OTHER, Question, answered, conditions, demand_of
from gateway.resolution import Code, Resolution
from gateway.resolver import resolve
from tests.builders import PERSON, SECOND_PERSON
from tests.standing import standing

STANDING = standing()
LISTS = STANDING.lists
BUSINESS = "200000001"
PARAMETERS = {name for ground in LISTS.grounds.values() for name in ground.parameters}
DAYS = st.one_of(
    st.dates(),
    st.sampled_from(sorted({entry.in_force_from for entry in LISTS.prohibited.values() if entry.in_force_from})),
)


def of_others(question: Question, kind: SubjectKind) -> Resolution:
    """The resolver's answer about other people, with every parameter that any holder needs."""
    values = {"second_person": SECOND_PERSON}
    demand = Demand(
        requester=AgencyId(question.requester),
        procedure=ProcedureId(question.procedure),
        subject=Subject(kind, PERSON if kind is SubjectKind.PERSON else BUSINESS),
        documents=(DocumentDemand(DocumentType(question.document), None, {n: values.get(n, "x") for n in PARAMETERS}),),
        acting_as=ActingAs.SELF,
        circumstances=question.circumstances,
    )
    return resolve(demand, LISTS, question.on, STANDING.fetch_mode, rehearsal=True)


def told(resolution: Resolution) -> list[object]:
    """What an answer says, without parameters and parties."""
    return [
        (
            one.document_type, one.outcome, one.code, one.person_may_be_asked, one.next_step, one.rule, one.provider,
            one.evidence_type, one.fields, one.replaces, one.named_basis,
        )
        for one in resolution.documents
    ]  # fmt: skip


@st.composite
def questions(draw: st.DrawFn) -> Question:
    procedure = draw(st.sampled_from(sorted(LISTS.procedures)))
    among = [
        agency for agency in LISTS.agencies
        if LISTS.procedures[procedure].conducted_by(agency, LISTS.groups_of(agency, date(2026, 1, 1)))
    ]  # fmt: skip
    document = draw(st.sampled_from(sorted(LISTS.documents)))
    said = {code: draw(st.booleans()) for code in conditions(document, LISTS) if draw(st.booleans())}
    return Question(
        requester=draw(st.one_of(st.sampled_from(among), st.sampled_from(sorted(LISTS.agencies)))),
        procedure=procedure,
        document=document,
        on=draw(DAYS),
        kind=draw(st.sampled_from([None, SubjectKind.PERSON, SubjectKind.BUSINESS])),
        circumstances=said,
    )


@settings(max_examples=400, deadline=None)
@given(questions())
def test_the_answer_is_what_the_resolver_says_of_others(question: Question) -> None:
    found = answered(question, LISTS, STANDING.fetch_mode)
    assert told(found.resolution) == told(of_others(question, found.kind))


def test_who_is_made_up_is_in_order_and_lives_nowhere_else() -> None:
    question = Question("justice-psc", "travel-passport", "photo", date(1, 1, 1), about=SubjectKind.BUSINESS)
    demand, kind = demand_of(question, LISTS)
    assert kind is SubjectKind.PERSON
    assert PersonId(demand.subject.text).born_on == date(1980, 1, 1)
    assert [(party.role, party.kind) for party in demand.parties] == [(OTHER, SubjectKind.BUSINESS)]
    assert demand.documents[0].about == OTHER


@pytest.mark.parametrize(
    ("requester", "procedure", "document", "code"),
    [
        ("nobody", "hiring", "photo", Code.UNKNOWN_REQUESTER),
        ("employer", "nothing", "photo", Code.UNKNOWN_PROCEDURE),
        ("employer", "hiring", "nothing", Code.UNKNOWN_DOCUMENT),
        ("tax-committee", "birth-composite", "photo", Code.PROCEDURE_NOT_YOURS),
    ],
)
def test_what_is_unknown_is_refused_as_the_resolver_refuses_it(
    requester: str, procedure: str, document: str, code: Code
) -> None:
    found = answered(Question(requester, procedure, document, date(2026, 7, 1)), LISTS, STANDING.fetch_mode)
    assert found.document.code is code
    assert found.conducted_by == (("justice-fhdyo",) if code is Code.PROCEDURE_NOT_YOURS else ())


def test_a_circumstance_is_offered_where_the_answer_depends_on_it_and_stays_once_it_is_said() -> None:
    unsaid = Question("employer", "hiring", "residence-certificate", date(2026, 7, 1))
    assert answered(unsaid, LISTS, STANDING.fetch_mode).circumstances == ("city-of-tashkent",)
    assert answered(unsaid, LISTS, STANDING.fetch_mode).document.code is Code.CONDITION_UNSAID
    for is_so, code in ((True, Code.ABOLISHED), (False, Code.NAMED)):
        said = Question(
            "employer", "hiring", "residence-certificate", date(2026, 7, 1), circumstances={"city-of-tashkent": is_so}
        )
        found = answered(said, LISTS, STANDING.fetch_mode)
        assert (found.document.code, found.circumstances) == (code, ("city-of-tashkent",))


def test_what_a_procedure_implies_is_not_asked() -> None:
    implying = [name for name, procedure in LISTS.procedures.items() if procedure.implies]
    assert implying
    for name in implying:
        procedure = LISTS.procedures[name]
        requester = sorted(procedure.conducted_by_agencies)[0]
        for document in LISTS.documents:
            found = answered(Question(requester, name, document, date(2026, 7, 1)), LISTS, STANDING.fetch_mode)
            assert not set(found.circumstances) & set(procedure.implies)


def test_what_replaces_a_paper_is_answered_too() -> None:
    on = date(2026, 7, 1)
    entry = next(e for e in LISTS.prohibited.values() if e.condition == "service-before-2005")
    question = Question(
        "pension-fund", "old-age-pension", entry.document_type, on, circumstances={"service-before-2005": True}
    )
    found = answered(question, LISTS, STANDING.fetch_mode)
    assert found.document.code is Code.REPLACED_BY
    assert [one.document_type for one in found.resolution.documents] == [entry.document_type, "labour-book"]
