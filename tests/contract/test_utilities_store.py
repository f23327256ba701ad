"""One suite for every store of a utility company: the double in memory, SQLite, and a real PostgreSQL."""

import asyncio
import traceback
import unicodedata
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from chopar.errors import ConfigurationError, InvalidEntryError, NotFoundError, RegisterUnavailableError
from chopar.identifiers import BusinessId, PersonId
from chopar.population import Recipe
from services.utilities.model import (
    COMPANIES,
    MOST_TIYIN,
    Account,
    Contract,
    NetworkService,
    ObjectDebt,
    UtilityStore,
    address_key,
)
from services.utilities.seed import accounts, fill
from services.utilities.store import CoalescingUtilityRegister, DictUtilityStore, SqlUtilityStore
from tests.statements import statements_of

pytest_plugins = ["tests.postgres_fixture"]

OWNER = PersonId("30101900010018")
FIRM = BusinessId("301234567")
HOUSE = "Toshkent shahri, Mirzo Ulugʻbek tumani, Oqtepa MFY, Bogʻishamol koʻchasi, 12-uy"
FLAT = "Toshkent shahri, Chilonzor tumani, Obod MFY, Furqat koʻchasi, 3-uy, 14-xonadon"
UNKNOWN = "Toshkent shahri, Chilonzor tumani, Obod MFY, Furqat koʻchasi, 4-uy"
ACCOUNTS = (
    Account("SV-1", NetworkService.COLD_WATER, HOUSE, 500, Contract("SV-1-2020", OWNER, date(2020, 2, 29))),
    Account("OQ-1", NetworkService.SEWERAGE, HOUSE, 70_000, Contract("OQ-1-2020", OWNER, date(2020, 2, 29))),
    Account("SV-2", NetworkService.COLD_WATER, FLAT, 0, Contract("SV-2-2021", FIRM, date(2021, 1, 1))),
    Account("SV-3", NetworkService.COLD_WATER, "Vodiy, 1", MOST_TIYIN),
)
WATER = COMPANIES[next(agency for agency in COMPANIES if agency == "water-uzsuvtaminot")]


@pytest.fixture(params=["sqlite", "postgresql"])
async def sql_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqlUtilityStore]:
    url = f"sqlite:///{tmp_path}/it.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    store = SqlUtilityStore(url)
    await store.create_schema()
    yield store
    await store.close()


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[UtilityStore]:
    if request.param == "memory":
        yield DictUtilityStore()
        return
    url = f"sqlite:///{tmp_path}/it.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    store = SqlUtilityStore(url)
    await store.create_schema()
    yield store
    await store.close()


async def test_what_is_owed_for_an_object_is_the_sum_of_its_accounts(store: UtilityStore) -> None:
    assert await store.seed(ACCOUNTS) == 4
    keys = [address_key(address) for address in (HOUSE, FLAT, UNKNOWN, "Vodiy, 1")]
    assert await store.debts_at(keys) == {
        keys[0]: ObjectDebt(70_500),
        keys[1]: ObjectDebt(0),
        keys[3]: ObjectDebt(MOST_TIYIN),
    }
    assert await store.debts_at([]) == {}


async def test_contracts_are_found_by_their_party(store: UtilityStore) -> None:
    await store.seed(ACCOUNTS)
    expected = [ACCOUNTS[1].contract, ACCOUNTS[0].contract]
    assert await store.contracts_of(OWNER) == expected
    assert await store.contracts_of(FIRM) == [ACCOUNTS[2].contract]
    assert await store.contracts_of(PersonId("43112990020153")) == []


async def test_seeding_again_changes_nothing_and_keeps_edits(store: UtilityStore) -> None:
    await store.seed(ACCOUNTS)
    await store.set_owed("SV-2", 9)
    again = [replace(ACCOUNTS[2], owed_tiyin=1), Account("SV-9", NetworkService.COLD_WATER, UNKNOWN, 3)]
    assert await store.seed([*ACCOUNTS, *again]) == 1
    assert await store.debts_at([address_key(FLAT), address_key(UNKNOWN)]) == {
        address_key(FLAT): ObjectDebt(9),
        address_key(UNKNOWN): ObjectDebt(3),
    }
    assert len(await store.contracts_of(FIRM)) == 1


async def test_an_account_that_is_not_there_is_not_found(store: UtilityStore) -> None:
    await store.seed(ACCOUNTS)
    with pytest.raises(NotFoundError):
        await store.set_owed("SV-8", 1)


