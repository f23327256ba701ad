"""Days as acts state them: by local civil date, sometimes in part, sometimes long ago."""

import calendar
import re
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from chopar.errors import InvalidEntryError

TASHKENT = ZoneInfo("Asia/Tashkent")

_TEXT = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?")


def local_day(instant: datetime) -> date:
    """The civil date in Tashkent: who is born at half past midnight there was not born the day before.

    Args:
        instant: aware.
    """
    return instant.astimezone(TASHKENT).date()


@dataclass(frozen=True, slots=True)
class PartialDate:
    """A day, or as much of it as is known: a year, or a year and a month.

    Raises:
        InvalidEntryError: there is no such day.
    """

    year: int
    month: int | None = None
    day: int | None = None

    def __post_init__(self) -> None:
        if self.day is not None and self.month is None:
            raise InvalidEntryError("a day without its month is no date")
        try:
            date(self.year, 1 if self.month is None else self.month, 1 if self.day is None else self.day)
        except ValueError:
            raise InvalidEntryError("there is no such day in the calendar") from None

    def __repr__(self) -> str:
        return "PartialDate(…)"

    __str__ = __repr__

    @classmethod
    def of(cls, day: date) -> "PartialDate":
        """A whole day."""
        return cls(day.year, day.month, day.day)

    @classmethod
    def parse(cls, text: str) -> "PartialDate":
        """Read `1931-05-09`, `1931-05` or `1931`.

        Raises:
            InvalidEntryError: it is none of them.
        """
        match = _TEXT.fullmatch(text)
        if match is None or not text.isascii():
            raise InvalidEntryError("a date is written YYYY-MM-DD, YYYY-MM or YYYY")
        return cls(*(None if part is None else int(part) for part in match.groups()))  # type: ignore[arg-type]

    @property
    def text(self) -> str:
        """In ISO 8601, of the precision that is known."""
        parts = [f"{self.year:04}", *(f"{part:02}" for part in (self.month, self.day) if part is not None)]
        return "-".join(parts)

    @property
    def earliest(self) -> date:
        """The first day that it can be."""
        return date(self.year, self.month or 1, self.day or 1)

    @property
    def latest(self) -> date:
        """The last day that it can be."""
        month = self.month or 12
        return date(self.year, month, self.day or calendar.monthrange(self.year, month)[1])
