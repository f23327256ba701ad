"""Demands and documents that cannot be taken: which failure comes first, and what the boundary days are."""

from dataclasses import replace
from datetime import date

import pytest

from chopar.identifiers import AgencyId, DocumentType, ProcedureId, SubjectKind
from chopar.messages.demand import MAX_DOCUMENTS, ActingAs, FetchMode, Outcome, PersonMayBeAsked
from gateway.demand import Demand, DocumentDemand, Party, Subject
from gateway.list_version import ListVersion
from gateway.resolver import Code, NextStep, Resolution, resolve
from tests.oracle.asking import IDENTIFIERS, OTHER_PERSON, ask, list_files, lists

TODAY = date(2026, 11, 26)
PERSON = Subject(SubjectKind.PERSON, IDENTIFIERS["person"])
BUSINESS = Subject(SubjectKind.BUSINESS, IDENTIFIERS["business"])
SOMEBODY_ELSE = Subject(SubjectKind.PERSON, OTHER_PERSON)


def pinfl(born: str, first: str = "5") -> str:
    """A PINFL of somebody born on DDMMYY, made by its rule."""
    digits = f"{first}{born}001001"
    return digits + str(sum(int(digit) * (7, 3, 1)[place % 3] for place, digit in enumerate(digits)) % 10)


DEMAND = Demand(
    requester=AgencyId("electricity-het"),
    procedure=ProcedureId("electricity-supply-contract"),
    subject=PERSON,
    documents=(DocumentDemand(DocumentType("tax-debt-certificate")),),
)


def answer(
    demand: Demand, on: date = TODAY, version: ListVersion | None = None, *, rehearsal: bool = False
) -> Resolution:
    return resolve(demand, version or lists(), on, FetchMode.INFERRED, rehearsal=rehearsal)


def with_person(text: str) -> Demand:
    return replace(DEMAND, subject=Subject(SubjectKind.PERSON, text))


def lists_with(name: str, old: str, new: str) -> ListVersion:
    files = list_files()
    text = files[name].decode()
    assert text.count(old) == 1
    return ListVersion.from_files({**files, name: text.replace(old, new).encode()})


def assert_refused(resolution: Resolution, code: Code) -> None:
    assert resolution.refused is code
    for document in resolution.documents:
        assert (document.outcome, document.code) == (Outcome.REFUSED, code)
        assert document.person_may_be_asked is PersonMayBeAsked.NO
        assert (document.rule, document.provider, document.subject) == (None, None, None)


def test_bad_input_28_unknown_procedure_or_another_agencys() -> None:
    assert_refused(answer(replace(DEMAND, procedure=ProcedureId("no-such"))), Code.UNKNOWN_PROCEDURE)
    assert_refused(answer(replace(DEMAND, procedure=ProcedureId("gas-connection"))), Code.PROCEDURE_NOT_YOURS)


def test_bad_input_29_basis_starts_tomorrow_or_ended_yesterday() -> None:
    dated = lists_with(
        "regulations.toml",
        'id = "electricity-supply-contract"\n',
        'id = "electricity-supply-contract"\nlegal_basis_from = 2023-01-01\nlegal_basis_until = 2023-12-31\n',
    )
    for day, code in (
        ("2022-12-31", Code.LEGAL_BASIS_NOT_IN_FORCE),
        ("2023-01-01", None),
        ("2023-12-31", None),
        ("2024-01-01", Code.LEGAL_BASIS_NOT_IN_FORCE),
    ):
        resolution = answer(DEMAND, date.fromisoformat(day), dated)
        assert resolution.refused is code, day
    refused = answer(DEMAND, date(2024, 1, 1), dated)
    assert_refused(refused, Code.LEGAL_BASIS_NOT_IN_FORCE)
    assert refused.documents[0].next_step is NextStep.ASK_LAWYER


def test_bad_input_29_a_stated_start_from_the_facts() -> None:
    def notary(day: str) -> Code | None:
        return ask(
            requester="justice-notary",
            procedure="notary-identity-check",
            documents=["identity-document-copy"],
            day=day,
        ).refused

    assert notary("2018-12-31") is Code.LEGAL_BASIS_NOT_IN_FORCE
    assert notary("2019-01-01") is None


