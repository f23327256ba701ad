"""One suite for every store of civil status acts: the double in memory, SQLite, and a real PostgreSQL."""

import asyncio
import traceback
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event, text

from chopar.errors import ChoparError, InvalidEntryError, NotFoundError, RegisterUnavailableError
from chopar.identifiers import PersonId
from chopar.migrations import differences
from services.registry_office.model.acts import Act, ActKind, Role
from services.registry_office.model.book import Book
from services.registry_office.model.names import PersonName
from services.registry_office.model.register import CivilStore
from services.registry_office.store import CoalescingCivilRegister, DictCivilStore, SqlCivilStore
from services.registry_office.store.tables import MIGRATIONS
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
    UNCLE_BY_MARRIAGE,
    WIFE,
    act,
    birth,
    death,
    divorce,
    family,
    number,
    wedding,
    who,
)

pytest_plugins = ["tests.postgres_fixture"]

EVERYBODY = list(NAMES)


@pytest.fixture(params=["sqlite", "postgresql"])
async def sql_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqlCivilStore]:
    url = f"sqlite:///{tmp_path}/acts.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    store = SqlCivilStore(url)
    await store.create_schema()
    yield store
    await store.close()


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[CivilStore]:
    if request.param == "memory":
        yield DictCivilStore()
        return
    url = f"sqlite:///{tmp_path}/acts.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    store = SqlCivilStore(url)
    await store.create_schema()
    yield store
    await store.close()


def adoption() -> Act:
    """The grandchild becomes the aunt's and her husband's."""
    return act(
        ActKind.ADOPTION,
        "2019-04-04",
        who(Role.CHILD, "Saidov Temur Odil oʻgʻli", GRANDCHILD),
        who(Role.MOTHER, NAMES[AUNT], AUNT),
        who(Role.FATHER, NAMES[UNCLE_BY_MARRIAGE], UNCLE_BY_MARRIAGE),
        number="A-1",
        concerns="B-grandchild",
    )


def change_of_number(before: PersonId, after: PersonId) -> Act:
    return act(
        ActKind.NUMBER_CHANGE,
        "2020-02-02",
        who(Role.NUMBER_BEFORE, NAMES.get(before, "A B"), before),
        who(Role.NUMBER_AFTER, NAMES.get(before, "A B"), after, born_on=None),
        number="N-1",
    )


NEW_NUMBER = number("1990-01-11", male=True)
LATER = (
    death(GRANDMOTHER, "2010", "2011-01-01"),
    divorce(SON, WIFE, "2021-01-01", concerns="M-son", number="V-son"),
    change_of_number(SON, NEW_NUMBER),
    adoption(),
    birth(DAUGHTER, "1994-01-01", MOTHER, None, number="B-daughter-again", supersedes="B-daughter"),
    act(
        ActKind.NAME_CHANGE,
        "2012-12-12",
        who(Role.PERSON, NAMES[COUSIN], COUSIN, name_after=PersonName("Saidova", "M" * 300)),
    ),
)


async def test_files_hold_own_acts_those_of_ancestors_and_those_of_the_people_named(store: CivilStore) -> None:
    assert await store.seed(family()) == len(family())
    found = await store.files_of([SON, STRANGER, MOTHER])
    assert set(found) == {SON, MOTHER}
    assert [entry.act.number for entry in found[SON].entries] == [
        "B-father", "B-mother", "B-son", "M-son", "B-grandchild",
    ]  # fmt: skip
    assert [entry.act.number for entry in found[MOTHER].entries] == [
        "B-father", "B-mother", "M-parents", "B-son", "B-daughter",
    ]  # fmt: skip


async def test_every_store_has_the_files_of_the_book(store: CivilStore) -> None:
    book = Book()
    for one in (*family(), *LATER):
        book.record(one)
        await store.record(one)
    people = [*EVERYBODY, NEW_NUMBER]
    expected = {person: book.file_of(person.text) for person in people}
    assert await store.files_of(people) == {person: file for person, file in expected.items() if file is not None}
    for person in people:
        assert (await store.files_of([person])).get(person) == expected[person]


