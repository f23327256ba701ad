"""Consumers and readers on Kafka.

A fetch first takes what is buffered; if there is nothing it waits until the broker has answered with something, and
takes all of that. When the broker is asked for more, and who is told first of its answer, says `fetch_turns.py`.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import CommitFailedError, ConsumerStoppedError, KafkaError, NoOffsetForPartitionError
from aiokafka.errors import OffsetOutOfRangeError as KafkaOffsetOutOfRangeError

from chopar.bus.kafka.connection import (
    KafkaClientSettings,
    closed,
    connected,
    foreign_cancellation,
    knows,
    place_of,
    translated,
)
from chopar.bus.kafka.fetch_lanes import FetchLanes
from chopar.bus.kafka.fetch_turns import FetchTurns
from chopar.bus.kafka.group_watch import GroupWatch, finds_coordinator
from chopar.bus.kafka.joining import leave_in_mid_join, wait_longer_for_joins
from chopar.bus.kafka.topic_ids import TopicIds
from chopar.bus.port import Assigned, Record, Revoked, TopicPartition
from chopar.errors import (
    BrokerUnavailableError,
    NoLongerMemberError,
    NotFoundError,
    OffsetOutOfRangeError,
    TopicLayoutError,
)
from chopar.topics import PARTITIONS

_LOG_APPEND_TIME = 1
_LARGE = 16  # behind a batch of a sixteenth of what it may have, more is asked for ahead: to wait there costs rate


class KafkaFetcher:
    """What consumer and reader share."""

    def __init__(self, settings: KafkaClientSettings) -> None:
        self._settings = settings
        self._client: AIOKafkaConsumer | None = None
        self._held: frozenset[TopicPartition] = frozenset()
        self._arrival: asyncio.Future[Any] | None = None
        """Awaited by the fetch that waits; False says that it is to wait no longer."""
        self._turns: FetchTurns | None = None
        self._stopped = False
        self._ids = TopicIds(settings.look_at_topics_seconds)

    def held(self) -> frozenset[TopicPartition]:
        """The partitions held now."""
        return self._held

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from an offset, whatever has been buffered."""
        self._require_held(partition)
        self._open().seek(place_of(partition), offset)

    def position(self, partition: TopicPartition) -> int:
        """The next offset."""
        self._require_held(partition)
        # aiokafka's own `position` is a coroutine, though it only looks here once a position is known.
        state = self._open()._subscription.subscription.assignment.state_value(place_of(partition))
        return int(state.position)

    async def fetch(self, max_records: int, timeout_seconds: float) -> dict[TopicPartition, list[Record]]:
        """Take what there is, waiting at most this long for a first record."""
        if self._stopped:
            return {}
        self._ids.look(self._open()._client, self._read_topics)
        try:
            with foreign_cancellation():
                return await self._fetch(max_records, timeout_seconds)
        except ConsumerStoppedError:
            return {}
        except KafkaOffsetOutOfRangeError as error:
            raise OffsetOutOfRangeError(
                f"{_places(error)}: the broker no longer holds the records at our offset; "
                "something was deleted before it was read"
            ) from error
        except (KafkaError, OSError) as error:
            raise BrokerUnavailableError(f"reading: {type(error).__name__}") from error

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset after the last record."""
        async with translated("asking for end offsets", self._settings.request_timeout_seconds):
            found = await self._open().end_offsets([place_of(place) for place in partitions])
        return {TopicPartition(*place): offset for place, offset in found.items()}

    async def beginning_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Where each log starts."""
        async with translated("asking for first offsets", self._settings.request_timeout_seconds):
            found = await self._open().beginning_offsets([place_of(place) for place in partitions])
        return {TopicPartition(*place): offset for place, offset in found.items()}

    async def _fetch(self, max_records: int, timeout_seconds: float) -> dict[TopicPartition, list[Record]]:
        batch = await self._buffered(max_records)
        if not batch:
            if self._turns is not None:
                self._turns.want()
            if await self._arrives(timeout_seconds):
                batch = await self._buffered(max_records)
        return batch

    def _read_topics(self) -> frozenset[str]:
        return frozenset(place.topic for place in self._held)

    async def _buffered(self, max_records: int) -> dict[TopicPartition, list[Record]]:
        """Take what there is."""
        client = self._open()
        batch: dict[TopicPartition, list[Record]] = {}
        self._hold()
        resting = self._turns.resting(client._fetcher) if self._turns is not None else contextlib.nullcontext()
        with resting, contextlib.suppress(NoOffsetForPartitionError):  # of the moment before we name the start
            _add(batch, await client.getmany(timeout_ms=0, max_records=max_records))
        if batch:
            _put_last(client, batch, max_records)
            self._look_ahead(batch, max_records)
        return batch

    async def _arrives(self, timeout_seconds: float) -> bool:
        """Wait until something may be there; False if it is not to be looked for."""
        fetcher = self._open()._fetcher
        arrival = self._arrival = fetcher._create_fetch_waiter()
        timer = asyncio.get_running_loop().call_later(timeout_seconds, fetcher._notify, arrival)
        try:
            return await arrival is not False
        finally:
            timer.cancel()
            self._arrival = None

    def _interrupt(self) -> None:
        """Have the fetch that waits return with nothing."""
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(False)

    def _take_turns(self, client: AIOKafkaConsumer) -> None:
        """Hold back the fetches of a client that is not started yet."""
        network = client._client
        self._turns = FetchTurns(network.send)
        network.send = self._turns.send

    def _tell_at_once(self, client: AIOKafkaConsumer) -> None:
        """Be told first when something has come; of a client that has started."""
        if self._turns is not None:
            self._turns.tell_at_once(client._fetcher)

    def _hold(self) -> None:
        """A batch is given out: nothing more is asked for until it is handled."""
        if self._turns is not None:
            self._turns.hold()

    def _look_ahead(self, batch: Mapping[TopicPartition, Sequence[Record]], max_records: int) -> None:
        """Behind a large batch more is waiting: it may come while this one is handled."""
        if self._turns is not None and sum(map(len, batch.values())) * _LARGE >= max_records:
            self._turns.want()

    def _open(self) -> AIOKafkaConsumer:
        if self._client is None:
            raise BrokerUnavailableError("not connected")
        return self._client

    def _require_held(self, partition: TopicPartition) -> None:
        if partition not in self._held:
            raise NotFoundError(f"partition {partition.topic}-{partition.partition} is not held")

    async def _close(self) -> None:
        self._stopped = True
        self._interrupt()
        await self._ids.close()
        client, self._client = self._client, None
        if client is not None:
            await closed(_stop(client), self._settings)
        self._held = frozenset()


