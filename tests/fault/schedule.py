"""What is broken when: drawn by a seed, so that a run can be repeated as far as time itself can. Pure.

A step is one fault and the seconds that it is given. One begins when what the last one broke flows again, else nobody
could say what a silence came of; only, while something is paused another worker is killed, and a broker that was killed
may still be catching up. Brokers are broken one at a time, and only while all copies are there.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

FULL_MINUTES = 8.0
PAUSE_SECONDS = 15.0
"""Longer than the session of a consumer group (6 s): the others take over, and then the paused one wakes up."""

PROXY_SECONDS = 6.0
TWO_DEAD_SECONDS = 16.0
"""A second more than a producer may take until it says so."""


class Kind(StrEnum):
    """What a step does."""

    KILL_WORKER = "kill_worker"
    KILL_INSTANCES = "kill_instances"
    """All instances of a kind at once."""
    KILL_BROKER = "kill_broker"
    PAUSE_WORKER = "pause_worker"
    PAUSE_BROKER = "pause_broker"
    ROLLING_RESTART = "rolling_restart"
    ADD_INSTANCES = "add_instances"
    REMOVE_INSTANCES = "remove_instances"
    CUT = "cut"
    DELAY = "delay"
    DROP_TO_BROKER = "drop_to_broker"
    DROP_TO_CLIENT = "drop_to_client"
    FULL_DISK = "full_disk"
    """A broker can write no more; it ends, and is started again with room."""
    TWO_BROKERS_DEAD = "two_brokers_dead"


@dataclass(frozen=True, slots=True)
class Step:
    """One fault.

    Attributes:
        kind: what happens.
        target: a kind of worker, or the number of a broker (from 0); empty where the kind says all.
        also: (while it is paused) a kind of worker of which another one is killed.
        forgets: whether a killed gateway comes back on an empty disk.
        seconds: what it is expected to take until all is well again.
    """

    kind: Kind
    target: str = ""
    also: str = ""
    forgets: bool = False
    seconds: float = 7.0

    def __str__(self) -> str:
        also = f", {self.also} killed meanwhile" if self.also else ""
        return f"{self.kind} {self.target}".rstrip() + also + (", comes back on an empty disk" if self.forgets else "")


NEED_ALL_COPIES = (
    Kind.KILL_BROKER,
    Kind.PAUSE_BROKER,
    Kind.ROLLING_RESTART,
    Kind.FULL_DISK,
    Kind.TWO_BROKERS_DEAD,
)
"""They begin when every partition has all its copies."""

CHANGE_MEMBERS = (Kind.KILL_WORKER, Kind.KILL_INSTANCES, Kind.ADD_INSTANCES, Kind.REMOVE_INSTANCES)
"""They make consumer groups rebalance."""

WORKERS = ("requester", "gateway", "tax", "gateway", "tax", "schema-registry", "gateway", "tax")
"""A short run has the first of them: the requester is one, since the naive loop is killed with it and has to be caught.
"""
PAUSED = ("gateway", "tax", "requester", "gateway", "tax")
_SECONDS = {
    Kind.KILL_BROKER: 12.0,
    Kind.FULL_DISK: 14.0,
    Kind.PAUSE_WORKER: PAUSE_SECONDS + 5,
    Kind.PAUSE_BROKER: PAUSE_SECONDS + 8,
    Kind.ROLLING_RESTART: 36.0,
    Kind.CUT: PROXY_SECONDS + 3,
    Kind.DELAY: PROXY_SECONDS + 3,
    Kind.DROP_TO_BROKER: PROXY_SECONDS + 4,
    Kind.DROP_TO_CLIENT: PROXY_SECONDS + 4,
    Kind.TWO_BROKERS_DEAD: TWO_DEAD_SECONDS + 14,
}


def schedule(seed: int, minutes: float = FULL_MINUTES) -> list[Step]:
    """Draw the steps of a run.

    Args:
        seed: the same one gives the same steps.
        minutes: of the run. Eight have everything that R1 asks for; fewer have their share of what there is many of,
            and one of each kind.
    """
    draw = random.Random(seed)

    def brokers() -> str:
        return str(draw.randrange(3))

    steps: dict[bool, list[Step]] = {True: [], False: []}

    def add(times: int, kind: Kind, targets: Sequence[str] = ("",), **more: bool) -> None:
        for number in range(max(1, round(times * min(1.0, minutes / FULL_MINUTES)))):
            target = targets[number % len(targets)] if targets else brokers()
            also = WORKERS[number % 2] if kind in (Kind.PAUSE_WORKER, Kind.PAUSE_BROKER) else ""
            step = Step(kind, target, also, seconds=_SECONDS.get(kind, 7.0), **more)
            steps[kind in NEED_ALL_COPIES].append(step)

    add(14, Kind.KILL_WORKER, WORKERS)
    add(1, Kind.KILL_WORKER, ("gateway",), forgets=True)
    add(2, Kind.KILL_INSTANCES, ("gateway", "tax"))
    add(5, Kind.KILL_BROKER, ())
    add(5, Kind.PAUSE_WORKER, PAUSED)
    add(1, Kind.PAUSE_BROKER, ())
    add(1, Kind.ROLLING_RESTART)
    for kind in (Kind.CUT, Kind.DELAY, Kind.DROP_TO_BROKER, Kind.DROP_TO_CLIENT):
        add(1, kind, ())
    add(1, Kind.FULL_DISK, ())
    add(1, Kind.TWO_BROKERS_DEAD)
    for some in steps.values():
        draw.shuffle(some)
    mixed = _spread(steps[False], steps[True])
    # A third gateway and tax service come in the first half and go in the second: both rebalance every partition.
    mixed.insert(draw.randrange(1, len(mixed) // 2), Step(Kind.ADD_INSTANCES))
    mixed.insert(draw.randrange(len(mixed) // 2, len(mixed)), Step(Kind.REMOVE_INSTANCES))
    return mixed


def _spread(many: Sequence[Step], few: Sequence[Step]) -> list[Step]:
    """The few at even distances among the many: a killed broker needs time to catch up before the next one."""
    mixed: list[Step] = []
    for number, step in enumerate(few):
        begin, end = (len(many) * n // len(few) for n in (number, number + 1))
        mixed += [*many[begin:end], step]
    return mixed


def counts(steps: Sequence[Step]) -> Counter[str]:
    """How many there are of what R1 counts: kills of workers, kills of brokers, pauses.

    Instances that are killed together count by two.
    """
    found: Counter[str] = Counter()
    for step in steps:
        found["worker_kills"] += (step.kind is Kind.KILL_WORKER) + 2 * (step.kind is Kind.KILL_INSTANCES)
        found["worker_kills"] += bool(step.also)
        found["broker_kills"] += (step.kind is Kind.KILL_BROKER) + 2 * (step.kind is Kind.TWO_BROKERS_DEAD)
        found["pauses"] += step.kind in (Kind.PAUSE_WORKER, Kind.PAUSE_BROKER)
    return found
