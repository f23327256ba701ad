"""The tax register in a database (SQLite as embedded default, PostgreSQL in production), and its double in memory.

One set of statements serves both databases. No identifier reaches a log or an error: SQLAlchemy hides parameters,
aiosqlite is kept from logging them, and the driver's own words, which may quote a row, are not repeated. Rules are
left to the model, synthetic entries to the seed.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager

from sqlalchemy import (
    BigInteger,
    BindParameter,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from chopar.database import database_address, open_engine
from chopar.errors import NotFoundError, RegisterUnavailableError
from chopar.identifiers import DataSubject, PersonId, SubjectKind
from chopar.lookups import CoalescedLookups
from services.tax.model import LONGEST_TAX, DebtEntry, TaxAccount, Taxpayer, TaxStore, one_entry_a_tax

_METADATA = MetaData()
# The text of an identifier is unique across kinds: a PINFL has 14 digits, a STIR 9.
_TAXPAYER = Table(
    "taxpayer",
    _METADATA,
    Column("identifier", String(14), primary_key=True),
    Column("kind", String(8), nullable=False),
    Column("registered_on", Date, nullable=False),
    sqlite_with_rowid=False,
)
_TAX_DEBT = Table(
    "tax_debt",
    _METADATA,
    Column("identifier", ForeignKey(_TAXPAYER.c.identifier), primary_key=True),
    Column("tax", String(LONGEST_TAX), primary_key=True),
    Column("amount_tiyin", BigInteger, nullable=False),
    CheckConstraint("amount_tiyin > 0", name="debt_is_positive"),
    CheckConstraint(f"length(tax) BETWEEN 1 AND {LONGEST_TAX}", name="tax_has_a_name"),
    sqlite_with_rowid=False,
)

# One statement with a left join: who is unknown, owes nothing or owes costs the same statements.
_ACCOUNTS = (
    select(_TAXPAYER.c.identifier, _TAXPAYER.c.registered_on, _TAX_DEBT.c.tax, _TAX_DEBT.c.amount_tiyin)
    .select_from(_TAXPAYER.outerjoin(_TAX_DEBT))
    .where(_TAXPAYER.c.identifier.in_(bindparam("identifiers", expanding=True)))
)
_OF_ONE: BindParameter[str] = bindparam("of_identifier", type_=String())
# Changes nothing, but takes the lock of the row (of the file, in SQLite) and tells whether there is one.
_HOLD_TAXPAYER = (
    update(_TAXPAYER).where(_TAXPAYER.c.identifier == _OF_ONE).values(registered_on=_TAXPAYER.c.registered_on)
)
_CLEAR_DEBTS = delete(_TAX_DEBT).where(_TAX_DEBT.c.identifier == _OF_ONE)
_ADD_DEBTS = insert(_TAX_DEBT)
# The same text in both; SQLAlchemy keeps ON CONFLICT with the dialects.
_ADD_NEW_TAXPAYERS = {
    "sqlite": sqlite.insert(_TAXPAYER).on_conflict_do_nothing().returning(_TAXPAYER.c.identifier),
    "postgresql": postgresql.insert(_TAXPAYER).on_conflict_do_nothing().returning(_TAXPAYER.c.identifier),
}


class SqlTaxStore:
    """The register in a database. Nothing is opened before the first call.

    Args:
        url: `sqlite+aiosqlite:///FILE` (the folder must exist) or `postgresql+psycopg://...`; the driver may be left
            out.
        timeout_seconds: within which a look-up or change must be done.

    Raises:
        ConfigurationError: the address is of another kind.
    """

    def __init__(self, url: str, *, timeout_seconds: float = 10.0) -> None:
        address = database_address(url, "the tax register")
        self._writer = open_engine(address)
        # Look-ups are single statements. Without a transaction round them two round trips (to the server, or to
        # aiosqlite's thread) are saved; an engine of its own, as switching a connection costs as much again.
        self._reader = open_engine(address, isolation_level="AUTOCOMMIT", skip_autocommit_rollback=True)
        self._timeout_seconds = timeout_seconds

    async def create_schema(self) -> None:
        """Create the tables that are missing. The first change of a table brings Alembic; till then there is no need.

        Raises:
            RegisterUnavailableError: retriable; the database does not answer.
        """
        async with self._answering(), self._writer.begin() as connection:
            await connection.run_sync(_METADATA.create_all)

    async def accounts_of(self, subjects: Collection[DataSubject]) -> Mapping[DataSubject, TaxAccount]:
        """As `TaxStore` says."""
        by_text = {subject.text: subject for subject in subjects}
        async with self._answering(), self._reader.connect() as connection:
            rows = (await connection.execute(_ACCOUNTS, {"identifiers": list(by_text)})).all()
        taxpayers: dict[str, Taxpayer] = {}
        debts: dict[str, list[DebtEntry]] = {}
        for identifier, registered_on, tax, amount_tiyin in rows:
            taxpayers[identifier] = Taxpayer(by_text[identifier], registered_on)
            if tax is not None:
                debts.setdefault(identifier, []).append(DebtEntry(tax, amount_tiyin))
        return {
            taxpayer.subject: TaxAccount(taxpayer, one_entry_a_tax(debts.get(identifier, ())))
            for identifier, taxpayer in taxpayers.items()
        }

    async def seed(self, accounts: Iterable[TaxAccount]) -> int:
        """As `TaxStore` says; one transaction, so a process that dies in it leaves nothing half done."""
        by_text = {account.taxpayer.subject.text: account for account in accounts}
        if not by_text:
            return 0
        rows = [_taxpayer_row(account.taxpayer) for account in by_text.values()]
        add_new_taxpayers = _ADD_NEW_TAXPAYERS[self._writer.dialect.name]
        async with self._answering(bulk=True), self._writer.begin() as connection:
            added = (await connection.execute(add_new_taxpayers, rows)).scalars().all()
            debts = [row for identifier in added for row in _debt_rows(identifier, by_text[identifier].debts)]
            if debts:
                await connection.execute(_ADD_DEBTS, debts)
        return len(added)

    async def set_debts(self, subject: DataSubject, debts: Iterable[DebtEntry]) -> None:
        """As `TaxStore` says."""
        rows = _debt_rows(subject.text, debts)
        one = {"of_identifier": subject.text}
        async with self._answering(), self._writer.begin() as connection:
            if (await connection.execute(_HOLD_TAXPAYER, one)).rowcount == 0:
                raise NotFoundError("the subject is not in the tax register")
            await connection.execute(_CLEAR_DEBTS, one)
            if rows:
                await connection.execute(_ADD_DEBTS, rows)

    async def close(self) -> None:
        """Close all connections."""
        await self._writer.dispose()
        await self._reader.dispose()

    @asynccontextmanager
    async def _answering(self, *, bulk: bool = False) -> AsyncIterator[None]:
        """Bound the time and translate what the database says into RegisterUnavailableError."""
        try:
            async with asyncio.timeout(None if bulk else self._timeout_seconds):
                yield
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            # The kind of error alone, and its chain cut: PostgreSQL's detail quotes the row, identifier and all.
            cause = type(getattr(error, "orig", None) or error).__name__
            raise RegisterUnavailableError(f"the tax register does not answer ({cause})") from None


class DictTaxStore:
    """The register in memory, for tests and first tries."""

    def __init__(self) -> None:
        self._accounts: dict[DataSubject, TaxAccount] = {}

    async def accounts_of(self, subjects: Collection[DataSubject]) -> Mapping[DataSubject, TaxAccount]:
        """As `TaxStore` says."""
        return {subject: self._accounts[subject] for subject in subjects if subject in self._accounts}

    async def seed(self, accounts: Iterable[TaxAccount]) -> int:
        """As `TaxStore` says."""
        before = len(self._accounts)
        for account in accounts:
            kept = TaxAccount(account.taxpayer, one_entry_a_tax(account.debts))
            self._accounts.setdefault(account.taxpayer.subject, kept)
        return len(self._accounts) - before

    async def set_debts(self, subject: DataSubject, debts: Iterable[DebtEntry]) -> None:
        """As `TaxStore` says."""
        entries = one_entry_a_tax(debts)
        if subject not in self._accounts:
            raise NotFoundError("the subject is not in the tax register")
        self._accounts[subject] = TaxAccount(self._accounts[subject].taxpayer, entries)

    async def close(self) -> None:
        """Nothing is held."""


class CoalescingTaxRegister:
    """The register as evidence functions ask it: look-ups made at the same time are one statement of the store."""

    def __init__(self, store: TaxStore) -> None:
        self._lookups: CoalescedLookups[DataSubject, TaxAccount] = CoalescedLookups(store.accounts_of)

    async def debts_of(self, subject: DataSubject) -> TaxAccount | None:
        """As `TaxRegister` says."""
        return await self._lookups.get(subject)

    async def close(self) -> None:
        """End what runs; who waits gets RegisterUnavailableError. The store stays open."""
        await self._lookups.close()


def _taxpayer_row(taxpayer: Taxpayer) -> dict[str, object]:
    kind = SubjectKind.PERSON if isinstance(taxpayer.subject, PersonId) else SubjectKind.BUSINESS
    return {"identifier": taxpayer.subject.text, "kind": kind.value, "registered_on": taxpayer.registered_on}


def _debt_rows(identifier: str, debts: Iterable[DebtEntry]) -> list[dict[str, object]]:
    entries = one_entry_a_tax(debts)
    return [{"identifier": identifier, "tax": debt.tax, "amount_tiyin": debt.amount_tiyin} for debt in entries]
