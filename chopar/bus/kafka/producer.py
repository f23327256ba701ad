"""Producers on Kafka: one batch per partition and send, idempotent, every delivery awaited under a deadline.

After a failed delivery an idempotent producer of aiokafka may fail for good (out of order sequence), so it is thrown
away and the next send builds a new one. A fenced producer is never rebuilt here: that would fence its successor.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidProducerEpoch,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFenced,
    RecordListTooLargeError,
    UnknownTopicOrPartitionError,
)

from chopar.bus.dead_letter import LARGEST_BYTES
from chopar.bus.kafka.connection import KafkaClientSettings, closed, connected, foreign_cancellation, place_of
from chopar.bus.kafka.send_at_once import SendAtOnce
from chopar.bus.port import Outgoing, Sent, TopicPartition, size_bytes
from chopar.errors import (
    ChoparError,
    DeliveryError,
    FencedError,
    NoSuchTopicError,
    TooLargeError,
    UnavailableError,
)
from chopar.topics import DEAD_LETTER_SUFFIX

_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
_UNKNOWN_TOPIC_SECONDS = 2.0  # a topic made a moment ago is known after one metadata refresh
_ASK_AGAIN_SECONDS = 0.1

_Results = list[Sent | ChoparError]


class _Batch:
    """A batch of one partition under construction, then on its way."""

    __slots__ = ("append", "builder", "delivered", "error", "future", "indices", "place")

    def __init__(self, place: TopicPartition, builder: Any) -> None:
        self.place = place
        self.builder = builder
        self.append = builder.append
        self.indices: list[int] = []
        self.future: asyncio.Future[Any] | None = None
        self.error: BaseException | None = None
        self.delivered: tuple[int, int] | None = None
        """First offset and time, where no future stands for it."""


class KafkaProducer:
    """A producer; see the port."""

    def __init__(self, bootstrap: str, name: str, settings: KafkaClientSettings) -> None:
        self._bootstrap = bootstrap
        self._name = name
        self._settings = settings
        self._client: AIOKafkaProducer | None = None
        self._at_once: SendAtOnce | None = None
        self._broken = False
        self._missing: set[str] = set()
        """Topics that were waited for in vain; they are asked for with each record, and not waited for again."""

    async def start(self) -> None:
        """Connect; tried until the deadline."""
        self._client = await connected(self._make, _abort, self._bootstrap, self._settings)
        self._at_once = SendAtOnce(self._client)
        self._broken = False

    async def stop(self) -> None:
        """Flush and disconnect; what was not acknowledged in time is dropped."""
        client, self._client = self._client, None
        at_once, self._at_once = self._at_once, None
        if client is not None:
            if self._broken and at_once is not None:
                at_once.give_up()
            elif at_once is not None:
                await closed(at_once.land(), self._settings)
            await closed(_abort(client) if self._broken else _stop(client), self._settings)
            if at_once is not None:
                at_once.give_up()

    async def send(self, records: Sequence[Outgoing]) -> _Results:
        """Send in batches and await every delivery."""
        results: dict[int, Sent | ChoparError] = {}
        deadline = asyncio.get_running_loop().time() + self._settings.delivery_deadline_seconds
        batches = await self._sent_at_once(records, results)
        if batches is not None and all(batch.delivered is not None for batch in batches):
            self._take(batches, results)
        else:
            try:
                async with asyncio.timeout_at(deadline):
                    with foreign_cancellation():
                        await self._deliver(records, batches, results)
            except (TimeoutError, KafkaError):
                self._broken = True
            except UnavailableError as error:
                return [results.get(index, DeliveryError(str(error))) for index in range(len(records))]
        if len(results) < len(records):
            self._broken = True
        late = DeliveryError(f"not acknowledged within {self._settings.delivery_deadline_seconds:.0f} s")
        return [results.get(index, late) for index in range(len(records))]

    async def _sent_at_once(
        self, records: Sequence[Outgoing], results: dict[int, Sent | ChoparError]
    ) -> list[_Batch] | None:
        """Batches that the broker has answered, well or not; None if nothing was sent: then it goes the usual way."""
        if self._broken or self._client is None or self._at_once is None or not self._at_once.is_free():
            return None
        made = self._build(self._client, records, range(len(records)), results)
        batches = {place_of(batch.place): batch for batch in made}
        if len(batches) < len(made):
            return None
        for batch in made:
            batch.builder.close()
        flights = self._at_once.write({place: batch.builder for place, batch in batches.items()})
        if flights is None:
            return None
        for flight in flights:
            await flight.answer  # within the time of a request
        for flight in flights:
            for place, delivered in flight.delivered.items():
                batches[place].delivered = delivered
            for place, future in flight.judged.items():
                batches[place].future = future
        return made

    async def _deliver(
        self, records: Sequence[Outgoing], sent: Sequence[_Batch] | None, results: dict[int, Sent | ChoparError]
    ) -> None:
        """Send, or where that was done, wait for what is sent once more."""
        if sent is not None:
            batches = sent
            await _judged(sent)
        else:
            client = await self._usable()
            batches = self._build(client, records, range(len(records)), results)
            await _fly(client, batches, self._missing)
        again = self._take(batches, results)
        if again:
            await self._one_by_one(records, again, results)

    def _make(self) -> AIOKafkaProducer:
        settings = self._settings
        return AIOKafkaProducer(
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=settings.max_batch_bytes,
            max_request_size=max(settings.max_record_bytes, LARGEST_BYTES),
            **settings.common(self._bootstrap, self._name),
        )

    async def _usable(self) -> AIOKafkaProducer:
        if self._broken or self._client is None:
            await self._renew()
        assert self._client is not None
        return self._client

    async def _renew(self) -> None:
        self._broken = True
        await self.stop()
        await self.start()

    def _build(
        self,
        client: AIOKafkaProducer,
        records: Sequence[Outgoing],
        indices: Sequence[int],
        results: dict[int, Sent | ChoparError],
    ) -> list[_Batch]:
        """Put records into batches, each partition's in order; what is too large gets its result at once."""
        batches: list[_Batch] = []
        current: dict[tuple[str, int], _Batch] = {}
        half = self._settings.max_record_bytes // 2
        for index in indices:
            topic, partition, key, value, headers = records[index]
            if len(value or b"") + len(key or b"") + len(headers) * 64 > half:
                size = size_bytes(records[index])
                limit = LARGEST_BYTES if topic.endswith(DEAD_LETTER_SUFFIX) else self._settings.max_record_bytes
                if size > limit:
                    results[index] = TooLargeError(f"{size} bytes; {limit} are the most that one record may have")
                    continue
            place = topic, partition
            batch = current.get(place)
            if batch is not None and batch.append(timestamp=None, key=key, value=value, headers=[*headers]) is not None:
                batch.indices.append(index)
            else:
                batch = current[place] = _Batch(TopicPartition(topic, partition), client.create_batch())
                batches.append(batch)
                _append(batch, index, key, value, headers)  # an empty batch takes any record
        return batches

    def _take(self, batches: Sequence[_Batch], results: dict[int, Sent | ChoparError]) -> list[int]:
        """Turn deliveries into results; gives the records to be sent once more, one by one."""
        cut: set[TopicPartition] = set()
        again: list[int] = []
        for batch in batches:
            error = batch.error
            if batch.future is not None:
                error = batch.future.exception()
                if error is None:
                    metadata = batch.future.result()
                    batch.delivered = metadata.offset, metadata.timestamp
            if batch.delivered is not None:
                offset, stamp = batch.delivered
                for index in batch.indices:
                    results[index] = Sent(offset, stamp)
                    offset += 1
                continue
            if isinstance(error, _TOO_LARGE) or batch.place in cut:
                # The broker refused a batch; those behind it in the partition only failed for their sequence.
                cut.add(batch.place)
                again += batch.indices
                continue
            self._broken = self._broken or batch.future is not None  # else it was never handed over
            kind = NoSuchTopicError if isinstance(error, UnknownTopicOrPartitionError) else DeliveryError
            reason = f"{batch.place.topic}-{batch.place.partition}: {type(error).__name__}"
            for index in batch.indices:
                results[index] = kind(reason)
        return again

    async def _one_by_one(
        self, records: Sequence[Outgoing], indices: Sequence[int], results: dict[int, Sent | ChoparError]
    ) -> None:
        """Find the record that the broker takes for too large; each refusal costs a producer."""
        failed: set[TopicPartition] = set()
        self._broken = True
        for index in indices:
            record = records[index]
            place = TopicPartition(record.topic, record.partition)
            if place in failed:
                results[index] = DeliveryError("a record before it was not acknowledged")
                continue
            client = await self._usable()
            batches = self._build(client, records, [index], results)
            await _fly(client, batches, self._missing)
            if self._take(batches, results):
                self._broken = True
                results[index] = TooLargeError(f"{size_bytes(record)} bytes; topic {record.topic} takes less")
            elif not isinstance(results[index], Sent | TooLargeError):
                failed.add(place)


