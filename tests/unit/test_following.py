"""The demand for the next holder: the same whoever works it out, valid, and of the paper that nobody had."""

from typing import Any

import pytest

from chopar.avro import encode_body
from chopar.identifiers import uuid7_milliseconds
from chopar.messages.demand import MAX_ASKED, AskedHolder, Demand, DemandResolved, FetchMode, ResolvedDocument
from chopar.messages.evidence import EvidenceUnavailable, UnavailableCode
from chopar.requester.alternatives import first_of, following
from chopar.requester.completion import Delivered
from tests.builders import NOW, SECOND_PERSON, demand, demand_id
from tests.standing import FILES

NOBODY = EvidenceUnavailable(code=UnavailableCode.NO_RECORD, source_register="register", as_of=NOW)


def document(**changes: Any) -> ResolvedDocument:
    fields: dict[str, Any] = {
        "document_type": "paper",
        "outcome": "fetch",
        "code": "ground",
        "person_may_be_asked": "no",
        "next_step": "wait",
        "provider": "first",
        "evidence_type": "data",
        "request_id": b"r" * 32,
        "alternatives": ({"provider": "second", "evidence_type": "data", "code": "ground"},),
    }
    return ResolvedDocument.model_validate({**fields, **changes}, strict=False)


def resolution(*documents: ResolvedDocument) -> DemandResolved:
    return DemandResolved(
        demand_id=demand_id(),
        demand_digest=bytes(32),
        requester="electricity-het",
        received_at=NOW,
        on=NOW.date(),
        list_digest="digest",
        fetch_mode=FetchMode.INFERRED,
        rules_number=2,
        documents=documents,
    )


def asked(*papers: dict[str, Any], **changes: Any) -> Demand:
    return demand(documents=papers or ({"type": "paper"},), **changes)


def after(first: Demand, *documents: ResolvedDocument, **delivered: Any) -> Demand | None:
    found = documents or (document(),)
    answer = Delivered(found[0], None, NOBODY, final=True)
    for name, value in delivered.items():
        object.__setattr__(answer, name, value)
    return following(first, answer, resolution(*found))


def test_the_same_answer_leads_to_the_same_demand_to_the_byte() -> None:
    schema = FILES.parsed(Demand.RECORD)
    one, again = after(asked()), after(asked())
    assert one is not None
    assert again is not None
    assert encode_body(schema, one) == encode_body(schema, again)
    assert Demand.from_avro(one.to_avro()) == one, "it is valid"
    assert uuid7_milliseconds(one.demand_id) == uuid7_milliseconds(asked().demand_id)
    assert one.demand_id != asked().demand_id
    assert first_of(one) == first_of(asked()) == asked().demand_id


def test_other_papers_people_and_askings_lead_to_other_demands() -> None:
    made = [
        after(asked()),
        after(asked(demand_id=demand_id(2))),
        after(asked({"type": "other"}), document(document_type="other")),
        after(asked(), document(evidence_type="more")),
        after(
            asked({"type": "paper", "about": "seller"}, parties=({"role": "seller", "kind": "person", "id": "1"},)),
            document(about="seller"),
        ),
        after(asked({"type": "paper", "parameters": {"plate": "1"}}), document(parameter_names=("plate",))),
        after(asked({"type": "paper", "parameters": {"plate": "2"}}), document(parameter_names=("plate",))),
    ]
    assert None not in made
    assert len({one.demand_id for one in made if one is not None}) == len(made)


def test_a_chain_names_the_first_demand_and_all_who_were_asked() -> None:
    second = after(asked())
    assert second is not None
    others = ({"provider": "third", "evidence_type": "data", "code": "ground"},)
    third = after(second, document(provider="second", alternatives=others))
    assert third is not None
    assert third.follows is not None
    assert third.follows.demand_id == asked().demand_id
    assert [one.provider for one in third.follows.asked] == ["first", "second"]
    assert third.demand_id not in (second.demand_id, asked().demand_id)


def test_of_papers_that_are_alike_the_one_is_asked_for_that_was_not_found() -> None:
    papers = [{"type": "paper", "parameters": {"second_person": text}} for text in (SECOND_PERSON, "30101900010018")]
    alike = [document(parameter_names=("second_person",), request_id=bytes([number]) * 32) for number in (1, 2)]
    made = following(asked(*papers), Delivered(alike[1], None, NOBODY, final=True), resolution(*alike))
    assert made is not None
    assert [one.parameters for one in made.documents] == [papers[1]["parameters"]]


def test_a_paper_that_replaces_another_is_asked_for_by_its_own_name() -> None:
    made = after(asked({"type": "old"}), document(document_type="new", replaces="old"))
    assert made is not None
    assert [one.type for one in made.documents] == ["new"]


@pytest.mark.parametrize(
    "delivered",
    [
        {"unavailable": None, "evidence": {"has_debt": False}},
        {"late": True},
        {"supersedes": b"s" * 32},
        {"final": False},
        *({"unavailable": NOBODY.model_copy(update={"code": code})} for code in UnavailableCode if code != "no_record"),
    ],
)
def test_nothing_but_a_record_that_is_missing_in_time_leads_on(delivered: dict[str, Any]) -> None:
    assert after(asked(), **delivered) is None


@pytest.mark.parametrize(
    "code",
    ["holder_not_connected", "ground_not_verified", "no_ground_to_know", "missing_parameter", "already_asked", "x"],
)
def test_who_is_not_open_is_not_asked(code: str) -> None:
    others = ({"provider": "second", "evidence_type": "data", "code": code},)
    assert after(asked(), document(alternatives=others)) is None
    assert after(asked(), document(alternatives=())) is None


def test_it_comes_to_an_end_whatever_a_gateway_says() -> None:
    this = AskedHolder(provider="first", evidence_type="data")
    many = tuple(AskedHolder(provider=f"a-{number}", evidence_type="data") for number in range(MAX_ASKED))
    for before in ((this,), many):
        names = tuple(one.model_dump() for one in before)
        assert after(asked(follows={"demand_id": demand_id(3), "asked": names})) is None
