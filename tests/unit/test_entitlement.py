"""What an access ground lets through is cut at the holder and checked at the asker."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from chopar.messages.entitlement import beyond, cut

DATUM: dict[str, Any] = {
    "has_debt": True,
    "debts": [{"tax": "land", "amount_tiyin": 100}, {"tax": "income", "amount_tiyin": 5}],
    "fields_given": [],
    "source_register": "register",
    "as_of": 1,
}


def test_bad_input_34_fields_beyond_the_ground_are_cut_and_noted() -> None:
    given_ = cut(DATUM, ["has_debt"])
    assert given_ == {
        "has_debt": True,
        "debts": None,
        "fields_given": ["has_debt"],
        "source_register": "register",
        "as_of": 1,
    }


def test_a_dotted_field_lets_one_field_of_each_record_through() -> None:
    assert cut(DATUM, ["debts.tax"])["debts"] == [
        {"tax": "land", "amount_tiyin": None},
        {"tax": "income", "amount_tiyin": None},
    ]
    assert cut(DATUM, ["debts"])["debts"] == DATUM["debts"]


def test_what_exceeds_the_ground_is_found_at_the_asker() -> None:
    assert beyond(cut(DATUM, ["has_debt", "debts.tax"]), ["has_debt", "debts.tax"]) == []
    assert beyond(DATUM, ["has_debt"]) == ["debts"]
    assert beyond({**cut(DATUM, ["debts.tax"]), "debts": DATUM["debts"]}, ["debts.tax"]) == ["debts.amount_tiyin"]
    assert beyond({**cut(DATUM, ["has_debt"]), "fields_given": ["has_debt", "debts"]}, ["has_debt"]) == ["debts"]


FIELDS = st.lists(st.sampled_from(["has_debt", "debts", "debts.tax", "debts.amount_tiyin", "other"]))


@given(FIELDS, FIELDS)
def test_what_was_cut_to_fields_never_exceeds_them_and_cutting_twice_changes_nothing(
    fields: list[str], more: list[str]
) -> None:
    once = cut(DATUM, fields)
    assert beyond(once, fields) == []
    assert beyond(once, fields + more) == []
    assert cut(once, fields) == once
