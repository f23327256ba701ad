"""The rule by which a demand is complete: the published vectors, for every language, run against our library."""

import copy
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from chopar.messages.demand import DemandResolved, ResolvedDocument
from chopar.messages.dispute import EvidenceCorrected, EvidenceUpheld
from chopar.messages.evidence import EvidenceProvided, EvidenceUnavailable
from chopar.requester.alternatives import following
from chopar.requester.completion import Answered, Completion, Delivered, Rejected, Repeated, Upheld
from tests.builders import NOW, demand, demand_id

FILE = Path(__file__).parents[2] / "docs" / "vectors" / "completeness.json"
GIVEN = json.loads(FILE.read_text(encoding="utf-8"))
VALUE = b"the demand's bytes"
EXPIRES = datetime.fromtimestamp(GIVEN["demand"]["expires_at_ms"] / 1000, UTC)


def document(name: str) -> ResolvedDocument:
    given = dict(GIVEN["documents"][name])
    request_id = given.pop("request_id")
    return ResolvedDocument(
        **given,
        code="ground",
        person_may_be_asked="no",
        next_step="wait",
        request_id=bytes.fromhex(request_id) if request_id else None,
    )


def resolution(given: dict[str, Any]) -> DemandResolved:
    return DemandResolved.model_validate(
        {
            "demand_id": GIVEN["demand"]["demand_id"],
            "demand_digest": bytes.fromhex(given["demand_digest"]),
            "requester": GIVEN["demand"]["requester"],
            "received_at": NOW,
            "on": NOW.date(),
            "list_digest": "digest",
            "fetch_mode": "inferred",
            "rules_number": 1,
            "documents": tuple(document(name) for name in given["documents"]),
            "expires_at": EXPIRES,
        },
        strict=False,
    )


def envelope(given: dict[str, Any]) -> dict[str, Any]:
    in_hex = {"request_id", "nonce", "supersedes", "upholds", "body"}
    return {
        name: bytes.fromhex(value) if name in in_hex and value is not None else value for name, value in given.items()
    }


def answer(given: dict[str, Any]) -> tuple[Answered, Any, Any, int]:
    model = EvidenceProvided if "provided" in given else EvidenceCorrected
    provided = model.model_validate(envelope(given.get("provided") or given["corrected"]), strict=False)
    evidence, unavailable = given.get("evidence"), None
    if evidence is not None and isinstance(evidence.get("as_of"), int):
        evidence = {**evidence, "as_of": datetime.fromtimestamp(evidence["as_of"] / 1000, UTC)}
    if "unavailable" in given:
        unavailable = EvidenceUnavailable(code=given["unavailable"], source_register="register", as_of=NOW)
    return provided, evidence, unavailable, given["at_ms"]


def said(event: Delivered | Upheld | Rejected | Repeated | None) -> dict[str, Any]:
    if isinstance(event, Delivered):
        word = "delivered" if event.ends else "late" if event.late else "corrected" if event.final else "deferred"
        assert (event.supersedes is None) is (event.correction_id is None)
        return {"event": word, "document": event.document.document_type, "acts": event.final}
    if isinstance(event, Repeated):
        word = "repeated" if event.same_content else "other_content"
        return {"event": word, "document": event.document.document_type}
    if isinstance(event, Upheld):
        return {"event": "upheld", "document": event.document.document_type}
    if isinstance(event, Rejected):
        fields = list(event.fields)
        about = event.document.document_type
        return {"event": "rejected", "document": about, "code": event.code, "fields": fields}
    return {"event": "nothing"}


