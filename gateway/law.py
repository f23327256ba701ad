"""Which list version holds at a broker time, as a pure function of the records of `law.activated`.

The first activation holds from the beginning of time and its lead binds all later ones. Another counts if the broker
took it that lead before its `effective_at`. Of those that count the greatest `effective_at` not after a record's time
holds, then the higher offset. A stamp is given before a record is visible, so what holds at time T is known only once a
record stamped half the lead before T, or later, has been read. The one assumption about clocks: the stamps of that one
partition never step back by half the lead.
"""

from dataclasses import dataclass

from chopar.avro import frame
from chopar.identifiers import derived_uuid
from chopar.messages.dispute import EvidenceDisputed
from chopar.messages.law import ListActivated

MARK_KEY = b"mark"
"""Every mark has this key (the topic is compacted); every activation has one of its own."""

MARKS_PER_LEAD = 6

LEAD_SECONDS = 60
"""Of the first activation, unless told otherwise; it binds all later ones."""


@dataclass(frozen=True, slots=True)
class Activation:
    """An activation as it lies on the log."""

    offset: int
    taken_at_ms: int
    effective_at_ms: int
    message: ListActivated

    @property
    def disputes(self) -> frozenset[bytes]:
        """With which frames disputes begin by it."""
        return frozenset(frame(one.id, b"") for one in self.message.schemas if one.record == EvidenceDisputed.RECORD)


class Law:
    """What has been read of `law.activated` so far."""

    def __init__(self) -> None:
        self._activations: list[Activation] = []  # those that count, in the order in which they come into force
        self._lead_ms = 0
        self._read_to_ms = -1
        self._disputes: frozenset[bytes] = frozenset()
        """With which frames disputes begin by any of them."""

    def read(self, offset: int, timestamp_ms: int, message: ListActivated | None) -> None:
        """Take the next record; None stands for a mark, of which only the stamp counts."""
        self._read_to_ms = max(self._read_to_ms, timestamp_ms)
        if message is None:
            return
        effective_ms = int(message.effective_at.timestamp() * 1000)
        activation = Activation(offset, timestamp_ms, effective_ms, message)
        if not self._activations:
            self._lead_ms = message.lead_seconds * 1000
            self._activations.append(activation)
            self._disputes |= activation.disputes
        elif timestamp_ms + self._lead_ms <= effective_ms:
            self._activations.append(activation)
            self._disputes |= activation.disputes
            first, *later = self._activations
            self._activations = [first, *sorted(later, key=lambda a: (a.effective_at_ms, a.offset))]

    @property
    def lead_ms(self) -> int:
        """The lead of the first activation; 0 before there is one."""
        return self._lead_ms

    @property
    def read_to_ms(self) -> int:
        """The latest stamp that was read; -1 before any."""
        return self._read_to_ms

    def is_known_at(self, timestamp_ms: int) -> bool:
        """Whether it is settled what holds at this broker time."""
        return bool(self._activations) and self._read_to_ms >= timestamp_ms - self._lead_ms // 2

    def held_at(self, timestamp_ms: int) -> Activation | None:
        """What holds at this broker time by what was read; None before the first activation."""
        if not self._activations:
            return None
        first, *later = self._activations
        held = first
        for activation in later:
            if activation.effective_at_ms <= timestamp_ms:
                held = activation
        return held

    def is_dispute(self, value: bytes | None, timestamp_ms: int) -> bool:
        """Whether a record of `demand.submitted` is a dispute by the schemas that are accepted at its broker time."""
        if value is None or value[:5] not in self._disputes:
            return False
        held = self.held_at(timestamp_ms)
        return held is not None and value[:5] in held.disputes

    def counted(self) -> tuple[Activation, ...]:
        """The activations that count, in the order in which they come into force."""
        return tuple(self._activations)

    def to_come(self, timestamp_ms: int) -> tuple[Activation, ...]:
        """Those that come to hold after this broker time, in order; not those that another outdoes at their moment."""
        later = self._activations[1:]
        ends = [one.effective_at_ms for one in later[1:]]
        return tuple(
            one
            for number, one in enumerate(later)
            if one.effective_at_ms > timestamp_ms and one.effective_at_ms not in ends[number : number + 1]
        )

    def newest(self) -> Activation | None:
        """The one that will hold last of all that were read."""
        return self._activations[-1] if self._activations else None


def activation_key(message: ListActivated) -> bytes:
    """The record key of an activation: its content's own, so that compaction keeps each."""
    return str(derived_uuid("activation", message.model_dump_json())).encode()
