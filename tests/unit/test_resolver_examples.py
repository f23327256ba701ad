"""Cases by hand: what an agency is told, in the words of the design."""

from datetime import date, timedelta

from chopar.identifiers import AgencyId, DocumentType, ProcedureId, SubjectKind
from chopar.messages.demand import FetchMode
from gateway.demand import Demand, DocumentDemand, Party, Subject
from gateway.lists.vocabulary import Basis, DateBasis, TextRead
from gateway.resolver import NextStep, Resolution, ResolvedDocument, resolve
from tests.oracle.asking import OTHER_PERSON, ask, lists

TODAY = "2026-11-26"
DISPENSARY_PAPERS = (
    "psychoneurological-registration-certificate",
    "narcological-registration-certificate",
    "criminal-record-certificate",
)
SIX_PAPERS = (
    *DISPENSARY_PAPERS,
    "tax-debt-certificate",
    "private-housing-certificate",
    "address-reference-certificate",
)


def outcomes(resolution: Resolution) -> dict[str, str]:
    return {document.document_type: f"{document.outcome} / {document.code}" for document in resolution.documents}


def one(resolution: Resolution) -> ResolvedDocument:
    (document,) = resolution.documents
    return document


def electricity(day: str = TODAY, **also: object) -> Resolution:
    return ask(
        requester="electricity-het",
        procedure="electricity-supply-contract",
        documents=SIX_PAPERS,
        day=day,
        **{"rehearsal": False, **also},  # type: ignore[arg-type]
    )


def test_the_six_communal_papers_of_a_person_today() -> None:
    resolution = electricity()

    assert outcomes(resolution) == {
        **dict.fromkeys(DISPENSARY_PAPERS, "not_needed / no_ground_to_know"),
        "tax-debt-certificate": "fetch / ground",
        "private-housing-certificate": "gap / holder_not_connected",
        "address-reference-certificate": "gap / holder_not_connected",
    }
    assert {document.person_may_be_asked for document in resolution.documents} == {"no"}
    assert resolution.list_digest == lists().digest
    assert resolution.legal_basis_start is Basis.INFERRED
    tax_debt = resolution.documents[3]
    assert tax_debt.fields == ("has_debt",)
    assert (tax_debt.provider, tax_debt.evidence_type, tax_debt.due) == ("tax-committee", "tax-debt", timedelta(days=1))
    assert tax_debt.subject == Subject(SubjectKind.PERSON, "30101900010018")
    assert tax_debt.next_step is NextStep.WAIT_FOR_EVIDENCE
    assert tax_debt.rule is not None
    assert tax_debt.rule.entry == "tax-debt-certificate-communal"
    assert tax_debt.rule.in_force_from == date(2022, 7, 1)
    assert tax_debt.rule.in_force_basis is DateBasis.IN_FORCE
    assert (tax_debt.rule.confidence, tax_debt.rule.disposition_basis) == (Basis.STATED, Basis.INFERRED)
    assert tax_debt.rule.text_read is TextRead.PRESS
    assert tax_debt.rule.coverage == "knows 6 of 32"
    assert "UP-113" in tax_debt.rule.act
    assert tax_debt.rule.source.startswith("http") or "Newsletter" in tax_debt.rule.source
    assert tax_debt.rule.ground is not None
    assert (tax_debt.rule.ground.basis, tax_debt.rule.ground.act) == (Basis.INFERRED, "")
    housing = resolution.documents[4]
    assert (housing.provider, housing.due, housing.subject) == ("cadastre-agency", None, None)
    assert housing.next_step is NextStep.REQUEST_BY_OFFICIAL_LETTER
    for document in resolution.documents[:3]:
        assert (document.provider, document.evidence_type, document.fields) == (None, None, ())


def test_the_six_communal_papers_with_every_holder_connected() -> None:
    connected = electricity(version=lists(all_connected=True))

    assert outcomes(connected) == {
        **dict.fromkeys(DISPENSARY_PAPERS, "not_needed / no_ground_to_know"),
        **dict.fromkeys(SIX_PAPERS[3:], "fetch / ground"),
    }


def test_the_six_communal_papers_in_verified_mode_are_gaps_that_nobody_sends_for() -> None:
    resolution = electricity(mode="verified")

    assert outcomes(resolution) == {
        **dict.fromkeys(DISPENSARY_PAPERS, "not_needed / no_ground_to_know"),
        **dict.fromkeys(SIX_PAPERS[3:], "gap / ground_not_verified"),
    }


