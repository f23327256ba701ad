"""What somebody may have meant who wrote a word that the lists do not know."""

from collections.abc import Iterable
from difflib import get_close_matches

_LONGEST = 120  # characters that are compared: the cost grows with their square, and anybody may send them
_FEW = 8


def near_misses(word: str, known: Iterable[str]) -> list[str]:
    """Up to three known words that look like it, the nearest first."""
    return get_close_matches(word[:_LONGEST], sorted(known), 3, 0.7)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """ "; did you mean ...?", or which words there are if they are few and none is near, or nothing."""
    there = sorted(known)
    near = near_misses(word, there)
    if near:
        return f"; did you mean {' or '.join(near)}?"
    return f"; there are: {'; '.join(there)}" if 0 < len(there) <= _FEW else ""