class KafkaReader(KafkaFetcher):
    """A reader of named partitions, without a group."""

    def __init__(
        self,
        bootstrap: str,
        start: Mapping[TopicPartition, int | None],
        settings: KafkaClientSettings,
        *,
        read_committed: bool,
    ) -> None:
        super().__init__(settings)
        self._bootstrap = bootstrap
        self._start = dict(start)
        self._isolation = "read_committed" if read_committed else "read_uncommitted"

    async def start(self) -> None:
        """Connect and take the positions up."""
        self._client = client = await connected(self._make, _stop, self._bootstrap, self._settings)
        self._tell_at_once(client)
        try:
            async with translated("asking for leaders", self._settings.request_timeout_seconds):
                await knows(client, {place.topic for place in self._start})
            unnamed = [place for place, offset in self._start.items() if offset is None]
            first = await self.beginning_offsets(unnamed) if unnamed else {}
        except BrokerUnavailableError:
            await self._close()
            raise
        # Nothing may run between these: a partition without a position is an error to aiokafka.
        client.assign([place_of(place) for place in self._start])
        for place, offset in self._start.items():
            client.seek(place_of(place), first[place] if offset is None else offset)
        self._held = frozenset(self._start)

    async def stop(self) -> None:
        """Disconnect."""
        await self._close()

    def _make(self) -> AIOKafkaConsumer:
        client = AIOKafkaConsumer(
            group_id=None,
            isolation_level=self._isolation,
            **_consumer_options(self._settings, len(self._start)),
            **self._settings.common(self._bootstrap, "reader"),
        )
        self._take_turns(client)
        return client


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
        super().__init__(settings)
        self._bootstrap = bootstrap
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
        options = settings.common(bootstrap, group)
        self._watch = GroupWatch(settings, partial(finds_coordinator, settings, options, group))

    async def start(self) -> None:
        """Join the group."""
        self._tell_at_once(await connected(self._make, _stop, self._bootstrap, self._settings))

    async def stop(self) -> None:
        """Leave the group and disconnect."""
        self._stopped = True
        self._settled.set()
        await self._watch.close()
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
        if not self._stopped:
            self._watch.look(answered=self.answered, settled=self._settled.is_set())
        if not self._settled.is_set():
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
            **_consumer_options(settings, len(self._topics) * PARTITIONS),
            **settings.common(self._bootstrap, self._group),
        )
        wait_longer_for_joins(self._client, settings.request_timeout_seconds)
        if settings.fetch_sessions:
            client = self._client._client
            client.send = FetchLanes(client.send).send
        self._take_turns(self._client)
        self._client.subscribe(list(self._topics), listener=_Listener(self))
        return self._client

    async def _on_revoked(self) -> None:
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


