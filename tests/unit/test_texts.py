"""Every code that messages carry has its sentence in all three languages."""

import pytest

from chopar.cli.demand_answer import UNDELIVERED
from chopar.errors import ConfigurationError
from chopar.messages.demand import Outcome, PersonMayBeAsked
from chopar.messages.evidence import UnavailableCode
from chopar.texts import Language, Texts, language_of
from gateway.resolution import Code, NextStep

ENVELOPE_CODES = frozenset({"unreadable", "requester_mismatch", "expired", "clock", "id_reused"})


@pytest.mark.parametrize(
    ("kind", "codes"),
    [
        ("outcome", frozenset(Outcome)),
        ("person_may_be_asked", frozenset(PersonMayBeAsked)),
        ("code", frozenset(Code) | ENVELOPE_CODES),
        ("next_step", frozenset(NextStep)),
        ("unavailable", frozenset(UnavailableCode) | {UNDELIVERED}),
        ("always", frozenset({"paper_accepted"})),
    ],
)
def test_every_code_has_all_three_languages(kind: str, codes: frozenset[str]) -> None:
    assert Texts.shipped().missing(kind, frozenset(str(code) for code in codes)) == []


def test_a_missing_sentence_is_named() -> None:
    texts = Texts({"code": {"known": {"en": "Known.", "ru": "Известно."}}})
    assert texts.missing("code", frozenset({"known", "new"})) == [
        "known (uz)",
        "new (uz)",
        "new (ru)",
        "new (en)",
    ]


def test_the_holder_is_put_in() -> None:
    said = Texts.shipped().say("next_step", "request_by_official_letter", Language.ENGLISH, holder="some-agency")
    assert "some-agency" in said
    assert "{" not in said


def test_an_unknown_code_is_rendered_as_itself() -> None:
    assert Texts.shipped().say("code", "from_a_newer_gateway", Language.UZBEK) == "from_a_newer_gateway"


def test_an_unknown_language_is_wrong_use() -> None:
    assert language_of("ru") is Language.RUSSIAN
    with pytest.raises(ConfigurationError, match="uz, ru, en"):
        language_of("fr")
