"""What the lists call a group, a scope or a type of evidence, which elsewhere in them is an id alone.

A list version may have none of these: then the id is what is shown. Nothing is resolved by a name.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from gateway.lists.reading import Table
from gateway.lists.vocabulary import Basis


class Called(StrEnum):
    """What has a name of its own here; each is an array of tables in a list file."""

    GROUP = "group"
    SCOPE = "scope"
    EVIDENCE_TYPE = "evidence_type"


class NamingKey(NamedTuple):
    """An id, and what it is the id of."""

    what: Called
    id: str


@dataclass(frozen=True, slots=True)
class Naming:
    """The names of one of them; the Uzbek and the Russian one may be empty."""

    what: Called
    id: str
    name_en: str
    name_uz: str
    name_ru: str
    basis: Basis
    note: str

    @classmethod
    def read(cls, table: Table, what: Called) -> "Naming":
        """Read a table of names.

        Raises:
            LawUnreadableError: it says less, more or other than names.
        """
        return cls(
            what=what,
            id=table.text("id"),
            name_en=table.text("name_en"),
            name_uz=table.optional_text("name_uz"),
            name_ru=table.optional_text("name_ru"),
            basis=table.word("basis", Basis),
            note=table.optional_text("note"),
        )

    @property
    def key(self) -> NamingKey:
        """By what it is found."""
        return NamingKey(self.what, self.id)
