"""What the lists call things, in a language; where they have no name in it, in the one that a reader knows next."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from chopar.identifiers import AgencyId, DocumentType, ProcedureId
from chopar.texts import Language
from gateway.list_version import ListVersion
from gateway.naming import Called, NamingKey

_ORDER = {
    Language.UZBEK: (Language.UZBEK, Language.RUSSIAN, Language.ENGLISH),
    Language.RUSSIAN: (Language.RUSSIAN, Language.UZBEK, Language.ENGLISH),
    Language.ENGLISH: (Language.ENGLISH, Language.UZBEK, Language.RUSSIAN),
}


_APOSTROPHES = "'`\u2018\u2019\u02bb\u02bc"
_LETTER = re.compile(f"(?<=[oOgG])[{_APOSTROPHES}]")
_PAUSE = re.compile(rf"(?<=[^\W\d_oOgG])[{_APOSTROPHES}](?=\w)")


class Named(Protocol):
    """What has names in the three languages, of which two may be empty."""

    @property
    def name_en(self) -> str: ...
    @property
    def name_uz(self) -> str: ...
    @property
    def name_ru(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Name:
    """A name, and the language that it is in, so that a page can say so to those who have it read aloud."""

    id: str
    text: str
    language: Language


@dataclass(frozen=True, slots=True)
class Choices:
    """What can be chosen, by name in the order of the alphabet."""

    agencies: tuple[Name, ...]
    procedures: tuple[Name, ...]
    documents: tuple[Name, ...]

    @classmethod
    def of(cls, lists: ListVersion, language: Language) -> "Choices":
        """Everything that a question can be about."""
        return cls(
            _sorted(lists.agencies, language), _sorted(lists.procedures, language), _sorted(lists.documents, language)
        )


def name_of(id_: str, named: Named, language: Language) -> Name:
    """The name of one thing."""
    names = {Language.UZBEK: named.name_uz, Language.RUSSIAN: named.name_ru, Language.ENGLISH: named.name_en}
    chosen = next((one for one in _ORDER[language] if names[one]), Language.ENGLISH)
    text = names[chosen] or id_
    return Name(id_, letters(text) if chosen is Language.UZBEK else text, chosen)


def naming_of(what: Called, id_: str, lists: ListVersion, language: Language) -> Name:
    """The name of a group, a scope or a type of evidence; of one that the lists have no name for, its id."""
    naming = lists.namings.get(NamingKey(what, id_))
    return name_of(id_, naming, language) if naming else Name(id_, id_, Language.ENGLISH)


def letters(text: str) -> str:
    """Uzbek as it is printed: oʻ and gʻ are letters, and so is the sign of a pause; the lists write an apostrophe."""
    return _PAUSE.sub("\u2019", _LETTER.sub("\u02bb", text))


def _sorted(
    named: Mapping[AgencyId, Named] | Mapping[ProcedureId, Named] | Mapping[DocumentType, Named], language: Language
) -> tuple[Name, ...]:
    names: Iterable[Name] = (name_of(id_, one, language) for id_, one in named.items())
    return tuple(sorted(names, key=lambda name: (name.language is not language, name.text.casefold(), name.id)))
