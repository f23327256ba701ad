"""What a run has shown, from its sets: what was lost, doubled or changed, and how long nothing happened. Pure."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from chopar.bus.port import Record

_TRACE = "traceparent"
"""The one header that may differ between two messages of one id."""


class Act(NamedTuple):
    """A row that an application wrote on an answer."""

    demand_id: str
    said: str
    at: float


@dataclass
class Findings:
    """Where demands and effects part. All of it is empty after a good run, but for `repeated`.

    Attributes:
        vanished: acknowledged, and not on its topic.
        lost: promised or acknowledged, and nobody acted on it.
        doubled: acted on more than once.
        changed: acted on, by another answer than the register's.
        unasked: acted on, though nobody composed it.
        not_completed: promised, and the agency was not told once that it is complete, or of something undelivered.
        without_resolution_record: the gateway's record is missing in `exchange.recorded`.
        without_access_record: the provider's is.
        contradictions: two messages of one id that differ.
        several: one demand's answers of one kind under more than one id.
        dead_letters: how many records lie in dead letter topics.
        repeated: how many messages were sent again, equal in every byte: allowed, and what at-least-once costs.
    """

    vanished: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unasked: list[str] = field(default_factory=list)
    not_completed: list[str] = field(default_factory=list)
    without_resolution_record: list[str] = field(default_factory=list)
    without_access_record: list[str] = field(default_factory=list)
    contradictions: list[str] = field(default_factory=list)
    several: list[str] = field(default_factory=list)
    dead_letters: int = 0
    repeated: dict[str, int] = field(default_factory=dict)

    @property
    def faults(self) -> dict[str, int]:
        """What must not be, by how often it is."""
        found = {
            name: len(value) if isinstance(value, list) else value
            for name, value in vars(self).items()
            if name != "repeated"
        }
        return {name: count for name, count in found.items() if count}


def compare_effects(promised: Mapping[str, str], composed: Mapping[str, str], acts: Sequence[Act]) -> Findings:
    """Compare what was promised with what was acted on.

    Args:
        promised: demand id to what its answer has to say.
        composed: the same of all there are: one that was not promised may have come through all the same.
        acts: as they were written.
    """
    times = Counter(act.demand_id for act in acts)
    return Findings(
        lost=sorted(key for key in promised if not times[key]),
        doubled=sorted(key for key, count in times.items() if count > 1),
        changed=sorted({act.demand_id for act in acts if act.said != composed.get(act.demand_id, act.said)}),
        unasked=sorted(key for key in times if key not in composed),
    )


def compare_completions(findings: Findings, promised: Iterable[str], completions: Sequence[tuple[str, int]]) -> None:
    """Add the demands of which the agency was not told exactly once that all was delivered.

    Args:
        findings: added to.
        promised: demand ids.
        completions: demand id and how many documents were undelivered, as often as it was told.
    """
    told: dict[str, list[int]] = defaultdict(list)
    for key, undelivered in completions:
        told[key].append(undelivered)
    findings.not_completed = sorted(key for key in {*promised, *told} if told[key] != [0])


class Told(NamedTuple):
    """Who says something in `exchange.recorded`, about which demand, under which id."""

    demand_id: str
    message_id: str
    is_access: bool


def compare_records(findings: Findings, promised: Iterable[str], told: Sequence[Told]) -> None:
    """Add which of the promised demands lack a record of the exchange, or have two."""
    ids: dict[tuple[str, bool], set[str]] = defaultdict(set)
    for one in told:
        ids[one.demand_id, one.is_access].add(one.message_id)
    for key in sorted(promised):
        if not ids[key, False]:
            findings.without_resolution_record.append(key)
        if not ids[key, True]:
            findings.without_access_record.append(key)
    findings.several += sorted({f"exchange.recorded {key}" for (key, _), some in ids.items() if len(some) > 1})


def compare_messages(findings: Findings, topic: str, records: Sequence[Record], *, once: bool = True) -> None:
    """Add what messages of one topic contradict each other.

    Args:
        findings: added to.
        topic: its name, for the words.
        records: all of it.
        once: whether each demand has one message here, by id.
    """
    first: dict[bytes, tuple[object, ...]] = {}
    ids: dict[bytes, set[bytes]] = defaultdict(set)
    repeated = 0
    for record in records:
        message_id = record.header("ce_id") or b""
        content = (
            record.partition,
            record.key,
            record.value,
            tuple(header for header in record.headers if header[0] != _TRACE),
        )
        known = first.setdefault(message_id, content)
        if known is not content:
            repeated += 1
            if known != content:
                findings.contradictions.append(f"{topic} {message_id.decode()}")
        ids[record.key or b""].add(message_id)
    findings.repeated[topic] = repeated
    if once:
        findings.several += sorted(f"{topic} {key.decode()}" for key, some in ids.items() if len(some) > 1)


@dataclass(frozen=True, slots=True)
class Caught:
    """What became of the naive loop. `lost` and `doubled` count demands."""

    acts: int
    lost: int
    doubled: int

    @property
    def is_caught(self) -> bool:
        """Whether the harness broke it, as it has to."""
        return bool(self.lost or self.doubled)


def catch(answered: Iterable[str], acts: Sequence[str]) -> Caught:
    """Compare the naive loop's acts with the demands whose answers it was given."""
    times = Counter(acts)
    return Caught(
        acts=len(acts),
        lost=sum(1 for key in set(answered) if not times[key]),
        doubled=sum(1 for count in times.values() if count > 1),
    )


class Happened(NamedTuple):
    """A fault that was made: its kind, when it began and when the next thing began. Unix seconds."""

    kind: str
    at: float
    until: float


_ALREADY_SILENT_SECONDS = 1.0


def silences(acted_at: Sequence[float], happened: Sequence[Happened]) -> dict[str, list[float]]:
    """Give the longest silence after each fault, by kind.

    A silence is the time between two acts, counted from the fault if it began before it, and to its end even where that
    lies after the next fault. One that had hardly begun when the next fault came is that one's alone.

    Args:
        acted_at: when something was acted on.
        happened: the faults, in their order.
    """
    ends = [happened[0].at, happened[-1].until] if happened else []  # nothing at all is a silence too
    times = sorted([*acted_at, *ends])
    found: dict[str, list[float]] = defaultdict(list)
    for fault in happened:
        longest = 0.0
        for before, after in itertools.pairwise(times):
            begin = max(before, fault.at)
            if after > fault.at and begin < fault.until:
                is_the_next_ones = fault.until - begin < _ALREADY_SILENT_SECONDS
                longest = max(longest, (min(after, fault.until) if is_the_next_ones else after) - begin)
        found[fault.kind].append(round(longest, 2))
    return dict(found)
