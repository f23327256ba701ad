"""What a consume loop has done and not committed yet, and the commit that is under way beside it.

Everything in it is acknowledged, so an offset may be committed at any time; when it is, stands here, and whoever is
killed before only repeats what was said. A commit runs beside the loop: the broker that keeps a group's offsets may
hang while those that hold its records do not. One at a time; who lets partitions go waits for it.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping

from chopar.bus.consume_settings import EARLY_SECONDS
from chopar.bus.port import Consumer, TopicPartition


class Commits:
    """The next offsets to read, by partition, until they are committed.

    Args:
        interval_seconds: how long after the first of them they are due.
        committed: told of each commit that went through.
    """

    def __init__(
        self,
        interval_seconds: float,
        committed: Callable[[Mapping[TopicPartition, int]], None] = lambda offsets: None,
    ) -> None:
        self._interval_seconds = interval_seconds
        self._committed = committed
        self._offsets: dict[TopicPartition, int] = {}
        self._due_at: float | None = None
        self._under_way: asyncio.Task[None] | None = None

    def done(self, partition: TopicPartition, offset: int, now: float) -> None:
        """All before this offset is done."""
        self._offsets[partition] = offset
        if self._due_at is None:
            self._due_at = now + self._interval_seconds

    def due_in(self, now: float) -> float | None:
        """Seconds until they are due, 0 if they are; None if there is nothing to commit, or it has to wait."""
        if self._due_at is None or self._under_way is not None:
            return None
        left = self._due_at - now
        return left if left > EARLY_SECONDS else 0.0

    def begin(self, consumer: Consumer) -> None:
        """Commit all that is done, beside whoever calls; where one is under way, as soon as that has ended."""
        if self._due_at is None:
            return
        if self._under_way is not None:
            self._due_at = asyncio.get_running_loop().time()
            return
        self._under_way = asyncio.create_task(self._commit(consumer, self._take()))

    def look(self) -> None:
        """Let the next be begun, if the one under way has ended. One that failed is not tried again.

        Raises:
            NoLongerMemberError, BrokerUnavailableError: what it failed with.
        """
        ended = self._under_way
        if ended is not None and ended.done():
            self._under_way = None
            if not ended.cancelled():
                ended.result()

    async def finish(self, consumer: Consumer, partitions: Collection[TopicPartition]) -> None:
        """Before these are let go: wait for what is under way, and commit what is done of them.

        Raises:
            NoLongerMemberError, BrokerUnavailableError: what one of the two failed with.
        """
        left = self._take(partitions)
        if self._under_way is not None:
            await asyncio.wait([self._under_way])
            self.look()
        await self._commit(consumer, left)

    def forget(self, partitions: Collection[TopicPartition] | None = None) -> None:
        """Commit nothing more of these, or of all: it must not come behind what whoever has them next has committed."""
        self._take(partitions)
        under_way, self._under_way = self._under_way, None
        if under_way is not None and not under_way.cancel() and not under_way.cancelled():
            under_way.exception()  # looked at, so that nobody complains

    async def _commit(self, consumer: Consumer, offsets: Mapping[TopicPartition, int]) -> None:
        if offsets:
            await consumer.commit(offsets)
            self._committed(offsets)

    def _take(self, partitions: Collection[TopicPartition] | None = None) -> dict[TopicPartition, int]:
        """Take them out: of these partitions, or all. One that fails is read again."""
        if partitions is None:
            taken, self._offsets = self._offsets, {}
        else:
            taken = {place: self._offsets.pop(place) for place in partitions if place in self._offsets}
        if not self._offsets:
            self._due_at = None
        return taken
