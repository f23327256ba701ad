"""The rule by which a demand is complete, as a table: what arrives in which order, and what is said of each."""

import hashlib
from datetime import timedelta
from typing import Any, TypeAlias

import pytest

from chopar.completion import Completion, Delivered, Rejected, Repeated
from chopar.messages.demand import DemandResolved, FetchMode, Outcome, PersonMayBeAsked, ResolvedDocument
from chopar.messages.evidence import EvidenceProvided, EvidenceUnavailable, UnavailableCode
from tests.builders import NOW, NOW_MS, demand_id

VALUE = b"the demand's bytes"
EXPIRES = NOW + timedelta(days=7)
EXPIRES_MS = NOW_MS + 7 * 24 * 3600 * 1000
A, B, ELSEWHERE = b"a" * 32, b"b" * 32, b"e" * 32


def fetched(request_id: bytes) -> ResolvedDocument:
    return ResolvedDocument(
        document_type=f"paper-{request_id[:1].decode()}",
        outcome=Outcome.FETCH,
        code="ground",
        person_may_be_asked=PersonMayBeAsked.NO,
        next_step="wait",
        provider="tax-committee",
        evidence_type="tax-debt",
        fields=("has_debt", "debts.tax"),
        request_id=request_id,
    )


def gap() -> ResolvedDocument:
    plain = {"outcome": Outcome.GAP, "request_id": None, "provider": "courts"}
    return fetched(ELSEWHERE).model_copy(update=plain)


def resolution(*documents: ResolvedDocument, value: bytes = VALUE) -> DemandResolved:
    return DemandResolved(
        demand_id=demand_id(),
        demand_digest=hashlib.sha256(value).digest(),
        requester="electricity-het",
        received_at=NOW,
        on=NOW.date(),
        list_digest="digest",
        fetch_mode=FetchMode.INFERRED,
        rules_number=1,
        documents=documents,
        expires_at=EXPIRES,
    )


