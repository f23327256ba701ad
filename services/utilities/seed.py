"""The companies' synthetic entries, made from the population: one object is known to several of them.

Which network reaches an object and what is owed for it is settled by the population's seed and the object's address
alone, so it does not move when others are added. A firm's seat has every network but heat; further premises and
dwellings may lack some.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from chopar.identifiers import DataSubject
from chopar.population import Population, Recipe
from chopar.population.draws import Draws, settled_draws
from services.utilities.model import Account, Company, Contract, NetworkService, UtilityStore


@dataclass(frozen=True, slots=True)
class _Share:
    """Which part of the objects of a kind a network reaches, from 0 to 1."""

    flats: float
    houses: float
    premises: float
    seats: float
    prefix: str


# Shares are ours; heat goes to blocks of flats, gas and sewers do not reach every house.
_SHARES = {
    NetworkService.ELECTRICITY: _Share(1.0, 0.98, 0.98, 1.0, "EL"),
    NetworkService.GAS: _Share(0.9, 0.65, 0.7, 1.0, "GZ"),
    NetworkService.COLD_WATER: _Share(0.98, 0.7, 0.9, 1.0, "SV"),
    NetworkService.SEWERAGE: _Share(0.95, 0.25, 0.8, 1.0, "OQ"),
    NetworkService.HEAT: _Share(0.8, 0.0, 0.4, 0.7, "IS"),
    NetworkService.WASTE: _Share(0.95, 0.8, 0.9, 1.0, "CH"),
    NetworkService.TELEPHONE: _Share(0.4, 0.3, 0.6, 1.0, "TL"),
}
_OWING_DWELLINGS, _OWING_PREMISES = 0.12, 0.2
# From 1,000 soum to 2 million soum for a dwelling; premises owe up to twenty times that.
_LEAST_TIYIN, _MOST_TIYIN, _PREMISES_FACTOR = 100_000, 200_000_000, 20
_FIRST_DAY = date(1995, 1, 1)


@dataclass(frozen=True, slots=True)
class _Object:
    address: str
    kind: str
    party: DataSubject | None
    since: date


def accounts(population: Population, company: Company) -> Iterator[Account]:
    """The accounts that a company keeps, dwellings first."""
    objects = tuple(_objects(population))
    for service in company.services:
        for place in objects:
            draws = settled_draws(population.seed, f"account {service}", place.address)
            if draws.chance(getattr(_SHARES[service], place.kind)):
                yield _account(service, place, draws, population.on)


async def fill(stores: Mapping[Company, UtilityStore], recipe: Recipe) -> int:
    """Add a population's entries to registers, unless that was done; entries that are there stay as they are.

    Returns:
        How many were added.

    Raises:
        RegisterUnavailableError: retriable; nothing was added to the register that does not answer.
    """
    unfilled = {company: store for company, store in stores.items() if not await store.seeded(recipe.text)}
    if not unfilled:
        return 0
    population = recipe.make()
    return sum([await store.seed(accounts(population, company), recipe.text) for company, store in unfilled.items()])


def _objects(population: Population) -> Iterator[_Object]:
    """Every dwelling that somebody lives or lived in, then the firms' premises; each address once."""
    parties: dict[str, DataSubject | None] = {}
    kinds: dict[str, str] = {}
    for person in population.people:
        place = person.address
        kinds[place.account_address] = "houses" if place.flat is None else "flats"
        grown = person.died_on is None and person.adult_on(population.on)
        if parties.get(place.account_address) is None:
            parties[place.account_address] = person.pinfl if grown else None
    for address, party in parties.items():
        yield _Object(address, kinds[address], party, _FIRST_DAY)
    for firm in population.firms:
        for number, premises in enumerate(firm.objects):
            kind = "premises" if number else "seats"
            yield _Object(premises.account_address, kind, firm.stir, max(firm.registered_on, _FIRST_DAY))


def _account(service: NetworkService, place: _Object, draws: Draws, on: date) -> Account:
    premises = place.kind in ("premises", "seats")
    owed = 0
    if draws.chance(_OWING_PREMISES if premises else _OWING_DWELLINGS):
        # The square makes small debts common and large ones rare.
        owed = (_LEAST_TIYIN + int(draws.unit() ** 2 * _MOST_TIYIN)) * (_PREMISES_FACTOR if premises else 1)
    number = f"{_SHARES[service].prefix}-{draws.below(10**12):012}"
    contract = None
    if place.party is not None:
        concluded_on = draws.day_between(place.since, on - timedelta(days=1))
        contract = Contract(f"{number}-{concluded_on.year}", place.party, concluded_on)
    return Account(number, service, place.address, owed, contract)
