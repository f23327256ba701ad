"""Names as people of Uzbekistan write them, put together from lists of common names.

Names are drawn in one canonical form and then *written* as some clerk may have done it: in the Latin or the Cyrillic
alphabet, oʻ and gʻ with one of five apostrophes, in capitals, rarely in decomposed Unicode. No list holds a real
person's full name; one that comes out of the draw is chance.
"""

import unicodedata
from dataclasses import dataclass
from enum import StrEnum

from chopar.population.draws import Draws
from chopar.population.model import Sex


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_UZBEK_MALE = _words(
    "Abdulla Abror Akbar Akmal Alisher Anvar Asqar Aziz Azamat Bahodir Baxtiyor Behzod Bobur Botir Davron Dilshod "
    "Doniyor Elyor Erkin Farhod Farrux Gʻayrat Gʻani Gʻulom Hamid Hasan Husan Ibrohim Ilhom Islom Ismoil Jahongir "
    "Jamshid Jasur Javlon Kamol Karim Komil Mansur Maqsud Mirzo Muhammad Murod Muzaffar Nodir Normat Nuriddin Odil "
    "Olim Otabek Oybek Poʻlat Qahramon Qodir Qosim Rahim Rashid Ravshan Rustam Sanjar Sardor Sherzod Shavkat Shuhrat "
    "Sobir Sodiq Suhrob Tohir Toʻlqin Toʻxtaboy Temur Ulugʻbek Umid Usmon Vali Xayrulla Xurshid Yoʻldosh Yusuf Zafar "
    "Zohid Oʻktam Oʻroz Eshmat Toshmat"
)
_UZBEK_FEMALE = _words(
    "Aziza Barno Charos Dildora Dilfuza Dilnoza Dilorom Feruza Fotima Gavhar Gulbahor Gulchehra Gulnora Guli Gʻuncha "
    "Hafiza Hulkar Iroda Kamola Komila Lobar Lola Madina Mahliyo Malika Maftuna Marhabo Mavluda Moʻtabar Muhabbat "
    "Munira Mohira Muazzam Muslima Nargiza Nafisa Nigora Nilufar Nodira Noila Oydin Oygul Oʻgʻiloy Ozoda Qizlarxon "
    "Rayhon Robiya Roʻzixon Sabina Saida Salima Saodat Sevara Shahnoza Shoira Sitora Surayyo Tursunoy Umida Xadicha "
    "Xurshida Yulduz Zamira Zarina Zebo Zilola Zuhra Zulfiya"
)
_KARAKALPAK_MALE = _words(
    "Allambergen Amanbay Arıslan Azat Ayapbergen Bayram Biysenbay Dáwletbay Esbergen Gulmurat Ǵayrat Islam Jaqsılıq "
    "Jumabay Kálbay Maqset Muratbay Nursultan Orınbay Polat Quwanısh Qudaybergen Rustem Sársenbay Tajibay Ótkir "
    "Ótegen Ulıqpan Óserbay"
)
_KARAKALPAK_FEMALE = _words(
    "Aygúl Ayparsha Aysánem Biybiaysha Dilaram Gúljan Gúlayım Gúlbáhár Injigúl Jamila Jańagúl Juldız Nurjamal "
    "Orazgúl Perizat Qatiyra Qızlargúl Raya Sarbinaz Shiyrin Tamara Tazagúl Ulbosın Zamira Zúlfiya"
)
# Given name and the stem of the patronymic, to which -вич or -вна is added.
_RUSSIAN_MALE = (
    ("Александр", "Александро"), ("Алексей", "Алексее"), ("Андрей", "Андрее"), ("Виктор", "Викторо"),
    ("Владимир", "Владимиро"), ("Дмитрий", "Дмитрие"), ("Евгений", "Евгенье"), ("Иван", "Ивано"), ("Игорь", "Игоре"),
    ("Константин", "Константино"), ("Максим", "Максимо"), ("Михаил", "Михайло"), ("Николай", "Николае"),
    ("Олег", "Олего"), ("Павел", "Павло"), ("Пётр", "Петро"), ("Роман", "Романо"), ("Сергей", "Сергее"),
    ("Степан", "Степано"), ("Юрий", "Юрье"),
)  # fmt: skip
_RUSSIAN_FEMALE = _words(
    "Анастасия Анна Валентина Вера Виктория Галина Дарья Екатерина Елена Ирина Ксения Людмила Марина Мария Надежда "
    "Наталья Оксана Ольга Светлана Софья Татьяна Юлия"
)
_RUSSIAN_SURNAMES = _words(
    "Александров Белов Васильев Волков Голубев Егоров Зайцев Захаров Козлов Кузнецов Лебедев Макаров Морозов Никитин "
    "Новиков Орлов Павлов Петров Попов Семёнов Соколов Степанов Фёдоров Цветков Щербаков Юдин Яковлев Ким Цой"
)

