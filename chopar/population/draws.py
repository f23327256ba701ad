"""Numbers by seed that are the same on every machine, Python version and hash seed.

Python promises the sequence of `random.Random.random()` for an integer seed, but not how `choice` or `shuffle` use
it. So everything here stands on `random()` alone, and what is decided for one person or firm comes from a hash of the
seed, the purpose and the identifier: it does not move when another person is added before.
"""

import hashlib
import random
from collections.abc import Sequence
from datetime import date, timedelta
from typing import TypeVar

_T = TypeVar("_T")


class Draws:
    """A stream of draws from one integer seed."""

    __slots__ = ("unit",)

    def __init__(self, seed: int) -> None:
        self.unit = random.Random(seed).random
        """The next number from 0 up to, not including, 1."""

    def below(self, bound: int) -> int:
        """A whole number from 0 to bound - 1."""
        return int(self.unit() * bound)

    def between(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int(self.unit() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        """Yes with the given probability."""
        return self.unit() < probability

    def pick(self, options: Sequence[_T]) -> _T:
        """One of the options, each as likely."""
        return options[int(self.unit() * len(options))]

    def day_between(self, first: date, last: date) -> date:
        """A day from first to last, both included; first, if last lies before it."""
        return first + timedelta(days=self.below(max((last - first).days, 0) + 1))


def settled(seed: int, purpose: str, identifier: str) -> float:
    """A number from 0 up to, not including, 1 that belongs to this seed, purpose and identifier for good."""
    digest = hashlib.blake2b(f"{seed}/{purpose}/{identifier}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def settled_draws(seed: int, purpose: str, identifier: str) -> Draws:
    """A stream of draws that belongs to this seed, purpose and identifier for good."""
    digest = hashlib.blake2b(f"{seed}/{purpose}/{identifier}".encode(), digest_size=8).digest()
    return Draws(int.from_bytes(digest, "big"))


def years_after(day: date, years: int) -> date:
    """The same day some years later; 29 February becomes 1 March where there is none."""
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return date(day.year + years, 3, 1)
