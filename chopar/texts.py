"""The sentences for codes, in three languages: messages carry codes alone, and the library renders them.

`texts.toml` has them, a table for each kind of code (`outcome`, `code`, `person_may_be_asked`, `next_step`,
`unavailable`, `dispute`, `review`, `always`). They state a rule and do not judge. An unknown code is rendered as
itself, since a newer gateway may send one. `page_texts.toml` has the further words of the public page.
"""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from importlib import resources

from chopar.errors import ConfigurationError


class Language(StrEnum):
    """The languages; Uzbek in Latin letters."""

    UZBEK = "uz"
    RUSSIAN = "ru"
    ENGLISH = "en"


def language_of(text: str) -> Language:
    """The language of a code.

    Raises:
        ConfigurationError: it is none of ours.
    """
    if text not in tuple(Language):
        raise ConfigurationError(f"the languages are {', '.join(Language)}")
    return Language(text)


class Texts:
    """Sentences by kind, code and language.

    Args:
        table: kind to code to language to sentence; a sentence may hold `{holder}` and the like.
    """

    def __init__(self, table: Mapping[str, Mapping[str, Mapping[str, str]]]) -> None:
        self._table = table

    @classmethod
    def shipped(cls, *, with_page: bool = False) -> "Texts":
        """Those of this distribution.

        Args:
            with_page: whether the words of the public page are wanted too.
        """
        table: dict[str, Mapping[str, Mapping[str, str]]] = {}
        for name in ("texts.toml", "page_texts.toml") if with_page else ("texts.toml",):
            table |= tomllib.loads(resources.files("chopar").joinpath(name).read_text(encoding="utf-8"))
        return cls(table)

    @property
    def edition(self) -> str:
        """A digest of all sentences."""
        return hashlib.sha256(json.dumps(self._table, sort_keys=True).encode()).hexdigest()

    def say(self, kind: str, code: str, language: Language, **values: str) -> str:
        """The sentence for a code, with the values put in; the code itself where there is none."""
        sentence = self._table.get(kind, {}).get(code, {}).get(language.value)
        if sentence is None:
            return code
        for name, value in values.items():
            sentence = sentence.replace(f"{{{name}}}", value)
        return sentence

    def missing(self, kind: str, codes: Mapping[str, object] | frozenset[str]) -> list[str]:
        """Which of these codes lack a sentence in some language, as `code (language)`."""
        known = self._table.get(kind, {})
        return [
            f"{code} ({language})"
            for code in sorted(codes)
            for language in Language
            if not known.get(code, {}).get(language.value)
        ]