_O, _G = "oʻ", "gʻ"
_TO_CYRILLIC = (
    ("Oʻ", "Ў"), ("oʻ", "ў"), ("Gʻ", "Ғ"), ("gʻ", "ғ"), ("Sh", "Ш"), ("sh", "ш"), ("Ch", "Ч"), ("ch", "ч"),
    ("Yo", "Ё"), ("yo", "ё"), ("Yu", "Ю"), ("yu", "ю"), ("Ya", "Я"), ("ya", "я"), ("Ye", "Е"), ("ye", "е"),
    ("E", "Э"), ("ʼ", "ъ"),
)  # fmt: skip
_CYRILLIC_LETTERS = str.maketrans(
    "ABDEFGHIJKLMNOPQRSTUVXYZabdefghijklmnopqrstuvxyz", "АБДЕФГҲИЖКЛМНОПҚРСТУВХЙЗабдефгҳижклмнопқрстувхйз"
)
_LATIN_LETTERS = str.maketrans("абвгдежзийклмнопрстуфхцыэ", "abvgdejziyklmnoprstufxsie") | {
    ord(cyrillic): latin
    for cyrillic, latin in zip("ёчшщъьюя", ("yo", "ch", "sh", "sh", "ʼ", "", "yu", "ya"), strict=True)
}
APOSTROPHES = ("ʻ", "‘", "’", "`", "'")
"""What stands in oʻ and gʻ: U+02BB as the alphabet has it, U+2018, U+2019, U+0060, U+0027."""


class Community(StrEnum):
    """Which naming habits a family follows."""

    UZBEK = "uzbek"
    KARAKALPAK = "karakalpak"
    RUSSIAN = "russian"


class PatronymicHabit(StrEnum):
    """How a father's name is added."""

    OVICH = "-ovich, -ovna"
    OGLI = "oʻgʻli, qizi"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class CanonicalName:
    """A name before anyone has written it down; Latin with U+02BB, or Cyrillic for Russian names."""

    surname: str
    given_name: str
    patronymic: str | None


@dataclass(frozen=True, slots=True)
class WrittenName:
    """A name as it stands on somebody's paper."""

    name: str
    surname: str
    given_name: str
    patronymic: str | None


def draw_community(draws: Draws, region_iso: str) -> Community:
    """Naming habits of a neighbourhood: Karakalpak mostly in Karakalpakstan, Russian mostly in Tashkent."""
    if region_iso == "UZ-QR":
        return Community.KARAKALPAK if draws.chance(0.6) else Community.UZBEK
    return Community.RUSSIAN if draws.chance(0.18 if region_iso == "UZ-TK" else 0.02) else Community.UZBEK


def draw_given_name(draws: Draws, community: Community, sex: Sex) -> str:
    """A common name of this community."""
    male = sex is Sex.MALE
    if community is Community.RUSSIAN:
        return draws.pick(_RUSSIAN_MALE)[0] if male else draws.pick(_RUSSIAN_FEMALE)
    if community is Community.KARAKALPAK:
        return draws.pick(_KARAKALPAK_MALE if male else _KARAKALPAK_FEMALE)
    return draws.pick(_UZBEK_MALE if male else _UZBEK_FEMALE)


def draw_surname(draws: Draws, community: Community) -> str:
    """A surname in its male form, mostly made from a forefather's name."""
    if community is Community.RUSSIAN:
        return draws.pick(_RUSSIAN_SURNAMES)
    forefather = draws.pick(_KARAKALPAK_MALE if community is Community.KARAKALPAK else _UZBEK_MALE)
    return forefather if draws.chance(0.06) else forefather + _joined(forefather) + "v"


