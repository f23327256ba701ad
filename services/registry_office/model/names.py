"""Names: kept as they were written, found however somebody writes them.

A name is stored whole, letter by letter. Only the key that a search compares is folded: Unicode form, case, the five
apostrophes of oʻ and gʻ, and the alphabet, so that Каримов, KARIMOV and a Karimov with a Cyrillic а in it are found by
one search. A word of two alphabets is flagged for a person to look at, and never mended. Their `repr` hides them,
as that of identifiers does.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

from chopar.errors import InvalidEntryError
from chopar.identifiers import name_key, reject_forbidden

_YE = re.compile("y+e")
# Letters of one alphabet that pass for the other's, Cyrillic to Latin; only in words of both.
_LOOK_ALIKES = str.maketrans("асеорхуіјѕһк", "aceopxyijshk")
_TO_LATIN = str.maketrans(
    {
        "а": "a", "б": "b", "в": "v", "г": "g", "ғ": "g", "д": "d", "е": "e", "ё": "yo", "ж": "j", "з": "z", "и": "i",
        "й": "y", "к": "k", "қ": "q", "л": "l", "м": "m", "н": "n", "о": "o", "ў": "o", "п": "p", "р": "r", "с": "s",
        "т": "t", "у": "u", "ф": "f", "х": "x", "ҳ": "h", "ц": "s", "ч": "ch", "ш": "sh", "щ": "sh", "ъ": "", "ы": "i",
        "ь": "", "э": "e", "ю": "yu", "я": "ya",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PersonName:
    """A name as an act has it. One letter and three hundred are as good; a surname or patronymic may be wanting.

    Raises:
        InvalidEntryError: no given name, or a part that is blank instead of absent.
        ForbiddenCharactersError: control or right-to-left characters.
    """

    surname: str | None
    given_name: str
    patronymic: str | None = None

    def __post_init__(self) -> None:
        for part in (self.surname, self.given_name, self.patronymic):
            if part is not None:
                reject_forbidden(part)
                if not part.strip():
                    raise InvalidEntryError("a part of a name that does not exist is left out, not left blank")

    def __repr__(self) -> str:
        return "PersonName(…)"

    __str__ = __repr__

    @property
    def whole(self) -> str:
        """Surname, given name, patronymic."""
        return " ".join(part for part in (self.surname, self.given_name, self.patronymic) if part is not None)


def search_key(name: str) -> str:
    """The key of a name in one alphabet; the same for all ways to write it that we know of.

    Raises:
        ForbiddenCharactersError: control or right-to-left characters.
    """
    return " ".join(filter(None, (_latin(word) for word in name_key(name).replace("-", " ").split())))


def search_digest(name: str) -> str:
    """The key as an index holds it: of one length, however long the name."""
    return sha256(search_key(name).encode()).hexdigest()


def mixed_script(name: str) -> bool:
    """Whether a word of the name has letters of two alphabets, which is a slip or worse."""
    return any(len(_scripts(word)) > 1 for word in unicodedata.normalize("NFC", name).replace("-", " ").split())


@lru_cache(maxsize=8192)  # names are made of few words
def _latin(word: str) -> str:
    if len(_scripts(word)) > 1:
        word = word.translate(_LOOK_ALIKES)
    word = unicodedata.normalize("NFD", word.translate(_TO_LATIN)).replace("ı", "i")
    word = "".join(letter for letter in word if not unicodedata.combining(letter))  # Karakalpak á, ǵ, ń, ó, ú
    # Uzbek Latin has ye where its Cyrillic has е; a search takes both.
    return _YE.sub("e", word.replace("ʻ", ""))


def _scripts(word: str) -> set[str]:
    names = (unicodedata.name(letter, "") for letter in word if letter.isalpha())
    return {script for name in names for script in ("LATIN", "CYRILLIC") if name.startswith(f"{script} ")}
