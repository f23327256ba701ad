"""The tax register's synthetic entries, made from the population.

Who stands in the register and who owes is settled by the population's seed; from which day somebody is a taxpayer is
decided here.
"""

from collections.abc import Iterator
from datetime import date

from chopar.population import Firm, Person, Population, Recipe, RegisterKind
from services.tax.model import DebtEntry, TaxAccount, Taxpayer, TaxStore, one_entry_a_tax

# Taxpayer numbers began on this day (Cabinet of Ministers resolution 130 of 1997-03-11).
FIRST_DAY = date(1997, 4, 1)


def accounts(population: Population) -> Iterator[TaxAccount]:
    """An account for everybody who stands in the tax register: people first, then firms."""
    who: Person | Firm
    for who in population.people + population.firms:
        if population.stands_in(RegisterKind.TAX, who):
            taxpayer = _taxpayer(who, population.on)
            owed = (DebtEntry(entry.tax.value, entry.amount_tiyin) for entry in population.taxes_owed(who))
            yield TaxAccount(taxpayer, one_entry_a_tax(owed))


async def fill(store: TaxStore, recipe: Recipe) -> int:
    """Add a population's entries to a register, unless that was done; entries that are there stay as they are.

    Returns:
        How many were added.

    Raises:
        RegisterUnavailableError: retriable; nothing was added.
    """
    if await store.seeded(recipe.text):
        return 0
    return await store.seed(accounts(recipe.make()), recipe.text)


def _taxpayer(who: Person | Firm, on: date) -> Taxpayer:
    """From coming of age or founding, but not before there were numbers; a minor from the first day of the year."""
    if isinstance(who, Firm):
        return Taxpayer(who.stir, max(who.registered_on, FIRST_DAY))
    since = who.of_age_on if who.adult_on(on) else max(who.born_on, date(on.year, 1, 1))
    return Taxpayer(who.pinfl, max(since, FIRST_DAY))
