"""Records and rules of the utility companies' registers; pure.

A company keeps accounts by the address of what it supplies: a dwelling, premises, a telephone line. An object may have
several (water and sewerage); what is owed for it is their sum. Addresses are found whatever apostrophe, case or
Unicode form they are written in. An object without an account is unknown; one that owes nothing is evidence. How
entries are stored and who may see which field is left to the store and to the library.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import NewType, Protocol

from chopar.errors import ForbiddenCharactersError, InvalidEntryError
from chopar.identifiers import AgencyId, DataSubject, agency_id, name_key
from chopar.messages.utility import UtilityDebt

MOST_TIYIN = 10**15
"""Ten trillion soum on one account is an error of whoever wrote it; sums of as many as there are fit 64 bits."""

LONGEST_ADDRESS = 400
LONGEST_NUMBER = 32

AddressKey = NewType("AddressKey", str)
"""An address as it is compared, not as it is written."""


class NetworkService(StrEnum):
    """What an account is kept for."""

    ELECTRICITY = "electricity"
    GAS = "gas"
    COLD_WATER = "cold-water"
    SEWERAGE = "sewerage"
    HEAT = "heat"
    WASTE = "waste"
    TELEPHONE = "telephone"


@dataclass(frozen=True, slots=True)
class Company:
    """A company with a register of its own; it sees no other's.

    Attributes:
        agency: its id.
        register: name of its register, as answers carry it.
        coverage: what the register covers, as a `no_record` carries it.
        services: what it keeps accounts for.
    """

    agency: AgencyId
    register: str
    coverage: str
    services: tuple[NetworkService, ...]


def _company(agency: str, accounts: str, *services: NetworkService) -> tuple[AgencyId, Company]:
    coverage = f"{accounts}, by address; synthetic entries"
    return agency_id(agency), Company(agency_id(agency), f"register of {accounts}", coverage, services)


COMPANIES: Mapping[AgencyId, Company] = dict(
    (
        _company("electricity-het", "electricity consumers' accounts", NetworkService.ELECTRICITY),
        _company("gas-hududgaz", "gas consumers' accounts", NetworkService.GAS),
        _company(
            "water-uzsuvtaminot",
            "water and sewerage consumers' accounts",
            NetworkService.COLD_WATER,
            NetworkService.SEWERAGE,
        ),
        _company("heat-supply", "heat consumers' accounts", NetworkService.HEAT),
        _company("waste-collection", "waste collection subscribers' accounts", NetworkService.WASTE),
        _company("telecom-operator", "telephone line accounts", NetworkService.TELEPHONE),
    )
)
"""The companies that this code base serves, by agency."""


@dataclass(frozen=True, slots=True)
class Contract:
    """What an account rests on.

    Raises:
        InvalidEntryError: its number is empty or too long.
    """

    number: str
    party: DataSubject
    concluded_on: date

    def __post_init__(self) -> None:
        if not 0 < len(self.number) <= LONGEST_NUMBER:
            raise InvalidEntryError(f"the number of a contract has 1 to {LONGEST_NUMBER} characters")


@dataclass(frozen=True, slots=True)
class Account:
    """What a company supplies to one object, and what is owed for it.

    Attributes:
        number: the company's own; unique in its register.
        service: what is supplied.
        address: as it was written.
        owed_tiyin: 0 if nothing is.
        contract: None where none is on file.

    Raises:
        InvalidEntryError: a number or address is empty, too long or of forbidden characters, or the amount is below
            zero (an overpayment is no debt) or too large. The tables check the same.
    """

    number: str
    service: NetworkService
    address: str
    owed_tiyin: int = 0
    contract: Contract | None = None

    def __post_init__(self) -> None:
        if not 0 < len(self.number) <= LONGEST_NUMBER:
            raise InvalidEntryError(f"the number of an account has 1 to {LONGEST_NUMBER} characters")
        if not address_key(self.address) or len(self.address) > LONGEST_ADDRESS:
            raise InvalidEntryError(f"an address has 1 to {LONGEST_ADDRESS} characters, none of them forbidden")
        check_owed(self.owed_tiyin)


@dataclass(frozen=True, slots=True)
class ObjectDebt:
    """What is owed for an object on all its accounts with one company."""

    owed_tiyin: int


class UtilityRegister(Protocol):
    """What an evidence function asks. Look-ups made at the same time may be answered by one statement."""

    async def debt_of(self, address: str) -> ObjectDebt | None:
        """What is owed for the object at an address, or None: unknown to this register.

        Raises:
            RegisterUnavailableError: retriable; the register does not answer.
        """
        ...


class UtilityStore(Protocol):
    """Where one company's register lies. One suite of tests holds all implementations to this."""

    async def debts_at(self, addresses: Collection[AddressKey]) -> Mapping[AddressKey, ObjectDebt]:
        """What is owed at those among the addresses that have an account, by one statement whatever they are.

        Raises:
            RegisterUnavailableError: retriable; the register does not answer in time.
        """
        ...

    async def contracts_of(self, party: DataSubject) -> Sequence[Contract]:
        """The contracts of a person or business, by number.

        Raises:
            RegisterUnavailableError: retriable; the register does not answer in time.
        """
        ...

    async def seeded(self, recipe: str) -> bool:
        """Whether the register was filled with the synthetic population of this recipe.

        Raises:
            RegisterUnavailableError: retriable; the register does not answer in time.
        """
        ...

    async def seed(self, accounts: Iterable[Account], recipe: str | None = None) -> int:
        """Add the accounts that are not there yet, with their contracts; those that are there stay as they are.

        Args:
            accounts: to be added.
            recipe: of the population that they are all of; noted with them, and `seeded` knows it.

        Returns:
            How many were added.

        Raises:
            RegisterUnavailableError: retriable; nothing was added.
        """
        ...

    async def set_owed(self, number: str, owed_tiyin: int) -> None:
        """Say what is owed on an account.

        Raises:
            NotFoundError: there is no such account; nothing was changed.
            InvalidEntryError: the amount breaks the rules of an account.
            RegisterUnavailableError: retriable; nothing was changed.
        """
        ...

    async def close(self) -> None:
        """Let go of what is held."""
        ...


def address_key(address: str) -> AddressKey:
    """Fold an address for comparison; empty for one with forbidden characters, which no account has."""
    try:
        return AddressKey(name_key(address))
    except ForbiddenCharactersError:
        return AddressKey("")


def check_owed(owed_tiyin: int) -> None:
    """See that an amount is one that an account may have.

    Raises:
        InvalidEntryError: it is below zero (an overpayment is no debt) or too large. The tables check the same.
    """
    if not 0 <= owed_tiyin <= MOST_TIYIN:
        raise InvalidEntryError(f"what is owed lies between 0 and {MOST_TIYIN} tiyin")


def utility_debt_evidence(debt: ObjectDebt, *, source_register: str, as_of: datetime) -> UtilityDebt:
    """Say whether anything is owed for an object, and how much.

    Everything that the evidence type has; the library cuts it to what the access ground lets through.

    Args:
        debt: of the object.
        source_register: name of the register.
        as_of: the time of the request, not of a clock.
    """
    return UtilityDebt(
        has_debt=debt.owed_tiyin > 0, amount_tiyin=debt.owed_tiyin, source_register=source_register, as_of=as_of
    )
