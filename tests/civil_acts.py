"""Civil status acts for tests: a family over three generations, and acts by a few words."""

from datetime import date
from itertools import count
from typing import Any

from chopar.identifiers import PersonId, pinfl_check_digit
from services.registry_office.model.acts import Act, ActKind, Participant, Role
from services.registry_office.model.days import PartialDate
from services.registry_office.model.names import PersonName

OFFICE = "Chilonzor tumani FHDYo boʻlimi"


def number(born: str, *, male: bool, serial: int = 1) -> PersonId:
    """A PINFL of somebody born on a day."""
    day = date.fromisoformat(born)
    century = 1 + (day.year // 100 - 18) * 2 + (not male)
    first = f"{century}{day:%d%m%y}901{serial:03}"
    return PersonId(f"{first}{pinfl_check_digit(first)}")


def name(text: str) -> PersonName:
    """`Surname Given` or `Surname Given Patronymic...`."""
    surname, given, *rest = text.split(" ", 2)
    return PersonName(surname, given, rest[0] if rest else None)


def who(role: Role, text: str, pinfl: PersonId | None = None, **more: Any) -> Participant:
    """Somebody in an act; born as the number says, unless told otherwise."""
    if pinfl is not None and "born_on" not in more:
        more["born_on"] = PartialDate.of(pinfl.born_on)
    return Participant(role, name(text), pinfl, **more)


def act(kind: ActKind, on: str, *people: Participant, number: str | None = None, **more: Any) -> Act:
    """An act; numbered anew unless told otherwise."""
    return Act(number or f"{kind.value}-{next(_SERIALS)}", kind, OFFICE, date.fromisoformat(on), people, **more)


_SERIALS = count(1)

GRANDFATHER = number("1940-03-08", male=True)
GRANDMOTHER = number("1942-11-30", male=False)
FATHER = number("1965-05-01", male=True)
AUNT = number("1968-02-29", male=False)
MOTHER = number("1967-07-07", male=False)
SON = number("1990-01-10", male=True)
DAUGHTER = number("1993-06-15", male=False)
COUSIN = number("1995-12-31", male=False)
UNCLE_BY_MARRIAGE = number("1966-04-04", male=True)
GRANDCHILD = number("2015-09-01", male=True)
WIFE = number("1991-08-08", male=False)
STRANGER = number("1980-10-10", male=True)
NAMES = {
    GRANDFATHER: "Karimov Rustam Toʻlqinovich",
    GRANDMOTHER: "Karimova Zulfiya",
    FATHER: "Karimov Anvar Rustamovich",
    AUNT: "Karimova Lola Rustamovna",
    MOTHER: "Azizova Nodira Olimovna",
    SON: "Karimov Jasur Anvar oʻgʻli",
    DAUGHTER: "Karimova Sevara Anvar qizi",
    COUSIN: "Saidova Malika",
    UNCLE_BY_MARRIAGE: "Saidov Odil",
    GRANDCHILD: "Karimov Temur Jasur oʻgʻli",
    WIFE: "Orlova Anna",
    STRANGER: "Volkov Oleg",
}


def birth(child: PersonId, on: str, mother: PersonId | None, father: PersonId | None, **more: Any) -> Act:
    """A birth in the family."""
    people = [who(Role.CHILD, NAMES[child], child)]
    people += [who(Role.MOTHER, NAMES[mother], mother)] if mother else []
    people += [who(Role.FATHER, NAMES[father], father)] if father else []
    return act(ActKind.BIRTH, on, *people, **more)


def wedding(husband: PersonId, wife: PersonId, on: str, **more: Any) -> Act:
    """A marriage; the wife takes the name."""
    surname = NAMES[husband].split()[0]
    given = NAMES[wife].split()[1]
    people = (
        who(Role.HUSBAND, NAMES[husband], husband),
        who(Role.WIFE, NAMES[wife], wife, name_after=PersonName(f"{surname}a", given)),
    )
    return act(ActKind.MARRIAGE, on, *people, **more)


def divorce(husband: PersonId, wife: PersonId, on: str, **more: Any) -> Act:
    """A divorce."""
    return act(
        ActKind.DIVORCE, on, who(Role.HUSBAND, NAMES[husband], husband), who(Role.WIFE, NAMES[wife], wife), **more
    )


def death(person: PersonId, died: str, on: str, **more: Any) -> Act:
    """A death."""
    deceased = who(Role.DECEASED, NAMES[person], person)
    return act(ActKind.DEATH, on, deceased, died_on=PartialDate.parse(died), **more)


def family() -> list[Act]:
    """Three generations, each act after those that it names."""
    return [
        wedding(GRANDFATHER, GRANDMOTHER, "1963-01-05", number="M-grandparents"),
        birth(FATHER, "1965-05-20", GRANDMOTHER, GRANDFATHER, number="B-father"),
        birth(AUNT, "1968-03-04", GRANDMOTHER, GRANDFATHER, number="B-aunt"),
        birth(MOTHER, "1967-07-20", None, None, number="B-mother"),
        wedding(FATHER, MOTHER, "1988-09-09", number="M-parents"),
        birth(SON, "1990-01-20", MOTHER, FATHER, number="B-son"),
        birth(DAUGHTER, "1993-07-01", MOTHER, FATHER, number="B-daughter"),
        wedding(UNCLE_BY_MARRIAGE, AUNT, "1990-02-02", number="M-aunt"),
        birth(COUSIN, "1996-01-09", AUNT, UNCLE_BY_MARRIAGE, number="B-cousin"),
        wedding(SON, WIFE, "2014-05-05", number="M-son"),
        birth(GRANDCHILD, "2015-09-10", WIFE, SON, number="B-grandchild"),
        death(GRANDFATHER, "2001-02-03", "2001-02-05", number="D-grandfather"),
    ]