def test_bad_input_30_prohibited_document_is_never_passed_on_to_the_person() -> None:
    for entry in lists().prohibited.values():
        for requester, procedure in (
            ("electricity-het", "electricity-supply-contract"),
            ("justice-notary", "real-estate-sale-notary-residential"),
            ("social-protection-agency", "child-benefit"),
        ):
            resolution = ask(
                requester=requester, procedure=procedure, documents=[entry.document_type], day="2026-11-26"
            )
            for document in resolution.documents:
                if document.rule is not None and document.outcome is not Outcome.UNDETERMINED:
                    assert document.person_may_be_asked is PersonMayBeAsked.NO


def test_bad_input_31_document_on_no_list_is_not_guessed() -> None:
    resolution = answer(
        replace(DEMAND, documents=(DocumentDemand(DocumentType("tax-debt-certificat")), *DEMAND.documents))
    )
    unknown, known = resolution.documents
    assert resolution.refused is None
    assert (unknown.outcome, unknown.code, unknown.rule) == (Outcome.REFUSED, Code.UNKNOWN_DOCUMENT, None)
    assert known.code is Code.GROUND


def test_bad_input_32_prohibited_document_without_a_connected_provider() -> None:
    resolution = ask(
        requester="electricity-het",
        procedure="electricity-supply-contract",
        documents=["address-reference-certificate"],
        day="2026-11-26",
    )
    (document,) = resolution.documents
    assert (document.outcome, document.code) == (Outcome.GAP, Code.HOLDER_NOT_CONNECTED)
    assert document.person_may_be_asked is PersonMayBeAsked.NO
    assert document.provider == "mia-migration"
    assert document.next_step is NextStep.REQUEST_BY_OFFICIAL_LETTER


def test_bad_input_34_fields_are_those_of_the_ground_of_this_requester() -> None:
    communal = answer(DEMAND).documents[0]
    assert communal.fields == ("has_debt",)
    notary = ask(
        requester="justice-notary",
        procedure="real-estate-sale-notary-non-residential",
        documents=["tax-debt-certificate"],
        kind="business",
        day="2026-11-26",
    ).documents[0]
    assert notary.evidence_type == communal.evidence_type
    assert set(notary.fields) > set(communal.fields)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("3010190001001", Code.MALFORMED_IDENTIFIER),
        ("301019000100AB", Code.MALFORMED_IDENTIFIER),
        ("30101900010019", Code.MALFORMED_IDENTIFIER),
        ("33002900010019", Code.MALFORMED_IDENTIFIER),
        ("３０１０１９０００１００１８", Code.FORBIDDEN_CHARACTERS),
        ("", Code.MALFORMED_IDENTIFIER),
    ],
    ids=["13-digits", "letters", "check-digit", "30-february", "full-width", "empty"],
)
def test_bad_input_35_pinfl_malformed(text: str, code: Code) -> None:
    assert_refused(answer(with_person(text)), code)


def test_bad_input_38_stir_where_a_pinfl_is_due_and_the_reverse() -> None:
    assert_refused(answer(with_person(IDENTIFIERS["business"])), Code.WRONG_IDENTIFIER_KIND)
    swapped = replace(DEMAND, subject=Subject(SubjectKind.BUSINESS, IDENTIFIERS["person"]))
    assert_refused(answer(swapped), Code.WRONG_IDENTIFIER_KIND)


@pytest.mark.parametrize(
    "text", ["3010190001\u202e0018", "30101900010\x00018", "\t30101900010018", "30101900010\u06450018"]
)
def test_bad_input_44_right_to_left_or_control_characters(text: str) -> None:
    assert_refused(answer(with_person(text)), Code.FORBIDDEN_CHARACTERS)
    assert_refused(
        answer(replace(DEMAND, parties=(Party("other", SubjectKind.PERSON, text),))), Code.FORBIDDEN_CHARACTERS
    )
    document = DocumentDemand(DocumentType("tax-debt-certificate"), None, {"account_address": text})
    assert_refused(answer(replace(DEMAND, documents=(document,))), Code.FORBIDDEN_CHARACTERS)


def test_the_second_person_is_checked_like_the_first() -> None:
    def second(text: str) -> Resolution:
        document = DocumentDemand(DocumentType("tax-debt-certificate"), None, {"second_person": text})
        return answer(replace(DEMAND, documents=(document,)))

    assert_refused(second("30101900010019"), Code.MALFORMED_IDENTIFIER)
    assert_refused(second(IDENTIFIERS["business"]), Code.WRONG_IDENTIFIER_KIND)
    assert second(OTHER_PERSON).refused is None


