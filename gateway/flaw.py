"""What is wrong with lists, as lint says it."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """Whether lists with this flaw may come into force."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Flaw:
    """One thing that is wrong.

    Attributes:
        level: whether it keeps the lists out of force.
        code: stable text.
        entry: what it is about: an entry, ground, group, document type or agency.
        said: for people.
    """

    level: Level
    code: str
    entry: str
    said: str
