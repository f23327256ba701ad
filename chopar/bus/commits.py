"""What a consume loop has done and not committed yet.

Everything in it is acknowledged, so an offset may be committed at any time; when it is, stands here, and whoever is
killed before only repeats what was said. Committing by a timer keeps the commit off the way of a record.
"""

from collections.abc import Collection

from chopar.bus.consume_settings import EARLY_SECONDS
from chopar.bus.port import TopicPartition


class Commits:
    """The next offsets to read, by partition, until they are taken to be committed.

    Args:
        interval_seconds: how long after the first of them they are due.
    """

    def __init__(self, interval_seconds: float) -> None:
        self._interval_seconds = interval_seconds
        self._offsets: dict[TopicPartition, int] = {}
        self._due_at: float | None = None

    def done(self, partition: TopicPartition, offset: int, now: float) -> None:
        """All before this offset is done."""
        self._offsets[partition] = offset
        if self._due_at is None:
            self._due_at = now + self._interval_seconds

    def due_in(self, now: float) -> float | None:
        """Seconds until they are due, 0 if they are; None if there is nothing to commit."""
        if self._due_at is None:
            return None
        left = self._due_at - now
        return left if left > EARLY_SECONDS else 0.0

    def take(self, partitions: Collection[TopicPartition] | None = None) -> dict[TopicPartition, int]:
        """Take them out, to be committed: of these partitions, or all. One that fails is read again."""
        if partitions is None:
            taken, self._offsets = self._offsets, {}
        else:
            taken = {place: self._offsets.pop(place) for place in partitions if place in self._offsets}
        if not self._offsets:
            self._due_at = None
        return taken