@settings(max_examples=15, deadline=None)
@given(st.permutations([*family(), *LATER]))
async def _any_order(order: list[Act]) -> None:
    """Recorded one by one or seeded at once: the double and SQLite agree, also about what is refused."""
    one_by_one, at_once = DictCivilStore(), DictCivilStore()
    taken = []
    for one in order:
        try:
            await one_by_one.record(one)
        except ChoparError:
            continue
        taken.append(one)
    await at_once.seed(taken)
    people = [*EVERYBODY, NEW_NUMBER]
    assert await one_by_one.files_of(people) == await at_once.files_of(people)


test_acts_in_any_order_give_the_same_register_recorded_or_seeded = _any_order


async def test_acts_in_any_order_are_taken_and_refused_alike_by_the_database(sql_store: SqlCivilStore) -> None:
    double = DictCivilStore()
    for one in (*reversed(LATER), *family(), *LATER):
        said: list[str] = []
        for store in (double, sql_store):
            try:
                await store.record(one)
                said.append("taken")
            except (InvalidEntryError, NotFoundError) as error:
                said.append(str(error))
        assert said[0] == said[1]
    people = [*EVERYBODY, NEW_NUMBER]
    assert await double.files_of(people) == await sql_store.files_of(people)


async def test_seeding_again_adds_nothing_and_keeps_what_was_recorded_since(store: CivilStore) -> None:
    await store.seed(family(), "a recipe")
    assert await store.seeded("a recipe")
    assert not await store.seeded("another")
    for one in LATER:
        await store.record(one)
    before = await store.files_of([*EVERYBODY, NEW_NUMBER])
    assert await store.seed(family()) == 0
    assert await store.seed([]) == 0
    assert await store.files_of([*EVERYBODY, NEW_NUMBER]) == before
    more = wedding(STRANGER, DAUGHTER, "2022-02-02")
    after_the_change = death(SON, "2023", "2023-05-05")
    assert await store.seed([*family(), more, after_the_change]) == 2
    found = await store.files_of([STRANGER, NEW_NUMBER])
    assert found[STRANGER].entries[-1].act == more
    assert found[NEW_NUMBER].entries[-1].act == after_the_change


async def test_what_is_refused_leaves_nothing(store: CivilStore) -> None:
    await store.seed(family())
    before = await store.files_of(EVERYBODY)
    wrong = (
        death(FATHER, "1965-05-02", "1966-01-01", number="B-son"),
        divorce(SON, WIFE, "2020-01-01", concerns="none", number="V-1"),
        birth(SON, "2020-01-01", MOTHER, FATHER, number="V-1", supersedes="M-son"),
    )
    for one in wrong:
        with pytest.raises((InvalidEntryError, NotFoundError)) as raised:
            await store.record(one)
        assert SON.text not in "".join(traceback.format_exception(raised.value))
    with pytest.raises(NotFoundError):
        await store.seed([wedding(STRANGER, DAUGHTER, "2022-02-02"), wrong[1]])
    assert await store.files_of(EVERYBODY) == before
    await store.record(divorce(SON, WIFE, "2020-01-01", number="V-1"))  # the number was not used up


async def test_acts_recorded_at_the_same_time_all_arrive(store: CivilStore) -> None:
    await store.seed(family())
    weddings = [wedding(STRANGER, DAUGHTER, f"20{year}-02-02") for year in range(16, 24)]
    await asyncio.gather(*(store.record(one) for one in weddings))
    assert [
        entry.act for entry in (await store.files_of([STRANGER]))[STRANGER].entries if entry.act in weddings
    ] == weddings
    numbers = [one.number for one in weddings]
    repeated = await asyncio.gather(*(store.record(one) for one in weddings), return_exceptions=True)
    assert [type(error) for error in repeated] == [InvalidEntryError] * len(numbers)


async def test_bad_input_37_the_office_sees_who_was_born_twice(store: CivilStore) -> None:
    await store.seed(family())
    assert await store.contradictions() == ()
    await store.record(act(ActKind.BIRTH, "1990-03-01", who(Role.CHILD, "Volkov Ivan", SON), number="B-other"))
    assert await store.contradictions() == (("B-other", "B-son"),)
    await store.record(birth(SON, "2024-01-01", MOTHER, FATHER, number="B-right", supersedes="B-son"))
    assert await store.contradictions() == (("B-other", "B-right"),)


