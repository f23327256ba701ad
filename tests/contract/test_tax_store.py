"""One suite for every tax store: the double in memory, SQLite, and a real PostgreSQL."""

import asyncio
import logging
import sqlite3
import traceback
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import psycopg
import pytest

from chopar.errors import ConfigurationError, InvalidEntryError, NotFoundError, RegisterUnavailableError
from chopar.identifiers import BusinessId, PersonId
from chopar.population import Recipe
from services.tax.model import MOST_TIYIN, DebtEntry, TaxAccount, Taxpayer, TaxStore
from services.tax.seed import accounts, fill
from services.tax.store import DictTaxStore, SqlTaxStore
from tests.statements import statements_of

pytest_plugins = ["tests.postgres_fixture"]

DEBTOR = PersonId("30101900010018")
CLEAN = PersonId("43112990020153")
UNKNOWN = PersonId("52902040031200")
FIRM = BusinessId("301234567")
SINCE = date(2010, 5, 1)
ACCOUNTS = (
    TaxAccount(Taxpayer(DEBTOR, SINCE), (DebtEntry("land-tax", 500), DebtEntry("property-tax", 70_000))),
    TaxAccount(Taxpayer(CLEAN, SINCE)),
    TaxAccount(Taxpayer(FIRM, date(2020, 2, 29)), (DebtEntry("value-added-tax", MOST_TIYIN),)),
)


@pytest.fixture(params=["sqlite", "postgresql"])
async def sql_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqlTaxStore]:
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    else:
        url = f"sqlite+aiosqlite:///{tmp_path}/tax.db"
    store = SqlTaxStore(url)
    await store.create_schema()
    yield store
    await store.close()


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[TaxStore]:
    if request.param == "memory":
        yield DictTaxStore()
        return
    url = f"sqlite:///{tmp_path}/tax.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    store = SqlTaxStore(url)
    await store.create_schema()
    yield store
    await store.close()


async def test_accounts_come_back_as_they_were_given(store: TaxStore) -> None:
    assert await store.seed(ACCOUNTS) == 3
    found = await store.accounts_of([FIRM, UNKNOWN, CLEAN, DEBTOR])
    assert found == {account.taxpayer.subject: account for account in ACCOUNTS}


async def test_nobody_is_found_among_nobody(store: TaxStore) -> None:
    assert await store.accounts_of([]) == {}
    assert await store.accounts_of([UNKNOWN]) == {}
    assert await store.seed([]) == 0


async def test_seeding_again_changes_nothing_and_keeps_edits(store: TaxStore) -> None:
    await store.seed(ACCOUNTS)
    await store.set_debts(DEBTOR, [])
    await store.set_debts(CLEAN, [DebtEntry("land-tax", 9)])
    before = await store.accounts_of([DEBTOR, CLEAN, FIRM])
    newcomer = TaxAccount(Taxpayer(UNKNOWN, SINCE), (DebtEntry("land-tax", 1),))
    assert await store.seed([*ACCOUNTS, newcomer]) == 1
    assert await store.accounts_of([DEBTOR, CLEAN, FIRM]) == before
    assert (await store.accounts_of([UNKNOWN]))[UNKNOWN] == newcomer


async def test_debts_are_replaced_as_a_whole_and_entries_of_one_tax_add_up(store: TaxStore) -> None:
    await store.seed(ACCOUNTS)
    await store.set_debts(DEBTOR, [DebtEntry("z", 1), DebtEntry("a", 2), DebtEntry("z", 3)])
    found = await store.accounts_of([DEBTOR])
    assert found[DEBTOR] == TaxAccount(Taxpayer(DEBTOR, SINCE), (DebtEntry("a", 2), DebtEntry("z", 4)))


async def test_debts_of_a_stranger_are_refused(store: TaxStore) -> None:
    await store.seed(ACCOUNTS)
    with pytest.raises(NotFoundError) as raised:
        await store.set_debts(UNKNOWN, [DebtEntry("land-tax", 1)])
    assert UNKNOWN.text not in str(raised.value)
    assert await store.accounts_of([UNKNOWN]) == {}


async def test_a_sum_beyond_64_bits_is_refused_and_changes_nothing(store: TaxStore) -> None:
    await store.seed(ACCOUNTS)
    with pytest.raises(InvalidEntryError):
        await store.set_debts(FIRM, [DebtEntry("a", MOST_TIYIN), DebtEntry("a", 1)])
    assert (await store.accounts_of([FIRM]))[FIRM] == ACCOUNTS[2]


async def test_changes_at_the_same_time_leave_one_of_them_whole(store: TaxStore) -> None:
    await store.seed(ACCOUNTS)
    choices = [tuple(DebtEntry(f"tax-{tax}", number) for tax in range(3)) for number in range(1, 6)]
    await asyncio.gather(*(store.set_debts(CLEAN, debts) for debts in choices))
    assert (await store.accounts_of([CLEAN]))[CLEAN].debts in choices