def datum(**changes: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {"has_debt": True, "debts": None, "fields_given": ["debts.tax", "has_debt"]}
    return {**plain, "source_register": "register", "as_of": NOW, **changes}


class Answered:
    """An answer on its way: valid unless something is changed."""

    def __init__(
        self,
        request_id: bytes,
        *,
        body: dict[str, Any] | UnavailableCode | None = None,
        at_ms: int = NOW_MS,
        final: bool = True,
        **envelope: Any,
    ) -> None:
        self.body = datum() if body is None else body
        self.at_ms = at_ms
        fields: dict[str, Any] = {
            "request_id": request_id,
            "demand_id": demand_id(),
            "provider": "tax-committee",
            "requester": "electricity-het",
            "evidence_type": "tax-debt",
            "final": final,
            "nonce": b"n" * 32,
            "body": b"",
        }
        self.provided = EvidenceProvided.model_validate({**fields, **envelope})

    def to(self, completion: Completion) -> Delivered | Rejected | Repeated | None:
        if isinstance(self.body, UnavailableCode):
            unavailable = EvidenceUnavailable(code=self.body, source_register="register", as_of=NOW)
            return completion.answer(self.provided, None, unavailable, self.at_ms)
        return completion.answer(self.provided, self.body, None, self.at_ms)


Step: TypeAlias = DemandResolved | Answered | str
EXPIRE = "expire"
DEFERRED, NO_RECORD = UnavailableCode.DEFERRED, UnavailableCode.NO_RECORD
ONE, TWO = resolution(fetched(A)), resolution(fetched(A), gap(), fetched(B))
OTHERS = resolution(fetched(A), value=b"another body under the same id")

REJECTED: list[tuple[str, Answered]] = [
    ("wrong_provider", Answered(A, provider="cadastre-agency")),
    ("wrong_requester", Answered(A, requester="gas-hududgaz")),
    ("wrong_demand", Answered(A, demand_id=demand_id(2))),
    ("wrong_evidence_type", Answered(A, evidence_type="wages")),
    ("wrong_finality", Answered(A, body=DEFERRED, final=True)),
    ("wrong_finality", Answered(A, body=NO_RECORD, final=False)),
    ("wrong_finality", Answered(A, final=False)),
    ("not_evidence", Answered(A, body={"has_debt": True})),
    ("not_evidence", Answered(A, body=datum(fields_given=None))),
    ("not_evidence", Answered(A, body=datum(fields_given=[{"name": "has_debt"}]))),
    ("not_evidence", Answered(A, body=datum(source_register={"secret": 1}))),
    ("not_evidence", Answered(A, body=datum(as_of="today"))),
    ("not_entitled_fields", Answered(A, body=datum(income=5))),
    ("not_entitled_fields", Answered(A, body=datum(debts=[{"tax": "land", "amount_tiyin": 5}]))),
    ("not_entitled_fields", Answered(A, body=datum(debts=5))),
    ("not_entitled_fields", Answered(A, body=datum(fields_given=["has_debt", "income"]))),
]

# What arrives, and what is said of it: `+` delivered and ended, `~` delivered and not final, `late`, `resolved`, a code
# of a rejection, `=` repeated, `undelivered:` with the documents, `-` nothing; `!` after it where it is complete.
VECTORS: list[tuple[str, list[tuple[Step, str]]]] = [
    ("one document", [(ONE, "resolved"), (Answered(A), "+!")]),
    ("nothing to fetch is complete at once", [(resolution(gap()), "resolved!")]),
    ("a refusal without documents is complete", [(resolution(), "resolved!")]),
    ("another body's resolution does not count", [(OTHERS, "-"), (Answered(A), "-"), (ONE, "resolved")]),
    ("the first resolution counts", [(ONE, "resolved"), (TWO, "-"), (Answered(B), "-"), (Answered(A), "+!")]),
    ("an answer before the resolution has no place yet", [(Answered(A), "-"), (ONE, "resolved"), (Answered(A), "+!")]),
    ("all documents, in any order", [(TWO, "resolved"), (Answered(B), "+"), (Answered(A), "+!")]),
    ("no_record ends a document", [(ONE, "resolved"), (Answered(A, body=NO_RECORD), "+!")]),
    (
        "completion comes once",
        [(ONE, "resolved"), (Answered(A), "+!"), (Answered(A), "=!"), (ONE, "-!"), (EXPIRE, "undelivered:!")],
    ),
    (
        "the first final answer wins",
        [(TWO, "resolved"), (Answered(A), "+"), (Answered(A, body=datum(has_debt=False)), "="), (Answered(B), "+!")],
    ),
    ("an unknown request id", [(ONE, "resolved"), (Answered(ELSEWHERE), "-"), (Answered(A), "+!")]),
    (
        "deferred, then final",
        [(ONE, "resolved"), (Answered(A, body=DEFERRED, final=False), "~"), (Answered(A), "+!")],
    ),
    (
        "deferred after the end says nothing",
        [(ONE, "resolved"), (Answered(A), "+!"), (Answered(A, body=DEFERRED, final=False), "-!")],
    ),
    ("taken in the last millisecond", [(ONE, "resolved"), (Answered(A, at_ms=EXPIRES_MS - 1), "+!")]),
    (
        "taken at expiry: shown late, and undelivered all the same",
        [(ONE, "resolved"), (Answered(A, at_ms=EXPIRES_MS), "late"), (EXPIRE, "undelivered:paper-a!")],
    ),
    (
        "late twice is shown once",
        [(ONE, "resolved"), (Answered(A, at_ms=EXPIRES_MS), "late"), (Answered(A, at_ms=EXPIRES_MS + 1), "=")],
    ),
    (
        "a late answer is checked as any other",
        [(ONE, "resolved"), (Answered(A, at_ms=EXPIRES_MS, provider="courts"), "wrong_provider")],
    ),
    (
        "late and deferred, then late and final",
        [
            (ONE, "resolved"),
            (Answered(A, at_ms=EXPIRES_MS, body=DEFERRED, final=False), "late"),
            (Answered(A, at_ms=EXPIRES_MS), "late"),
        ],
    ),
    (
        "undelivered names what is open, once; what comes after it is late, whatever its time",
        [
            (TWO, "resolved"),
            (Answered(A), "+"),
            (EXPIRE, "undelivered:paper-b!"),
            (EXPIRE, "undelivered:!"),
            (Answered(B), "late!"),
            (Answered(A), "=!"),
        ],
    ),
    (
        "deferred and never answered is undelivered",
        [(ONE, "resolved"), (Answered(A, body=DEFERRED, final=False), "~"), (EXPIRE, "undelivered:paper-a!")],
    ),
]


VECTORS += [
    (f"rejected: {code}", [(ONE, "resolved"), (answered, code), (Answered(A), "+!")]) for code, answered in REJECTED
]


def said(completion: Completion, step: Step) -> str:
    """What a completion says of a step, in the words of the table."""
    if isinstance(step, DemandResolved):
        word = "resolved" if completion.resolve(step) else "-"
    elif isinstance(step, str):
        word = "undelivered:" + ",".join(document.document_type for document in completion.expire())
    else:
        event = step.to(completion)
        if isinstance(event, Delivered):
            word = "late" if event.late else "+" if event.final else "~"
            assert event.ends is (word == "+")
        elif isinstance(event, Repeated):
            word = "=" if event.same_content else "other"
        else:
            word = event.code if event else "-"
    return word + "!" * completion.complete


@pytest.mark.parametrize("steps", [steps for _, steps in VECTORS], ids=[name for name, _ in VECTORS])
def test_what_arrives_is_said_to_be(steps: list[tuple[Step, str]]) -> None:
    completion = Completion(VALUE, EXPIRES)
    assert [said(completion, step) for step, _ in steps] == [word for _, word in steps]


def test_a_delivery_carries_its_document_and_what_was_answered() -> None:
    completion = Completion(VALUE, EXPIRES)
    completion.resolve(TWO)
    assert Answered(B).to(completion) == Delivered(fetched(B), datum(), None, final=True)
    unavailable = EvidenceUnavailable(code=NO_RECORD, source_register="register", as_of=NOW)
    assert [document.request_id for document in completion.open_documents()] == [A]
    assert Answered(A, body=NO_RECORD).to(completion) == Delivered(fetched(A), None, unavailable, final=True)


def test_a_rejection_names_the_fields_and_never_carries_the_evidence() -> None:
    completion = Completion(VALUE, EXPIRES)
    completion.resolve(ONE)
    rejected = Answered(A, body=datum(income=5, debts=[{"tax": "land", "amount_tiyin": 7}])).to(completion)
    assert rejected == Rejected(fetched(A), "not_entitled_fields", ("debts.amount_tiyin", "income"))


def test_only_request_ids_of_its_own_resolution_are_known() -> None:
    completion = Completion(VALUE, EXPIRES)
    assert not completion.knows(A)
    completion.resolve(TWO)
    assert (completion.knows(A), completion.knows(B), completion.knows(ELSEWHERE)) == (True, True, False)


def test_what_was_delivered_is_not_shown_by_its_repr() -> None:
    assert "secret" not in repr(Delivered(fetched(A), {"has_debt": "secret"}, None, final=True))