def test_the_six_communal_papers_the_day_before_and_on_the_first_day() -> None:
    before, first = electricity("2022-06-30"), electricity("2022-07-01")

    assert outcomes(before) == dict.fromkeys(SIX_PAPERS, "may_be_asked / named")
    assert {document.named_basis for document in before.documents} == {Basis.INFERRED}
    assert {document.person_may_be_asked for document in before.documents} == {"yes"}
    assert {document.rule for document in before.documents} == {None}
    assert outcomes(first) == outcomes(electricity())


def test_a_business_is_asked_for_its_own_tax_debt_and_not_for_a_dwelling() -> None:
    assert outcomes(electricity(kind="business")) == {
        **dict.fromkeys(DISPENSARY_PAPERS, "not_needed / no_ground_to_know"),
        "tax-debt-certificate": "fetch / ground",
        "private-housing-certificate": "not_needed / not_about_subject",
        "address-reference-certificate": "not_needed / not_about_subject",
    }


def test_tax_clearance_at_the_notary_for_a_firm_comes_with_amounts() -> None:
    document = one(
        ask(
            requester="justice-notary",
            procedure="real-estate-sale-notary-non-residential",
            documents=["tax-debt-certificate"],
            kind="business",
            day=TODAY,
            rehearsal=False,
        )
    )

    assert (document.outcome, document.code) == ("fetch", "ground")
    assert document.fields == ("has_debt", "debts.tax", "debts.amount_tiyin")
    assert document.rule is not None
    assert document.rule.ground is not None
    assert document.rule.ground.basis is Basis.STATED
    assert document.rule.coverage == "not complete"


def test_what_the_procedure_implies_overrides_what_the_demand_says() -> None:
    for said in ({}, {"non-residential": "no"}, {"non-residential": "yes"}):
        document = one(
            ask(
                requester="justice-notary",
                procedure="real-estate-sale-notary-non-residential",
                documents=["electricity-debt-certificate"],
                kind="business",
                day=TODAY,
                circumstances=said,
                given=["account_address"],
            )
        )
        assert (document.outcome, document.code) == ("fetch", "ground")


def test_an_object_needs_its_parameter() -> None:
    document = one(
        ask(
            requester="justice-notary",
            procedure="real-estate-sale-notary-residential",
            documents=["gas-debt-certificate"],
            day=TODAY,
        )
    )

    assert (document.outcome, document.code) == ("refused", "missing_parameter")
    assert document.person_may_be_asked == "no"
    assert document.next_step is NextStep.GIVE_PARAMETER
    assert document.rule is not None
    assert document.rule.entry == "gas-debt-certificate-notary-real-estate"


def school(requester: str, **also: object) -> dict[str, str]:
    return outcomes(
        ask(
            requester=requester,
            procedure="school-first-grade",
            documents=["identity-document-copy", "birth-certificate-copy", "photo"],
            **{"day": TODAY, "given": ["second_person"], **also},  # type: ignore[arg-type]
        )
    )


def test_school_admission_asks_the_school_and_its_ministry_under_different_rows() -> None:
    assert school("general-school") == {
        "identity-document-copy": "gap / holder_not_connected",
        "birth-certificate-copy": "fetch / ground",
        "photo": "not_needed / abolished",
    }
    # The ministry is no general school: for it the photograph is fetched, and no row speaks of the birth certificate,
    # which the regulation has not named since 2022-06-01.
    assert school("preschool-school-ministry") == {
        "identity-document-copy": "gap / holder_not_connected",
        "birth-certificate-copy": "refused / not_in_procedure",
        "photo": "gap / holder_not_connected",
    }
    assert school("general-school", day="2022-05-31") == dict.fromkeys(
        ("identity-document-copy", "birth-certificate-copy", "photo"), "may_be_asked / named"
    )


def pension(day: str = TODAY, **circumstances: str) -> Resolution:
    return ask(
        requester="pension-fund",
        procedure="old-age-pension",
        documents=["length-of-service-document"],
        day=day,
        circumstances={"service-before-2005": circumstances["before_2005"]} if circumstances else {},
    )


