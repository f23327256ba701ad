"""Which of several ways to the data is taken, where a document may be proved by any of several: pure.

A way leads by an entry that fetches, or by none, and by a ground: a holder that nobody has a ground to ask is no way at
all, whatever the directory's order says. How far each led is the resolver's to find out.
"""

from collections.abc import Sequence
from typing import NamedTuple

from gateway.access_ground import AccessGround
from gateway.evidence_directory import DirectoryEntry, Place
from gateway.prohibited_list import ProhibitedEntry
from gateway.resolution import Alternative, Code

_BEST = (
    Code.GROUND,
    Code.ALREADY_ASKED,
    Code.MISSING_PARAMETER,
    Code.GROUND_NOT_VERIFIED,
    Code.HOLDER_NOT_CONNECTED,
    Code.NOT_ABOUT_SUBJECT,
    Code.NO_GROUND_TO_KNOW,
)
"""How it stands with a holder to which several ways lead: as with the one that led farthest."""


class Way(NamedTuple):
    """One way to the data, and how far it led.

    Args:
        entry: by which the document is barred; None where none decided.
        place: the holder and what it would be asked for; None of an entry that has no ground.
        code: how far.
        ground: that was reached; None where there is none for this requester and procedure.
        holding: of a holder that is connected.
    """

    entry: ProhibitedEntry | None
    place: Place | None
    code: Code
    ground: AccessGround | None = None
    holding: DirectoryEntry | None = None


def taken(ways: Sequence[Way], in_order: Sequence[Place]) -> Way:
    """The way that is taken; where none comes to a fetch, the one that says why.

    Args:
        ways: at least one, in the order in which their entries decide: the first one's entry is the deciding one.
        in_order: the directory's order; what it does not name comes after, as it comes.
    """
    ranked = ways
    if in_order:
        ranks = {place: rank for rank, place in enumerate(dict.fromkeys(in_order))}
        ranked = sorted(ways, key=lambda way: ranks.get(way.place, len(ranks)) if way.place else len(ranks))
    for way in ranked:
        if way.code is Code.GROUND:
            return way
    left = [way for way in ranked if way.ground is not None and way.code is not Code.ALREADY_ASKED]
    for way in left:
        if way.entry is ways[0].entry:
            return way
    asked = [way for way in ranked if way.code is Code.ALREADY_ASKED]
    return [*left, *asked][0] if asked else ways[0]


def others(ways: Sequence[Way], in_order: Sequence[Place], chosen: Way) -> tuple[Alternative, ...]:
    """The rest of the directory's order, and how it stands with each."""
    if not in_order:
        return ()
    best: dict[Place, Code] = {}
    for way in ways:
        if way.place is not None:
            known = best.get(way.place, Code.NO_GROUND_TO_KNOW)
            best[way.place] = min(known, way.code, key=_BEST.index)
    return tuple(
        Alternative(*place, best.get(place, Code.NO_GROUND_TO_KNOW))
        for place in dict.fromkeys(in_order)
        if place != chosen.place
    )
