"""Which effect an answer is: the same for the same question, another for another, and none where there is none."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from chopar.bus.inbox import EffectKey
from chopar.errors import NotAnEffectError
from chopar.messages.demand import Demand, DemandResolved, FetchMode, Outcome, PersonMayBeAsked, ResolvedDocument
from chopar.messages.evidence import EvidenceUnavailable, UnavailableCode
from chopar.requester.completion import Delivered
from chopar.requester.effects import effect_of
from tests.builders import NOW, demand, demand_id

FLATS = ({"address": "1", "year": "2025"}, {"address": "2", "year": "2025"})
CORRECTION = demand_id(7)
TWO_FLATS = demand(documents=tuple({"type": "housing-debt", "parameters": flat} for flat in FLATS))


def fetched(document_type: str = "tax-debt-certificate", **changes: Any) -> ResolvedDocument:
    fields: dict[str, Any] = {
        "document_type": document_type,
        "outcome": Outcome.FETCH,
        "code": "ground",
        "person_may_be_asked": PersonMayBeAsked.NO,
        "next_step": "wait",
        "provider": "tax-committee",
        "evidence_type": "tax-debt",
        "request_id": b"r" * 32,
    }
    return ResolvedDocument.model_validate({**fields, **changes})


def delivered(document: ResolvedDocument | None = None, *, final: bool = True, **evidence: Any) -> Delivered:
    datum = {"has_debt": False, "fields_given": ["has_debt"], "source_register": "tax", "as_of": NOW, **evidence}
    return Delivered(document or fetched(), datum, None, final)


def resolved(*documents: ResolvedDocument) -> DemandResolved:
    return DemandResolved(
        demand_id=demand_id(),
        demand_digest=bytes(32),
        requester="electricity-het",
        received_at=NOW,
        on=NOW.date(),
        list_digest="digest",
        fetch_mode=FetchMode.INFERRED,
        rules_number=1,
        documents=documents,
        expires_at=NOW + timedelta(days=7),
    )


def key(asked: Demand, document_type: str, parameters: dict[str, str], **more: Any) -> EffectKey:
    return EffectKey.of(asked.requester, asked.demand_id, document_type, parameters=parameters, **more)


def test_the_key_is_what_was_asked_and_no_message_id() -> None:
    one = effect_of(demand(), delivered())
    other_secret = effect_of(demand(), delivered(fetched(request_id=b"s" * 32)))
    assert one == other_secret
    assert one.key == key(demand(), "tax-debt-certificate", {})
    assert one.provider == "tax-committee"
    corrected = effect_of(demand(), replace(delivered(), supersedes=b"answer", correction_id=CORRECTION))
    assert corrected.key == key(demand(), "tax-debt-certificate", {}, correction=CORRECTION.bytes) != one.key


def test_equal_contents_have_one_digest_and_others_another() -> None:
    plain = effect_of(demand(), delivered()).content
    tashkent = NOW.astimezone(timezone(timedelta(hours=5)))
    assert effect_of(demand(), delivered(as_of=tashkent, fields_given=("has_debt",))).content == plain
    turned = dict(reversed(list((delivered().evidence or {}).items())))
    assert effect_of(demand(), Delivered(fetched(), turned, None, True)).content == plain
    said: list[dict[str, Any]] = [
        {"has_debt": True},
        {"has_debt": None},
        {"as_of": datetime(2020, 1, 1, tzinfo=UTC)},
        {"raw": b"1"},
    ]
    said += [{"raw": "1"}, {"as_of": NOW.date()}]
    assert len({effect_of(demand(), delivered(**change)).content for change in said} | {plain}) == len(said) + 1


def test_no_evidence_is_an_answer_too() -> None:
    reasons = [
        EvidenceUnavailable(code=code, source_register="tax", as_of=NOW)
        for code in (UnavailableCode.NO_RECORD, UnavailableCode.PROVIDER_ERROR)
    ]
    effects = [effect_of(demand(), Delivered(fetched(), None, reason, True)) for reason in reasons]
    assert effects[0].key == effects[1].key == effect_of(demand(), delivered()).key
    assert effects[0].content != effects[1].content


def test_what_is_not_final_is_no_effect() -> None:
    with pytest.raises(NotAnEffectError, match="not final"):
        effect_of(demand(), delivered(final=False))


def test_an_answer_to_nothing_that_was_demanded_is_no_effect() -> None:
    for stranger in (fetched("another"), fetched(about="spouse"), fetched(parameter_names=("year",))):
        with pytest.raises(NotAnEffectError, match="of no document"):
            effect_of(demand(), delivered(stranger))
    with pytest.raises(NotAnEffectError, match="nobody"):
        effect_of(demand(), delivered(fetched(provider=None)))


def test_the_party_and_the_names_of_parameters_tell_documents_apart() -> None:
    documents = (
        {"type": "paper", "about": "spouse", "parameters": {"year": "1"}},
        {"type": "paper", "parameters": {"year": "2"}},
        {"type": "paper", "parameters": {"month": "3"}},
    )
    asked = demand(documents=documents)
    assert effect_of(asked, delivered(fetched("paper", parameter_names=("month",)))).key == key(
        asked, "paper", {"month": "3"}
    )
    assert effect_of(asked, delivered(fetched("paper", about="spouse", parameter_names=("year",)))).key == key(
        asked, "paper", {"year": "1"}, about="spouse"
    )


def test_of_documents_that_differ_in_values_alone_the_resolution_tells_which() -> None:
    names = ("address", "year")
    first, second = (fetched("housing-debt", parameter_names=names, request_id=letter * 32) for letter in (b"1", b"2"))
    resolution = resolved(first, fetched("other"), second)
    for document, parameters in zip((first, second), FLATS, strict=True):
        found = effect_of(TWO_FLATS, delivered(document), resolution=resolution)
        assert found.key == key(TWO_FLATS, "housing-debt", parameters)
    for unhelpful in (None, resolved(first), resolved(first, first.model_copy(update={"request_id": b"x" * 32}))):
        with pytest.raises(NotAnEffectError, match="alike"):
            effect_of(TWO_FLATS, delivered(second), resolution=unhelpful)


def test_two_equal_documents_are_one() -> None:
    asked = demand(documents=({"type": "paper", "parameters": FLATS[0]},) * 2)
    found = effect_of(asked, delivered(fetched("paper", parameter_names=("address", "year"))))
    assert found.key == key(asked, "paper", FLATS[0])


def test_what_replaces_a_document_has_its_parameters() -> None:
    asked = demand(documents=({"type": "old", "parameters": {"year": "1"}},))
    newer = fetched("newer", replaces="old", parameter_names=("year",), outcome=Outcome.REPLACED, provider=None)
    newest = fetched("newest", replaces="newer", parameter_names=("year",))
    direct = fetched("newest", replaces="old", parameter_names=("year",))
    expected = key(asked, "newest", {"year": "1"})
    assert effect_of(asked, delivered(direct)).key == expected
    assert effect_of(asked, delivered(newest), resolution=resolved(newer, newest)).key == expected
    with pytest.raises(NotAnEffectError):
        effect_of(asked, delivered(newest))
