"""What consumers and readers on Kafka share, and the readers.

A fetch first takes what is buffered; if there is nothing it waits until the broker has answered with something, and
takes all of that. When the broker is asked for more, and who is told first of its answer, says `fetch_turns.py`.
Members of a group are `consumer.py`.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import ConsumerStoppedError, KafkaError, NoOffsetForPartitionError
from aiokafka.errors import OffsetOutOfRangeError as KafkaOffsetOutOfRangeError

from chopar.bus.kafka.client_watch import ClientWatch, is_answered, require_running, standing_of
from chopar.bus.kafka.connection import (
    KafkaClientSettings,
    closed,
    connected,
    foreign_cancellation,
    knows,
    place_of,
    translated,
)
from chopar.bus.kafka.fetch_turns import FetchTurns
from chopar.bus.kafka.joining import leave_in_mid_join
from chopar.bus.kafka.topic_ids import TopicIds
from chopar.bus.port import Record, TopicPartition
from chopar.errors import BrokerUnavailableError, NotFoundError, OffsetOutOfRangeError, TopicLayoutError

_LOG_APPEND_TIME = 1
_LARGE = 16  # behind a batch of a sixteenth of what it may have, more is asked for ahead: to wait there costs rate


class KafkaFetcher:
    """What consumer and reader share.

    Args:
        bootstrap: where brokers are.
        name: by which they know the client.
        group: of which it is a member; None: of none.
        settings: of the client.
    """

    def __init__(self, bootstrap: str, name: str, group: str | None, settings: KafkaClientSettings) -> None:
        self._bootstrap = bootstrap
        self._settings = settings
        self._options = settings.common(bootstrap, name)
        self._client: AIOKafkaConsumer | None = None
        self._held: frozenset[TopicPartition] = frozenset()
        self._arrival: asyncio.Future[Any] | None = None
        """Awaited by the fetch that waits; False says that it is to wait no longer."""
        self._turns: FetchTurns  # of the client that is made last
        self._stopped = False
        self._ids = TopicIds(settings.look_at_topics_seconds)
        others = partial(is_answered, settings, self._options, group)
        self._watch = ClientWatch(settings, others, lambda: standing_of(self._open()))

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
        client = self._open()
        require_running(client)
        self._ids.look(client._client, self._read_topics)
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
        self._turns.hold()
        # The error is of the moment before we name the start.
        with self._turns.resting(client._fetcher), contextlib.suppress(NoOffsetForPartitionError):
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

    def _look_ahead(self, batch: Mapping[TopicPartition, Sequence[Record]], max_records: int) -> None:
        """Behind a large batch more is waiting: it may come while this one is handled."""
        if sum(map(len, batch.values())) * _LARGE >= max_records:
            self._turns.want()

    def _look(self, *, answered: bool, settled: bool = True) -> None:
        """Notice that the client has lost its way."""
        if not self._stopped:
            self._watch.look(answered=answered, settled=settled)

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
        await self._watch.close()
        client, self._client = self._client, None
        if client is not None:
            await closed(stop_client(client), self._settings)
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
        super().__init__(bootstrap, "reader", None, settings)
        self._start = dict(start)
        self._isolation = "read_committed" if read_committed else "read_uncommitted"

    async def start(self) -> None:
        """Connect and take the positions up."""
        self._client = client = await connected(self._make, stop_client, self._bootstrap, self._settings)
        self._turns.tell_at_once(client._fetcher)
        try:
            async with translated("asking for leaders", self._settings.request_timeout_seconds):
                await knows(client, {place.topic for place in self._start})
            unnamed = [place for place, offset in self._start.items() if offset is None]
            first = await self.beginning_offsets(unnamed) if unnamed else {}
        except BaseException:  # who is cancelled here has nothing yet that he could stop
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

    async def fetch(self, max_records: int, timeout_seconds: float) -> dict[TopicPartition, list[Record]]:
        """Take what there is, waiting at most this long for a first record."""
        self._look(answered=self._ids.answered)
        return await super().fetch(max_records, timeout_seconds)

    def _make(self) -> AIOKafkaConsumer:
        client = AIOKafkaConsumer(
            group_id=None,
            isolation_level=self._isolation,
            **consumer_options(self._settings, len(self._start)),
            **self._options,
        )
        self._take_turns(client)
        return client


async def stop_client(client: AIOKafkaConsumer) -> None:
    """Stop aiokafka's consumer, its connections and fetches too where its own `stop` is broken off half-way."""
    try:
        await leave_in_mid_join(client)
        await client.stop()
    finally:
        for fetch in getattr(client._fetcher, "_pending_tasks", ()):
            fetch.cancel()
        await client._client.close()


def consumer_options(settings: KafkaClientSettings, partitions: int) -> dict[str, Any]:
    """The arguments of every consumer of aiokafka that reads so many partitions."""
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
