"""Synthetic people, families and firms, by seed; pure.

Nobody here exists. Names are put together from lists of common names, identifiers are drawn by the published rules
(with district codes and cadastral regions that were made up), and only regions and districts are real. A number or
name that meets a real person's does so by chance. Nothing is read from a file, a clock or the environment.

The seed also settles who stands in which register and who owes taxes; each service's `seed.py` makes its entries from
that. What a register stores, and what it says of its coverage, is left to the services.
"""

from chopar.population.civil_status import Adoption, CivilHistory, NameChange, Paternity, Wedlock
from chopar.population.model import Address, BusinessObject, Firm, OwedTax, Person, Sex, TaxKind
from chopar.population.population import DEFAULT_SEED, REFERENCE_DAY, Population
from chopar.population.recipe import Recipe
from chopar.population.registers import RegisterKind
from chopar.population.territories import REGIONS, Region

__all__ = [
    "DEFAULT_SEED",
    "REFERENCE_DAY",
    "REGIONS",
    "Address",
    "Adoption",
    "BusinessObject",
    "CivilHistory",
    "Firm",
    "NameChange",
    "OwedTax",
    "Paternity",
    "Person",
    "Population",
    "Recipe",
    "Region",
    "RegisterKind",
    "Sex",
    "TaxKind",
    "Wedlock",
]
