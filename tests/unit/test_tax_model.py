"""Rules of the tax register: debts, evidence, synthetic entries."""

from datetime import UTC, date, datetime

import pytest

from chopar.errors import InvalidEntryError
from chopar.identifiers import BusinessId, PersonId
from chopar.population import Population, RegisterKind
from services.tax.model import (
    MOST_TIYIN,
    DebtEntry,
    TaxAccount,
    Taxpayer,
    one_entry_a_tax,
    tax_debt_evidence,
)
from services.tax.seed import FIRST_DAY, accounts

TAXPAYER = Taxpayer(PersonId("30101900010018"), date(2008, 1, 1))
AS_OF = datetime(2026, 1, 15, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize("amount_tiyin", [0, -1, MOST_TIYIN + 1])
def test_a_debt_is_above_zero_and_fits_64_bits(amount_tiyin: int) -> None:
    with pytest.raises(InvalidEntryError):
        DebtEntry("land-tax", amount_tiyin)


@pytest.mark.parametrize("tax", ["", "x" * 65])
def test_a_tax_has_a_name_of_bearable_length(tax: str) -> None:
    with pytest.raises(InvalidEntryError):
        DebtEntry(tax, 1)
    assert DebtEntry("x" * 64, MOST_TIYIN).amount_tiyin == MOST_TIYIN


def test_entries_of_one_tax_add_up_sorted() -> None:
    debts = [DebtEntry("b", 2), DebtEntry("a", 1), DebtEntry("b", 5)]
    assert one_entry_a_tax(debts) == (DebtEntry("a", 1), DebtEntry("b", 7))


def test_who_owes_is_told_tax_by_tax() -> None:
    account = TaxAccount(TAXPAYER, (DebtEntry("land-tax", 3), DebtEntry("income-tax", 40)))
    evidence = tax_debt_evidence(account, source_register="tax register", as_of=AS_OF)
    assert evidence.has_debt is True
    assert evidence.debts is not None
    assert [(debt.tax, debt.amount_tiyin) for debt in evidence.debts] == [("income-tax", 40), ("land-tax", 3)]
    assert (evidence.source_register, evidence.as_of) == ("tax register", AS_OF)


def test_who_is_known_and_owes_nothing_is_evidence() -> None:
    evidence = tax_debt_evidence(TaxAccount(TAXPAYER), source_register="tax register", as_of=AS_OF)
    assert (evidence.has_debt, evidence.debts) == (False, ())


def test_no_record_of_the_register_shows_an_identifier() -> None:
    account = TaxAccount(TAXPAYER, (DebtEntry("land-tax", 3),))
    assert TAXPAYER.subject.text not in repr(account)


def test_the_seed_has_an_account_for_each_who_stands_in_the_register() -> None:
    population = Population.make(6, 800, 60)
    found = {account.taxpayer.subject: account for account in accounts(population)}
    registered = [p for p in population.people if population.stands_in(RegisterKind.TAX, p)]
    firms = [firm for firm in population.firms if population.stands_in(RegisterKind.TAX, firm)]
    assert set(found) == {person.pinfl for person in registered} | {firm.stir for firm in firms}
    assert 0 < len(registered) < len(population.people)
    for person in registered:
        owed = [(entry.tax.value, entry.amount_tiyin) for entry in population.taxes_owed(person)]
        assert sorted((debt.tax, debt.amount_tiyin) for debt in found[person.pinfl].debts) == sorted(owed)
    for account in found.values():
        assert FIRST_DAY <= account.taxpayer.registered_on <= population.on
    by_pinfl = population.by_pinfl()
    adults = [one for one in registered if one.of_age_on >= FIRST_DAY and one.adult_on(population.on)]
    assert adults
    assert all(found[one.pinfl].taxpayer.registered_on == by_pinfl[one.pinfl].of_age_on for one in adults)
    assert any(isinstance(subject, BusinessId) and account.debts for subject, account in found.items())