async def _judged(batches: Sequence[_Batch]) -> None:
    """Wait for what is sent once more, as its answer was bad or none."""
    for batch in batches:
        if batch.future is None and batch.delivered is None:
            batch.error = KafkaError("the producer was given up")
    flying = [batch.future for batch in batches if batch.future is not None]
    for future in flying:
        future.add_done_callback(_look)  # it may fail when nobody waits for it any longer
    if flying:
        await asyncio.wait(flying)


def _append(batch: _Batch, index: int, key: bytes | None, value: bytes | None, headers: Sequence[Any]) -> bool:
    if batch.append(timestamp=None, key=key, value=value, headers=list(headers)) is None:
        return False
    batch.indices.append(index)
    return True


async def _fly(client: AIOKafkaProducer, batches: Sequence[_Batch], missing: set[str]) -> None:
    """Hand batches over, first those that are first in their partition, and await all.

    Args:
        client: sends them.
        batches: those of one partition in order.
        missing: topics that were not there when they were asked for last; added to.
    """
    rounds: dict[TopicPartition, int] = {}
    numbered: list[tuple[int, _Batch]] = []
    for batch in batches:
        number = rounds[batch.place] = rounds.get(batch.place, -1) + 1
        numbered.append((number, batch))
    numbered.sort(key=lambda pair: pair[0])
    cluster = client.client.cluster
    asked: set[str] = set()
    for _, batch in numbered:
        batch.builder.close()
        topic, partition = batch.place
        try:
            if cluster.partitions_for_topic(topic) is None and topic not in asked:
                asked.add(topic)
                await _find(client, topic, missing)
            if partition not in (cluster.partitions_for_topic(topic) or ()):
                raise UnknownTopicOrPartitionError
            batch.future = await client.send_batch(batch.builder, batch.place.topic, partition=batch.place.partition)
            batch.future.add_done_callback(_look)  # it may fail when nobody waits for it any longer
        except (KafkaError, AssertionError) as error:
            batch.error = error
    flying = [batch.future for batch in batches if batch.future is not None]
    if flying:
        await asyncio.wait(flying)


