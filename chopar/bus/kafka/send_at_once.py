"""Writes what is to be sent in the turn of the loop in which it is handed over, where nothing of it has to wait.

aiokafka hands a batch to its sender: that is woken, looks for what is to be sent, begins a task for each broker, and
is woken once more when the task has ended, as is each future that stands for the batch. So a lone record waits for four
turns of the loop until it is written, and for as many after its acknowledgement. A gateway and a holder do that twice
each for one demand, one after the other.

If nothing else is under way, and it is known who leads, all that is a call: here. Numbers are aiokafka's, and so is
whatever does not go well: an answer that is an error, or none, is handed to its own handler, which judges it and sends
again. What does not fit (a first send, another under way, a leader unknown) goes the usual way. The upstream cure is
the same: `Sender` drains where it is called, and a task stands only for what is sent again.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.client import ConnectionGroup
from aiokafka.conn import CloseReason
from aiokafka.errors import KafkaError, RequestTimedOutError
from aiokafka.producer.message_accumulator import MessageBatch
from aiokafka.producer.sender import SendProduceReqHandler

from chopar.bus.kafka.frames import PRODUCE_VERSION, Produce


class Flight:
    """One request to one broker.

    Args:
        client: the producer.
        node: the broker.
        judges: who judge what did not go well.
    """

    def __init__(self, client: AIOKafkaProducer, node: Any, judges: "_Judges") -> None:
        self.node = node
        self.answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the broker has answered, or does not."""
        self.builders: dict[Any, Any] = {}
        """Closed batches by partition."""
        self.delivered: dict[Any, tuple[int, int]] = {}
        """Offset and time of each; nothing, if not all went well."""
        self.judged: dict[Any, asyncio.Future[Any]] = {}
        """Then what the delivery of each gives, as aiokafka's futures do."""
        self._client = client
        self._judges = judges
        self._late: asyncio.TimerHandle | None = None

    def begin(self, connection: Any) -> None:
        """Write it."""
        transactions, sender = self._client._txn_manager, self._client._sender
        topics: dict[str, list[tuple[int, Any]]] = {}
        for place, builder in self.builders.items():
            builder._set_producer_state(
                transactions.producer_id, transactions.producer_epoch, transactions.sequence_number(place)
            )
            transactions.increment_sequence_number(place, builder.record_count())
            topics.setdefault(place.topic, []).append((place.partition, builder._build()))
        sender._in_flight.add(self.node)
        sender._muted_partitions.update(self.builders)
        loop = asyncio.get_running_loop()
        request = Produce(sender._acks, sender._request_timeout_ms, topics)
        try:
            connection.send(request).close()  # it would wait in a task, and we do by a callback
        except KafkaError as error:
            response: asyncio.Future[Any] = loop.create_future()
            response.set_exception(error)
        else:
            response = connection._requests[-1][2]
            self._late = loop.call_later(connection._request_timeout, _too_late, connection, response)
        response.add_done_callback(self._answered)

    def _answered(self, response: asyncio.Future[Any]) -> None:
        if self._late is not None:
            self._late.cancel()
        if response.exception() is None:
            topics = response.result().topics
            if not any(one[1] for _, partitions in topics for one in partitions):
                self.delivered = {
                    (topic, one[0]): (one[2], one[3]) for topic, partitions in topics for one in partitions
                }
        if len(self.delivered) == len(self.builders):
            self._over()
        elif not self._judges.gone:
            self._have_judged(response)
        if not self.answer.done():  # who waited may have been cancelled
            self.answer.set_result(None)

    def _have_judged(self, response: asyncio.Future[Any]) -> None:
        """Hand it over as if aiokafka had sent it."""
        self.delivered = {}
        accumulator = self._client._message_accumulator
        batches: dict[Any, Any] = {}
        for place, builder in self.builders.items():
            batch = batches[place] = MessageBatch(place, builder, accumulator._batch_ttl, accumulator._linger_time)
            batch.drain_ready()
            accumulator._pending_batches.add(batch)
            batch.future.add_done_callback(lambda _, batch=batch: accumulator._pending_batches.discard(batch))
            self.judged[place] = batch.future
        self._judges.begin(self._judge(batches, response))

    async def _judge(self, batches: dict[Any, Any], response: asyncio.Future[Any]) -> None:
        handler = SendProduceReqHandler(self._client._sender, batches)
        handler._client = _Answered(self._client.client, response)
        try:
            await handler.do(self.node)
        finally:
            self._over()

    def _over(self) -> None:
        sender, accumulator = self._client._sender, self._client._message_accumulator
        sender._in_flight.discard(self.node)
        sender._muted_partitions.difference_update(self.builders)
        if accumulator._batches and not accumulator._waiter_future.done():
            accumulator._waiter_future.set_result(None)  # the sender goes on with what has come meanwhile


class _Judges:
    """The tasks in which aiokafka's handlers judge, and send again."""

    def __init__(self) -> None:
        self.gone = False
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, judging: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(judging)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def go(self) -> None:
        self.gone = True
        for task in self._tasks:
            task.cancel()


class SendAtOnce:
    """Writes the batches of one producer.

    Args:
        client: an idempotent producer that has started.
    """

    def __init__(self, client: AIOKafkaProducer) -> None:
        self._client = client
        self._flights: list[Flight] = []
        self._judges = _Judges()

    def is_free(self) -> bool:
        """Whether nothing is under way, and the producer works: else `write` is not to be called."""
        sender, accumulator = self._client._sender, self._client._message_accumulator
        if sender._in_flight or accumulator._batches or accumulator._closed or accumulator._exception is not None:
            return False
        works = sender._sender_task is not None and not sender._sender_task.done()
        return works and bool(self._client._txn_manager.has_pid())

    def write(self, builders: Mapping[Any, Any]) -> list[Flight] | None:
        """Write closed batches, one of each partition; None if they are to go the usual way, and nothing was done."""
        client = self._client
        found: dict[Any, tuple[Any, Flight]] = {}
        for place, builder in builders.items():
            node = client.client.cluster.leader_for_partition(place)
            if node not in found:
                connection = client.client._conns.get((node, ConnectionGroup.DEFAULT))
                if connection is None or not connection.connected() or not _speaks(connection):
                    return None
                found[node] = connection, Flight(client, node, self._judges)
            found[node][1].builders[place] = builder
        self._flights = [flight for _, flight in found.values()]
        for connection, flight in found.values():
            flight.begin(connection)
        return self._flights

    async def land(self) -> None:
        """Wait for what is on its way; for as long as it takes."""
        for flight in self._flights:
            await asyncio.wait([flight.answer])

    def give_up(self) -> None:
        """Send nothing again: what is on its way and does not go well is undelivered."""
        self._judges.go()


def _speaks(connection: Any) -> bool:
    least, most = connection._versions.get(Produce.API_KEY, (0, -1))
    return bool(least <= PRODUCE_VERSION <= most)


def _too_late(connection: Any, response: asyncio.Future[Any]) -> None:
    if not response.done():
        response.set_exception(RequestTimedOutError())
    connection.close(reason=CloseReason.CONNECTION_TIMEOUT)  # the next request opens it anew


class _Answered:
    """aiokafka's client, for a request that was sent before."""

    def __init__(self, client: Any, response: asyncio.Future[Any]) -> None:
        self._client = client
        self._response = response

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def send(self, node: Any, request: Any) -> Any:
        return await self._response
