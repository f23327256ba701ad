"""What follows from acts, as the registry office says it: families, kinship, marriage, acts; as of a day."""

import json
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chopar.avro import SchemaFiles
from chopar.identifiers import PersonId
from chopar.messages.civil_status import CIVIL_STATUS_EVIDENCE, Kinship
from chopar.messages.evidence import EvidenceRequested
from chopar.provider.provider import AmbiguousSubject, Answer, NoRecord, ProviderError
from services.registry_office.handlers import COVERAGE, provider
from services.registry_office.model.acts import Act, ActKind, Role
from services.registry_office.model.answers import EVIDENCE_TYPES
from services.registry_office.model.book import Book
from services.registry_office.model.days import PartialDate
from services.registry_office.model.family import NONE_FOUND, RELATIONS, FamilyOn, kinship
from services.registry_office.model.names import PersonName
from services.registry_office.store import CoalescingCivilRegister, DictCivilStore
from tests.builders import BUSINESS, NOW, demand_id
from tests.civil_acts import (
    AUNT,
    COUSIN,
    DAUGHTER,
    FATHER,
    GRANDCHILD,
    GRANDFATHER,
    GRANDMOTHER,
    MOTHER,
    NAMES,
    SON,
    STRANGER,
    WIFE,
    act,
    death,
    divorce,
    family,
    number,
    wedding,
    who,
)

TODAY = NOW.date()


async def ask(
    evidence_type: str, person: PersonId, *more: Act, on: datetime = NOW, second: PersonId | None = None, **fields: Any
) -> Answer:
    """What the registry office says, of the family and more acts."""
    store = DictCivilStore()
    await store.seed([*family(), *more])
    register = CoalescingCivilRegister(store)
    request = EvidenceRequested.model_validate(
        {
            "request_id": bytes(32),
            "demand_id": demand_id(),
            "requester": "justice-notary",
            "provider": "justice-fhdyo",
            "evidence_type": evidence_type,
            "subject": {"kind": "person", "id": person.text},
            "parameters": {} if second is None else {"second_person": second.text},
            "fields": (),
            "procedure": "notary-identity-check",
            "case_id": "case-1",
            "official": "official-7",
            "access_ground": "ground-1",
            "act": "act",
            "as_of": on,
            "due": on + timedelta(days=1),
            "expires_at": on + timedelta(days=7),
            **fields,
        }
    )
    answer = await provider.answer(request, register)
    await register.close()
    return answer


async def said(evidence_type: str, person: PersonId, *more: Act, **how: Any) -> dict[str, Any]:
    """Evidence without what every answer carries; that is checked here."""
    answer = await ask(evidence_type, person, *more, **how)
    assert isinstance(answer, CIVIL_STATUS_EVIDENCE)
    datum = answer.model_dump(mode="json")
    assert datum.pop("register_coverage") == COVERAGE
    assert datum.pop("source_register") == "unified electronic archive of civil status acts"
    assert datetime.fromisoformat(datum.pop("as_of")) == how.get("on", NOW)
    assert datum.pop("fields_given") == []
    links = datum.pop("linked_by")
    return datum if links is None else {**datum, "linked_by": links}


def counted(relatives: Any) -> list[tuple[str, tuple[str, ...]]]:
    assert relatives["count"] == len(relatives["members"])
    return [(one["relation"], tuple(one["acts"])) for one in relatives["members"]]


def local(day: str) -> datetime:
    return datetime.fromisoformat(f"{day}T12:00:00+05:00")


async def test_family_composition_has_counts_relations_and_acts_and_no_identifier() -> None:
    datum = await said("family-composition", SON)
    assert counted(datum["spouses"]) == [("wife", ("M-son",))]
    assert counted(datum["children"]) == [("son", ("B-grandchild",))]
    assert counted(datum["parents"]) == [("mother", ("B-son",)), ("father", ("B-son",))]
    text = str(datum)
    for person, name in NAMES.items():
        assert person.text not in text
        assert name.split()[0] not in text