async def _call(assigned: Assigned, start: Mapping[TopicPartition, int]) -> None:
    """Calls it only when the task runs: one that is cancelled before leaves nothing behind that nobody awaited."""
    await assigned(start)


async def _stop(client: AIOKafkaConsumer) -> None:
    """Stop aiokafka's consumer, its connections and fetches too where its own `stop` is broken off half-way."""
    try:
        await leave_in_mid_join(client)
        await client.stop()
    finally:
        for fetch in getattr(client._fetcher, "_pending_tasks", ()):
            fetch.cancel()
        await client._client.close()


def _consumer_options(settings: KafkaClientSettings, partitions: int) -> dict[str, Any]:
    return {
        "enable_auto_commit": False,
        "auto_offset_reset": "none",  # the default silently jumps to the end
        "check_crcs": True,
        "fetch_max_bytes": settings.max_fetch_bytes,
        "max_partition_fetch_bytes": settings.partition_bytes(partitions),
    }


def _add(batch: dict[TopicPartition, list[Record]], got: Mapping[Any, Sequence[Any]]) -> None:
    """Turn aiokafka's records into ours."""
    for (topic, partition), messages in got.items():
        records = batch.setdefault(TopicPartition(topic, partition), [])
        for message in messages:
            if message.timestamp_type != _LOG_APPEND_TIME:
                raise TopicLayoutError(f"topic {topic}: its records carry their senders' times; LogAppendTime is due")
            records.append(
                Record(
                    topic,
                    partition,
                    message.offset,
                    message.timestamp,
                    message.key,
                    message.value,
                    tuple(message.headers),
                )
            )


def _put_last(client: AIOKafkaConsumer, batch: Mapping[Any, Sequence[Any]], most: int) -> None:
    """Have a partition of which a full batch left some come last in the next: it must not keep the others waiting.

    aiokafka 0.14 gives out the partition that came first until it is empty, a mebibyte of it; the upstream cure is to
    move it back in `fetched_records`.
    """
    if sum(map(len, batch.values())) >= most:
        buffered, last = client._fetcher._records, place_of([*batch][-1])
        if last in buffered:
            buffered.move_to_end(last)


def _places(error: KafkaOffsetOutOfRangeError) -> str:
    found = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    return ", ".join(f"{place.topic}-{place.partition} at {offset}" for place, offset in found.items()) or "a partition"
