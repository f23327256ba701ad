"""What must hold at every moment of a seed, and not in its end state alone: watched on the log and on the commits.

Ids and contents alone do not show whether something was released before its record was there, nor who commits behind
whom: whoever says it again says the same.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from chopar.bus.memory import MemoryBus
from chopar.bus.port import Outgoing, Sent, TopicPartition
from chopar.messages.dispute import EvidenceDisputed
from chopar.topics import DEAD_LETTER_SUFFIX
from gateway.answer import SOURCE
from tests.simulation.exchange import DEMANDS, PROVIDED, REQUESTS, letters

BAD = Outgoing(DEMANDS, 0, b"no id", b"no demand")
"""A record that nobody can answer: it becomes a dead letter, wherever it lies."""

_RECORDS = "exchange.recorded"


class Rules:
    """Watches one bus.

    Args:
        bus: whose log is replaced by one that is watched.
    """

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus
        self._first: dict[bytes | None, dict[tuple[str, bool], set[bytes | None]]] = defaultdict(
            lambda: defaultdict(set)
        )
        """By demand: the ids of what was said on a topic, by the gateway (or of a dispute) or not."""
        self._unrecorded: set[bytes | None] = set()
        self._set_back: set[tuple[str, TopicPartition]] = set()
        append = bus.log.append

        def watched(record: Outgoing) -> Sent:
            self._append(record)
            return append(record)

        bus.log.append = watched  # type: ignore[method-assign]

    def commit(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """To be told of each commit."""
        committed = self._bus.group(group).committed
        self._set_back |= {(group, place) for place, offset in offsets.items() if offset < committed.get(place, 0)}

    def broken(self) -> dict[str, set[Any]]:
        """What was broken, by rule."""
        found = {(topic, partition, offset) for topic, partition, offset, _ in letters(self._bus)}
        bad = {(one.topic, one.partition, one.offset) for one in self._bus.records(DEMANDS) if one.key == BAD.key}
        return {
            "released before it was recorded": self._unrecorded,
            "an offset set back": self._set_back,
            "bad and no dead letter": bad - found,
            "dead letters": found - bad,
        }

    def _append(self, record: Outgoing) -> None:
        """No record, no document: what a request or an answer needs lies on the log before it does."""
        if record.topic.endswith(DEAD_LETTER_SUFFIX) or record.topic not in (_RECORDS, REQUESTS, PROVIDED):
            return
        headers = dict(record.headers)
        first, message = self._first[record.key], headers.get("ce_id")
        gateways = headers.get("ce_source") == SOURCE.encode()
        dispute = headers.get("ce_type") == EvidenceDisputed.RECORD.encode()
        first[record.topic, dispute if record.topic == REQUESTS else gateways].add(message)
        if record.topic == REQUESTS:
            due = len(first[REQUESTS, True]) + bool(first[REQUESTS, False])
            if len(first[_RECORDS, True]) < due:
                self._unrecorded.add(record.key)
        elif record.topic == PROVIDED and len(first[_RECORDS, False]) < len(first[PROVIDED, False]):
            self._unrecorded.add(record.key)
