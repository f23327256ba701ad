"""Names of groups, scopes and types of evidence: everything has them, nobody who reads Uzbek or Russian sees an id."""

import re
from datetime import date
from functools import cache

import pytest

from chopar.messages.demand import FetchMode
from chopar.texts import Language, Texts
from gateway.cli.explaining import entry_lines
from gateway.cli.prohibited import _listed
from gateway.list_version import DIRECTORY, GROUPS, REGULATIONS, ListVersion
from gateway.may_they_ask import KINDS, Question, answered
from gateway.naming import Called
from gateway.pages.may_they_ask import Asked, MayTheyAskPage, Words
from gateway.pages.names import naming_of
from gateway.prohibited_list import ProhibitedEntry
from tests.edited_lists import put
from tests.html_shape import Shape
from tests.standing import bundle, standing

TEXTS = Texts.shipped(with_page=True)
LISTS = standing().lists
DAY = date(2026, 7, 1)
IDS: dict[Called, set[str]] = {
    Called.GROUP: {one.group for one in LISTS.memberships},
    Called.SCOPE: {scope for one in LISTS.procedures.values() for scope in one.scopes},
    Called.EVIDENCE_TYPE: {evidence_type for _, evidence_type in LISTS.directory},
}
OTHERS = [Language.UZBEK, Language.RUSSIAN]
_ANY_ID = re.compile(
    rf"(?<![\w-])(?:{'|'.join(sorted(map(re.escape, (one for ids in IDS.values() for one in ids))))})(?![\w-])"
)


def without_namings() -> ListVersion:
    files = bundle()
    for name, what in ((GROUPS, Called.GROUP), (REGULATIONS, Called.SCOPE), (DIRECTORY, Called.EVIDENCE_TYPE)):
        files = put(files, name, what, [])
    return ListVersion.from_files(files)


def ids_in(text: str) -> list[str]:
    return _ANY_ID.findall(text)


@cache
def questions() -> tuple[Question, ...]:
    """One about each entry: somebody whom it bars, and a procedure in which it does."""
    return tuple(one for entry in LISTS.prohibited.values() for one in [_question(entry)] if one)


def _question(entry: ProhibitedEntry) -> Question | None:
    for agency in LISTS.agencies:
        groups = LISTS.groups_of(agency, DAY)
        if agency not in entry.barred_agencies and entry.barred_groups.isdisjoint(groups):
            continue
        for procedure in LISTS.procedures.values():
            covers = procedure.public_service if entry.every_public_service else entry.scope in procedure.scopes
            if covers and procedure.conducted_by(agency, groups):
                return Question(agency, procedure.id, entry.document_type, DAY)
    return None


def test_everything_has_its_name_in_every_language() -> None:
    for what, ids in IDS.items():
        named = {one.id: one for one in LISTS.namings.values() if one.what is what}
        assert set(named) == ids
        for one in named.values():
            assert one.name_en
            assert re.search("[а-яё]", one.name_ru)
            assert not re.search("[а-яё]", one.name_uz)
            assert one.name_uz
            assert one.name_uz not in (one.id, one.name_en)


@pytest.mark.parametrize("language", OTHERS)
def test_no_answer_of_the_page_shows_an_id(language: Language) -> None:
    page = MayTheyAskPage(TEXTS)
    assert len(questions()) > 60
    evidence = 0
    for question in questions():
        answer = answered(question, LISTS, FetchMode.INFERRED)
        asked = Asked(question, question.requester, question.procedure, question.document, DAY.isoformat(), KINDS[0])
        # An act and a source stand as they were written down, and say that they are in English.
        written = re.sub('<span lang="en">.*?</span>', "", page.render(asked, answer, LISTS, language))
        text = Shape(written).text
        assert ids_in(text) == [], question
        assert "VTEK" not in text, "what it was called before"
        found = answer.document.evidence_type
        if found:
            assert naming_of(Called.EVIDENCE_TYPE, found, LISTS, language).text in text
            evidence += 1
    assert evidence > 10


@pytest.mark.parametrize("language", OTHERS)
def test_no_entry_is_listed_or_explained_by_ids(language: Language) -> None:
    words = Words(TEXTS, language)
    for entry in LISTS.prohibited.values():
        lines = [*_listed(words, LISTS, entry), *entry_lines(words, LISTS, entry, DAY)]
        # An act, a remark and a source stand as they were written down.
        quoted = {entry.act, entry.note, *entry.sources, *(ground.act for ground in LISTS.grounds_for[entry.id])}
        said = [text for text in (line.partition(": ")[2] for line in lines) if text not in quoted]
        assert len(said) > 10
        assert [text for text in said if ids_in(text)] == []


def test_lists_of_before_have_no_names_and_show_the_ids() -> None:
    before = without_namings()
    assert before.namings == {}
    words = Words(TEXTS, Language.RUSSIAN)
    said = "\n".join(_listed(words, before, before.prohibited["tax-debt-certificate-communal"]))
    assert "communal-organisations (contract and service of a communal organisation)" in said
    question = next(one for one in questions() if one.document == "tax-debt-certificate")
    answer = answered(question, before, FetchMode.INFERRED)
    asked = Asked(question, question.requester, question.procedure, question.document, DAY.isoformat(), KINDS[0])
    assert "tax-debt" in ids_in(Shape(MayTheyAskPage(TEXTS).render(asked, answer, before, Language.UZBEK)).text)