async def test_two_seeders_at_the_same_time_add_everybody_once(store: TaxStore) -> None:
    added = await asyncio.gather(store.seed(ACCOUNTS), store.seed(ACCOUNTS))
    assert sum(added) == 3
    assert len(await store.accounts_of([DEBTOR, CLEAN, FIRM])) == 3


async def test_a_population_fills_the_register(store: TaxStore) -> None:
    recipe = Recipe(1, 400, 40)
    population = recipe.make()
    expected = {account.taxpayer.subject: account for account in accounts(population)}
    assert not await store.seeded(recipe.text)
    assert await fill(store, recipe) == len(expected) > 300
    assert await store.seeded(recipe.text)
    everybody = [person.pinfl for person in population.people] + [firm.stir for firm in population.firms]
    assert await store.accounts_of(everybody) == expected
    assert await fill(store, recipe) == 0
    assert not await store.seeded(Recipe(1, 401, 40).text)


async def test_who_is_asked_for_twice_is_found(store: TaxStore) -> None:
    await store.seed(ACCOUNTS)
    found = await store.accounts_of([DEBTOR, UNKNOWN, FIRM, CLEAN, DEBTOR])
    assert found == {DEBTOR: ACCOUNTS[0], FIRM: ACCOUNTS[2], CLEAN: ACCOUNTS[1]}


async def test_a_batch_is_one_statement_hit_or_not(sql_store: SqlTaxStore) -> None:
    await sql_store.seed(ACCOUNTS)
    await sql_store.accounts_of([DEBTOR])
    statements = statements_of(sql_store._database)
    await sql_store.accounts_of([DEBTOR, CLEAN, FIRM, UNKNOWN])
    assert len(statements) == 1
    statements.clear()
    for person in (DEBTOR, CLEAN, UNKNOWN):
        await sql_store.accounts_of([person])
    assert len(statements) == 3
    assert len(set(statements)) == 1


async def test_what_the_tables_refuse_says_no_identifier(
    sql_store: SqlTaxStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    # PostgreSQL's detail then reads "Failing row contains (...)".
    broken = TaxAccount(Taxpayer(DEBTOR, None))  # type: ignore[arg-type]
    with pytest.raises(RegisterUnavailableError) as raised:
        await sql_store.seed([ACCOUNTS[1], broken])
    told = "".join(traceback.format_exception(raised.value)) + caplog.text
    assert DEBTOR.text not in told
    assert CLEAN.text not in told
    assert "SQLITE_CONSTRAINT_NOTNULL" in told or "NotNullViolation" in told
    assert await sql_store.accounts_of([CLEAN]) == {}


async def test_a_register_without_tables_does_not_answer_and_then_does(tmp_path: Path) -> None:
    store = SqlTaxStore(f"sqlite+aiosqlite:///{tmp_path}/tax.db")
    with pytest.raises(RegisterUnavailableError) as raised:
        await store.accounts_of([DEBTOR, FIRM])
    assert raised.value.retriable
    assert DEBTOR.text not in "".join(traceback.format_exception(raised.value))
    await store.create_schema()
    await store.create_schema()
    assert await store.accounts_of([DEBTOR]) == {}
    await store.close()


async def test_sqlite_is_durable_and_lets_readers_read(tmp_path: Path) -> None:
    file = tmp_path / "tax.db"
    store = SqlTaxStore(f"sqlite+aiosqlite:///{file}")
    await store.create_schema()
    await store.seed(ACCOUNTS)
    for engine in (store._database.writer, store._database.reader):
        async with engine.connect() as connection:
            values = [(await connection.exec_driver_sql(f"PRAGMA {name}")).scalar_one() for name in _PRAGMAS]
        assert dict(zip(_PRAGMAS, values, strict=True)) == _PRAGMAS
    writer = sqlite3.connect(file, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    assert len(await store.accounts_of([DEBTOR])) == 1
    writer.execute("ROLLBACK")
    writer.close()
    await store.close()


_PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000}


async def test_a_look_up_that_hangs_ends_by_its_time_out(postgres_url: str) -> None:
    store = SqlTaxStore(postgres_url, timeout_seconds=0.3)
    await store.create_schema()
    await store.seed(ACCOUNTS)
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as blocker:
        blocker.execute("LOCK TABLE taxpayer IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(RegisterUnavailableError):
            await store.accounts_of([DEBTOR])
    assert await store.accounts_of([DEBTOR]) == {DEBTOR: ACCOUNTS[0]}
    await store.close()


async def test_a_server_that_went_away_is_unavailable_and_the_next_try_finds_it(postgres_url: str) -> None:
    store = SqlTaxStore(postgres_url)
    await store.create_schema()
    await store.seed(ACCOUNTS)
    assert len(await store.accounts_of([DEBTOR])) == 1
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    with pytest.raises(RegisterUnavailableError):
        await store.accounts_of([DEBTOR])
    assert len(await store.accounts_of([DEBTOR])) == 1
    await store.close()


@pytest.mark.parametrize("url", ["", "mysql://user:hunter2@db/tax", "not an address", "postgres//"])
def test_an_address_of_another_kind_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        SqlTaxStore(url)
    assert "hunter2" not in "".join(traceback.format_exception(raised.value))
