"""Topics of the in-memory bus: partitions as lists, with a start offset and appends in two steps.

A record is first stamped (it gets its offset and time) and then shown. Between the two nobody reads it, and its sender
is not acknowledged. A test can hold back the second step, as a slow replica would.
"""

import asyncio
from collections.abc import Callable, Container

from chopar.bus.port import Outgoing, Record, Sent, TopicPartition, size_bytes
from chopar.errors import NotFoundError, TooLargeError
from chopar.topics import TopicLayout

MAX_MESSAGE_BYTES = 1_048_588  # Kafka's own default for max.message.bytes


class Signal:
    """Wakes everybody who waits for the bus to change."""

    def __init__(self) -> None:
        # In the order in which they came, as an address in memory would else decide who goes first.
        self._waiting: dict[asyncio.Future[None], Container[TopicPartition] | None] = {}

    def notify(self, place: TopicPartition | None = None) -> None:
        """Wake them; if only one partition has changed, those who wait for something of it or for anything."""
        for future, places in self._waiting.items():
            if place is None or places is None or place in places:
                _wake(future)

    async def wait(self, timeout_seconds: float | None, places: Container[TopicPartition] | None = None) -> None:
        """Wait for the next change (of these partitions, if any are named), or until the time is up."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._waiting[future] = places
        # Not `asyncio.wait`: every fetch of every client waits here, and this costs half as much.
        timer = None if timeout_seconds is None else loop.call_later(timeout_seconds, _wake, future)
        try:
            await future
        finally:
            if timer is not None:
                timer.cancel()
            self._waiting.pop(future, None)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Partition:
    """One partition's log."""

    def __init__(self, place: TopicPartition) -> None:
        self.place = place
        self.start = 0
        self.shown = 0
        """The end offset that readers see."""
        self.held = False
        self._records: list[Record] = []
        self._removed = 0

    @property
    def stamped(self) -> int:
        """The end offset, what is not shown yet included."""
        return self._removed + len(self._records)

    def stamp(self, record: Outgoing, timestamp_ms: int) -> Sent:
        """Give a record its offset and time; it is not readable yet."""
        offset = self.stamped
        self._records.append(
            Record(record.topic, record.partition, offset, timestamp_ms, record.key, record.value, record.headers)
        )
        return Sent(offset, timestamp_ms)

    def show(self, count: int | None = None) -> None:
        """Make stamped records readable: the next `count`, or all."""
        self.shown = self.stamped if count is None else min(self.stamped, self.shown + count)

    def delete_before(self, offset: int) -> None:
        """Move the start of the log: what lies before is gone."""
        self.start = max(self.start, min(offset, self.shown))
        del self._records[: self.start - self._removed]
        self._removed = self.start

    def read(self, offset: int, most: int) -> list[Record]:
        """Up to `most` shown records from an offset on, which must lie within the log."""
        first = offset - self._removed
        return self._records[first : min(first + most, self.shown - self._removed)]

    def first_at(self, timestamp_ms: int) -> int:
        """The first offset stamped at or after a time; the end offset if there is none."""
        for record in self.read(self.start, self.shown - self.start):
            if record.timestamp_ms >= timestamp_ms:
                return record.offset
        return self.shown


class Log:
    """All topics.

    Args:
        clock: Unix milliseconds; stamps records.
        changed: notified when something becomes readable.
    """

    def __init__(self, clock: Callable[[], int], changed: Signal) -> None:
        self.layouts: dict[str, TopicLayout] = {}
        self.ids: dict[str, int] = {}
        """One for each topic that was ever made, so another where one is made again under its name."""
        self.partitions: dict[TopicPartition, Partition] = {}
        self._made = 0
        self._clock = clock
        self._changed = changed

    def add(self, layout: TopicLayout) -> None:
        """Make a topic."""
        self._made += 1
        self.layouts[layout.name], self.ids[layout.name] = layout, self._made
        for number in range(layout.partitions):
            place = TopicPartition(layout.name, number)
            self.partitions[place] = Partition(place)

    def remove(self, name: str) -> None:
        """Delete a topic, if there is one of this name."""
        layout = self.layouts.pop(name, None)
        self.ids.pop(name, None)
        for number in range(layout.partitions if layout else 0):
            del self.partitions[TopicPartition(name, number)]

    def partition(self, place: TopicPartition) -> Partition:
        """One partition.

        Raises:
            NotFoundError: there is none of this name and number.
        """
        found = self.partitions.get(place)
        if found is None:
            raise NotFoundError(f"topic {place.topic} has no partition {place.partition}")
        return found

    def check_size(self, record: Outgoing) -> TooLargeError | None:
        """Whether a record is larger than its topic takes."""
        size = size_bytes(record)
        layout = self.layouts.get(record.topic)
        limit = int(layout.settings.get("max.message.bytes", MAX_MESSAGE_BYTES)) if layout else MAX_MESSAGE_BYTES
        return TooLargeError(f"{size} bytes; topic {record.topic} takes {limit}") if size > limit else None

    def append(self, record: Outgoing) -> Sent:
        """Stamp a record, and show it unless its partition is held."""
        partition = self.partition(TopicPartition(record.topic, record.partition))
        sent = partition.stamp(record, self._clock())
        if not partition.held:
            partition.show()
            self._changed.notify(partition.place)
        return sent
