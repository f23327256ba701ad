"""What can be made to go wrong on the in-memory bus. All hooks are plain functions; by default nothing fails."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from chopar.bus.port import Outgoing, TopicPartition


class SendFault(Enum):
    """How a send fails. The sender learns the same in both cases: not acknowledged."""

    NOT_WRITTEN = auto()
    WRITTEN = auto()


@dataclass(slots=True)
class Faults:
    """Hooks of one bus; replace any of them at any time."""

    send: Callable[[Outgoing], SendFault | None] = lambda record: None
    """Asked for each record that is sent."""

    commit: Callable[[str, Mapping[TopicPartition, int]], bool] = lambda group, offsets: False
    """Asked for each commit of a group; True makes it fail."""

    hung_groups: set[str] = field(default_factory=set)
    """Groups whose commits are not answered, for as long as they stand here; the bus's `changed` wakes who waits."""

    stale_ends: dict[TopicPartition, int] = field(default_factory=dict)
    """End offsets that a leader of the past would give."""

    down: bool = False
    """No broker answers: starts, sends, fetches and commits fail."""
