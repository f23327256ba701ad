"""The tax register in a database (SQLite as embedded default, PostgreSQL in production), and its double in memory.

One set of statements serves both databases; connections, time-outs, revisions, errors are `chopar.provider.register`'s.
Rules are left to the model, synthetic entries to the seed.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

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

from chopar.errors import NotFoundError
from chopar.identifiers import DataSubject, PersonId, SubjectKind
from chopar.migrations import Migrations
from chopar.provider.register import RegisterStore, seeding_table
from services.tax.model import LONGEST_TAX, DebtEntry, TaxAccount, Taxpayer, one_entry_a_tax

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
seeding_table(_METADATA)
MIGRATIONS = Migrations(Path(__file__).parent / "migrations", _METADATA, "the tax register")

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


class SqlTaxStore(RegisterStore):
    """The register in a database."""

    MIGRATIONS = MIGRATIONS

    async def accounts_of(self, subjects: Collection[DataSubject]) -> Mapping[DataSubject, TaxAccount]:
        """As `TaxRegister` says."""
        by_text = {subject.text: subject for subject in subjects}
        rows = await self._database.rows(_ACCOUNTS, {"identifiers": list(by_text)})
        accounts: dict[DataSubject, TaxAccount] = {}
        owing: dict[str, tuple[Taxpayer, list[DebtEntry]]] = {}
        for identifier, registered_on, tax, amount_tiyin in rows:
            if tax is None:
                subject = by_text[identifier]
                accounts[subject] = TaxAccount(Taxpayer(subject, registered_on))
                continue
            owed = owing.get(identifier)
            if owed is None:
                owed = owing[identifier] = Taxpayer(by_text[identifier], registered_on), []
            owed[1].append(DebtEntry(tax, amount_tiyin))
        for taxpayer, debts in owing.values():
            accounts[taxpayer.subject] = TaxAccount(taxpayer, one_entry_a_tax(debts))
        return accounts

    async def seed(self, accounts: Iterable[TaxAccount], recipe: str | None = None) -> int:
        """As `TaxStore` says; one transaction, so a process that dies in it leaves nothing half done."""
        by_text = {account.taxpayer.subject.text: account for account in accounts}
        rows = [_taxpayer_row(account.taxpayer) for account in by_text.values()]
        add_new_taxpayers = self._database.adding_new(_TAXPAYER).returning(_TAXPAYER.c.identifier)
        async with self._database.writing(bulk=True) as connection:
            added: Sequence[str] = ()
            if rows:
                inserted = await connection.execute(add_new_taxpayers, rows)
                added = inserted.scalars().all()
            debts = [row for identifier in added for row in _debt_rows(identifier, by_text[identifier].debts)]
            if debts:
                await connection.execute(_ADD_DEBTS, debts)
            if recipe is not None:
                await self._database.mark_seeded(connection, recipe, len(added))
        return len(added)

    async def set_debts(self, subject: DataSubject, debts: Iterable[DebtEntry]) -> None:
        """As `TaxStore` says."""
        rows = _debt_rows(subject.text, debts)
        one = {"of_identifier": subject.text}
        async with self._database.writing() as connection:
            if (await connection.execute(_HOLD_TAXPAYER, one)).rowcount == 0:
                raise NotFoundError("the subject is not in the tax register")
            await connection.execute(_CLEAR_DEBTS, one)
            if rows:
                await connection.execute(_ADD_DEBTS, rows)


class DictTaxStore:
    """The register in memory, for tests and first tries."""

    def __init__(self) -> None:
        self._accounts: dict[DataSubject, TaxAccount] = {}
        self._recipes: set[str] = set()

    async def accounts_of(self, subjects: Collection[DataSubject]) -> Mapping[DataSubject, TaxAccount]:
        """As `TaxRegister` says."""
        return {subject: self._accounts[subject] for subject in subjects if subject in self._accounts}

    async def seeded(self, recipe: str) -> bool:
        """As `TaxStore` says."""
        return recipe in self._recipes

    async def seed(self, accounts: Iterable[TaxAccount], recipe: str | None = None) -> int:
        """As `TaxStore` says."""
        before = len(self._accounts)
        for account in accounts:
            kept = TaxAccount(account.taxpayer, one_entry_a_tax(account.debts))
            self._accounts.setdefault(account.taxpayer.subject, kept)
        if recipe is not None:
            self._recipes.add(recipe)
        return len(self._accounts) - before

    async def set_debts(self, subject: DataSubject, debts: Iterable[DebtEntry]) -> None:
        """As `TaxStore` says."""
        entries = one_entry_a_tax(debts)
        if subject not in self._accounts:
            raise NotFoundError("the subject is not in the tax register")
        self._accounts[subject] = TaxAccount(self._accounts[subject].taxpayer, entries)

    async def close(self) -> None:
        """Nothing is held."""


def _taxpayer_row(taxpayer: Taxpayer) -> dict[str, object]:
    kind = SubjectKind.PERSON if isinstance(taxpayer.subject, PersonId) else SubjectKind.BUSINESS
    return {"identifier": taxpayer.subject.text, "kind": kind.value, "registered_on": taxpayer.registered_on}


def _debt_rows(identifier: str, debts: Iterable[DebtEntry]) -> list[dict[str, object]]:
    entries = one_entry_a_tax(debts)
    return [{"identifier": identifier, "tax": debt.tax, "amount_tiyin": debt.amount_tiyin} for debt in entries]
