"""What the flags of `demand create` ask; a flag that cannot be read is one sentence that does not repeat its value."""

import re
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from chopar.cli.demand_flags import Flags, kind_of, read_flags
from chopar.errors import ConfigurationError
from chopar.messages.demand import ActingAs, DemandedDocument, Ground, Party, Subject

PINFL, STIR = "31012649801148", "307176400"
FLAGS = Flags(requester="some-agency", procedure="some-procedure", document=["paper"], person=PINFL)


def test_the_least_that_can_be_asked() -> None:
    asked = read_flags(FLAGS)
    assert asked.subject == Subject(kind="person", id=PINFL)
    assert asked.documents == (DemandedDocument(type="paper"),)
    assert asked.acting_as is ActingAs.SELF
    assert (asked.applicant, asked.ground, asked.case_id, asked.on) == (None, None, None, None)


def test_everything_that_can_be_asked() -> None:
    asked = read_flags(
        Flags(
            requester="some-agency",
            procedure="some-procedure",
            document=["paper", "paper@buyer", "other"],
            business=STIR,
            party=[f"buyer={PINFL}", f"seller={STIR}"],
            circumstance=["a=yes", "b=no"],
            with_=["period=2025", "paper@buyer:account_address=A: b=c, 1", "paper:period=2024"],
            on="2022-06-30",
            acting_as="ex-officio",
            applicant=STIR,
            ground="consent:letter 5: of May",
            case="case-1",
            official="o-17",
        )
    )
    assert asked.subject == Subject(kind="business", id=STIR)
    assert asked.parties == (
        Party(role="buyer", kind="person", id=PINFL),
        Party(role="seller", kind="business", id=STIR),
    )
    assert asked.circumstances == {"a": True, "b": False}
    assert asked.documents == (
        DemandedDocument(type="paper", parameters={"period": "2024"}),
        DemandedDocument(type="paper", about="buyer", parameters={"period": "2025", "account_address": "A: b=c, 1"}),
        DemandedDocument(type="other", parameters={"period": "2025"}),
    )
    assert asked.on == date(2022, 6, 30)
    assert asked.acting_as is ActingAs.EX_OFFICIO
    assert asked.applicant == Subject(kind="business", id=STIR)
    assert asked.ground == Ground(kind="consent", reference="letter 5: of May")
    assert (asked.case_id, asked.official) == ("case-1", "o-17")


def test_a_parameter_that_names_a_type_alone_is_for_the_one_with_a_role() -> None:
    asked = read_flags(replace(FLAGS, document=["paper@buyer"], party=[f"buyer={PINFL}"], with_=["paper:period=2025"]))
    assert asked.documents[0].parameters == {"period": "2025"}


@pytest.mark.parametrize("identifier", ["", "12", PINFL[:13], "x" * 14, "３１０１２６４９８０１１４８", "a\x00b"])
def test_malformed_identifiers_are_passed_on(identifier: str) -> None:
    assert read_flags(replace(FLAGS, person=identifier)).subject.id == identifier


def test_the_kind_of_a_party_follows_from_its_digits() -> None:
    assert kind_of(STIR) == "business"
    assert {kind_of(text) for text in (PINFL, "", "12345678", "1234567890", "12345678x")} == {"person"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"person": None}, "either --person"),
        ({"business": STIR}, "either --person"),
        ({"procedure": ""}, "--procedure"),
        ({"procedure": "p" * 121}, "--procedure"),
        ({"document": []}, "--document"),
        ({"document": ["@buyer"]}, "--document"),
        ({"document": ["paper@"]}, "--document"),
        ({"party": ["buyer"]}, "--party"),
        ({"party": [f"={PINFL}"]}, "--party"),
        ({"party": ["buyer="]}, "--party"),
        ({"party": [f"a={PINFL}", f"a={STIR}"]}, "every role once"),
        ({"circumstance": ["a"]}, "--circumstance"),
        ({"circumstance": ["a=maybe"]}, "CODE=yes or CODE=no"),
        ({"circumstance": ["a=yes", "a=no"]}, "both yes and no"),
        ({"with_": ["period"]}, "--with"),
        ({"with_": [":period=1"]}, "--with"),
        ({"with_": ["paper:=1"]}, "--with"),
        ({"with_": ["other:period=1"]}, "no --document demands"),
        ({"with_": ["period=1", "period=2"]}, "two values"),
        ({"on": "2022-02-30"}, "--on"),
        ({"on": "20220630"}, "--on"),
        ({"on": "2022-W10-1"}, "--on"),
        ({"on": "yesterday"}, "--on"),
        ({"acting_as": "friend"}, "--acting-as"),
        ({"ground": "whim"}, "--ground"),
        ({"person": "1" * 401}, "longer than a message takes"),
        ({"procedure": "bad \udcff byte"}, "not valid UTF-8"),
        ({"party": ["a=\udcff"]}, "--party: the value is not valid UTF-8"),
    ],
)
def test_what_cannot_be_read_is_wrong_use(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(words)) as raised:
        read_flags(replace(FLAGS, **change))
    assert PINFL not in str(raised.value)
    assert "1" * 20 not in str(raised.value)
