"""What somebody may have meant who wrote a word that is not known."""

from collections.abc import Iterable
from difflib import get_close_matches

_LONGEST = 120  # characters that are compared: the cost grows with their square, and anybody may send them
_FEW = 24  # words that a sentence can name
_ALIKE = 0.7  # of `difflib`'s measure
_ENOUGH = 4  # characters of a word that say something about longer ones which hold it


def near_misses(word: str, known: Iterable[str]) -> list[str]:
    """Up to three known words that look like it, the nearest first; else up to three that hold it."""
    word, there = word[:_LONGEST], sorted(known)
    holding = [one for one in there if word in one][:3] if len(word) >= _ENOUGH else []
    return get_close_matches(word, there, 3, _ALIKE) or holding


def near_miss(word: str, known: Iterable[str]) -> str:
    """ "Did you mean ...?", behind a space; empty if nothing looks like it."""
    near = get_close_matches(word[:_LONGEST], sorted(known), 1, _ALIKE)
    return f" Did you mean {near[0]}?" if near else ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """ " (did you mean ...?)"; where nothing is near, which words there are, or how many and some of them."""
    there = sorted(known)
    near = near_misses(word, there)
    if near:
        return f" (did you mean {' or '.join(near)}?)"
    if not there:
        return ""
    few = "; ".join(there[:_FEW])
    return f" (there are: {few})" if len(there) <= _FEW else f" (there are {len(there)}: {few}; ...)"
