"""Identifiers check themselves and hide themselves (bad-inputs rows 35, 38, 41, 43, 44)."""

import uuid
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopar.errors import (
    ForbiddenCharactersError,
    IdentifierError,
    MalformedIdentifierError,
    WrongIdentifierKindError,
)
from chopar.identifiers import (
    BusinessId,
    Derivation,
    PersonId,
    agency_id,
    derived_text,
    derived_uuid,
    name_key,
    parse_demand_id,
    uuid7,
    uuid7_time,
)

VALID = ["30101900010018", "43112990020153", "52902040031200", "61507001234566", "13112990010023"]


@pytest.mark.parametrize("text", VALID)
def test_valid_pinfls(text: str) -> None:
    assert PersonId(text).text == text


def test_a_pinfl_carries_birth_date_and_sex() -> None:
    assert PersonId("52902040031200").born_on == date(2004, 2, 29)
    assert PersonId("13112990010023").born_on == date(1899, 12, 31)
    assert PersonId("30101900010018").is_male
    assert not PersonId("43112990020153").is_male


@pytest.mark.parametrize(
    ("flaw", "text"),
    [
        ("13 digits", "3010190001001"),
        ("letters", "3010190001001A"),
        ("bad check digit", "30101900010019"),
        ("impossible date", "33002900010019"),
        ("31 February", "33102900010016"),
        ("century 7", "70101900010010"),
        ("district 000", "30101900000011"),
        ("serial 000", "30101900010000"),
        ("empty", ""),
    ],
)
def test_bad_input_35_pinfl_malformed(flaw: str, text: str) -> None:
    with pytest.raises(MalformedIdentifierError) as caught:
        PersonId(text)
    assert not text or text not in str(caught.value), flaw


def test_bad_input_35_full_width_digits() -> None:
    with pytest.raises(ForbiddenCharactersError):
        PersonId("".join(chr(0xFF10 + int(digit)) for digit in VALID[0]))


def test_bad_input_38_a_stir_where_a_pinfl_is_due() -> None:
    with pytest.raises(WrongIdentifierKindError):
        PersonId("301234567")
    with pytest.raises(WrongIdentifierKindError):
        BusinessId(VALID[0])


@pytest.mark.parametrize("character", ["\x00", "‏", "‮", "\n", "א"])
def test_bad_input_44_control_and_right_to_left_characters(character: str) -> None:
    for make in (PersonId, BusinessId, name_key):
        with pytest.raises(ForbiddenCharactersError):
            make(f"301234567{character}")


@given(st.sampled_from(VALID), st.integers(0, 13), st.integers(1, 9))
def test_the_check_digit_catches_every_single_slip(text: str, place: int, shift: int) -> None:
    slipped = text[:place] + str((int(text[place]) + shift) % 10) + text[place + 1 :]
    with pytest.raises(IdentifierError):
        PersonId(slipped)


def test_identifiers_hide_in_text_and_errors() -> None:
    assert VALID[0] not in f"{PersonId(VALID[0])!r} {PersonId(VALID[0])}"
    assert "301234567" not in repr(BusinessId("301234567"))


def test_bad_input_41_apostrophes_of_o_and_g_fold_in_keys() -> None:
    written = [f"Yo{mark}ldosh G{mark}aniyev" for mark in "\u02bb\u2018\u2019`'"]
    assert len({name_key(name) for name in written}) == 1


def test_bad_input_43_unicode_forms_fold_in_keys() -> None:
    assert name_key("Й" + "о\u0301") == name_key("И\u0306" + "о\u0301")


@given(st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)), st.integers(0, 2**74 - 1))  # noqa: DTZ001
def test_uuid7_carries_its_time(at: datetime, bits: int) -> None:
    made = uuid7(at, bits)
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert abs((uuid7_time(made) - at).total_seconds()) < 0.0011
    assert parse_demand_id(str(made)) == made


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        str(uuid.UUID(int=0)),
        "6fa459ea-ee8a-4ca4-894e-db77e160355e",
        "01A21584-F01A-73AA-9201-59AC087F2B9D",
        "01a21584-f01a-73aa-c201-59ac087f2b9d",
        "01a21584f01a73aa920159ac087f2b9d",
        "{01a21584-f01a-73aa-9201-59ac087f2b9d}",
        "01a21584-f01a-73aa-9201-59ac087f2b9d\n",
        "01a21584-f01a-73aa-9201-59ac087f_b9d",
        "٠1a21584-f01a-73aa-9201-59ac087f2b9d",
    ],
)
def test_only_canonical_uuid7_texts_are_demand_ids(text: str) -> None:
    assert parse_demand_id(text) is None


@given(st.lists(st.text(max_size=5), max_size=4), st.lists(st.text(max_size=5), max_size=4))
def test_derived_ids_differ_where_their_parts_do(left: list[str], right: list[str]) -> None:
    assert (derived_uuid(*left) == derived_uuid(*right)) == (left == right)
    assert derived_uuid(*left).version == 8
    assert derived_uuid(*left).variant == uuid.RFC_4122
    assert str(derived_uuid(*left)) == derived_text(*left)
    assert Derivation(*left, 7).text(*right, 1) == derived_text(*left, 7, *right, 1)


@pytest.mark.parametrize("text", ["Tax", "tax_committee", "-tax", "tax--x", "", "a" * 65, "tax.committee"])
def test_agency_ids_have_one_form(text: str) -> None:
    with pytest.raises(MalformedIdentifierError):
        agency_id(text)
