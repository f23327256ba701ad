"""A company's register in a database (SQLite as embedded default, PostgreSQL in production), and its double in memory.

One set of statements serves both databases; connections, time-outs, revisions, errors are `chopar.provider.register`'s.
Rules are left to the model, synthetic entries to the seed.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sqlalchemy import (
    BigInteger,
    BindParameter,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    MetaData,
    String,
    Table,
    bindparam,
    insert,
    select,
    update,
)

from chopar.errors import ConfigurationError, NotFoundError
from chopar.identifiers import DataSubject, PersonId, SubjectKind
from chopar.migrations import Migrations
from chopar.provider.lookups import CoalescedLookups
from chopar.provider.register import RegisterStore, seeding_table
from services.utilities.model import (
    LONGEST_ADDRESS,
    LONGEST_NUMBER,
    MOST_TIYIN,
    Account,
    AddressKey,
    Company,
    Contract,
    ObjectDebt,
    UtilityStore,
    address_key,
    check_owed,
)

_METADATA = MetaData()
_ACCOUNT = Table(
    "account",
    _METADATA,
    Column("number", String(LONGEST_NUMBER), primary_key=True),
    Column("service", String(16), nullable=False),
    Column("address", String(LONGEST_ADDRESS), nullable=False),
    # Case folding makes an address longer at times: there is no limit here.
    Column("address_key", String, nullable=False),
    Column("owed_tiyin", BigInteger, nullable=False),
    CheckConstraint(f"owed_tiyin BETWEEN 0 AND {MOST_TIYIN}", name="owed_is_an_amount"),
    CheckConstraint("length(address_key) > 0", name="account_has_an_address"),
    Index("account_by_address", "address_key"),
    sqlite_with_rowid=False,
)
_CONTRACT = Table(
    "contract",
    _METADATA,
    Column("account", ForeignKey(_ACCOUNT.c.number), primary_key=True),
    Column("number", String(LONGEST_NUMBER), nullable=False),
    Column("kind", String(8), nullable=False),
    Column("party", String(14), nullable=False),
    Column("concluded_on", Date, nullable=False),
    Index("contract_by_party", "party"),
    sqlite_with_rowid=False,
)
seeding_table(_METADATA)
MIGRATIONS = Migrations(Path(__file__).parent / "migrations", _METADATA, "the register of utility accounts")

# One statement: an address that is unknown, owes nothing or owes costs the same.
_DEBTS = select(_ACCOUNT.c.address_key, _ACCOUNT.c.owed_tiyin).where(
    _ACCOUNT.c.address_key.in_(bindparam("addresses", expanding=True))
)
_PARTY: BindParameter[str] = bindparam("of_party", type_=String())
_CONTRACTS = (
    select(_CONTRACT.c.number, _CONTRACT.c.concluded_on)
    .where(_CONTRACT.c.party == _PARTY)
    .order_by(_CONTRACT.c.number, _CONTRACT.c.concluded_on)
)
_NUMBER: BindParameter[str] = bindparam("of_number", type_=String())
_SET_OWED = update(_ACCOUNT).where(_ACCOUNT.c.number == _NUMBER)


class SqlUtilityStore(RegisterStore):
    """The register in a database."""

    MIGRATIONS = MIGRATIONS

    async def require_owner(self, company: Company) -> None:
        """Refuse a register that holds accounts for what the company does not supply: it is another company's.

        Raises:
            ConfigurationError: it does.
            RegisterUnavailableError: retriable; the register does not answer.
        """
        supplied = [service.value for service in company.services]
        strange = select(_ACCOUNT.c.service).where(_ACCOUNT.c.service.not_in(supplied)).limit(1)
        async with self._database.reading() as connection:
            if (await connection.execute(strange)).first() is not None:
                raise ConfigurationError(f"the register that {company.agency} was given is another company's")

    async def debts_at(self, addresses: Collection[AddressKey]) -> Mapping[AddressKey, ObjectDebt]:
        """As `UtilityStore` says."""
        rows = await self._database.rows(_DEBTS, {"addresses": list(addresses)})
        owed: dict[AddressKey, int] = {}
        for address, owed_tiyin in rows:
            owed[address] = owed.get(address, 0) + owed_tiyin
        return {address: ObjectDebt(amount) for address, amount in owed.items()}

    async def contracts_of(self, party: DataSubject) -> Sequence[Contract]:
        """As `UtilityStore` says."""
        rows = await self._database.rows(_CONTRACTS, {"of_party": party.text})
        return [Contract(number, party, concluded_on) for number, concluded_on in rows]

    async def seed(self, accounts: Iterable[Account], recipe: str | None = None) -> int:
        """As `UtilityStore` says; one transaction, so a process that dies in it leaves nothing half done."""
        by_number = {account.number: account for account in accounts}
        rows = [_account_row(account) for account in by_number.values()]
        add_new_accounts = self._database.adding_new(_ACCOUNT).returning(_ACCOUNT.c.number)
        async with self._database.writing(bulk=True) as connection:
            added: Sequence[str] = ()
            if rows:
                added = (await connection.execute(add_new_accounts, rows)).scalars().all()
            contracts = [row for number in added for row in _contract_rows(by_number[number])]
            if contracts:
                await connection.execute(insert(_CONTRACT), contracts)
            if recipe is not None:
                await self._database.mark_seeded(connection, recipe, len(added))
        return len(added)

    async def set_owed(self, number: str, owed_tiyin: int) -> None:
        """As `UtilityStore` says."""
        check_owed(owed_tiyin)
        async with self._database.writing() as connection:
            changed = await connection.execute(_SET_OWED.values(owed_tiyin=owed_tiyin), {"of_number": number})
            if changed.rowcount == 0:
                raise NotFoundError("there is no such account")


class DictUtilityStore:
    """The register in memory, for tests and first tries."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}
        self._recipes: set[str] = set()

    async def debts_at(self, addresses: Collection[AddressKey]) -> Mapping[AddressKey, ObjectDebt]:
        """As `UtilityStore` says."""
        owed: dict[AddressKey, int] = {}
        for account in self._accounts.values():
            key = address_key(account.address)
            if key in addresses:
                owed[key] = owed.get(key, 0) + account.owed_tiyin
        return {address: ObjectDebt(amount) for address, amount in owed.items()}

    async def contracts_of(self, party: DataSubject) -> Sequence[Contract]:
        """As `UtilityStore` says."""
        contracts = (account.contract for account in self._accounts.values())
        found = [contract for contract in contracts if contract is not None and contract.party == party]
        return sorted(found, key=lambda contract: (contract.number, contract.concluded_on))

    async def seeded(self, recipe: str) -> bool:
        """As `UtilityStore` says."""
        return recipe in self._recipes

    async def seed(self, accounts: Iterable[Account], recipe: str | None = None) -> int:
        """As `UtilityStore` says."""
        before = len(self._accounts)
        for account in accounts:
            self._accounts.setdefault(account.number, account)
        if recipe is not None:
            self._recipes.add(recipe)
        return len(self._accounts) - before

    async def set_owed(self, number: str, owed_tiyin: int) -> None:
        """As `UtilityStore` says."""
        if number not in self._accounts:
            raise NotFoundError("there is no such account")
        self._accounts[number] = replace(self._accounts[number], owed_tiyin=owed_tiyin)

    async def close(self) -> None:
        """Nothing is held."""


class CoalescingUtilityRegister:
    """The register as evidence functions ask it: look-ups made at the same time are one statement of the store."""

    def __init__(self, store: UtilityStore) -> None:
        self._lookups: CoalescedLookups[AddressKey, ObjectDebt] = CoalescedLookups(store.debts_at)

    async def debt_of(self, address: str) -> ObjectDebt | None:
        """As `UtilityRegister` says."""
        return await self._lookups.get(address_key(address))

    async def close(self) -> None:
        """End what runs; who waits gets RegisterUnavailableError. The store stays open."""
        await self._lookups.close()


def _account_row(account: Account) -> dict[str, object]:
    return {
        "number": account.number,
        "service": account.service.value,
        "address": account.address,
        "address_key": address_key(account.address),
        "owed_tiyin": account.owed_tiyin,
    }


def _contract_rows(account: Account) -> list[dict[str, object]]:
    contract = account.contract
    if contract is None:
        return []
    kind = SubjectKind.PERSON if isinstance(contract.party, PersonId) else SubjectKind.BUSINESS
    row = {"number": contract.number, "party": contract.party.text, "concluded_on": contract.concluded_on}
    return [{**row, "account": account.number, "kind": kind.value}]
