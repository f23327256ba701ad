"""One suite for every store of the social register: the double in memory, SQLite, and a real PostgreSQL."""

import asyncio
import traceback
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import pytest

from chopar.errors import RegisterUnavailableError
from chopar.identifiers import BusinessId, DataSubject, PersonId
from chopar.population import Recipe
from services.benefits.model import Assessment, Benefit, BenefitKind, Category, SocialFile, SocialStore
from services.benefits.seed import files, fill
from services.benefits.store import CoalescingSocialRegister, DictSocialStore, SqlSocialStore
from tests.statements import statements_of

pytest_plugins = ["tests.postgres_fixture"]

MOTHER = PersonId("43112990020153")
CHILD = PersonId("52902040031200")
REFUSED = PersonId("30101900010018")
UNKNOWN = PersonId("61507001234566")
FIRM = BusinessId("301234567")
TAKEN_IN = Assessment(Category.LOW_INCOME, date(2026, 2, 1), date(2027, 1, 31))
CHILD_BENEFIT = Benefit(BenefitKind.CHILD_BENEFIT, 36_000_000, date(2026, 2, 1), date(2027, 1, 31))
FORMER = Benefit(BenefitKind.CHILD_BENEFIT, 30_000_000, date(2025, 2, 1), date(2026, 1, 31))
AID = Benefit(BenefitKind.MATERIAL_AID, 1, date(2026, 2, 1), date(2026, 2, 1))
FILES = (
    SocialFile(MOTHER, TAKEN_IN, (AID, CHILD_BENEFIT, FORMER)),
    SocialFile(CHILD, TAKEN_IN),
    SocialFile(REFUSED, Assessment(None, date(2026, 3, 1), None)),
)


@pytest.fixture(params=["sqlite", "postgresql"])
async def sql_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqlSocialStore]:
    url = f"sqlite:///{tmp_path}/it.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    store = SqlSocialStore(url)
    await store.create_schema()
    yield store
    await store.close()


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SocialStore]:
    if request.param == "memory":
        yield DictSocialStore()
        return
    url = f"sqlite:///{tmp_path}/it.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    store = SqlSocialStore(url)
    await store.create_schema()
    yield store
    await store.close()


async def test_files_come_back_as_they_were_given(store: SocialStore) -> None:
    assert await store.seed(FILES) == 3
    found = await store.files_of([UNKNOWN, CHILD, FIRM, REFUSED, MOTHER])
    assert found == {file.person: file for file in FILES}
    assert [benefit.since.year for benefit in found[MOTHER].benefits] == [2025, 2026, 2026]
    assert await store.files_of([]) == {}


async def test_seeding_again_changes_nothing_and_keeps_edits(store: SocialStore) -> None:
    await store.seed(FILES)
    edited = SocialFile(MOTHER, Assessment(None, date(2026, 9, 1), None))
    await store.put(edited)
    newcomer = SocialFile(UNKNOWN, TAKEN_IN, (AID,))
    assert await store.seed([*FILES, newcomer]) == 1
    found = await store.files_of([MOTHER, UNKNOWN, CHILD])
    assert found == {MOTHER: edited, UNKNOWN: newcomer, CHILD: FILES[1]}


async def test_a_file_is_kept_whether_there_was_one_or_not(store: SocialStore) -> None:
    await store.put(FILES[0])
    assert await store.files_of([MOTHER]) == {MOTHER: FILES[0]}
    await store.put(SocialFile(MOTHER, TAKEN_IN, (AID,)))
    assert (await store.files_of([MOTHER]))[MOTHER].benefits == (AID,)


async def test_changes_at_the_same_time_leave_one_of_them_whole(store: SocialStore) -> None:
    choices = [
        SocialFile(MOTHER, TAKEN_IN, tuple(Benefit(kind, amount, AID.since, AID.valid_until) for kind in BenefitKind))
        for amount in range(1, 6)
    ]
    await asyncio.gather(*(store.put(file) for file in choices))
    assert (await store.files_of([MOTHER]))[MOTHER] in choices


async def test_two_seeders_at_the_same_time_add_everybody_once(store: SocialStore) -> None:
    assert sum(await asyncio.gather(store.seed(FILES), store.seed(FILES))) == 3


async def test_a_population_fills_the_register_once(store: SocialStore) -> None:
    recipe = Recipe(1, 1500, 0)
    expected = {file.person: file for file in files(recipe.make())}
    assert not await store.seeded(recipe.text)
    assert await fill(store, recipe) == len(expected) > 100
    assert await store.seeded(recipe.text)
    assert await store.files_of(list(expected)) == expected
    assert await fill(store, recipe) == 0


async def test_look_ups_of_a_batch_are_one_statement_hit_or_not(sql_store: SqlSocialStore) -> None:
    await sql_store.seed(FILES)
    register = CoalescingSocialRegister(sql_store)
    await register.file_of(MOTHER)
    statements = statements_of(sql_store._database)
    subjects: tuple[DataSubject, ...] = (MOTHER, UNKNOWN, REFUSED, CHILD, MOTHER)
    found = await asyncio.gather(*(register.file_of(subject) for subject in subjects))
    assert found == [FILES[0], None, FILES[2], FILES[1], FILES[0]]
    assert len(statements) == 1
    statements.clear()
    for subject in (MOTHER, UNKNOWN, REFUSED):
        await register.file_of(subject)
    assert len(statements) == 3
    assert len(set(statements)) == 1
    await register.close()


async def test_what_the_tables_refuse_says_no_identifier(sql_store: SqlSocialStore) -> None:
    broken = SocialFile(UNKNOWN, Assessment(None, None, None))  # type: ignore[arg-type]
    with pytest.raises(RegisterUnavailableError) as raised:
        await sql_store.seed([FILES[0], broken])
    assert UNKNOWN.text not in "".join(traceback.format_exception(raised.value))
    assert await sql_store.files_of([MOTHER]) == {}