def test_a_blank_parameter_is_a_missing_one() -> None:
    document = DocumentDemand(DocumentType("gas-debt-certificate"), None, {"account_address": "  "})
    demand = replace(
        DEMAND,
        requester=AgencyId("justice-notary"),
        procedure=ProcedureId("real-estate-sale-notary-residential"),
        documents=(document,),
    )
    assert answer(demand).documents[0].code is Code.MISSING_PARAMETER


def test_the_first_failure_refuses_the_whole_demand() -> None:
    """Each step mends one flaw of a demand that has all of them, and the next flaw shows."""
    version = lists_with(
        "regulations.toml",
        'id = "gas-cylinder-supply"\n',
        'id = "gas-cylinder-supply"\nlegal_basis_from = 2026-04-17\n',
    )
    demand = Demand(
        requester=AgencyId("nobody"),
        procedure=ProcedureId("no-such"),
        subject=Subject(SubjectKind.BUSINESS, "1"),
        documents=DEMAND.documents,
        acting_as=ActingAs.EX_OFFICIO,
    )
    day = date(2020, 1, 1)
    steps = [
        (Code.UNKNOWN_REQUESTER, {"requester": AgencyId("general-school")}),
        (Code.REQUESTER_HAS_NO_CONNECTION, {"requester": AgencyId("electricity-het")}),
        (Code.UNKNOWN_PROCEDURE, {"procedure": ProcedureId("gas-cylinder-supply")}),
        (Code.PROCEDURE_NOT_YOURS, {"requester": AgencyId("gas-hududgaz")}),
        (Code.LEGAL_BASIS_NOT_IN_FORCE, {}),
        (Code.WRONG_SUBJECT, {"subject": Subject(SubjectKind.PERSON, "1")}),
        (Code.MALFORMED_IDENTIFIER, {"subject": PERSON}),
        (Code.NOT_ENTITLED_TO_ACT, {"acting_as": ActingAs.SELF}),
    ]
    for code, mend in steps:
        assert_refused(answer(demand, day, version), code)
        demand = replace(demand, **mend)  # type: ignore[arg-type]
        if code is Code.LEGAL_BASIS_NOT_IN_FORCE:
            day = TODAY
    assert answer(demand, day, version).refused is None


def test_an_unknown_role_and_one_that_two_parties_have() -> None:
    document = DocumentDemand(DocumentType("tax-debt-certificate"), "owner")
    owner = Party("owner", SubjectKind.PERSON, OTHER_PERSON)
    for parties, code in (
        ((), Code.UNKNOWN_ROLE),
        ((owner,), Code.GROUND),
        ((owner, Party("owner", SubjectKind.BUSINESS, IDENTIFIERS["business"])), Code.UNKNOWN_ROLE),
    ):
        resolution = answer(replace(DEMAND, documents=(document,), parties=parties))
        assert [one.code for one in resolution.documents] == [code]


@pytest.mark.parametrize(
    ("acting_as", "subject", "applicant", "entitled"),
    [
        (ActingAs.SELF, PERSON, None, True),
        (ActingAs.SELF, PERSON, PERSON, True),
        (ActingAs.SELF, PERSON, SOMEBODY_ELSE, False),
        (ActingAs.SELF, BUSINESS, BUSINESS, True),
        (ActingAs.REPRESENTATIVE, BUSINESS, PERSON, True),
        (ActingAs.REPRESENTATIVE, PERSON, BUSINESS, True),
        (ActingAs.REPRESENTATIVE, PERSON, None, False),
        (ActingAs.REPRESENTATIVE, PERSON, PERSON, False),
        (ActingAs.PARENT, BUSINESS, PERSON, False),
        (ActingAs.PARENT, PERSON, SOMEBODY_ELSE, False),
        (ActingAs.GUARDIAN, PERSON, SOMEBODY_ELSE, True),
        (ActingAs.GUARDIAN, PERSON, BUSINESS, False),
        (ActingAs.EX_OFFICIO, PERSON, None, False),
    ],
)
def test_who_may_act_for_whom(acting_as: ActingAs, subject: Subject, applicant: Subject | None, entitled: bool) -> None:
    resolution = answer(replace(DEMAND, subject=subject, applicant=applicant, acting_as=acting_as))
    assert resolution.refused is (None if entitled else Code.NOT_ENTITLED_TO_ACT)


