"""The closed words in which the lists are written: how sure, how read, since when, how sensitive, what instead.

What an entry says with them is the business of the modules that hold the entries.
"""

from enum import StrEnum


class Basis(StrEnum):
    """Whether a source says it, or it is our reading."""

    STATED = "stated"
    INFERRED = "inferred"


class DateBasis(StrEnum):
    """What kind of day the date of an entry is."""

    IN_FORCE = "in_force"
    ACT_DATE = "act_date"
    REPORT_DATE = "report_date"
    NOT_LATER_THAN = "not_later_than"
    UNKNOWN = "unknown"

    @property
    def is_first_day(self) -> bool:
        """Whether nothing holds before that day. The other kinds leave open what was so before."""
        return self in (DateBasis.IN_FORCE, DateBasis.ACT_DATE)


class TextRead(StrEnum):
    """How the act behind an entry was read."""

    OFFICIAL = "official"
    DIGEST = "digest"
    PRESS = "press"
    NONE = "none"


class DataClass(StrEnum):
    """How sensitive the data are."""

    ORDINARY = "ordinary"
    SPECIAL = "special"
    SECRET = "secret"  # noqa: S105  a class of data, no password


class Disposition(StrEnum):
    """What happens instead of asking the person, in the order of what opens least."""

    ABOLISHED = "abolished"
    NOT_NEEDED = "not_needed"
    REPLACED = "replaced"
    FETCH = "fetch"
