"""What one process of a run works off as a whole, and in which order: a file; all that asks the running stack.

pytest-xdist's own groups (`xdist_group`) are not used: it writes them into the names of tests, which pytest 9.2 no
longer lets it do, and without a word each test goes to whoever is free, so that every process starts the stack and all
that a file's tests share.
"""

from collections.abc import Sequence

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

STACK = "tests/e2e/"
DEAREST = (
    "tests/simulation/test_seeds.py",
    STACK,
    "tests/fault/",
    "tests/integration/",
    "tests/contract/",
    "tests/simulation/",
    "tests/oracle/",
)
"""Begins first what takes longest, so that nothing long is left for one process when the others have nothing to do.

The seeds have processes of their own, one a core, which step back for all others: they take what is left of the machine
while the rest mostly waits, for brokers and for the stack.
"""


def unit_of(nodeid: str) -> str:
    """The unit that a test belongs to."""
    return STACK if nodeid.startswith(STACK) else nodeid.split("::", 1)[0]


def in_order(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """The tests, the dearest units first."""

    def rank(item: pytest.Item) -> int:
        places = (place for place, start in enumerate(DEAREST) if item.nodeid.startswith(start))
        return next(places, len(DEAREST))

    return sorted(items, key=rank)


class UnitScheduling(LoadScopeScheduling):  # type: ignore[misc]  # pytest-xdist has no types
    """Gives a process a unit at a time, in the order of the collection."""

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False  # it would begin with the most tests, and they are the shortest

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)
