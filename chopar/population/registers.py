"""Who stands in which register, and who owes: facts that the seed settles for each person and firm by itself.

What a register says about its coverage, and how it stores its entries, is left to the service that keeps it.
"""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from chopar.population.draws import settled, settled_draws
from chopar.population.model import Firm, OwedTax, Person, TaxKind


class RegisterKind(StrEnum):
    """The kinds of register that the seed fills; a service that brings a new one adds its line here."""

    TAX = "tax"


@dataclass(frozen=True, slots=True)
class RegisterShare:
    """Which part of each group stands in a register, from 0 to 1.

    Attributes:
        adults: of living adults.
        minors: of living minors (of the tax register: heirs of a flat, young entertainers).
        deceased: of those who were adult and died after `first_day`.
        firms: of firms.
        first_day: the register holds nobody who died before it.
    """

    adults: float
    minors: float
    deceased: float
    firms: float
    first_day: date


# Taxpayers have had a number since 1997-04-01 (Cabinet of Ministers resolution 130 of 1997-03-11).
REGISTER_SHARES = {RegisterKind.TAX: RegisterShare(0.95, 0.03, 0.9, 0.97, date(1997, 4, 1))}

_OWING_ADULTS, _OWING_FIRMS = 0.18, 0.26
_PERSON_TAXES = (TaxKind.PROPERTY, TaxKind.LAND, TaxKind.PERSONAL_INCOME)
_FIRM_TAXES = (
    TaxKind.VALUE_ADDED, TaxKind.PROFIT, TaxKind.TURNOVER, TaxKind.SOCIAL, TaxKind.PROPERTY, TaxKind.LAND,
    TaxKind.WATER,
)  # fmt: skip
# From 1,000 soum to 3 million soum for people; firms owe up to fifty times that.
_LEAST_TIYIN, _MOST_TIYIN, _FIRM_FACTOR = 100_000, 300_000_000, 50


def stands_in(seed: int, kind: RegisterKind, who: Person | Firm, on: date) -> bool:
    """Whether a person or firm stands in a register of this kind."""
    share = REGISTER_SHARES[kind]
    if isinstance(who, Firm):
        return settled(seed, f"stands in {kind}", who.stir.text) < share.firms
    if who.died_on is not None:
        adult_then = who.adult_on(who.died_on) and who.died_on >= share.first_day
        part = share.deceased if adult_then else 0.0
    else:
        part = share.adults if who.adult_on(on) else share.minors
    return settled(seed, f"stands in {kind}", who.pinfl.text) < part


def taxes_owed(seed: int, who: Person | Firm, on: date) -> tuple[OwedTax, ...]:
    """What a person or firm owes, one entry a tax, in the order of `TaxKind`.

    Those who are not in the register, minors and the deceased owe nothing here.
    """
    firm = isinstance(who, Firm)
    if not stands_in(seed, RegisterKind.TAX, who, on):
        return ()
    if isinstance(who, Person) and not (who.alive_on(on) and who.adult_on(on)):
        return ()
    identifier = who.stir.text if isinstance(who, Firm) else who.pinfl.text
    draws = settled_draws(seed, "taxes owed", identifier)
    if not draws.chance(_OWING_FIRMS if firm else _OWING_ADULTS):
        return ()
    kinds = _FIRM_TAXES if firm else _PERSON_TAXES
    owed = {draws.pick(kinds) for _ in range(draws.pick((1, 1, 1, 2, 3)))}
    # The square makes small debts common and large ones rare.
    return tuple(
        OwedTax(kind, (_LEAST_TIYIN + int(draws.unit() ** 2 * _MOST_TIYIN)) * (_FIRM_FACTOR if firm else 1))
        for kind in TaxKind
        if kind in owed
    )