async def test_the_dead_are_not_counted_from_the_day_of_the_act() -> None:
    grandfather_died = await said("family-composition", FATHER)
    assert counted(grandfather_died["parents"]) == [("mother", ("B-father",))]
    before = await said("family-composition", FATHER, on=local("2001-02-04"))
    assert [relation for relation, _ in counted(before["parents"])] == ["mother", "father"]
    widow = await said("family-composition", GRANDMOTHER)
    assert widow["spouses"]["count"] == 0
    assert [relation for relation, _ in counted(widow["children"])] == ["son", "daughter"]


@pytest.mark.parametrize(
    ("day", "children"), [("1990-01-19", 0), ("1990-01-20", 1), ("1993-06-30", 1), ("1993-07-01", 2)]
)
async def test_later_acts_are_ignored(day: str, children: int) -> None:
    assert (await said("family-composition", MOTHER, on=local(day)))["children"]["count"] == children


@pytest.mark.parametrize(
    ("person", "on", "status", "act_number"),
    [
        (SON, "2014-05-04", "never_married", None),
        (SON, "2014-05-05", "married", "M-son"),
        (SON, "2019-12-31", "married", "M-son"),
        (SON, "2020-01-01", "divorced", "V-1"),
        (SON, "2022-02-02", "married", "M-again"),
        (WIFE, "2022-02-02", "divorced", "V-1"),
        (STRANGER, "2022-02-02", "divorced", "V-abroad"),
        (GRANDMOTHER, "2001-02-04", "married", "M-grandparents"),
        (GRANDMOTHER, "2001-02-05", "widowed", "D-grandfather"),
        (GRANDFATHER, "2001-02-05", "deceased", "D-grandfather"),
        (GRANDCHILD, "2026-11-26", "never_married", None),
    ],
)
async def test_marital_status_follows_from_the_last_act(
    person: PersonId, on: str, status: str, act_number: str | None
) -> None:
    more = [
        divorce(SON, WIFE, "2020-01-01", concerns="M-son", number="V-1"),
        wedding(SON, COUSIN, "2022-02-02", number="M-again"),
        act(
            ActKind.DIVORCE,
            "2020-01-01",
            who(Role.HUSBAND, NAMES[STRANGER], STRANGER),
            who(Role.WIFE, "Doe Jane"),
            number="V-abroad",
        ),
    ]
    datum = await said("marital-status", person, *more, on=local(on))
    assert (datum["status"], datum["act_number"]) == (status, act_number)
    assert (datum["act_date"] is None) == (act_number is None)


async def test_a_divorce_that_names_no_marriage_ends_the_one_with_the_same_person() -> None:
    more = (divorce(SON, WIFE, "2020-01-01"), wedding(SON, WIFE, "2021-01-01", number="M-second"))
    datum = await said("marital-status", SON, *more)
    assert (datum["status"], datum["act_number"]) == ("married", "M-second")
    assert (await said("family-composition", SON, *more))["spouses"]["count"] == 1


KIN = [
    (SON, SON, "same_person", ()),
    (SON, MOTHER, "mother", ("B-son",)),
    (MOTHER, SON, "son", ("B-son",)),
    (SON, DAUGHTER, "sister", ("B-son", "B-daughter")),
    (SON, GRANDFATHER, "grandfather", ("B-father", "B-son")),
    (GRANDFATHER, DAUGHTER, "granddaughter", ("B-father", "B-daughter")),
    (GRANDCHILD, GRANDMOTHER, "great_grandmother", ("B-father", "B-son", "B-grandchild")),
    (GRANDMOTHER, GRANDCHILD, "great_grandson", ("B-father", "B-son", "B-grandchild")),
    (SON, AUNT, "aunt", ("B-father", "B-aunt", "B-son")),
    (AUNT, DAUGHTER, "niece", ("B-father", "B-aunt", "B-daughter")),
    (SON, COUSIN, "cousin", ("B-father", "B-aunt", "B-son", "B-cousin")),
    (GRANDCHILD, COUSIN, "parents_cousin", ("B-father", "B-aunt", "B-son", "B-cousin", "B-grandchild")),
    (GRANDCHILD, AUNT, "great_aunt", ("B-father", "B-aunt", "B-son", "B-grandchild")),
    (SON, WIFE, "wife", ("M-son",)),
    (WIFE, SON, "husband", ("M-son",)),
    (GRANDMOTHER, GRANDFATHER, "husband", ("M-grandparents", "D-grandfather")),
    (WIFE, MOTHER, "mother_in_law", ("B-son", "M-son")),
    (MOTHER, WIFE, "daughter_in_law", ("B-son", "M-son")),
    (WIFE, COUSIN, NONE_FOUND, ()),
    (WIFE, GRANDFATHER, NONE_FOUND, ()),
]


