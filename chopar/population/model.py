"""What a synthetic person, firm and address are. How they come about is left to the other modules of this package."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from chopar.identifiers import BusinessId, PersonId
from chopar.population.draws import years_after

ADULT_AGE_YEARS = 18


class Sex(StrEnum):
    """As the first digit of a PINFL tells it."""

    MALE = "male"
    FEMALE = "female"


class TaxKind(StrEnum):
    """The taxes that synthetic people and firms may owe; a selection of the country's taxes, named in English."""

    PERSONAL_INCOME = "personal-income-tax"
    PROPERTY = "property-tax"
    LAND = "land-tax"
    WATER = "water-use-tax"
    VALUE_ADDED = "value-added-tax"
    PROFIT = "profit-tax"
    TURNOVER = "turnover-tax"
    SOCIAL = "social-tax"


@dataclass(frozen=True, slots=True)
class Address:
    """A dwelling or premises. Region and district are real names; the rest is made up.

    Attributes:
        region_soato: four digits.
        district: with its kind, such as `Chilonzor tumani`.
        mahalla: the neighbourhood community, without its kind.
        street: without its kind.
        house: may carry a letter.
        flat: None for a house of its own.
        account_address: the whole on one line, unique; utilities keep their accounts by it.
        cadastral_number: unique; seven parts for a house, eight for a flat. Region codes 81 to 94 are made up.
    """

    region_soato: str
    district: str
    mahalla: str
    street: str
    house: str
    flat: str | None
    account_address: str
    cadastral_number: str


@dataclass(frozen=True, slots=True)
class Person:
    """A synthetic person; no real one is meant.

    Attributes:
        pinfl: consistent with sex and birth date.
        name: the whole name as it was written down: alphabet, apostrophes, case and Unicode form vary.
        surname, given_name, patronymic: its parts, written the same way; some people have no patronymic.
        sex: as the number says.
        born_on: as the number says.
        died_on: None while alive.
        mother, father: None where the population goes no further back.
        spouse: of the present or last marriage, also after a divorce or death.
        married_on: first day of that marriage.
        address: where the person lives, or lived last.
    """

    pinfl: PersonId
    name: str
    surname: str
    given_name: str
    patronymic: str | None
    sex: Sex
    born_on: date
    died_on: date | None
    mother: PersonId | None
    father: PersonId | None
    spouse: PersonId | None
    married_on: date | None
    address: Address

    def alive_on(self, day: date) -> bool:
        """Whether the person was born by that day and had not died before it."""
        return self.born_on <= day and (self.died_on is None or day <= self.died_on)

    @property
    def of_age_on(self) -> date:
        """The eighteenth birthday."""
        return years_after(self.born_on, ADULT_AGE_YEARS)

    def adult_on(self, day: date) -> bool:
        """Whether the eighteenth birthday had come by that day."""
        return self.of_age_on <= day


@dataclass(frozen=True, slots=True)
class BusinessObject:
    """Premises that a firm owns."""

    account_address: str
    cadastral_number: str


@dataclass(frozen=True, slots=True)
class Firm:
    """A synthetic firm; no real one is meant.

    Attributes:
        stir: nine digits.
        name: with its legal form, quoted in one of the usual ways.
        founders: one to three people, adult and alive on `registered_on`.
        objects: one to three; the first is at the firm's address.
        registered_on: first day.
        address: where the firm sits.
    """

    stir: BusinessId
    name: str
    founders: tuple[PersonId, ...]
    objects: tuple[BusinessObject, ...]
    registered_on: date
    address: Address


@dataclass(frozen=True, slots=True)
class OwedTax:
    """What is owed of one tax; tiyin, a hundredth of a soum."""

    tax: TaxKind
    amount_tiyin: int
