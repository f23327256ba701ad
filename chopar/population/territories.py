"""Regions and districts of Uzbekistan in which the synthetic people live.

The fourteen regions carry their SOATO and ISO 3166-2 codes. The districts and cities are a selection from general
knowledge, written in the Latin alphabet: real names, not the whole list (208), without codes, and the borders move.
Whoever needs the official classifier takes it from its keeper; nothing here is a reference.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Region:
    """One of the fourteen regions.

    Attributes:
        soato: four digits of SOATO.
        iso: ISO 3166-2.
        name: in Uzbek, as an address begins with it.
        share: of a hundred people, about how many live here; rounded, for the draw only.
        districts: districts (`tumani`), or districts of Tashkent city.
        cities: cities that are no part of a district.
    """

    soato: str
    iso: str
    name: str
    share: int
    districts: tuple[str, ...]
    cities: tuple[str, ...]

    @property
    def places(self) -> tuple[str, ...]:
        """Districts and cities, each as an address has it."""
        return tuple(f"{name} tumani" for name in self.districts) + tuple(f"{name} shahri" for name in self.cities)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


REGIONS: tuple[Region, ...] = (
    Region(
        "1735",
        "UZ-QR",
        "Qoraqalpogʻiston Respublikasi",
        6,
        _names(
            "Amudaryo, Beruniy, Chimboy, Ellikqalʼa, Kegeyli, Moʻynoq, Nukus, Qanlikoʻl, Qoʻngʻirot, Qoraoʻzak, "
            "Shumanay, Taxtakoʻpir, Toʻrtkoʻl, Xoʻjayli, Taxiatosh"
        ),
        _names("Nukus"),
    ),
    Region(
        "1703",
        "UZ-AN",
        "Andijon viloyati",
        9,
        _names(
            "Andijon, Asaka, Baliqchi, Boʻz, Buloqboshi, Izboskan, Jalaquduq, Marhamat, Oltinkoʻl, Paxtaobod, "
            "Qoʻrgʻontepa, Shahrixon, Ulugʻnor, Xoʻjaobod"
        ),
        _names("Andijon, Xonobod"),
    ),
    Region(
        "1706",
        "UZ-BU",
        "Buxoro viloyati",
        6,
        _names("Buxoro, Gʻijduvon, Jondor, Kogon, Olot, Peshku, Qorakoʻl, Qorovulbozor, Romitan, Shofirkon, Vobkent"),
        _names("Buxoro, Kogon"),
    ),
    Region(
        "1708",
        "UZ-JI",
        "Jizzax viloyati",
        4,
        _names(
            "Arnasoy, Baxmal, Doʻstlik, Forish, Gʻallaorol, Mirzachoʻl, Paxtakor, Sharof Rashidov, Yangiobod, "
            "Zafarobod, Zarbdor, Zomin"
        ),
        _names("Jizzax"),
    ),
    Region(
        "1710",
        "UZ-QA",
        "Qashqadaryo viloyati",
        9,
        _names(
            "Chiroqchi, Dehqonobod, Gʻuzor, Kasbi, Kitob, Koson, Mirishkor, Muborak, Nishon, Qamashi, Qarshi, "
            "Shahrisabz, Yakkabogʻ"
        ),
        _names("Qarshi, Shahrisabz"),
    ),
    Region(
        "1712",
        "UZ-NW",
        "Navoiy viloyati",
        3,
        _names("Karmana, Konimex, Navbahor, Nurota, Qiziltepa, Tomdi, Uchquduq, Xatirchi"),
        _names("Navoiy, Zarafshon"),
    ),
    Region(
        "1714",
        "UZ-NG",
        "Namangan viloyati",
        8,
        _names(
            "Chortoq, Chust, Kosonsoy, Mingbuloq, Namangan, Norin, Pop, Toʻraqoʻrgʻon, Uchqoʻrgʻon, Uychi, "
            "Yangiqoʻrgʻon"
        ),
        _names("Namangan"),
    ),
    Region(
        "1718",
        "UZ-SA",
        "Samarqand viloyati",
        11,
        _names(
            "Bulungʻur, Ishtixon, Jomboy, Kattaqoʻrgʻon, Narpay, Nurobod, Oqdaryo, Pastdargʻom, Paxtachi, Payariq, "
            "Qoʻshrabot, Samarqand, Toyloq, Urgut"
        ),
        _names("Samarqand, Kattaqoʻrgʻon"),
    ),
    Region(
        "1722",
        "UZ-SU",
        "Surxondaryo viloyati",
        8,
        _names(
            "Angor, Boysun, Denov, Jarqoʻrgʻon, Muzrabot, Oltinsoy, Qiziriq, Qumqoʻrgʻon, Sariosiyo, Sherobod, "
            "Shoʻrchi, Termiz, Uzun"
        ),
        _names("Termiz"),
    ),
    Region(
        "1724",
        "UZ-SI",
        "Sirdaryo viloyati",
        3,
        _names("Boyovut, Guliston, Mirzaobod, Oqoltin, Sardoba, Sayxunobod, Sirdaryo, Xovos"),
        _names("Guliston, Shirin, Yangiyer"),
    ),
    Region(
        "1726",
        "UZ-TK",
        "Toshkent shahri",
        8,
        _names(
            "Bektemir, Chilonzor, Mirobod, Mirzo Ulugʻbek, Olmazor, Sergeli, Shayxontohur, Uchtepa, Yakkasaroy, "
            "Yangihayot, Yashnobod, Yunusobod"
        ),
        (),
    ),
    Region(
        "1727",
        "UZ-TO",
        "Toshkent viloyati",
        9,
        _names(
            "Bekobod, Boʻka, Boʻstonliq, Chinoz, Ohangaron, Oqqoʻrgʻon, Oʻrta Chirchiq, Parkent, Piskent, Qibray, "
            "Quyi Chirchiq, Toshkent, Yangiyoʻl, Yuqori Chirchiq, Zangiota"
        ),
        _names("Angren, Bekobod, Chirchiq, Nurafshon, Ohangaron, Olmaliq, Yangiyoʻl"),
    ),
    Region(
        "1730",
        "UZ-FA",
        "Fargʻona viloyati",
        11,
        _names(
            "Beshariq, Bogʻdod, Buvayda, Dangʻara, Fargʻona, Furqat, Oltiariq, Oʻzbekiston, Qoʻshtepa, Quva, Rishton, "
            "Soʻx, Toshloq, Uchkoʻprik, Yozyovon"
        ),
        _names("Fargʻona, Margʻilon, Qoʻqon, Quvasoy"),
    ),
    Region(
        "1733",
        "UZ-XO",
        "Xorazm viloyati",
        5,
        _names(
            "Bogʻot, Gurlan, Qoʻshkoʻpir, Shovot, Urganch, Xazorasp, Xiva, Xonqa, Yangiariq, Yangibozor, Tuproqqalʼa"
        ),
        _names("Urganch, Xiva"),
    ),
)
"""In the order of the lists that name them; SOATO and ISO codes were joined by name."""