@pytest.mark.parametrize(("person", "second", "relation", "acts"), KIN)
async def test_kinship_says_what_the_second_is_to_the_first_and_by_which_acts(
    person: PersonId, second: PersonId, relation: str, acts: Sequence[str]
) -> None:
    datum = await said("kinship", person, second=second)
    assert datum == {"relation": relation, "acts": list(acts)}


async def test_kinship_knows_halves_former_spouses_and_step_kin() -> None:
    half = number("2000-01-01", male=True)
    more = [
        divorce(FATHER, MOTHER, "1998-01-01", concerns="M-parents", number="V-parents"),
        wedding(FATHER, WIFE, "1999-01-01", number="M-late"),
        act(
            ActKind.BIRTH,
            "2000-01-09",
            who(Role.CHILD, "Karimov Bek", half),
            who(Role.MOTHER, NAMES[WIFE], WIFE),
            who(Role.FATHER, NAMES[FATHER], FATHER),
            number="B-half",
        ),
    ]
    assert (await said("kinship", DAUGHTER, *more, second=half))["relation"] == "half_brother"
    assert (await said("kinship", FATHER, *more, second=MOTHER))["relation"] == "former_wife"
    assert (await said("kinship", DAUGHTER, *more, second=WIFE))["relation"] == "stepmother"
    assert (await said("kinship", WIFE, *more, second=DAUGHTER))["relation"] == "stepdaughter"
    assert (await said("kinship", FATHER, *more, second=MOTHER, on=local("1997-12-31")))["relation"] == "wife"


async def test_kinship_needs_both_to_be_known() -> None:
    assert await ask("kinship", STRANGER, second=SON) == NoRecord(COVERAGE)
    assert await ask("kinship", SON, second=STRANGER) == NoRecord(COVERAGE)
    assert await ask("kinship", SON) == ProviderError()
    assert await ask("kinship", SON, second=GRANDCHILD, on=local("2015-09-09")) == NoRecord(COVERAGE)


async def test_paternity_makes_a_father() -> None:
    child = number("2020-02-29", male=False)
    born = act(
        ActKind.BIRTH, "2020-03-10", who(Role.CHILD, "Azizova Zarina", child), who(Role.MOTHER, NAMES[MOTHER], MOTHER),
        number="B-z",
    )  # fmt: skip
    paternity = act(
        ActKind.PATERNITY,
        "2021-01-01",
        who(Role.CHILD, "Azizova Zarina", child),
        who(Role.FATHER, NAMES[STRANGER], STRANGER),
        number="P-z",
    )
    datum = await said("family-composition", child, born, paternity)
    assert counted(datum["parents"]) == [("mother", ("B-z",)), ("father", ("P-z",))]
    assert counted((await said("family-composition", STRANGER, born, paternity))["children"]) == [
        ("daughter", ("P-z",))
    ]
    earlier = await said("family-composition", child, born, paternity, on=local("2020-12-31"))
    assert counted(earlier["parents"]) == [("mother", ("B-z",))]
    told = await said("paternity-act", child, born, paternity)
    assert (told["act_number"], told["father"]["surname"]) == ("P-z", "Volkov")
    assert (await said("kinship", child, born, paternity, second=STRANGER))["relation"] == "father"


