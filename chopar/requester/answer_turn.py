"""One transaction of a durable asker: what was read, the demands that it is about, and what changes by it.

What is done with it is `answers`'. A demand by which the next holder was asked is loaded together with the first
one, which it follows: who ends one may end the other.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeAlias

from chopar.bus.inbox import Batch
from chopar.bus.port import Record
from chopar.errors import RecordError
from chopar.messages.demand import Demand, DemandResolved
from chopar.messages.evidence import EvidenceUnavailable
from chopar.requester.completion import Completion, Delivered, Said, Undelivered, Waiting
from chopar.requester.store import KeptDemand, KeptFollowing, KeptRequest, request_hash

Outcomes: TypeAlias = dict[tuple[str, int, int], Exception | None]
"""What became of records, by topic, partition and offset; None: all that they lead to is done."""


@dataclass(slots=True)
class Read:
    """A record that was decoded. `body` is of an answer: what it says, or why that cannot be read."""

    record: Record
    message: DemandResolved | Said
    body: "tuple[Mapping[str, object] | None, EvidenceUnavailable | None] | RecordError" = (None, None)

    @property
    def request(self) -> bytes:
        """By what its request is kept."""
        return b"" if isinstance(self.message, DemandResolved) else request_hash(self.message.request_id)


@dataclass(slots=True)
class Open:
    """A demand as it stands in a transaction."""

    kept: KeptDemand
    demand: Demand
    completion: Completion

    @property
    def demand_id(self) -> str:
        """By what it is kept."""
        return self.kept.demand_id

    @property
    def undelivered(self) -> tuple[Undelivered, ...]:
        """What was not answered in time, once it has expired."""
        if self.completion.resolved is None:
            return tuple(Undelivered(one.type, one.about) for one in self.demand.documents)
        ended = [one.document for one in self.completion.awaited.values() if one.waiting is Waiting.UNDELIVERED]
        return tuple(Undelivered(one.document_type, one.about) for one in ended)


@dataclass(slots=True)
class Turn:
    """One transaction, and what it changes besides what callbacks write."""

    batch: Batch
    outcomes: Outcomes
    alone: bool = True
    """Whether a callback that fails fails alone; if not, the whole turn is done again so."""
    demands: dict[str, Open] = field(default_factory=dict)
    changed: dict[str, KeptDemand] = field(default_factory=dict)
    requests: dict[bytes, KeptRequest] = field(default_factory=dict)
    counted: Counter[str] = field(default_factory=Counter)
    apart: list[tuple[Record, Delivered, timedelta]] = field(default_factory=list)
    """Answers by a wrong clock, and by how much."""
    blocked: set[tuple[int, bytes | None]] = field(default_factory=set)
    """Partition and key of records that failed: what follows one waits for it."""
    firsts: dict[str, str] = field(default_factory=dict)
    """The demand that each of those loaded follows, if it follows one."""
    followings: dict[str, dict[str, KeptFollowing]] = field(default_factory=dict)
    """How it stands with the demands that follow, by the demand that they follow."""
    added: set[str] = field(default_factory=set)
    """Demands that are to be sent when it is committed."""

    def first_of(self, one: Open) -> Open | None:
        """The demand of the application: the one that this one follows, or itself; None: it is not kept any more."""
        return self.demands.get(self.firsts.get(one.demand_id, one.demand_id))

    def told(self, one: Open) -> Demand:
        """The demand as the application knows it."""
        return (self.first_of(one) or one).demand

    def waits_for_others(self, first: Open, ending: Open) -> bool:
        """Whether a demand that follows the first is open still, besides the one that ends now."""
        known = self.followings.get(first.demand_id, {})
        return any(one.waiting is Waiting.OPEN for name, one in known.items() if name != ending.demand_id)

    def undelivered(self, first: Open, ending: Open) -> Iterator[Undelivered]:
        """What was not answered in time of a demand, and of those that follow it."""
        yield from first.undelivered
        for name, one in self.followings.get(first.demand_id, {}).items():
            if name == ending.demand_id:
                yield from ending.undelivered
            elif one.waiting is Waiting.UNDELIVERED:
                yield Undelivered(one.document_type, one.about)