def test_service_before_2005_is_replaced_and_the_replacement_is_resolved_again() -> None:
    resolution = pension(before_2005="yes")

    replaced, labour_book = resolution.documents
    assert (replaced.outcome, replaced.code) == ("replaced", "replaced_by")
    assert (replaced.replaced_by, replaced.next_step) == ("labour-book", NextStep.SEE_REPLACEMENT)
    assert replaced.rule is not None
    assert replaced.rule.entry == "pre-2005-service-supporting-documents-pension"
    assert replaced.rule.also_binding == ("length-of-service-document-pension",)
    assert labour_book.document_type == "labour-book"
    assert labour_book.replaces == "length-of-service-document"
    assert (labour_book.outcome, labour_book.code) == ("gap", "holder_not_connected")
    assert labour_book.provider == "employment-ministry"
    assert labour_book.rule is not None
    assert labour_book.rule.also_binding == ("labour-book-copy",)
    assert labour_book.rule.coverage == "knows 4 of 73"


def test_service_before_2005_before_the_labour_book_was_barred_for_certain() -> None:
    replaced, labour_book = pension("2021-07-01", before_2005="yes").documents

    assert replaced.code == "replaced_by"
    assert (labour_book.outcome, labour_book.code) == ("undetermined", "start_not_established")
    assert labour_book.next_step is NextStep.ASK_LAWYER


def test_service_before_2005_unsaid_or_no_is_taken_from_the_labour_system() -> None:
    for resolution in (pension(), pension(before_2005="no")):
        document = one(resolution)
        assert (document.outcome, document.code) == ("gap", "holder_not_connected")
        assert document.rule is not None
        assert document.rule.entry == "length-of-service-document-pension"


def test_wages_stand_in_the_pension_funds_own_register() -> None:
    document = one(
        ask(requester="pension-fund", procedure="old-age-pension", documents=["wage-certificate"], day=TODAY)
    )

    assert (document.outcome, document.code) == ("replaced", "own_register")
    assert document.next_step is NextStep.LOOK_IN_OWN_REGISTER


def passport(documents: list[str], **also: object) -> Resolution:
    return ask(procedure="travel-passport", documents=documents, **{"requester": "mia-migration", "day": TODAY, **also})  # type: ignore[arg-type]


def test_travel_passport_by_condition() -> None:
    unsaid = one(passport(["military-id-copy"]))
    assert (unsaid.outcome, unsaid.code) == ("undetermined", "condition_unsaid")
    assert (unsaid.person_may_be_asked, unsaid.next_step) == ("undetermined", NextStep.SAY_CIRCUMSTANCE)
    liable = one(passport(["military-id-copy"], circumstances={"liable-for-service-18-27": "yes"}))
    assert (liable.outcome, liable.code) == ("not_needed", "abolished")
    # Named before the change and the bar does not hold: the paper may still be asked for.
    not_liable = one(passport(["military-id-copy"], circumstances={"liable-for-service-18-27": "no"}))
    assert (not_liable.outcome, not_liable.code, not_liable.named_basis) == ("may_be_asked", "named", Basis.STATED)


def test_travel_passport_before_a_day_that_is_no_first_day() -> None:
    document = one(passport(["paper-questionnaire"], day="2022-07-31"))
    assert (document.outcome, document.code) == ("undetermined", "start_not_established")
    replaced = one(passport(["paper-questionnaire"]))
    assert (replaced.outcome, replaced.code, replaced.replaced_by) == ("replaced", "replaced_by", None)
    assert replaced.next_step is NextStep.GO_ON_WITH_REPLACEMENT


def test_special_data_with_a_named_ground_for_those_on_the_consular_register() -> None:
    on_register = {"on-consular-register": "yes"}
    document = one(passport(["disability-certificate"], circumstances=on_register, requester="consular-institution"))
    assert (document.outcome, document.code, document.provider) == (
        "gap",
        "holder_not_connected",
        "disability-commission",
    )
    # A public service centre conducts the procedure and is bound by no row on this paper; nothing names it.
    centre = one(passport(["disability-certificate"], circumstances=on_register, requester="justice-psc"))
    assert (centre.outcome, centre.code) == ("refused", "not_in_procedure")