@pytest.mark.parametrize("amount", [-1, MOST_TIYIN + 1])
async def test_an_amount_that_no_account_has_is_refused(store: UtilityStore, amount: int) -> None:
    await store.seed(ACCOUNTS)
    with pytest.raises(InvalidEntryError):
        await store.set_owed("SV-2", amount)
    assert await store.debts_at([address_key(FLAT)]) == {address_key(FLAT): ObjectDebt(0)}


async def test_two_seeders_at_the_same_time_add_every_account_once(store: UtilityStore) -> None:
    assert sum(await asyncio.gather(store.seed(ACCOUNTS), store.seed(ACCOUNTS))) == 4


async def test_a_population_fills_the_register_once(store: UtilityStore) -> None:
    recipe = Recipe(1, 300, 30)
    expected = list(accounts(recipe.make(), WATER))
    assert not await store.seeded(recipe.text)
    assert await fill({WATER: store}, recipe) == len(expected) > 100
    assert await store.seeded(recipe.text)
    assert await fill({WATER: store}, recipe) == 0
    owed: dict[str, int] = {}
    for account in expected:
        owed[address_key(account.address)] = owed.get(address_key(account.address), 0) + account.owed_tiyin
    found = await store.debts_at([address_key(account.address) for account in expected])
    assert {key: debt.owed_tiyin for key, debt in found.items()} == owed
    party = next(account.contract.party for account in expected if account.contract)
    assert await store.contracts_of(party)


@pytest.mark.parametrize(
    "written",
    [
        HOUSE.replace("ʻ", "'"),
        HOUSE.replace("ʻ", "‘").upper(),
        HOUSE.replace(", ", ",   ") + " ",
        unicodedata.normalize("NFD", HOUSE),
    ],
)
async def test_an_address_is_found_however_it_is_written(store: UtilityStore, written: str) -> None:
    await store.seed(ACCOUNTS)
    register = CoalescingUtilityRegister(store)
    assert await register.debt_of(written) == ObjectDebt(70_500)
    await register.close()


@pytest.mark.parametrize("written", ["", "\0", "‮" + HOUSE, "x" * 100_000, HOUSE + "%", "' OR 1=1 --"])
async def test_an_address_that_nobody_has_is_unknown(store: UtilityStore, written: str) -> None:
    await store.seed(ACCOUNTS)
    register = CoalescingUtilityRegister(store)
    assert await register.debt_of(written) is None
    await register.close()


async def test_look_ups_of_a_batch_are_one_statement_hit_or_not(sql_store: SqlUtilityStore) -> None:
    await sql_store.seed(ACCOUNTS)
    register = CoalescingUtilityRegister(sql_store)
    await register.debt_of(HOUSE)
    statements = statements_of(sql_store._database)
    found = await asyncio.gather(*(register.debt_of(address) for address in (HOUSE, FLAT, UNKNOWN, HOUSE)))
    assert found == [ObjectDebt(70_500), ObjectDebt(0), None, ObjectDebt(70_500)]
    assert len(statements) == 1
    statements.clear()
    for address in (HOUSE, FLAT, UNKNOWN, "\0"):
        await register.debt_of(address)
    assert len(statements) == 4
    assert len(set(statements)) == 1
    await register.close()


async def test_what_the_tables_refuse_says_no_identifier(sql_store: SqlUtilityStore) -> None:
    broken = Account("SV-5", NetworkService.COLD_WATER, FLAT, 0, Contract("c", FIRM, None))  # type: ignore[arg-type]
    with pytest.raises(RegisterUnavailableError) as raised:
        await sql_store.seed([ACCOUNTS[0], broken])
    told = "".join(traceback.format_exception(raised.value))
    assert FIRM.text not in told
    assert "Furqat" not in told
    assert await sql_store.debts_at([address_key(HOUSE), address_key(FLAT)]) == {}


async def test_a_register_is_one_companys_and_another_company_is_refused_it(sql_store: SqlUtilityStore) -> None:
    gas = next(company for company in COMPANIES.values() if company.agency == "gas-hududgaz")
    await sql_store.require_owner(gas)  # an empty register is anybody's
    await sql_store.seed(ACCOUNTS)
    await sql_store.require_owner(WATER)
    with pytest.raises(ConfigurationError, match="another company's"):
        await sql_store.require_owner(gas)