def test_a_parent_acts_until_the_day_before_the_eighteenth_birthday() -> None:
    demand = replace(
        DEMAND,
        subject=Subject(SubjectKind.PERSON, pinfl("261108")),
        applicant=PERSON,
        acting_as=ActingAs.PARENT,
    )
    assert answer(demand, date(2026, 11, 25)).refused is None
    assert answer(demand, date(2026, 11, 26)).refused is Code.NOT_ENTITLED_TO_ACT


def test_an_agency_acts_of_its_own_motion_only_where_no_application_is_needed() -> None:
    demand = Demand(
        requester=AgencyId("pension-fund"),
        procedure=ProcedureId("disability-pension-proactive"),
        subject=PERSON,
        documents=(DocumentDemand(DocumentType("disability-certificate")),),
        acting_as=ActingAs.EX_OFFICIO,
    )
    assert answer(demand).refused is None
    assert answer(replace(demand, procedure=ProcedureId("old-age-pension"))).refused is Code.NOT_ENTITLED_TO_ACT


def many(count: int, document_type: str = "tax-debt-certificate") -> tuple[DocumentDemand, ...]:
    return tuple(DocumentDemand(DocumentType(document_type), None, {"period": str(number)}) for number in range(count))


def test_two_equal_documents_are_one_whatever_the_order_of_their_parameters() -> None:
    type_ = DocumentType("tax-debt-certificate")
    resolution = answer(
        replace(
            DEMAND,
            documents=(
                DocumentDemand(type_, None, {"period": "1", "plate": "2"}),
                DocumentDemand(type_, None, {"plate": "2", "period": "1"}),
                DocumentDemand(type_),
            ),
        )
    )
    assert [dict(document.parameters) for document in resolution.documents] == [{"period": "1", "plate": "2"}, {}]


def test_64_distinct_documents_and_not_one_more() -> None:
    assert len(answer(replace(DEMAND, documents=many(MAX_DOCUMENTS) * 2)).documents) == MAX_DOCUMENTS
    refused = answer(replace(DEMAND, documents=many(1000), requester=AgencyId("nobody")))
    assert_refused(refused, Code.TOO_MANY_DOCUMENTS)
    assert len(refused.documents) == MAX_DOCUMENTS


def pension(documents: tuple[DocumentDemand, ...]) -> Resolution:
    return answer(
        Demand(
            requester=AgencyId("pension-fund"),
            procedure=ProcedureId("old-age-pension"),
            subject=PERSON,
            documents=documents,
            circumstances={"service-before-2005": True},
        )
    )


def test_a_replacement_that_is_demanded_too_is_one_document() -> None:
    resolution = pension((*many(1, "labour-book"), *many(1, "length-of-service-document")))
    assert [document.document_type for document in resolution.documents] == [
        "labour-book",
        "length-of-service-document",
    ]
    assert [document.replaces for document in resolution.documents] == [None, None]


def test_replacements_count_and_what_they_push_over_the_limit_is_refused_whole() -> None:
    half = MAX_DOCUMENTS // 2
    assert len(pension(many(half, "length-of-service-document")).documents) == MAX_DOCUMENTS
    refused = pension(many(half + 1, "length-of-service-document"))
    assert_refused(refused, Code.TOO_MANY_DOCUMENTS)
    assert len(refused.documents) == half + 1


def test_a_replacement_has_the_same_party_and_parameters() -> None:
    resolution = answer(
        Demand(
            requester=AgencyId("pension-fund"),
            procedure=ProcedureId("old-age-pension"),
            subject=PERSON,
            parties=(Party("spouse", SubjectKind.PERSON, OTHER_PERSON),),
            documents=(DocumentDemand(DocumentType("length-of-service-document"), "spouse", {"period": "1990"}),),
            circumstances={"service-before-2005": True},
        )
    )
    assert [(document.about, dict(document.parameters)) for document in resolution.documents] == [
        ("spouse", {"period": "1990"})
    ] * 2


def test_identifiers_and_parameters_stay_out_of_what_is_printed() -> None:
    demand = replace(DEMAND, parties=(Party("other", SubjectKind.PERSON, OTHER_PERSON),), documents=many(1))
    printed = repr(demand) + repr(answer(demand))
    assert PERSON.text not in printed
    assert OTHER_PERSON not in printed
    assert "period" not in printed
