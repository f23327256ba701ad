"""Members of a consumer group on Kafka.

aiokafka divides the partitions in the background and tells a listener; what is held, from where it is read, and that
nothing is given out before `assigned` has returned, stands here. How records are taken stands in `fetcher.py`.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import CommitFailedError, KafkaError

from chopar.bus.kafka.connection import KafkaClientSettings, connected, foreign_cancellation, place_of, translated
from chopar.bus.kafka.fetch_lanes import FetchLanes
from chopar.bus.kafka.fetcher import KafkaFetcher, consumer_options, stop_client
from chopar.bus.kafka.joining import wait_longer_for_joins
from chopar.bus.port import Assigned, Record, Revoked, TopicPartition
from chopar.errors import BrokerUnavailableError, NoLongerMemberError
from chopar.topics import PARTITIONS


class KafkaConsumer(KafkaFetcher):
    """A member of a consumer group."""

    def __init__(
        self,
        bootstrap: str,
        group: str,
        topics: Sequence[str],
        settings: KafkaClientSettings,
        *,
        assigned: Assigned,
        revoked: Revoked,
    ) -> None:
        super().__init__(bootstrap, group, group, settings)
        self._group = group
        self._topics = tuple(topics)
        self._assigned = assigned
        self._revoked = revoked
        self._assigning: asyncio.Task[None] | None = None
        self._start: dict[TopicPartition, int] = {}
        """What is held began here."""
        self._rebalances = 0
        self._error: Exception | None = None
        self._settled = asyncio.Event()
        """Set while partitions are held: in a rebalance aiokafka's getmany waits for its end, whatever its time-out."""

    async def start(self) -> None:
        """Join the group."""
        client = await connected(self._make, stop_client, self._bootstrap, self._settings)
        self._turns.tell_at_once(client._fetcher)

    async def stop(self) -> None:
        """Leave the group and disconnect."""
        self._stopped = True
        self._settled.set()
        await self._cancel_assigning()
        await self._close()

    @property
    def member(self) -> str:
        """By which name the group knows this member."""
        return str(self._client._coordinator.member_id) if self._client is not None else ""

    @property
    def settled(self) -> bool:
        """Whether it is known what is held, and `assigned` has returned for it."""
        return self._settled.is_set() and (self._assigning is None or self._assigning.done())

    @property
    def answered(self) -> bool:
        """Whether the group's coordinator is known: aiokafka forgets it when a heartbeat fails, and looks for it."""
        return self._client is not None and self._client._coordinator.coordinator_id is not None

    async def fetch(self, max_records: int, timeout_seconds: float) -> dict[TopicPartition, list[Record]]:
        """Take what there is, once `assigned` has returned."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        self._look(answered=self.answered, settled=self._settled.is_set())
        if not self._settled.is_set() and not self._stopped:
            self._raise_kept_error()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._settled.wait()
            except TimeoutError:
                return {}
        assigning = self._assigning
        if assigning is not None:
            if not assigning.done():
                await asyncio.wait([assigning], timeout=max(0.0, deadline - loop.time()))
            if assigning is not self._assigning or not assigning.done():
                return {}
            self._assigning = None
            if not assigning.cancelled():
                assigning.result()
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        rebalances = self._rebalances
        batch = await super().fetch(max_records, max(0.0, deadline - loop.time()))
        if rebalances != self._rebalances:
            self._put_back(batch)  # aiokafka waits for a rebalance in the middle of a read, and goes on with the new
            return {}
        return batch

    def _raise_kept_error(self) -> None:
        """Raise what aiokafka keeps for the next `getmany`, which is not called while partitions are divided."""
        try:
            with foreign_cancellation():
                self._open()._coordinator.check_errors()
        except KafkaError as error:
            raise BrokerUnavailableError(f"joining the group: {type(error).__name__}") from error

    def _put_back(self, batch: Mapping[TopicPartition, Sequence[Record]]) -> None:
        """Begin these again, if they are held: `assigned` may not have returned, and nothing was given out since."""
        for place in batch:
            if place in self._start:
                self._open().seek(place_of(place), self._start[place])

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Store the next offsets to read, of partitions that are held."""
        async with translated("committing", self._settings.commit_deadline_seconds):
            try:
                while not await self._committed_in_time(offsets):
                    pass
            except CommitFailedError as error:
                raise NoLongerMemberError("the group has gone on without this member, or is divided anew") from error

    async def _committed_in_time(self, offsets: Mapping[TopicPartition, int]) -> bool:
        """One try: aiokafka tries the same for ever, also of a topic that was deleted, and with it of all others."""
        client = self._open()
        known = client._client.cluster.partitions_for_topic
        held = {
            place_of(place): (offset, self._ids.of(place.topic))
            for place, offset in offsets.items()
            if place in self._held and known(place.topic) is not None and place.topic not in self._ids.replaced
        }
        if held:
            try:
                async with asyncio.timeout(self._settings.hang_timeout_seconds):
                    await client.commit(held)
            except TimeoutError:
                return False
        return True

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Give out nothing of these; the position stays."""
        for place in partitions:
            if place in self._held:
                self._open().pause(place_of(place))

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Give them out again."""
        for place in partitions:
            if place in self._held:
                self._open().resume(place_of(place))

    def _read_topics(self) -> frozenset[str]:
        return frozenset(self._topics)  # one that is not there now, and so not held, may have been made again

    def _make(self) -> AIOKafkaConsumer:
        settings = self._settings
        self._client = AIOKafkaConsumer(
            group_id=self._group,
            session_timeout_ms=int(settings.session_timeout_seconds * 1000),
            heartbeat_interval_ms=int(settings.heartbeat_seconds * 1000),
            # Eager and even. Sticky needs what every member held before, which aiokafka's members forget on a rebuild.
            partition_assignment_strategy=[RoundRobinPartitionAssignor],
            **consumer_options(settings, len(self._topics) * PARTITIONS),
            **self._options,
        )
        wait_longer_for_joins(self._client, settings.request_timeout_seconds)
        if settings.fetch_sessions:
            client = self._client._client
            client.send = FetchLanes(client.send).send
        self._take_turns(self._client)
        self._client.subscribe(list(self._topics), listener=_Listener(self))
        return self._client

    async def _on_revoked(self) -> None:
        if self._client is not None:  # while it stops there is none
            _keep_first_error(self._client._fetcher)  # called before the first division too
        self._settled.clear()
        self._rebalances += 1
        await self._cancel_assigning()
        self._interrupt()
        if self._held:
            try:
                await self._revoked(self._held)
            except Exception as error:  # noqa: BLE001  aiokafka would only log it; the next fetch raises it
                self._error = error
        self._held = frozenset()
        self._start = {}

    async def _on_assigned(self, places: Sequence[TopicPartition]) -> None:
        """Name the start of every partition ourselves, then let `assigned` run beside: heartbeats begin after this."""
        try:
            client = self._open()
            async with translated("asking for committed offsets", self._settings.request_timeout_seconds):
                await self._ids.learn(client._client, self._topics)
                committed = await client._coordinator.fetch_committed_offsets([place_of(place) for place in places])
            start = {TopicPartition(*place): kept.offset for place, kept in committed.items()}
            # An offset of former releases, or that was set by hand, has nothing beside it.
            self._ids.require(
                {
                    place.topic
                    for place, kept in committed.items()
                    if kept.metadata and self._ids.of(place.topic) not in ("", kept.metadata)
                }
            )
            without = [place for place in places if place not in start]
            if without:
                start.update(await self.beginning_offsets(without))
            for place, offset in start.items():
                client.seek(place_of(place), offset)
        except Exception as error:  # noqa: BLE001  the same
            self._error = error
        else:
            self._held = frozenset(start)
            self._start = start
            if start:
                self._assigning = asyncio.create_task(_call(self._assigned, start))
        finally:
            self._settled.set()

    async def _cancel_assigning(self) -> None:
        assigning, self._assigning = self._assigning, None
        if assigning is not None:
            assigning.cancel()
            await asyncio.wait([assigning])
            if not assigning.cancelled():
                error = assigning.exception()
                if isinstance(error, Exception):
                    self._error = error


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, consumer: KafkaConsumer) -> None:
        self._consumer = consumer

    async def on_partitions_revoked(self, revoked: Any) -> None:
        await self._consumer._on_revoked()

    async def on_partitions_assigned(self, assigned: Any) -> None:
        await self._consumer._on_assigned(sorted(TopicPartition(*place) for place in assigned))


def _keep_first_error(fetcher: Any) -> None:
    """Have aiokafka's fetcher keep what it has of a partition when it finds that the partition has no offset.

    A partition whose leader moves is looked at twice, for the old one and for the new. aiokafka 0.14 then asserts that
    nothing is kept of it yet, and reads no more. We name the start of each partition ourselves, so either will do. The
    upstream cure is the same condition in `Fetcher._set_error`.
    """
    if "_set_error" in vars(fetcher):
        return
    set_error = fetcher._set_error

    def set_first(place: Any, error: Exception) -> None:
        if place not in fetcher._records:
            set_error(place, error)

    fetcher._set_error = set_first


async def _call(assigned: Assigned, start: Mapping[TopicPartition, int]) -> None:
    """Calls it only when the task runs: one that is cancelled before leaves nothing behind that nobody awaited."""
    await assigned(start)
