"""Names, days, acts and the book: what the register takes, keeps and refuses."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopar.errors import ForbiddenCharactersError, InvalidEntryError, NotFoundError
from chopar.identifiers import PersonId
from chopar.population.names import APOSTROPHES
from services.registry_office.model.acts import Act, ActKind, Participant, Role
from services.registry_office.model.book import Book
from services.registry_office.model.days import PartialDate, local_day
from services.registry_office.model.family import FamilyOn
from services.registry_office.model.names import PersonName, mixed_script, search_key
from tests.civil_acts import (
    FATHER,
    GRANDCHILD,
    GRANDFATHER,
    MOTHER,
    SON,
    STRANGER,
    WIFE,
    act,
    birth,
    death,
    divorce,
    family,
    number,
    who,
)

TODAY = date(2026, 11, 26)
LETTERS = "abcdefghijklmnopqrstuvxyz ABVGDEZIYK- áǵíńóúı абвгдеёжзийклмнопрстуфхцчшщъыьэюяўқғҳЎҚҒҲЖЯ"


def book(*more: Act) -> Book:
    made = Book()
    for one in (*family(), *more):
        made.record(one)
    return made


@pytest.mark.parametrize(
    "given_name",
    ["O", "Ж", "Gulnora-" * 40, "a" * 300, "Oʻktamjon-Muhammadali"],
)
@pytest.mark.parametrize("surname", ["Y", "Ў" * 300, None])
@pytest.mark.parametrize("patronymic", [None, "U", "x" * 300])
def test_bad_input_40_names_of_one_letter_of_three_hundred_and_without_patronymic_are_kept_whole(
    given_name: str, surname: str | None, patronymic: str | None
) -> None:
    child = Participant(Role.CHILD, PersonName(surname, given_name, patronymic), SON, PartialDate.of(SON.born_on))
    kept = Act.from_json(act(ActKind.BIRTH, "1990-02-01", child).to_json()).participants[0].name
    assert (kept.surname, kept.given_name, kept.patronymic) == (surname, given_name, patronymic)


@pytest.mark.parametrize("flawed", ["Kar\x00im", "Karim\u202e", "\u0627\u062d\u0645\u062f"])
def test_bad_input_44_control_and_right_to_left_characters_are_refused_in_names(flawed: str) -> None:
    with pytest.raises(ForbiddenCharactersError):
        PersonName(flawed, "Anvar")


@pytest.mark.parametrize("blank", ["", " ", "\u2003"])
def test_a_part_of_a_name_is_absent_and_not_blank(blank: str) -> None:
    with pytest.raises(InvalidEntryError):
        PersonName("Karimov", "Anvar", blank)


@pytest.mark.parametrize(
    "written",
    [
        "Toʻlqinov Gʻayrat",
        "To'lqinov G'ayrat",
        "TO`LQINOV G`AYRAT",
        "Тўлқинов Ғайрат",
        "Tolqinov  Gayrat",
        "Tо‘lqinov Gаyrаt",  # with a Cyrillic о and а
    ],
)
def test_bad_input_42_a_name_is_found_in_either_alphabet_and_with_look_alikes(written: str) -> None:
    assert search_key(written) == "tolqinov gayrat"


def test_bad_input_42_mixed_scripts_are_flagged_and_never_mended() -> None:
    assert mixed_script("Kаrimov Anvar")  # a Cyrillic а
    assert not mixed_script("Karimov Анвар")  # two words, each in one alphabet
    assert not mixed_script("Toʻlqinov Gʻayrat")
    name = PersonName("Kаrimov", "Anvar")
    assert name.surname == "K\u0430rimov"


def test_bad_input_43_composed_and_decomposed_forms_have_one_key() -> None:
    assert search_key("Y\u043e\u0438\u0306") == search_key("Y\u043e\u0439")


@given(st.text("".join(APOSTROPHES) + LETTERS, min_size=1, max_size=40))
def test_a_key_is_its_own_key_in_any_case(text: str) -> None:
    key = search_key(text)
    assert search_key(key.upper()) == key == search_key(text.upper())


@pytest.mark.parametrize(
    ("text", "earliest", "latest"),
    [
        ("2004-02-29", date(2004, 2, 29), date(2004, 2, 29)),
        ("1899-12-31", date(1899, 12, 31), date(1899, 12, 31)),
        ("1931", date(1931, 1, 1), date(1931, 12, 31)),
        ("1896-02", date(1896, 2, 1), date(1896, 2, 29)),
        ("1900-02", date(1900, 2, 1), date(1900, 2, 28)),
    ],
)
def test_bad_input_45_a_date_may_be_old_a_leap_day_or_known_in_part(text: str, earliest: date, latest: date) -> None:
    day = PartialDate.parse(text)
    assert (day.text, day.earliest, day.latest) == (text, earliest, latest)
    child = who(Role.CHILD, "Karimov Anvar", born_on=day)
    assert Act.from_json(act(ActKind.BIRTH, "2010-01-01", child).to_json()).participants[0].born_on == day


@pytest.mark.parametrize("text", ["1900-02-29", "2026-13", "2026-00", "31", "1931-5", "1931-05-09T00:00", "١٩٣١", ""])
def test_bad_input_45_a_day_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(InvalidEntryError):
        PartialDate.parse(text)


@given(st.dates(min_value=date(1000, 1, 1)))
def test_whole_days_survive(day: date) -> None:
    whole = PartialDate.of(day)
    assert PartialDate.parse(whole.text) == whole
    assert whole.earliest == whole.latest == day


def test_bad_input_46_a_birth_just_after_midnight_belongs_to_the_local_day() -> None:
    born_at = datetime(2026, 1, 14, 19, 30, tzinfo=UTC)  # half past midnight of the 15th in Tashkent
    born_on = PartialDate.of(local_day(born_at))
    assert born_on.text == "2026-01-15"
    child = who(Role.CHILD, "Karimov Anvar", born_on=born_on)
    act(ActKind.BIRTH, "2026-01-15", child)
    with pytest.raises(InvalidEntryError, match="before the day of birth"):
        act(ActKind.BIRTH, "2026-01-14", child)


def test_bad_input_46_an_act_counts_from_its_local_day() -> None:
    file = book(death(FATHER, "2026-01-15", "2026-01-15")).file_of(FATHER.text)
    assert file is not None
    before, after = (local_day(datetime(2026, 1, 14, hour, 59, tzinfo=UTC)) for hour in (18, 19))
    assert FamilyOn(file, before).death_of(FATHER.text) is None
    assert FamilyOn(file, after).death_of(FATHER.text) is not None


@pytest.mark.parametrize("died", ["1965-04-30", "1965-04", "1964"])
def test_bad_input_47_a_death_before_the_birth_is_refused(died: str) -> None:
    with pytest.raises(InvalidEntryError, match="before the birth"):
        death(FATHER, died, "1966-01-01")


@pytest.mark.parametrize("died", ["1965-05-01", "1965-05", "1965"])
def test_a_death_that_may_be_later_than_the_birth_is_taken(died: str) -> None:
    death(FATHER, died, "1966-01-01")


def test_bad_input_47_a_death_is_checked_against_the_registered_birth_and_the_reverse() -> None:
    # The number says 1940, the act of birth says 1941; the death lies between.
    person = number("1940-01-01", male=True, serial=7)
    born = act(ActKind.BIRTH, "1941-06-01", who(Role.CHILD, "A B", person, born_on=PartialDate.parse("1941-05")))
    died = act(
        ActKind.DEATH,
        "1941-07-01",
        who(Role.DECEASED, "A B", person, born_on=None),
        died_on=PartialDate.parse("1941-04-30"),
    )
    for first, second in ((born, died), (died, born)):
        made = Book()
        made.record(first)
        with pytest.raises(InvalidEntryError, match="before the birth"):
            made.record(second)
        assert list(made.entries) == [first.number]


@pytest.mark.parametrize(
    "change",
    [
        {"number": ""},
        {"number": "x" * 65},
        {"office": " "},
        {"participants": ()},
        {"participants": (who(Role.HUSBAND, "A B"),)},
        {"participants": (who(Role.CHILD, "A B", born_on=None),)},
        {"participants": (who(Role.CHILD, "A B", SON), who(Role.CHILD, "A C", FATHER))},
        {"participants": (who(Role.CHILD, "A B", SON), who(Role.FATHER, "A C", SON))},
        {"died_on": PartialDate(2000)},
        {"concerns": "another"},
    ],
)
def test_an_act_that_contradicts_itself_is_refused_without_its_values(change: dict[str, Any]) -> None:
    fields: dict[str, Any] = {
        "number": "B-1",
        "kind": ActKind.BIRTH,
        "office": "an office",
        "recorded_on": date(2010, 1, 1),
        "participants": (who(Role.CHILD, "A B", SON),),
    }
    Act(**fields)
    with pytest.raises(InvalidEntryError) as raised:
        Act(**{**fields, **change})
    assert SON.text not in str(raised.value)


def test_an_act_survives_the_journal() -> None:
    for one in family():
        assert Act.from_json(one.to_json()) == one


def test_bad_input_37_two_persons_under_one_number_are_ambiguous_and_shown_to_the_office() -> None:
    other = act(ActKind.BIRTH, "1990-03-01", who(Role.CHILD, "Volkov Ivan", SON), number="B-other")
    file = book(other).file_of(SON.text)
    assert file is not None
    assert FamilyOn(file, TODAY).ambiguous
    assert not FamilyOn(file, date(1990, 2, 1)).ambiguous
    alone = book().file_of(SON.text)
    assert alone is not None
    assert not FamilyOn(alone, TODAY).ambiguous


def test_a_corrected_act_is_superseded_with_an_annotation_and_counts_until_then() -> None:
    corrected = birth(GRANDCHILD, "2016-01-01", WIFE, None, number="B-again", supersedes="B-grandchild")
    made = book(corrected)
    assert made.entries["B-grandchild"].annotation == "superseded by B-again on 2016-01-01"
    assert made.entries["B-again"].annotation is None
    file = made.file_of(GRANDCHILD.text)
    assert file is not None
    assert [one.relation for one in FamilyOn(file, date(2015, 12, 31)).parents()] == ["mother", "father"]
    assert [one.relation for one in FamilyOn(file, date(2016, 1, 1)).parents()] == ["mother"]
    again = birth(GRANDCHILD, "2017-01-01", WIFE, None, supersedes="B-grandchild")
    with pytest.raises(InvalidEntryError, match="superseded already"):
        made.record(again)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (divorce(SON, WIFE, "2020-01-01", concerns="no such act"), NotFoundError),
        (divorce(SON, WIFE, "2020-01-01", concerns="B-son"), InvalidEntryError),
        (birth(SON, "2020-01-01", MOTHER, FATHER, number="B-son"), InvalidEntryError),
        (birth(SON, "2020-01-01", MOTHER, FATHER, supersedes="M-son"), InvalidEntryError),
        (
            act(
                ActKind.PATERNITY,
                "2020-01-01",
                who(Role.CHILD, "Karimov Jasur", SON),
                who(Role.FATHER, "Volkov Oleg", STRANGER),
            ),
            InvalidEntryError,
        ),
    ],
)
def test_an_act_that_contradicts_the_register_changes_nothing(wrong: Act, error: type[Exception]) -> None:
    made = book()
    before = dict(made.entries)
    with pytest.raises(error):
        made.record(wrong)
    assert made.entries == before


def test_bad_input_39_who_changed_number_is_found_by_both_and_the_link_is_shown() -> None:
    new = number("1990-01-11", male=True)
    change = act(
        ActKind.NUMBER_CHANGE,
        "2018-03-03",
        who(Role.NUMBER_BEFORE, "Karimov Jasur", SON, born_on=None),
        who(Role.NUMBER_AFTER, "Karimov Jasur", new, born_on=None),
        number="N-1",
    )
    newest = number("1990-01-12", male=True)
    again = act(
        ActKind.NUMBER_CHANGE,
        "2019-03-03",
        who(Role.NUMBER_BEFORE, "Karimov Jasur", new, born_on=None),
        who(Role.NUMBER_AFTER, "Karimov Jasur", newest, born_on=None),
        number="N-2",
    )
    made = book(change, again)
    files = [made.file_of(one.text) for one in (SON, new, newest)]
    assert files[0] is not None
    assert files[0] == files[1] == files[2]
    seen = FamilyOn(files[0], TODAY)
    assert seen.links == ("N-1", "N-2")
    assert [one.relation for one in seen.parents()] == ["mother", "father"]
    assert [one.relation for one in seen.children()] == ["son"]
    child = made.file_of(GRANDCHILD.text)
    assert child is not None
    assert [one.person for one in FamilyOn(child, TODAY).parents()] == [WIFE.text, newest.text]
    # An act recorded later under the old number is the same person's.
    made.record(divorce(SON, WIFE, "2020-01-01"))
    later = made.file_of(newest.text)
    assert later is not None
    assert FamilyOn(later, TODAY).marriages()[0].ended_by is not None


def test_a_stranger_has_no_file() -> None:
    assert book().file_of(STRANGER.text) is None
    assert book().file_of(PersonId("52902040031200").text) is None
    file = book().file_of(GRANDFATHER.text)
    assert file is not None
    assert not FamilyOn(file, date(1960, 1, 1)).known


def test_nothing_that_is_shown_names_anybody() -> None:
    made = book()
    file = made.file_of(SON.text)
    assert file is not None
    seen = FamilyOn(file, TODAY)
    shown = repr((file, made.entries, seen.parents(), seen.children(), seen.marriages(), family()))
    assert "B-son" in shown
    for secret in (SON.text, FATHER.text, "Karimov", "Jasur", "1990, 1, 10", "1990-01-10"):
        assert secret not in shown
