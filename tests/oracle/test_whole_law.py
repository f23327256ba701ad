"""Everything that can be asked of the lists, at every day on which something changes: resolver against oracle."""

from collections import defaultdict
from datetime import date, timedelta
from itertools import product

import pytest

from tests.oracle.asking import PARAMETERS, ask, in_words, lists
from tests.oracle.plain_reading import Expected, Law, cells

LAW = Law()
TODAY = "2026-11-26"
CONDITIONS = sorted({row["condition"] for row in LAW.rows if row["condition"]})
EVERY_ANSWER = [{}, dict.fromkeys(CONDITIONS, "yes"), dict.fromkeys(CONDITIONS, "no")]
UTILITIES = (
    "electricity-het",
    "gas-hududgaz",
    "heat-supply",
    "telecom-operator",
    "waste-collection",
    "water-uzsuvtaminot",
)
CIVIL_STATUS = (
    "birth-act", "death-act", "divorce-act", "family-composition", "kinship", "lone-parent-status", "marital-status",
    "marriage-act", "name-change-act", "paternity-act",
)  # fmt: skip
CONNECTED_TODAY = {
    ("tax-committee", "tax-debt"),
    ("social-protection-agency", "social-register-category"),
    *((company, "utility-debt") for company in UTILITIES),
    *(("justice-fhdyo", evidence_type) for evidence_type in CIVIL_STATUS),
}
ALL_CONNECTED = {
    (row["holder_agency"], LAW.evidence[row["id"]]["evidence_type"])
    for row in LAW.rows
    if row["disposition"] == "fetch"
}
# mode, all holders connected, every named act read as published
WORLDS = [
    ("inferred", False, False),
    ("inferred", True, False),
    ("verified", True, False),
    ("verified", True, True),
    ("verified", False, True),
]


def eve(day: str) -> str:
    return (date.fromisoformat(day) - timedelta(days=1)).isoformat()


def kinds_of(procedure: str) -> list[str]:
    subject = LAW.procedures[procedure]["subject"]
    return ["person", "business"] if subject == "both" else [subject]


CONDUCTED = [
    (requester, procedure)
    for requester, procedure in product(sorted(LAW.agencies), LAW.procedures)
    if LAW.conducts(requester, procedure, TODAY)
]


def days_of(document: str, procedure: str) -> list[str]:
    """Today, and each day with its eve on which something about a document begins or changes."""
    turning = {row["effective_from"] for row in LAW.rows if row["document_type"] == document}
    turning |= {LAW.evidence[row["id"]]["ground_from"] for row in LAW.rows if row["id"] in LAW.evidence}
    turning.add(LAW.changed_on(procedure))
    turning.discard("")
    return sorted({TODAY, *turning, *(eve(day) for day in turning)})


def questions(requester: str, procedure: str, kind: str) -> dict[tuple[str, int, bool, int], list[str]]:
    """Documents to ask for, by (day, answers to conditions, parameters given, world)."""
    batches: dict[tuple[str, int, bool, int], list[str]] = defaultdict(list)
    for document in LAW.document_types:
        rows = LAW.applicable(document, requester, procedure, kind, TODAY)
        answers = range(3) if any(row["condition"] for row in rows) else range(1)
        given = (True, False) if any(row["parameters"] for row in rows) else (True,)
        worlds = range(len(WORLDS)) if any(row["disposition"] == "fetch" for row in rows) else range(1)
        days = days_of(document, procedure) if rows else [TODAY, LAW.changed_on(procedure) or TODAY]
        for key in product(dict.fromkeys(days), answers, given, worlds):
            batches[key].append(document)
    return batches


@pytest.mark.parametrize(("requester", "procedure"), CONDUCTED, ids=[f"{who}-{what}" for who, what in CONDUCTED])
def test_resolver_reads_the_law_as_the_oracle_does(requester: str, procedure: str) -> None:
    subjects = kinds_of(procedure)
    for kind in ("person", "business"):
        subject, party = (kind, None) if kind in subjects else (subjects[0], kind)
        for (day, answers, given, world), documents in questions(requester, procedure, kind).items():
            mode, all_connected, all_read = WORLDS[world]
            resolution = ask(
                requester=requester,
                procedure=procedure,
                documents=documents,
                day=day,
                kind=subject,
                party=party,
                circumstances=EVERY_ANSWER[answers],
                given=PARAMETERS if given else (),
                mode=mode,
                version=lists(all_connected=all_connected, all_read=all_read),
            )
            if not LAW.basis_in_force(procedure, day):
                assert resolution.refused == "legal_basis_not_in_force"
                continue
            assert resolution.refused is None
            found = [in_words(document) for document in resolution.documents if document.replaces is None]
            expected = [
                LAW.expected(
                    requester=requester,
                    procedure=procedure,
                    document=document,
                    kind=kind,
                    day=day,
                    circumstances=EVERY_ANSWER[answers],
                    given=set(PARAMETERS) if given else set(),
                    mode=mode,
                    connected=ALL_CONNECTED if all_connected else CONNECTED_TODAY,
                    read_officially=all_read,
                )
                for document in documents
            ]
            assert dict(zip(documents, found, strict=True)) == dict(zip(documents, expected, strict=True)), (
                requester,
                procedure,
                kind,
                day,
                EVERY_ANSWER[answers],
                mode,
            )