async def test_a_lone_parent_is_the_only_living_parent_of_a_minor() -> None:
    assert (await said("lone-parent-status", WIFE))["lone_parent"] is False
    widowed = death(SON, "2024-01-01", "2024-01-03", number="D-son")
    assert await said("lone-parent-status", WIFE, widowed) == {"lone_parent": True, "acts": ["B-grandchild", "D-son"]}
    grown = await said("lone-parent-status", WIFE, widowed, on=local("2033-09-01"))
    assert grown == {"lone_parent": False, "acts": []}
    assert (await said("lone-parent-status", WIFE, widowed, on=local("2033-08-31")))["lone_parent"] is True
    child = number("2020-05-05", male=True)
    alone = act(
        ActKind.BIRTH, "2020-05-09", who(Role.CHILD, "Saidov Ali", child), who(Role.MOTHER, NAMES[COUSIN], COUSIN),
        number="B-ali",
    )  # fmt: skip
    assert (await said("lone-parent-status", COUSIN, alone))["acts"] == ["B-ali"]
    found = act(
        ActKind.PATERNITY, "2022-02-02", who(Role.CHILD, "Saidov Ali", child), who(Role.FATHER, "Volkov Oleg", STRANGER)
    )
    assert (await said("lone-parent-status", COUSIN, alone, found))["lone_parent"] is False
    assert (await said("lone-parent-status", COUSIN, alone, found, on=local("2022-02-01")))["lone_parent"] is True


async def test_acts_are_told_as_they_were_recorded() -> None:
    born = await said("birth-act", SON)
    assert (born["act_number"], born["recorded_on"], born["office"]) == (
        "B-son",
        "1990-01-20",
        "Chilonzor tumani FHDYo boʻlimi",
    )
    assert born["child"] == {
        "role": "child",
        "surname": "Karimov",
        "given_name": "Jasur",
        "patronymic": "Anvar oʻgʻli",
        "born_on": "1990-01-10",
    }
    assert [one["role"] for one in born["parents"]] == ["mother", "father"]
    married = await said("marriage-act", WIFE)
    assert [one["surname"] for one in married["spouses"]] == ["Karimov", "Orlova"]
    assert [(one["role"], one["surname"]) for one in married["names_after"]] == [("wife", "Karimova")]
    died = await said("death-act", GRANDFATHER)
    assert (died["act_number"], died["died_on"], died["recorded_on"]) == ("D-grandfather", "2001-02-03", "2001-02-05")
    divorced = await said("divorce-act", SON, divorce(SON, WIFE, "2020-01-01", number="V-1"))
    assert [one["role"] for one in divorced["former_spouses"]] == ["husband", "wife"]
    renamed = act(
        ActKind.NAME_CHANGE, "2012-12-12", who(Role.PERSON, "Saidova Malika", COUSIN, name_after=PersonName(None, "O"))
    )
    changed = await said("name-change-act", COUSIN, renamed)
    assert (changed["name_before"]["surname"], changed["name_after"]["surname"]) == ("Saidova", None)
    assert changed["name_after"]["given_name"] == "O"


@pytest.mark.parametrize(
    "evidence_type", ["marriage-act", "divorce-act", "death-act", "name-change-act", "paternity-act"]
)
async def test_an_act_that_there_is_not_is_no_record(evidence_type: str) -> None:
    assert await ask(evidence_type, GRANDCHILD) == NoRecord(COVERAGE)


@pytest.mark.parametrize("evidence_type", [one for one in EVIDENCE_TYPES if one != "kinship"])
async def test_bad_input_36_a_stranger_is_no_record_and_a_firm_cannot_be_asked_about(evidence_type: str) -> None:
    assert await ask(evidence_type, STRANGER) == NoRecord(COVERAGE)
    firm = {"kind": "business", "id": BUSINESS}
    assert await ask(evidence_type, STRANGER, subject=firm) == ProviderError()


@pytest.mark.parametrize("evidence_type", [one for one in EVIDENCE_TYPES if one != "kinship"])
async def test_bad_input_37_two_persons_under_one_number_stop_every_answer(evidence_type: str) -> None:
    other = act(ActKind.BIRTH, "1990-03-01", who(Role.CHILD, "Volkov Ivan", SON))
    assert await ask(evidence_type, SON, other) == AmbiguousSubject()
    assert await ask("kinship", SON, other, second=MOTHER) == AmbiguousSubject()
    assert await ask("kinship", MOTHER, other, second=SON) == AmbiguousSubject()


