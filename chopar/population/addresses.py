"""Addresses with a real region and district and a made-up rest."""

from chopar.population.draws import Draws
from chopar.population.model import Address
from chopar.population.territories import REGIONS, Region

# Names that many towns share, so that none points to one house.
_MAHALLAS = (
    "Yangi hayot", "Navbahor", "Tinchlik", "Doʻstlik", "Gulbahor", "Obod", "Istiqlol", "Bogʻiston", "Chamanzor",
    "Oqtepa", "Hamkor", "Mustaqillik", "Paxtakor", "Sohibkor", "Yoshlik", "Guliston", "Navroʻz", "Koʻkcha", "Nurafshon",
    "Oʻzbekiston", "Zarafshon", "Ishonch", "Mehr", "Shirin", "Toʻqimachi", "Chinor", "Bahor", "Zargar", "Qoʻshbuloq",
)  # fmt: skip
_STREETS = (
    "Amir Temur", "Alisher Navoiy", "Bobur", "Mustaqillik", "Bunyodkor", "Beruniy", "Ibn Sino", "Mirzo Ulugʻbek",
    "Furqat", "Muqimiy", "Doʻstlik", "Navroʻz", "Istiqlol", "Bogʻishamol", "Guliston", "Zulfiya", "Gʻafur Gʻulom",
    "Oybek", "Hamid Olimjon", "Sharof Rashidov", "Al-Xorazmiy", "Yangi hayot", "Temiryoʻlchilar", "Paxtakor",
    "Oʻzbekiston", "Bahor", "Tinchlik", "Shodlik", "Anhor boʻyi", "Chilonzor", "Koʻkaldosh", "Nurafshon",
)  # fmt: skip
# The cadastre's own region codes are not published; from here on, so that no number looks like a real dwelling's.
_FIRST_CADASTRAL_REGION = 81


class AddressBook:
    """Hands out addresses; no two have the same account address or cadastral number."""

    def __init__(self, draws: Draws) -> None:
        self._draws = draws
        self._taken: set[str] = set()
        self._by_share = tuple(region for region in REGIONS for _ in range(region.share))
        self._places = {region.soato: region.places for region in REGIONS}
        self._codes = {region.soato: _FIRST_CADASTRAL_REGION + index for index, region in enumerate(REGIONS)}

    def place(self) -> tuple[Region, str]:
        """A region, more people in the larger ones, and a district or city of it."""
        region = self._draws.pick(self._by_share)
        return region, self._draws.pick(self._places[region.soato])

    def address(self, region: Region, district: str) -> Address:
        """A dwelling or premises in this district that nobody was given yet."""
        draws = self._draws
        mahalla, street = draws.pick(_MAHALLAS), draws.pick(_STREETS)
        in_town = district.endswith("shahri") or region.iso == "UZ-TK"
        number = draws.between(1, 180)
        letter = draws.pick("ABVG") if draws.chance(0.06) else ""
        flat = str(draws.between(1, 96)) if draws.chance(0.6 if in_town else 0.08) else None
        while True:
            house = f"{number}{letter}"
            line = f"{region.name}, {district}, {mahalla} MFY, {street} koʻchasi, {house}-uy"
            if flat is not None:
                line += f", {flat}-xonadon"
            if line not in self._taken:
                break
            number += 1
        self._taken.add(line)
        cadastral_number = self._cadastral_number(region, district, flat)
        return Address(region.soato, district, mahalla, street, house, flat, line, cadastral_number)

    def _cadastral_number(self, region: Region, district: str, flat: str | None) -> str:
        # The running number of the address makes plot and block unique; the other parts only look the part.
        serial = len(self._taken)
        block, plot = serial // 9999 + 1, serial % 9999 + 1
        zone, massif, building = self._draws.between(1, 12), self._draws.between(1, 9), self._draws.between(1, 3)
        place = self._places[region.soato].index(district) + 1
        number = f"{self._codes[region.soato]}:{place:02}:{zone:02}:{massif:02}:{block:02}:{plot:04}:{building:04}"
        return number if flat is None else f"{number}:{int(flat):03}"