@pytest.mark.parametrize("written", ["Saidova Malika", "Саидова Малика", "SAIDOVA  MALIKA", "Sаidovа Malika"])
async def test_bad_inputs_39_41_42_a_name_is_found_before_and_after_its_change(store: CivilStore, written: str) -> None:
    for one in (*family(), *LATER):
        await store.record(one)
    found = await store.named(written)
    assert {(hit.act_number, hit.role, hit.person) for hit in found} >= {
        ("B-cousin", Role.CHILD, COUSIN.text),
    }
    assert {hit.person for hit in found} == {COUSIN.text}
    assert {hit.person for hit in await store.named("Saidova " + "m" * 300)} == {COUSIN.text}
    assert await store.named("Saidova") == ()


async def test_bad_input_42_a_mixed_script_is_flagged_where_the_name_is_found(store: CivilStore) -> None:
    await store.record(act(ActKind.BIRTH, "1990-03-01", who(Role.CHILD, "Vоlkov Ivan", SON)))
    [hit] = await store.named("Volkov Ivan")
    assert hit.name.surname == "V\u043elkov"
    assert hit.mixed_script


async def test_names_and_days_come_back_as_they_were_given(store: CivilStore) -> None:
    long_one = PersonName("Ў" * 20_000, "Ж", None)
    given_ = act(
        ActKind.MARRIAGE,
        "1899-01-01",
        who(Role.HUSBAND, "A B", GRANDFATHER, born_on=None, name_after=long_one),
        who(Role.WIFE, "C D", None),
    )
    await store.record(given_)
    assert (await store.files_of([GRANDFATHER]))[GRANDFATHER].entries[0].act == given_


async def test_a_batch_is_one_statement_for_the_known_and_the_unknown(sql_store: SqlCivilStore) -> None:
    await sql_store.seed([*family(), *LATER])
    register = CoalescingCivilRegister(sql_store)
    statements: list[str] = []
    engine = sql_store._database.reader.sync_engine
    event.listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    found = await asyncio.gather(*(register.file_of(person) for person in [*EVERYBODY, STRANGER]))
    assert len(statements) == 1
    assert sum(file is None for file in found) == 2
    statements.clear()
    for person in (SON, GRANDCHILD, GRANDFATHER, STRANGER):
        await register.file_of(person)
    assert len(statements) == 4
    assert len(set(statements)) == 1
    assert "journal" not in statements[0]
    await register.close()


async def test_the_tables_are_those_of_the_newest_revision(sql_store: SqlCivilStore) -> None:
    assert await differences(sql_store._database._address, MIGRATIONS) == []


async def test_a_register_without_tables_does_not_answer(tmp_path: Path) -> None:
    store = SqlCivilStore(f"sqlite:///{tmp_path}/acts.db")
    for asked in (store.files_of([SON]), store.record(family()[0]), store.named("A"), store.contradictions()):
        with pytest.raises(RegisterUnavailableError) as raised:
            await asked
        assert SON.text not in "".join(traceback.format_exception(raised.value))
    await store.close()


async def test_the_journal_keeps_every_act_as_it_was_recorded(sql_store: SqlCivilStore) -> None:
    recorded = [*family(), *LATER]
    await sql_store.seed(recorded[:5])
    for one in recorded[5:]:
        await sql_store.record(one)
    async with sql_store._database.reading() as connection:
        rows = (await connection.execute(text("SELECT number FROM journal ORDER BY serial"))).scalars().all()
    assert rows == [one.number for one in recorded]


async def test_an_act_counts_from_its_day_on(store: CivilStore) -> None:
    await store.seed(family())
    file = (await store.files_of([GRANDFATHER]))[GRANDFATHER]
    assert file.entries[0].in_force_on(date(1963, 1, 5))
    assert not file.entries[0].in_force_on(date(1963, 1, 4))
