"""Every code that messages carry has its sentence in all three languages."""

import re
import tomllib
from importlib.resources import files

import pytest

from chopar.cli.demand_answer import UNDELIVERED
from chopar.errors import ConfigurationError
from chopar.messages.demand import Outcome, PersonMayBeAsked
from chopar.messages.dispute import DisputeReason
from chopar.messages.evidence import UnavailableCode
from chopar.texts import Language, Texts, language_of
from gateway.considered import Why
from gateway.lists.vocabulary import Basis, DateBasis, Disposition, TextRead
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
        ("dispute", frozenset(DisputeReason)),
        ("review", frozenset({"upheld", "corrected", "waiting"})),
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


@pytest.mark.parametrize(
    ("kind", "codes"),
    [
        ("disposition", frozenset(Disposition)),
        ("considered", frozenset(Why) | {"decided"}),
        ("in_force_basis", frozenset(DateBasis)),
        ("text_read", frozenset(TextRead)),
        ("basis", frozenset(Basis)),
    ],
)
def test_every_word_of_the_lists_has_all_three_languages(kind: str, codes: frozenset[str]) -> None:
    assert Texts.shipped(with_page=True).missing(kind, frozenset(str(code) for code in codes)) == []


def test_a_sentence_holds_the_letters_of_its_language_and_what_is_put_in_is_put_in_everywhere() -> None:
    for name in ("texts.toml", "page_texts.toml"):
        table = tomllib.loads((files("chopar") / name).read_text(encoding="utf-8"))
        for kind, codes in table.items():
            for code, said in codes.items():
                where = f"{kind}.{code}"
                assert list(said) == ["uz", "ru", "en"], where
                assert len({tuple(sorted(re.findall(r"{\w+}", text))) for text in said.values()}) == 1, where
                assert not re.search(r"[а-яёА-ЯЁʼ]|\w['`‘]\w", said["uz"]), where
                assert re.search("[а-яё]", said["ru"]), where
                assert not re.search("[ʻа-яё]", said["en"]), where
                assert not any(text != text.strip() or "  " in text for text in said.values()), where
                bare = [re.sub(r"{\w+}", "", text) for text in said.values()]
                assert not any(re.search(r"[a-z]_[a-z]", text) for text in bare), f"{where}: a code for people to read"
                ends = {text[-1] in ".?:" for text in said.values()}
                assert len(ends) == 1, where  # a sentence in one language is a sentence in all