async def test_bad_input_39_the_answer_shows_by_which_act_two_numbers_are_one_person() -> None:
    new = number("1990-01-11", male=True)
    change = act(
        ActKind.NUMBER_CHANGE,
        "2018-03-03",
        who(Role.NUMBER_BEFORE, "Karimov Jasur", SON, born_on=None),
        who(Role.NUMBER_AFTER, "Karimov Jasur", new, born_on=None),
        number="N-1",
    )
    by_both = [await said("family-composition", one, change) for one in (SON, new)]
    assert by_both[0] == by_both[1]
    assert by_both[0]["linked_by"] == ["N-1"]
    assert (await said("kinship", GRANDCHILD, change, second=new)) == {
        "relation": "father",
        "acts": ["B-grandchild"],
        "linked_by": ["N-1"],
    }


async def test_bad_input_45_partial_days_of_birth_are_told_in_part() -> None:
    old = number("1899-12-31", male=True)
    born = act(ActKind.BIRTH, "1951-01-02", who(Role.CHILD, "Eshmatov Eshmat", old, born_on=PartialDate(1899)))
    assert (await said("birth-act", old, born))["child"]["born_on"] == "1899"
    assert (await said("family-composition", old, born))["parents"]["count"] == 0


async def test_a_birth_beside_a_second_person_is_the_one_that_both_stand_in() -> None:
    datum = await said("birth-act", MOTHER, second=DAUGHTER)
    assert datum["act_number"] == "B-daughter"
    assert (await said("birth-act", DAUGHTER, second=FATHER))["act_number"] == "B-daughter"
    assert await ask("birth-act", MOTHER, second=GRANDCHILD) == NoRecord(COVERAGE)
    assert await ask("birth-act", MOTHER, second=STRANGER) == NoRecord(COVERAGE)


def test_the_provider_answers_what_evidence_csv_asks_of_it() -> None:
    assert provider.agency == "justice-fhdyo"
    assert set(provider.evidence_types) == set(EVIDENCE_TYPES)
    assert len(CIVIL_STATUS_EVIDENCE) == len(EVIDENCE_TYPES)


def test_the_schema_lists_every_relation() -> None:
    [said] = [
        field["doc"]
        for field in json.loads(SchemaFiles.shipped().texts[Kinship.RECORD])["fields"]
        if field["name"] == "relation"
    ]
    words = {word.strip() for word in said.split(":")[1].split(";")[0].split(",")}
    assert words | {NONE_FOUND} == RELATIONS
    assert NONE_FOUND in said


# --- Properties -------------------------------------------------------------------------------------------------------


@st.composite
def registers(draw: st.DrawFn) -> tuple[Book, list[PersonId]]:
    """Up to 14 people, each with parents among those before; some married, divorced, dead."""
    people = [
        number(f"{1900 + 8 * place}-01-0{1 + place % 3}", male=place % 2 == 0)
        for place in range(draw(st.integers(2, 14)))
    ]
    book = Book()
    for place, person in enumerate(people):
        women = [one for one in people[: max(0, place - 2)] if not one.is_male]
        men = [one for one in people[: max(0, place - 2)] if one.is_male]
        parents = []
        if bool(women) and draw(st.booleans()):
            parents.append(who(Role.MOTHER, "A B", draw(st.sampled_from(women))))
        if bool(men) and draw(st.booleans()):
            parents.append(who(Role.FATHER, "A B", draw(st.sampled_from(men))))
        book.record(act(ActKind.BIRTH, f"{person.born_on.year}-02-01", who(Role.CHILD, "A B", person), *parents))
    for _ in range(draw(st.integers(0, 6))):
        husband = draw(st.sampled_from([one for one in people if one.is_male]))
        wife = draw(st.sampled_from([one for one in people if not one.is_male]))
        kind = draw(st.sampled_from([ActKind.MARRIAGE, ActKind.DIVORCE]))
        year = draw(st.integers(2012, 2025))
        book.record(act(kind, f"{year}-05-05", who(Role.HUSBAND, "A B", husband), who(Role.WIFE, "A B", wife)))
    for person in draw(st.sets(st.sampled_from(people), max_size=4)):
        year = draw(st.integers(2013, 2025))
        book.record(
            act(ActKind.DEATH, f"{year}-06-06", who(Role.DECEASED, "A B", person), died_on=PartialDate(year, 6))
        )
    return book, people