def test_a_procedure_is_conducted_by_whom_the_facts_name() -> None:
    for requester, procedure in product(LAW.agencies, LAW.procedures):
        kind = kinds_of(procedure)[0]
        resolution = ask(requester=requester, procedure=procedure, documents=["photo"], day=TODAY, kind=kind)
        is_theirs = (requester, procedure) in CONDUCTED
        assert (resolution.refused is None) is is_theirs, (requester, procedure)
        assert is_theirs or resolution.refused == "procedure_not_yours"


def test_a_group_representative_is_refused_in_a_real_demand_only() -> None:
    for requester, agency in LAW.agencies.items():
        resolution = ask(
            requester=requester, procedure="no-such-procedure", documents=["photo"], day=TODAY, rehearsal=False
        )
        stands_for_many = agency["kind"] == "group-representative"
        assert resolution.refused == ("requester_has_no_connection" if stands_for_many else "unknown_procedure")


def askings_of(row_id: str) -> list[tuple[str, str, str]]:
    """Requester, procedure and kind in which a row speaks; by the oracle."""
    row = LAW.by_id[row_id]
    return [
        (requester, procedure, kind)
        for requester, procedure in CONDUCTED
        for kind in ("person", "business")
        if row in LAW.applicable(row["document_type"], requester, procedure, kind, TODAY)
    ]


def answer_about(row_id: str, asking: tuple[str, str, str], day: str, said: str | None) -> Expected:
    requester, procedure, kind = asking
    row, subjects = LAW.by_id[row_id], kinds_of(procedure)
    subject, party = (kind, None) if kind in subjects else (subjects[0], kind)
    resolution = ask(
        requester=requester,
        procedure=procedure,
        documents=[row["document_type"]],
        day=day,
        kind=subject,
        party=party,
        circumstances={row["condition"]: said} if said and row["condition"] else {},
        given=cells(row["parameters"]),
    )
    return in_words(resolution.documents[0])


# Rows that never decide: another row of the same document always comes first. Each must stand in `also_binding`.
NEVER_FIRST = {
    "labour-book-copy": "binds whom labour-book binds, in the same procedures, from the same day; later by its id",
    "care-of-disabled-person-certificate-mahalla": "four rows on care-certificate differ in whom is cared for only; "
    "a demand does not say it, the first by id decides",
    "care-of-lone-person-certificate-mahalla": "as above",
    "care-of-pensioner-certificate-mahalla": "as above",
}


@pytest.mark.parametrize("row_id", LAW.by_id)
def test_every_row_is_reached_and_decides_or_also_binds(row_id: str) -> None:
    askings = askings_of(row_id)
    assert askings, "no requester with a procedure is bound by it"
    answers = [answer_about(row_id, asking, TODAY, "yes") for asking in askings]
    for answer in answers:
        # `implies` can put a condition out; then it is said nowhere.
        assert row_id == answer.entry or row_id in answer.also_binding or LAW.by_id[row_id]["condition"]
    assert any(row_id == answer.entry or row_id in answer.also_binding for answer in answers)
    decides = any(row_id == answer.entry for answer in answers)
    assert decides is (row_id not in NEVER_FIRST)


@pytest.mark.parametrize("row_id", [row["id"] for row in LAW.rows if row["effective_from"]])
def test_no_row_binds_before_its_day(row_id: str) -> None:
    row = LAW.by_id[row_id]
    for asking in askings_of(row_id):
        before = answer_about(row_id, asking, eve(row["effective_from"]), "yes")
        on = answer_about(row_id, asking, row["effective_from"], "yes")
        if before.asked == "no":
            assert row_id not in (before.entry, *before.also_binding)
        elif before.entry == row_id:
            assert (before.outcome, before.code) == ("undetermined", "start_not_established")
            assert row["from_basis"] not in ("in_force", "act_date")
        if LAW.basis_in_force(asking[1], row["effective_from"]) and not row["condition"]:
            assert row_id in (on.entry, *on.also_binding)


@pytest.mark.parametrize("row_id", [row["id"] for row in LAW.rows])
def test_a_row_is_silent_to_whom_it_does_not_bind(row_id: str) -> None:
    bound = {requester for requester, _, _ in askings_of(row_id)}
    strangers = [(who, what) for who, what in CONDUCTED if who not in bound and kinds_of(what) != ["business"]]
    assert strangers
    for requester, procedure in strangers:
        answer = answer_about(row_id, (requester, procedure, "person"), TODAY, "yes")
        assert row_id not in (answer.entry, *answer.also_binding)


@pytest.mark.parametrize("row_id", [row["id"] for row in LAW.rows if row["condition"]])
def test_a_condition_is_yes_no_or_unsaid(row_id: str) -> None:
    row = LAW.by_id[row_id]
    for asking in askings_of(row_id):
        implied = row["condition"] in LAW.procedures[asking[1]]["implies"]
        yes, no, unsaid = (answer_about(row_id, asking, TODAY, said) for said in ("yes", "no", None))
        if implied:
            assert yes == no == unsaid
            continue
        assert row_id in (yes.entry, *yes.also_binding)
        assert row_id not in (no.entry, *no.also_binding)
        if unsaid.entry == row_id:
            assert (unsaid.outcome, unsaid.asked) == ("undetermined", "undetermined")
        else:
            # Another row of the document binds without the condition, or comes first among the undetermined.
            assert unsaid.entry is not None