async def _find(client: AIOKafkaProducer, topic: str, missing: set[str]) -> None:
    """Ask the broker for a topic; wait a little for it, if it was not asked for before.

    Raises:
        KafkaError: no broker answered, so nobody knows whether there is such a topic.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + (0 if topic in missing else _UNKNOWN_TOPIC_SECONDS)
    client.client.add_topic(topic)
    while True:
        answered = await client.client.force_metadata_update()
        if client.client.cluster.partitions_for_topic(topic) is not None:
            missing.discard(topic)
            return
        if loop.time() >= deadline:
            break
        await asyncio.sleep(_ASK_AGAIN_SECONDS)
    if not answered:
        raise KafkaError("no broker says which topics there are")
    missing.add(topic)


def _look(future: asyncio.Future[Any]) -> None:
    """Look at a failure, for else asyncio complains, much later, about errors that nobody retrieved."""
    if not future.cancelled():
        future.exception()


async def _stop(client: AIOKafkaProducer) -> None:
    """Stop aiokafka's producer, its connections too where its own `stop` is broken off half-way."""
    try:
        await client.stop()
    finally:
        await client.client.close()


async def _abort(client: AIOKafkaProducer) -> None:
    """Disconnect without waiting for what may never be acknowledged (aiokafka's own stop would)."""
    sender, accumulator = client._sender, client._message_accumulator
    with contextlib.suppress(KafkaError), foreign_cancellation():
        await sender.close()
    left = [batch for batches in accumulator._batches.values() for batch in batches] + [*accumulator._pending_batches]
    accumulator._pending_batches.update(left)  # where one that waits for its second try looks for itself when it fails
    accumulator.fail_all(KafkaError("the producer was given up"))
    await _stop(client)
    futures = [future for batch in left for future in (batch.future, batch._drain_waiter)]
    for future in [*futures, getattr(client._txn_manager, "_transaction_waiter", None)]:
        if future is not None and future.done():
            _look(future)