def test_hiring() -> None:
    def hire(requester: str, document: str, day: str = TODAY, **circumstances: str) -> ResolvedDocument:
        said = {"city-of-tashkent": circumstances["tashkent"]} if circumstances else {}
        return one(ask(requester=requester, procedure="hiring", documents=[document], day=day, circumstances=said))

    state = hire("courts", "labour-book")
    assert (state.outcome, state.code) == ("gap", "holder_not_connected")
    assert "periods.employer" in state.fields
    private = hire("employer", "labour-book")
    assert (private.outcome, private.code) == ("may_be_asked", "named")
    # The date is that of a report: what was so the day before is not known.
    early = hire("courts", "labour-book", "2025-02-16")
    assert (early.outcome, early.code) == ("undetermined", "start_not_established")
    # No date was found at all: it binds.
    registered = hire("employer", "residence-certificate", "2019-01-01", tashkent="yes")
    assert (registered.outcome, registered.code) == ("not_needed", "abolished")
    assert hire("employer", "residence-certificate", tashkent="no").code == "named"
    assert hire("employer", "residence-certificate").code == "condition_unsaid"
    own = hire("personalisation-centre", "identity-document-copy")
    assert (own.outcome, own.code) == ("replaced", "own_register")


def test_roadside_check_looks_in_its_own_register_and_needs_no_plate_for_it() -> None:
    resolution = ask(
        requester="mia-road-safety",
        procedure="roadside-check",
        documents=["driving-licence", "vehicle-registration-certificate", "motor-insurance-policy"],
        day=TODAY,
        circumstances={"carries-biometric-passport-or-id-card": "yes"},
        rehearsal=False,
    )

    assert outcomes(resolution) == {
        "driving-licence": "replaced / own_register",
        "vehicle-registration-certificate": "replaced / own_register",
        "motor-insurance-policy": "refused / missing_parameter",
    }


def test_marriage_asks_for_no_examination_paper_since_december_2025() -> None:
    def examination(day: str) -> ResolvedDocument:
        return one(
            ask(
                requester="justice-fhdyo",
                procedure="marriage-registration",
                documents=["marriage-medical-examination-result"],
                day=day,
            )
        )

    assert examination("2025-11-30").code == "named"
    since = examination("2025-12-01")
    assert (since.outcome, since.code, since.provider) == ("gap", "holder_not_connected", "health-ministry")
    assert since.fields == ("examined", "examined_on", "valid_until")
    assert since.rule is not None
    assert since.rule.coverage == "knows 3 of 30"


def test_medical_birth_certificate_was_barred_before_anybody_had_a_ground_to_know() -> None:
    def birth(day: str) -> ResolvedDocument:
        return one(
            ask(
                requester="justice-fhdyo",
                procedure="birth-composite",
                documents=["medical-birth-certificate"],
                day=day,
                version=lists(all_connected=True),
            )
        )

    before = birth("2023-05-31")
    assert (before.outcome, before.code) == ("not_needed", "no_ground_to_know")
    assert (birth("2023-06-01").outcome, birth("2023-06-01").code) == ("fetch", "ground")
    # Before the bar: no source says that the procedure named it.
    assert birth("2020-08-31").code == "not_in_procedure"


def test_a_ban_in_any_public_service_gives_no_ground_in_all_of_them() -> None:
    def photo(procedure: str) -> ResolvedDocument:
        return one(ask(requester="cadastre-agency", procedure=procedure, documents=["photo"], day=TODAY))

    unrelated = photo("cadastral-passport")
    assert (unrelated.outcome, unrelated.code, unrelated.person_may_be_asked) == (
        "not_needed",
        "no_ground_to_know",
        "no",
    )
    identity = one(
        ask(
            requester="cadastre-agency", procedure="cadastral-passport", documents=["identity-document-copy"], day=TODAY
        )
    )
    assert identity.provider == "personalisation-centre"


def test_kinds_that_decide_are_those_of_the_party_a_document_is_about() -> None:
    demand = Demand(
        requester=AgencyId("electricity-het"),
        procedure=ProcedureId("electricity-supply-contract"),
        subject=Subject(SubjectKind.BUSINESS, "301234567"),
        parties=(Party("director", SubjectKind.PERSON, OTHER_PERSON),),
        documents=(
            DocumentDemand(DocumentType("private-housing-certificate"), "director"),
            DocumentDemand(DocumentType("private-housing-certificate")),
            DocumentDemand(DocumentType("tax-debt-certificate"), "director"),
        ),
    )

    of_director, of_firm, debt = resolve(demand, lists(), date(2026, 11, 26), FetchMode.INFERRED).documents

    assert (of_director.about, of_director.code) == ("director", "holder_not_connected")
    assert (of_firm.about, of_firm.code) == (None, "not_about_subject")
    assert (debt.code, debt.subject) == ("ground", Subject(SubjectKind.PERSON, OTHER_PERSON))
