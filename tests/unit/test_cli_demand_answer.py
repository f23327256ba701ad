"""The object that `demand create` prints, and the exit code that follows from it."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from uuid import UUID

import pytest

from chopar.cli import demand_text
from chopar.cli.demand_answer import (
    WRONG_USE_CODES,
    Answer,
    DocumentAnswer,
    all_refused,
    ended,
    exit_code,
    unanswered,
)
from chopar.cli.output import plain
from chopar.messages.demand import (
    Alternative,
    DemandedDocument,
    DemandResolved,
    FetchMode,
    Outcome,
    PersonMayBeAsked,
    ResolvedDocument,
    Rule,
)
from chopar.messages.evidence import EvidenceUnavailable, UnavailableCode
from chopar.requester.completion import Delivered, Rejected, Undelivered
from chopar.texts import Texts

DEMAND_ID = UUID("0190f5b2-7c3e-7a11-8c2d-123456789012")
NEXT_ID = UUID("0190f5b2-7c3e-7a11-8c2d-123456789013")
NOW = datetime(2026, 1, 15, 10, 0, tzinfo=UTC)


def document(outcome: Outcome | None, code: str | None = None, **more: object) -> DocumentAnswer:
    return replace(DocumentAnswer("paper", outcome=outcome, code=code, arrived_ms=1.0), **more)  # type: ignore[arg-type]


def resolved(outcome: Outcome, code: str, request: int | None = None) -> ResolvedDocument:
    return ResolvedDocument(
        document_type="paper" if request is None else f"paper-{request}",
        outcome=outcome,
        code=code,
        person_may_be_asked=PersonMayBeAsked.NO,
        next_step="wait_for_evidence",
        provider=None if request is None else "holder",
        request_id=None if request is None else bytes([request]) * 32,
        rule=Rule(
            entry="entry-1",
            act="act",
            source="source",
            in_force_from=date(2022, 7, 1),
            in_force_basis="in_force",
            confidence="stated",
            disposition_basis="inferred",
            text_read="press",
            coverage="knows 6 of 32",
        ),
    )


def message(*documents: ResolvedDocument, refused: str | None = None) -> DemandResolved:
    return DemandResolved(
        demand_id=DEMAND_ID,
        demand_digest=bytes(32),
        requester="some-agency",
        received_at=NOW,
        on=NOW.date(),
        list_digest="digest",
        fetch_mode=FetchMode.INFERRED,
        rules_number=1,
        refused=refused,
        documents=documents,
    )


def unavailable(code: UnavailableCode) -> EvidenceUnavailable:
    return EvidenceUnavailable(code=code, register_coverage="from 1997", source_register="r", as_of=NOW)


@pytest.mark.parametrize(
    ("documents", "rehearsal", "code"),
    [
        ([document(Outcome.FETCH, "ground", evidence={"has_debt": False})], False, 0),
        ([document(Outcome.FETCH, "ground", evidence={})], False, 0),
        ([document(Outcome.FETCH, "ground")], False, 1),
        ([document(Outcome.FETCH, "ground", unavailable="no_record")], False, 1),
        ([document(Outcome.FETCH, "ground")], True, 0),
        ([document(Outcome.NOT_NEEDED, "abolished")], False, 0),
        ([document(Outcome.REPLACED, "own_register")], False, 0),
        ([document(Outcome.MAY_BE_ASKED, "named")], False, 0),
        ([document(Outcome.GAP, "holder_not_connected")], False, 1),
        ([document(Outcome.GAP, "ground_not_verified")], True, 1),
        ([document(Outcome.UNDETERMINED, "condition_unsaid")], False, 1),
        ([document(None)], False, 1),
        *[([document(Outcome.REFUSED, code)], False, 2) for code in sorted(WRONG_USE_CODES)],
        *[
            ([document(Outcome.REFUSED, code)], False, 1)
            for code in (
                "legal_basis_not_in_force",
                "not_entitled_to_act",
                "not_in_procedure",
                "too_many_documents",
                "unreadable",
                "requester_mismatch",
                "expired",
                "clock",
                "id_reused",
                "from_a_newer_gateway",
            )
        ],
        ([document(Outcome.GAP, "holder_not_connected"), document(Outcome.REFUSED, "unknown_document")], False, 2),
        ([document(Outcome.REFUSED, "unknown_role"), document(Outcome.NOT_NEEDED, "abolished")], False, 2),
        ([document(Outcome.NOT_NEEDED, "abolished"), document(None)], False, 1),
    ],
)
def test_exit_codes(documents: list[DocumentAnswer], rehearsal: bool, code: int) -> None:
    assert exit_code(documents, rehearsal) == code


def test_the_wrong_use_codes_are_those_of_the_contract() -> None:
    assert {
        "unknown_requester",
        "requester_has_no_connection",
        "unknown_procedure",
        "procedure_not_yours",
        "wrong_subject",
        "malformed_identifier",
        "wrong_identifier_kind",
        "forbidden_characters",
        "unknown_document",
        "unknown_role",
        "missing_parameter",
    } == WRONG_USE_CODES


def test_the_object_has_exactly_the_promised_keys() -> None:
    answer = Answer(DEMAND_ID, False, unanswered([DemandedDocument(type="paper")]))
    answer = answer.after(message(resolved(Outcome.NOT_NEEDED, "no_ground_to_know")), 3.5)
    printed = json.loads(json.dumps(plain(answer.to_json())))
    assert set(printed) == {"demand_id", "status", "rehearsal", "elapsed_ms", "list_digest", "documents"}
    [shown] = printed["documents"]
    assert set(shown) == {
        "document_type",
        "about",
        "outcome",
        "code",
        "person_may_be_asked",
        "rule",
        "next_step",
        "provider",
        "evidence",
        "unavailable",
        "register_coverage",
        "alternatives",
        "without_record",
    }
    assert set(shown["rule"]) == {
        "entry",
        "also_binding",
        "act",
        "source",
        "in_force_from",
        "in_force_basis",
        "confidence",
        "disposition_basis",
        "text_read",
        "coverage",
        "ground",
    }
    assert shown["rule"]["in_force_from"] == "2022-07-01"
    assert (printed["status"], printed["elapsed_ms"], printed["list_digest"]) == ("answered", 3.5, "digest")


def test_an_answer_grows_to_its_end() -> None:
    first, second = resolved(Outcome.FETCH, "ground", 1), resolved(Outcome.FETCH, "ground", 2)
    answer = Answer(DEMAND_ID, False, unanswered([DemandedDocument(type="paper-1"), DemandedDocument(type="paper-2")]))
    assert (answer.status, answer.exit_code()) == ("waiting", 1)
    answer = answer.after(message(first, second), 1.0)
    assert answer.status == "waiting"
    answer = answer.after(Delivered(first, {"has_debt": True}, None, True), 2.0)
    answer = answer.after(Rejected(second, "not_entitled_fields", ("amount",)), 2.5)
    assert (answer.status, answer.elapsed_ms) == ("waiting", 2.0)
    answer = answer.after(Delivered(second, None, unavailable(UnavailableCode.DEFERRED), False), 3.0)
    assert answer.status == "waiting"
    assert answer.documents[1].unavailable == "deferred"
    answer = answer.after(Delivered(second, None, unavailable(UnavailableCode.NO_RECORD), True), 4.0)
    assert (answer.status, answer.elapsed_ms, answer.exit_code()) == ("answered", 4.0, 1)
    assert [d.evidence for d in answer.documents] == [{"has_debt": True}, None]
    assert (answer.documents[1].unavailable, answer.documents[1].register_coverage) == ("no_record", "from 1997")


def test_evidence_after_a_deferred_answer_clears_the_reason() -> None:
    asked = resolved(Outcome.FETCH, "ground", 1)
    answer = Answer(DEMAND_ID, False, ()).after(message(asked), 1.0)
    answer = answer.after(Delivered(asked, None, unavailable(UnavailableCode.DEFERRED), False), 2.0)
    answer = answer.after(Delivered(asked, {"has_debt": False}, None, True), 3.0)
    assert (answer.documents[0].unavailable, answer.exit_code()) == (None, 0)


def test_undelivered_ends_what_is_open() -> None:
    asked = resolved(Outcome.FETCH, "ground", 1)
    answer = Answer(DEMAND_ID, False, ()).after(message(asked), 1.0).after(Undelivered("paper-1", None), 9.0)
    assert (answer.status, answer.documents[0].unavailable, answer.exit_code()) == ("answered", "undelivered", 1)


def test_what_comes_late_is_shown_and_does_not_count() -> None:
    asked = resolved(Outcome.FETCH, "ground", 1)
    late = Delivered(asked, {"has_debt": False}, None, final=True, late=True)
    answer = Answer(DEMAND_ID, False, ()).after(message(asked), 1.0).after(late, 8.0)
    assert (answer.status, answer.exit_code()) == ("waiting", 1)
    answer = answer.after(Undelivered("paper-1", None), 9.0)
    assert (answer.status, answer.exit_code(), answer.documents[0].arrived_ms) == ("answered", 1, 9.0)
    assert (answer.documents[0].evidence, answer.documents[0].unavailable) == ({"has_debt": False}, "undelivered")
    assert answer.documents[0].next_step != "arrived"


def test_a_refusal_without_documents_is_shown_for_each_that_was_demanded() -> None:
    asked = unanswered([DemandedDocument(type="paper"), DemandedDocument(type="paper", about="buyer")])
    answer = Answer(DEMAND_ID, False, asked).after(message(refused="unreadable"), 1.0)
    assert answer.status == "refused"
    assert [(d.about, d.outcome, d.code) for d in answer.documents] == [
        (None, "refused", "unreadable"),
        ("buyer", "refused", "unreadable"),
    ]


def test_a_rehearsal_counts_a_fetch_as_answered() -> None:
    answer = Answer(None, True, (document(Outcome.FETCH, "ground", arrived_ms=None),))
    assert (answer.status, answer.exit_code(), answer.to_json()["demand_id"]) == ("answered", 0, None)


def test_refused_before_sending() -> None:
    answer = Answer(None, False, all_refused(unanswered([DemandedDocument(type="paper")]), "unknown_requester"))
    assert (answer.status, answer.exit_code()) == ("refused", 2)
    assert answer.documents[0].person_may_be_asked is PersonMayBeAsked.NO


def said(answer: Answer) -> list[object]:
    """The sentences below the table."""
    return list(demand_text.parts(answer, Texts.shipped())[1:])


def test_the_answer_of_a_next_holder_finds_the_paper_that_the_first_had_no_record_of() -> None:
    first, second = resolved(Outcome.FETCH, "ground", 1), resolved(Outcome.FETCH, "ground", 2)
    answer = Answer(DEMAND_ID, False, ()).after(message(first, second), 1.0)
    nothing = unavailable(UnavailableCode.NO_RECORD)
    answer = answer.after(Delivered(second, {"has_debt": True}, None, True), 2.0)
    answer = answer.after(Delivered(first, None, nothing, True, followed_by=NEXT_ID), 3.0)
    assert (answer.status, answer.documents[0].unavailable) == ("waiting", "no_record")
    assert answer.documents[0].next_step == "wait_for_evidence"
    elsewhere = first.model_copy(update={"provider": "another", "request_id": bytes([9]) * 32})
    other = answer.after(Delivered(elsewhere, {"has_debt": False}, None, True, asked_by=NEXT_ID), 4.0)
    assert (other.status, other.documents[0].provider, other.documents[0].unavailable) == ("answered", "another", None)
    assert other.documents[0].evidence == {"has_debt": False}
    assert other.documents[1].evidence == {"has_debt": True}
    assert other.documents[0].without_record == (first.provider,)
    assert f"{first.document_type}: {first.provider} had no record; another was asked next" in said(other)
    assert f"{first.document_type}: {first.provider} had no record" in said(answer)
    # Nobody could be asked, or nobody answered: what was said last stands.
    stands = ended(answer, 5.0)
    assert (stands.status, stands.documents[0].unavailable, stands.exit_code()) == ("answered", "no_record", 1)
    assert ended(other, 6.0) == other
    undelivered = answer.after(Undelivered("paper-1", None), 5.0)
    assert (undelivered.documents[0].unavailable, undelivered.status) == ("undelivered", "answered")


def test_a_paper_says_who_else_may_prove_it() -> None:
    others = (Alternative(provider="another", evidence_type="data", code="ground"),)
    document = resolved(Outcome.FETCH, "ground", 1).model_copy(update={"alternatives": others})
    [shown] = Answer(DEMAND_ID, False, ()).after(message(document), 1.0).to_json()["documents"]
    assert shown["alternatives"] == [{"provider": "another", "evidence_type": "data", "code": "ground"}]