class Asker:
    """Runs a vector; a restart leaves it nothing but what it has to keep.

    Args:
        asked: who was asked by demands before this one.
    """

    def __init__(self, asked: Sequence[dict[str, str]] = ()) -> None:
        self.completion = Completion(VALUE, EXPIRES)
        self.followed: set[str] = set()
        """Documents whose next holder was asked by a demand that has not ended."""
        papers = [{"type": one["document_type"]} for one in GIVEN["documents"].values()]
        follows = {"demand_id": demand_id(9), "asked": tuple(asked)} if asked else None
        self.demand = demand(demand_id=GIVEN["demand"]["demand_id"], documents=tuple(papers), follows=follows)

    def take(self, step: dict[str, Any]) -> dict[str, Any]:
        found = self._take(step)
        return {**found, "complete": self.completion.complete and not self.followed}

    def asks(self, event: Delivered) -> dict[str, Any]:
        """Whom the answer leads to."""
        made = following(self.demand, event, self.completion.resolved)
        if made is None:
            return {}
        assert made.follows is not None
        [paper] = made.documents
        self.followed.add(paper.type)
        return {"asks": {"document": paper.type, "asked": [one.model_dump() for one in made.follows.asked]}}

    def _take(self, step: dict[str, Any]) -> dict[str, Any]:
        if "resolved" in step:
            return {"event": "resolved" if self.completion.resolve(resolution(step["resolved"])) else "nothing"}
        if "read_to_end" in step:
            ended = [one.document_type for one in self.completion.expire()]
            return {"event": "undelivered", "documents": ended}
        if "restart" in step:
            former, self.completion = self.completion, Completion(VALUE, EXPIRES)
            if former.resolved is not None:
                self.completion.restore(former.resolved, copy.deepcopy(dict(former.awaited)))
            return {"event": "nothing"}
        if "following_ended" in step:
            self.followed.remove(step["following_ended"])
            return {"event": "nothing"}
        if "upheld" in step:
            upheld = EvidenceUpheld.model_validate(envelope(step["upheld"]), strict=False)
            if not self.completion.knows(upheld.request_id):
                assert self.completion.upheld(upheld) is None
                return {"event": "unknown_request"}
            return said(self.completion.upheld(upheld))
        provided, *rest = answer(step)
        if not self.completion.knows(provided.request_id):
            assert self.completion.answer(provided, *rest) is None
            return {"event": "unknown_request"}
        event = self.completion.answer(provided, *rest)
        return {**said(event), **(self.asks(event) if isinstance(event, Delivered) else {})}


@pytest.mark.parametrize("vector", GIVEN["vectors"], ids=[vector["name"] for vector in GIVEN["vectors"]])
def test_the_published_vectors(vector: dict[str, Any]) -> None:
    asker = Asker(vector.get("asked", ()))
    for number, step in enumerate(vector["steps"]):
        assert asker.take(step["in"]) == step["out"], f"step {number}"


def test_the_vectors_are_of_the_demand_that_they_name() -> None:
    assert GIVEN["format"] == 3
    assert Completion(VALUE, EXPIRES).digest.hex() == GIVEN["demand"]["digest"]
    assert len({vector["name"] for vector in GIVEN["vectors"]}) == len(GIVEN["vectors"])


def resolved(*names: str) -> Completion:
    made = Completion(VALUE, EXPIRES)
    made.resolve(resolution({"demand_digest": GIVEN["demand"]["digest"], "documents": names}))
    return made


def first_answer() -> tuple[Answered, Any, Any, int]:
    return answer(GIVEN["vectors"][0]["steps"][1]["in"])


def test_a_delivery_carries_its_document_and_what_was_answered() -> None:
    completion = resolved("a", "gap", "b")
    provided, evidence, _, at_ms = first_answer()
    assert completion.answer(provided, evidence, None, at_ms) == Delivered(document("a"), evidence, None, final=True)
    assert [open_document.document_type for open_document in completion.open_documents()] == ["paper-b"]
    unavailable = EvidenceUnavailable(code="no_record", source_register="register", as_of=NOW)
    other = provided.model_copy(update={"request_id": document("b").request_id})
    assert completion.answer(other, None, unavailable, at_ms) == Delivered(document("b"), None, unavailable, final=True)


def test_a_rejection_never_carries_the_evidence() -> None:
    provided, evidence, _, at_ms = first_answer()
    rejected = resolved("a").answer(provided, {**evidence, "income": 5}, None, at_ms)
    assert rejected == Rejected(document("a"), "not_entitled_fields", ("income",))


def test_what_was_delivered_is_not_shown_by_its_repr() -> None:
    shown = repr(Delivered(document("a"), {"has_debt": "secret"}, None, final=True, supersedes=b"secret"))
    assert "secret" not in shown
