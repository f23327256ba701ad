"""Records and rules of the tax register; pure.

A taxpayer is a person or a business that the tax committee has registered. What somebody owes is kept by kind of tax,
one amount each. A taxpayer without an entry owes nothing, which is evidence; somebody who is no taxpayer is unknown,
which is none. How entries are stored and who may see which field is left to the store and to the library.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import Protocol

from chopar.errors import InvalidEntryError
from chopar.identifiers import DataSubject
from chopar.messages.evidence import Debt, TaxDebt

MOST_TIYIN = 2**63 - 1
"""Avro's long and both databases end here."""

LONGEST_TAX = 64


@dataclass(frozen=True, slots=True)
class DebtEntry:
    """What is owed of one tax.

    Raises:
        InvalidEntryError: the tax has no name or one that is too long, or the amount is not above zero (an
            overpayment is no debt) or too large. The tables check the same, so that no row can fail a look-up.
    """

    tax: str
    amount_tiyin: int

    def __post_init__(self) -> None:
        if not 0 < len(self.tax) <= LONGEST_TAX:
            raise InvalidEntryError(f"the name of a tax has 1 to {LONGEST_TAX} characters")
        if not 0 < self.amount_tiyin <= MOST_TIYIN:
            raise InvalidEntryError("a debt is more than 0 tiyin and fits 64 bits; who owes nothing has no entry")


@dataclass(frozen=True, slots=True)
class Taxpayer:
    """Whom the register knows, and since when."""

    subject: DataSubject
    registered_on: date


@dataclass(frozen=True, slots=True)
class TaxAccount:
    """A taxpayer and all that is owed, one entry a tax, sorted by tax."""

    taxpayer: Taxpayer
    debts: tuple[DebtEntry, ...] = ()


class TaxRegister(Protocol):
    """What an evidence function asks."""

    async def accounts_of(self, subjects: Collection[DataSubject]) -> Mapping[DataSubject, TaxAccount]:
        """The accounts of those among the subjects who are taxpayers, by one statement whoever they are.

        Raises:
            RegisterUnavailableError: retriable; the register does not answer in time.
        """
        ...


class TaxStore(TaxRegister, Protocol):
    """Where the register lies. One suite of tests holds all implementations to this."""

    async def seeded(self, recipe: str) -> bool:
        """Whether the register was filled with the synthetic population of this recipe.

        Raises:
            RegisterUnavailableError: retriable; the register does not answer in time.
        """
        ...

    async def seed(self, accounts: Iterable[TaxAccount], recipe: str | None = None) -> int:
        """Add the taxpayers who are not there yet, with their debts; those who are there stay as they are.

        Args:
            accounts: to be added.
            recipe: of the population that they are all of; noted with them, and `seeded` knows it.

        Returns:
            How many were added.

        Raises:
            RegisterUnavailableError: retriable; nothing was added.
        """
        ...

    async def set_debts(self, subject: DataSubject, debts: Iterable[DebtEntry]) -> None:
        """Replace all that a taxpayer owes; entries of one tax add up.

        Raises:
            NotFoundError: the subject is no taxpayer; nothing was changed.
            InvalidEntryError: the sum of one tax is too large.
            RegisterUnavailableError: retriable; nothing was changed.
        """
        ...

    async def close(self) -> None:
        """Let go of what is held."""
        ...


def one_entry_a_tax(debts: Iterable[DebtEntry]) -> tuple[DebtEntry, ...]:
    """Add up the entries of each tax; sorted by tax.

    Raises:
        InvalidEntryError: a sum is too large.
    """
    debts = tuple(debts)
    if len(debts) < 2:
        return debts
    sums: dict[str, int] = {}
    for debt in debts:
        sums[debt.tax] = sums.get(debt.tax, 0) + debt.amount_tiyin
    return tuple(DebtEntry(tax, sums[tax]) for tax in sorted(sums))


def tax_debt_evidence(account: TaxAccount, *, source_register: str, as_of: datetime) -> TaxDebt:
    """Say whether a taxpayer owes anything, and what, by kind of tax.

    Everything that the evidence type has; the library cuts it to what the access ground lets through.

    Args:
        account: of the taxpayer.
        source_register: name of the register.
        as_of: the time of the request, not of a clock.
    """
    debts = one_entry_a_tax(account.debts)
    if not debts:
        return _nothing_owed(source_register, as_of)
    return TaxDebt(
        has_debt=True,
        debts=tuple(Debt(tax=debt.tax, amount_tiyin=debt.amount_tiyin) for debt in debts),
        source_register=source_register,
        as_of=as_of,
    )


@lru_cache(maxsize=1024)  # times are a batch's; evidence is frozen
def _nothing_owed(source_register: str, as_of: datetime) -> TaxDebt:
    return TaxDebt(has_debt=False, debts=(), source_register=source_register, as_of=as_of)
