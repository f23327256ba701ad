"""Firms with founders among the people, and the premises they own."""

from collections.abc import Sequence
from datetime import date, timedelta

from chopar.identifiers import BusinessId
from chopar.population.addresses import AddressBook
from chopar.population.draws import Draws, years_after
from chopar.population.model import ADULT_AGE_YEARS, BusinessObject, Firm, Person
from chopar.population.names import APOSTROPHES, uzbek_cyrillic
from chopar.population.territories import REGIONS

_FIRST_YEAR = 1994
# The youngest founder is this old and the firm this young, so that the founding lies in the past.
_FOUNDER_AGE_YEARS = ADULT_AGE_YEARS + 2
_TRADES = (
    "Savdo", "Qurilish", "Tekstil", "Agro", "Logistika", "Invest", "Servis", "Mebel", "Parranda", "Non", "Bogʻ",
    "Oʻquv markazi", "Gʻisht", "Plast", "Farm", "Metall", "Paxta", "Chorva", "Dizayn", "Transport",
)  # fmt: skip
_STARS = (
    "Baraka", "Ishonch", "Istiqbol", "Orzu", "Shams", "Sharq", "Zamin", "Oltin vodiy", "Buyuk yoʻl", "Yangi asr",
    "Doʻstlik", "Humo", "Lazzat", "Mehr", "Navbahor", "Oq kema", "Parvoz", "Samo", "Turon", "Umid", "Kamolot",
    "Zarbuloq",
)  # fmt: skip
# Latin and Cyrillic abbreviations of the usual legal forms, by how often they are met.
_LEGAL_FORMS = (("MChJ", "МЧЖ"), ("MChJ", "МЧЖ"), ("MChJ", "МЧЖ"), ("XK", "ХК"), ("FX", "ФХ"), ("AJ", "АЖ"))
_QUOTES = (("«", "»"), ('"', '"'), ("“", "”"), ("„", "“"))


class Firms:
    """Draws firms; needs people who may found them."""

    def __init__(self, draws: Draws, addresses: AddressBook, on: date) -> None:
        self._draws = draws
        self._addresses = addresses
        self._on = on
        self._numbers: set[str] = set()
        self._regions = {region.soato: region for region in REGIONS}

    def firms(self, count: int, people: Sequence[Person]) -> tuple[Firm, ...]:
        """As many firms as wanted; none if nobody is old enough to found one."""
        founders = [
            person
            for person in people
            if person.alive_on(self._on) and years_after(person.born_on, _FOUNDER_AGE_YEARS) <= self._on
        ]
        return tuple(self._firm(founders) for _ in range(count)) if founders else ()

    def _firm(self, candidates: Sequence[Person]) -> Firm:
        draws = self._draws
        founders: list[Person] = []
        for _ in range(draws.pick((1, 1, 1, 2, 2, 3))):
            person = draws.pick(candidates)
            if person not in founders:
                founders.append(person)
        of_age = max(person.of_age_on for person in founders)
        registered_on = draws.day_between(max(of_age, date(_FIRST_YEAR, 1, 3)), self._on - timedelta(days=30))
        home = founders[0].address
        address = self._addresses.address(self._regions[home.region_soato], home.district)
        premises = [address]
        for _ in range(draws.pick((0, 0, 0, 1, 1, 2))):
            region, district = (self._regions[home.region_soato], home.district)
            if draws.chance(0.3):
                region, district = self._addresses.place()
            premises.append(self._addresses.address(region, district))
        return Firm(
            stir=self._number(),
            name=self._name(),
            founders=tuple(person.pinfl for person in founders),
            objects=tuple(BusinessObject(place.account_address, place.cadastral_number) for place in premises),
            registered_on=registered_on,
            address=address,
        )

    def _number(self) -> BusinessId:
        # No rule for the first digit was found; firms seem to begin with 2 and 3. Only the form is promised.
        while True:
            stir = f"{self._draws.between(200_000_000, 399_999_999)}"
            if stir not in self._numbers:
                self._numbers.add(stir)
                return BusinessId(stir)

    def _name(self) -> str:
        draws = self._draws
        latin_form, cyrillic_form = draws.pick(_LEGAL_FORMS)
        opening, closing = draws.pick(_QUOTES)
        name = f"{draws.pick(_STARS)} {draws.pick(_TRADES)}"
        apostrophe = draws.pick(APOSTROPHES)
        if draws.chance(0.1):
            return f"{opening}{uzbek_cyrillic(name)}{closing} {cyrillic_form}"
        if draws.chance(0.3):
            name = name.upper()
        return f"{opening}{name.replace('ʻ', apostrophe)}{closing} {latin_form}"