def draw_patronymic_habit(draws: Draws, born_year: int) -> PatronymicHabit:
    """The -ovich of Soviet years gives way to oʻgʻli and qizi; a few write none."""
    if draws.chance(0.04):
        return PatronymicHabit.NONE
    modern = 0.08 if born_year < 1991 else 0.6
    return PatronymicHabit.OGLI if draws.chance(modern) else PatronymicHabit.OVICH


def surname_for(surname: str, sex: Sex) -> str:
    """The form of a surname for a man or a woman."""
    if sex is Sex.FEMALE and surname.endswith(("ov", "ev", "ин", "ов", "ев", "ёв")):
        return surname + ("a" if surname.endswith("v") else "а")
    return surname


def patronymic_for(father: str, community: Community, sex: Sex, habit: PatronymicHabit) -> str | None:
    """The patronymic of a child of a man of that name."""
    male = sex is Sex.MALE
    if habit is PatronymicHabit.NONE:
        return None
    if community is Community.RUSSIAN:
        stem = next((stem for name, stem in _RUSSIAN_MALE if name == father), None)
        return None if stem is None else stem + ("вич" if male else "вна")
    if habit is PatronymicHabit.OGLI:
        if community is Community.KARAKALPAK:
            return f"{father} {'ulı' if male else 'qızı'}"
        return f"{father} {_O}{_G}li" if male else f"{father} qizi"
    return father + _joined(father) + ("vich" if male else "vna")


def _joined(name: str) -> str:
    """What joins a name to the v of -ov, -ovich: Karim-o-v, Toʻxtaboy-e-v, Abdulla-ye-v."""
    if name.endswith("y"):
        return "e"
    return "ye" if name[-1] in "aeiouıáóú" else "o"


def write_name(draws: Draws, name: CanonicalName, community: Community, born_year: int) -> WrittenName:
    """Write a name down as some clerk did."""
    spell = _writer(draws, community, born_year)
    surname, given_name = spell(name.surname), spell(name.given_name)
    patronymic = None if name.patronymic is None else spell(name.patronymic)
    whole = " ".join(part for part in (surname, given_name, patronymic) if part is not None)
    return WrittenName(whole, surname, given_name, patronymic)


class _Writer:
    """How one clerk writes: alphabet, apostrophe, case, Unicode form."""

    __slots__ = ("apostrophe", "capitals", "decomposed", "to_cyrillic", "to_latin")

    def __init__(self, apostrophe: str, to_cyrillic: bool, to_latin: bool, capitals: bool, decomposed: bool) -> None:
        self.apostrophe = apostrophe
        self.to_cyrillic = to_cyrillic
        self.to_latin = to_latin
        self.capitals = capitals
        self.decomposed = decomposed

    def __call__(self, text: str) -> str:
        if self.to_cyrillic:
            text = uzbek_cyrillic(text)
        elif self.to_latin:
            text = russian_latin(text)
        if self.capitals:
            text = text.upper()
        if self.apostrophe != "ʻ":
            text = text.replace("ʻ", self.apostrophe)
        return unicodedata.normalize("NFD", text) if self.decomposed else text


def _writer(draws: Draws, community: Community, born_year: int) -> _Writer:
    # Always the same number of draws, so that one person's spelling does not move the next one's.
    apostrophe = draws.pick(APOSTROPHES)
    other_alphabet, capitals, decomposed = draws.unit(), draws.chance(0.04), draws.chance(0.01)
    # Papers from before the change of alphabet are Cyrillic; Karakalpak Cyrillic has letters that we leave alone.
    to_cyrillic = community is Community.UZBEK and other_alphabet < (0.25 if born_year < 1975 else 0.04)
    to_latin = community is Community.RUSSIAN and other_alphabet < 0.5
    return _Writer(apostrophe, to_cyrillic, to_latin, capitals, decomposed)


def uzbek_cyrillic(text: str) -> str:
    """An Uzbek name in the Cyrillic alphabet."""
    for latin, cyrillic in _TO_CYRILLIC:
        text = text.replace(latin, cyrillic)
    return text.translate(_CYRILLIC_LETTERS)


def russian_latin(text: str) -> str:
    """A Russian name in Uzbek Latin letters: Е begins a word as Ye."""
    latin = text.lower().translate(_LATIN_LETTERS)
    if text.startswith("Е"):
        latin = "y" + latin
    return latin[:1].upper() + latin[1:]