class FencedKafkaProducer:
    """A producer with a transactional id: one send is one transaction, and only the newest incarnation may write."""

    def __init__(self, bootstrap: str, transactional_id: str, settings: KafkaClientSettings) -> None:
        self._bootstrap = bootstrap
        self._transactional_id = transactional_id
        self._settings = settings
        self._client: AIOKafkaProducer | None = None
        self._spoiled = False
        self._fenced = False

    async def start(self) -> None:
        """Connect, and fence older incarnations."""
        self._client = await connected(self._make, _abort, self._bootstrap, self._settings)

    async def stop(self) -> None:
        """Disconnect; a transaction under way is aborted by the broker."""
        client, self._client = self._client, None
        if client is not None:
            await closed(_abort(client), self._settings)

    async def send(self, records: Sequence[Outgoing]) -> _Results:
        """Write all of it or nothing.

        Raises:
            FencedError: a newer incarnation has started.
        """
        if self._fenced:
            raise FencedError("a newer incarnation of this writer has started")
        client = self._client
        if client is None or self._spoiled:
            return [DeliveryError("this writer has failed before; it must be made anew") for _ in records]
        sizes = [size_bytes(record) for record in records]
        limit = self._settings.max_record_bytes
        if any(size > limit for size in sizes):
            return [
                TooLargeError(f"{size} bytes; {limit} are the most that one record may have")
                if size > limit
                else DeliveryError("another record of the transaction is too large")
                for size in sizes
            ]
        if not records:
            return []
        try:
            async with asyncio.timeout(self._settings.delivery_deadline_seconds):
                with foreign_cancellation():
                    return await self._transaction(client, records)
        except (ProducerFenced, InvalidProducerEpoch) as error:
            self._fenced = True
            raise FencedError("a newer incarnation of this writer has started") from error
        except _TOO_LARGE:
            self._spoiled = True
            return [
                TooLargeError(f"{size} bytes, in a transaction that the broker takes for too large") for size in sizes
            ]
        except (KafkaError, AssertionError, TimeoutError) as error:
            self._spoiled = True
            return [DeliveryError(f"the transaction was not carried through: {type(error).__name__}") for _ in records]

    def _make(self) -> AIOKafkaProducer:
        settings = self._settings
        return AIOKafkaProducer(
            acks="all",
            linger_ms=0,
            transactional_id=self._transactional_id,
            transaction_timeout_ms=int(settings.transaction_timeout_seconds * 1000),
            max_batch_size=settings.max_batch_bytes,
            max_request_size=max(settings.max_record_bytes, LARGEST_BYTES),
            **settings.patient(self._bootstrap, self._transactional_id),
        )

    async def _transaction(self, client: AIOKafkaProducer, records: Sequence[Outgoing]) -> _Results:
        await client.begin_transaction()
        batches: list[_Batch] = []
        current: dict[TopicPartition, _Batch] = {}
        for index, record in enumerate(records):
            place = TopicPartition(record.topic, record.partition)
            batch = current.get(place)
            if batch is None or not _append(batch, index, record.key, record.value, record.headers):
                batch = current[place] = _Batch(place, client.create_batch())
                batches.append(batch)
                _append(batch, index, record.key, record.value, record.headers)
        await _fly(client, batches, set())
        # Each delivery is looked at before the commit: aiokafka commits a transaction in which a send failed.
        errors = [batch.error or (batch.future.exception() if batch.future else None) for batch in batches]
        for error in errors:
            if error is not None:
                raise error
        await client.commit_transaction()
        results: dict[int, Sent | ChoparError] = {}
        for batch in batches:
            assert batch.future is not None
            metadata = batch.future.result()
            for number, index in enumerate(batch.indices):
                results[index] = Sent(metadata.offset + number, metadata.timestamp)
        return [results[index] for index in range(len(records))]