_CONVERSE = {
    "mother": {"son", "daughter"}, "father": {"son", "daughter"},
    "son": {"mother", "father"}, "daughter": {"mother", "father"},
    "grandmother": {"grandson", "granddaughter"}, "grandfather": {"grandson", "granddaughter"},
    "brother": {"brother", "sister"}, "sister": {"brother", "sister"},
    "half_brother": {"half_brother", "half_sister"}, "half_sister": {"half_brother", "half_sister"},
    "uncle": {"nephew", "niece"}, "aunt": {"nephew", "niece"},
    "cousin": {"cousin"}, "second_cousin": {"second_cousin"},
    "husband": {"wife"}, "wife": {"husband"}, "former_husband": {"former_wife"}, "former_wife": {"former_husband"},
    "mother_in_law": {"son_in_law", "daughter_in_law"}, "father_in_law": {"son_in_law", "daughter_in_law"},
    "stepmother": {"stepson", "stepdaughter"}, "stepfather": {"stepson", "stepdaughter"},
    NONE_FOUND: {NONE_FOUND}, "same_person": {"same_person"},
}  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(registers(), st.dates(date(1990, 1, 1), date(2026, 1, 1)))
def test_relations_hold_in_both_directions(made: tuple[Book, list[PersonId]], day: date) -> None:
    book, people = made
    for one in people:
        for other in people:
            mine, theirs = book.file_of(one.text), book.file_of(other.text)
            assert mine is not None
            assert theirs is not None
            there, back = kinship(mine, theirs, day), kinship(theirs, mine, day)
            if there.relation in _CONVERSE:
                assert back.relation in _CONVERSE[there.relation], (there, back)
            assert there.relation in RELATIONS
            assert set(there.acts) == set(back.acts)
            assert all(book.entries[number].in_force_on(day) for number in there.acts)


@settings(max_examples=80, deadline=None)
@given(registers(), st.dates(date(1990, 1, 1), date(2026, 1, 1)))
def test_families_agree_with_each_other(made: tuple[Book, list[PersonId]], day: date) -> None:
    book, people = made
    files = {one.text: book.file_of(one.text) for one in people}
    families = {text: FamilyOn(file, day) for text, file in files.items() if file is not None}
    for text, mine in families.items():
        for child in mine.children():
            assert child.person is not None
            assert text in {parent.person for parent in families[child.person].parents()}
        assert len({parent.relation for parent in mine.parents()}) == len(mine.parents()) <= 2
        for marriage in mine.marriages():
            if marriage.entry is not None and marriage.ended_by is None:
                assert marriage.spouse is not None
                back = families[marriage.spouse].marriages()
                assert any(one.entry == marriage.entry and one.ended_by is None for one in back)
        if mine.lone_parent_acts():
            assert mine.living(mine.children())


@settings(max_examples=60, deadline=None)
@given(registers(), st.dates(date(1990, 1, 1), date(2024, 1, 1)))
def test_what_is_recorded_later_changes_nothing_before(made: tuple[Book, list[PersonId]], day: date) -> None:
    whole, people = made
    until = Book(entry for entry in whole.entries.values() if entry.act.recorded_on <= day)
    for one in people:
        then, now = until.file_of(one.text), whole.file_of(one.text)
        assert now is not None
        if then is None:
            assert not FamilyOn(now, day).known
            continue
        before, after = FamilyOn(then, day), FamilyOn(now, day)
        assert before.children() == after.children()
        assert before.parents() == after.parents()
        assert before.marriages() == after.marriages()
        assert before.lone_parent_acts() == after.lone_parent_acts()
