"""The clock of a whole process, moved: for what must not depend on it. Imported and called before anything else is."""

import datetime
import time
from typing import Any

_Datetime = datetime.datetime


class _AsTheReal(type):
    """What the C library makes are instances of the real classes; they are instances of these all the same."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls.__mro__[1])

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, cls.__mro__[1])


def shift(milliseconds: int) -> None:
    """From now on this process's clock runs ahead by so much, whoever asks it and however."""
    by = datetime.timedelta(milliseconds=milliseconds)
    seconds, nanoseconds = time.time, time.time_ns

    class Datetime(datetime.datetime, metaclass=_AsTheReal):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return _Datetime.now(tz) + by

        @classmethod
        def utcnow(cls) -> Any:
            return _Datetime.now(datetime.UTC).replace(tzinfo=None) + by

        @classmethod
        def today(cls) -> Any:
            return _Datetime.now() + by

    class Date(datetime.date, metaclass=_AsTheReal):
        @classmethod
        def today(cls) -> Any:
            return (_Datetime.now() + by).date()

    ours: Any = {"datetime": Datetime, "date": Date}
    for name, made in ours.items():
        setattr(datetime, name, made)
    moved: Any = {
        "time": lambda: seconds() + milliseconds / 1000,
        "time_ns": lambda: nanoseconds() + milliseconds * 1_000_000,
    }
    for name, made in moved.items():
        setattr(time, name, made)
