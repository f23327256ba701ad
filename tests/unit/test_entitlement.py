"""What an access ground lets through is cut at the holder and checked at the asker."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopar.errors import LawUnreadableError
from chopar.messages.entitlement import beyond, cut
from gateway.list_version import ListVersion
from tests.oracle.asking import list_files

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


@pytest.mark.parametrize("value", ["secret", 7, ["secret"], [{"z": 1}, "secret"], [None], [[{"z": 1}]], b"secret"])
def test_a_dotted_field_of_what_is_no_record_lets_nothing_through(value: Any) -> None:
    datum = {"s": value, "fields_given": [], "source_register": "register", "as_of": 1}
    assert cut(datum, ["s.z"])["s"] is None
    assert beyond({**datum, "fields_given": ["s.z"]}, ["s.z"]) == ["s"]
    assert cut(datum, ["s"])["s"] == value
    assert beyond({**datum, "fields_given": ["s"]}, ["s"]) == []


def test_a_dotted_field_of_one_record_lets_that_field_through() -> None:
    datum = {"s": {"z": 1, "secret": 2}, "fields_given": [], "source_register": "register", "as_of": 1}
    assert cut(datum, ["s.z"])["s"] == {"z": 1, "secret": None}
    assert beyond({**datum, "fields_given": ["s.z"]}, ["s.z"]) == ["s.secret"]
    for field in ("s.", "s.z.secret", "s.secret.z"):
        assert cut(datum, [field])["s"] == {"z": None, "secret": None}


@pytest.mark.parametrize("field", ["a.b.c", "has_debt.", ".has_debt", "a..b"])
def test_a_list_with_fields_that_cannot_be_cut_is_refused(field: str) -> None:
    files = list_files()
    old, new = 'fields = ["has_debt"]', f'fields = ["has_debt", "{field}"]'
    assert old in files["grounds.toml"].decode()
    files["grounds.toml"] = files["grounds.toml"].decode().replace(old, new, 1).encode()
    with pytest.raises(LawUnreadableError, match=r"grounds\.toml: ground \S+: fields"):
        ListVersion.from_files(files)


FIELDS = st.lists(
    st.sampled_from(["has_debt", "has_debt.x", "debts", "debts.tax", "debts.amount_tiyin", "debts.tax.x", "other"])
)


@given(FIELDS, FIELDS)
def test_what_was_cut_to_fields_never_exceeds_them_and_cutting_twice_changes_nothing(
    fields: list[str], more: list[str]
) -> None:
    once = cut(DATUM, fields)
    assert beyond(once, fields) == []
    assert beyond(once, fields + more) == []
    assert cut(once, fields) == once
