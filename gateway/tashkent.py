"""The calendar by which the law is read: UTC+5 without summer time since 1991.

A fixed offset, so that no time zone database reaches an outcome.
"""

from datetime import date, datetime, timedelta, timezone

TASHKENT = timezone(timedelta(hours=5))


def day_of(moment: datetime) -> date:
    """The day in Tashkent of an aware moment."""
    return moment.astimezone(TASHKENT).date()
