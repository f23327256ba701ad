"""An agency that asks and waits: send a demand, get the resolution at once and the evidence as it arrives.

    bus = KafkaBus("127.0.0.1:19092")
    registry = HttpSchemaRegistry("http://127.0.0.1:18081")  # close it by `aclose`
    async with Requester("some-agency", bus, registry) as requester:
        exchange = await requester.demand(procedure="some-procedure", subject=PersonId("..."), documents=["some-paper"])
        async for event in exchange:
            ...

What is under way lives as long as this process; what has to outlive it is `durable_requester`'s. One reader
serves all demands: it joins no consumer group, and reads both answer topics from the end that was asked for before the
first demand was sent. What records mean is `exchange`'s.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self
from uuid import UUID
from weakref import WeakValueDictionary

from chopar.bus.port import Bus, Reader, Record, TopicPartition, partition_of
from chopar.errors import ChoparError, StopError, TooLargeError, UnavailableError
from chopar.identifiers import AgencyId, DataSubject, uuid7
from chopar.messages.demand import Demand, DemandedDocument
from chopar.requester.completion import Undelivered
from chopar.requester.demand_sender import CLOCKS_APART, DemandSender, subject
from chopar.requester.disputes import Objection
from chopar.requester.exchange import Event, Exchange
from chopar.schema_registry import SchemaRegistry
from chopar.topics import DEMAND_RESOLVED, EVIDENCE_PROVIDED, PARTITIONS

__all__ = ["Event", "Exchange", "Objection", "Requester", "Undelivered", "subject"]

_BATCH = 500
_LISTEN_SECONDS = 0.5
_AGAIN_SECONDS = 0.5


class Requester(DemandSender):
    """An agency that asks and waits.

    Args:
        agency: its id; also in the names of its topics.
        bus: where it asks.
        registry: where schema ids come from.
        monotonic: seconds that never step back; only measures how long an exchange takes.
        ask_next: whether the next holder of a document is asked where one has no record (`alternatives`).
        more: `files`, `clock` and `random_bits`, as of `DemandSender`.
    """

    def __init__(
        self,
        agency: str,
        bus: Bus,
        registry: SchemaRegistry,
        *,
        monotonic: Callable[[], float] = time.perf_counter,
        ask_next: bool = True,
        **more: Any,
    ) -> None:
        super().__init__(agency, bus, registry, **more)
        self._ask_next = ask_next
        self._monotonic = monotonic
        self._listener = _Listener(bus, self.agency, self._clock)

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            BrokerUnavailableError, SchemaRegistryUnavailableError: one does not answer.
        """
        await self._connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._listener.stop()
        await self._producer.stop()

    async def demand(
        self,
        *,
        procedure: str,
        subject: DataSubject,
        documents: Sequence[str | DemandedDocument],
        **more: Any,
    ) -> Exchange:
        """Compose a demand, send it and follow it; `more` as of `compose`.

        Raises:
            UndecodableError: it is not a valid message.
            ChoparError: as of `send`.
        """
        return await self.send(self._composed(subject, documents, procedure=procedure, **more))

    async def send(self, demand: Demand) -> Exchange:
        """Send a demand and follow it. When this returns the broker has acknowledged it.

        Raises:
            TooLargeError: more than 256 KiB; nothing was sent.
            DeliveryError: not acknowledged; send the same demand again, it is answered once.
            BrokerUnavailableError: no broker answers.
        """
        [sent] = await self.send_all([demand])
        if isinstance(sent, ChoparError):
            raise sent
        return sent

    async def send_all(self, demands: Sequence[Demand]) -> list[Exchange | ChoparError]:
        """Send many demands at once; each is followed, or not acknowledged.

        Returns:
            One entry per demand, in order: its exchange, or why it was not acknowledged (as of `send`).

        Raises:
            TooLargeError: one has more than 256 KiB; nothing was sent.
            BrokerUnavailableError: no broker answers.
        """
        values = [self._encoded(demand) for demand in demands]
        await self._listener.start()
        began = self._monotonic()
        exchanges = [self._exchange(demand, value, began) for demand, value in zip(demands, values, strict=True)]
        try:
            results = await self._deliver(
                [(one.demand_id, value) for one, value in zip(exchanges, values, strict=True)]
            )
        except BaseException:
            for exchange in exchanges:
                self._listener.leave(exchange)
            raise
        told: list[Exchange | ChoparError] = []
        for exchange, value, result in zip(exchanges, values, results, strict=True):
            if not isinstance(result, ChoparError):
                told.append(exchange)
                continue
            self._listener.leave(exchange)
            if isinstance(result, TooLargeError):
                result = TooLargeError(f"the demand has {len(value)} bytes, more than its topic takes")
            told.append(result)
        return told

    async def take_up(self, value: bytes, answers: Sequence[Record]) -> Exchange:
        """The exchange of a demand that was sent before, by this process or another, to dispute what was answered.

        Args:
            value: the demand's bytes, as they were sent.
            answers: the records of its key that lie on the agency's topics, in the order of each topic.

        Raises:
            RecordError: it is no demand.
            UnavailableError: the schema registry does not answer.
        """
        demand = await self._decoder.message(value, Demand)
        began = self._monotonic()
        exchange = Exchange(demand, value, self._decoder, lambda: self._monotonic() - began, self._listener.leave)
        await exchange.catch_up(answers)
        return exchange

    async def dispute(self, exchange: Exchange, objection: Objection) -> UUID:
        """Dispute an answer, and follow its exchange again: iterate it for what the holder says.

        That is a `Delivered` with `supersedes`, or an `Upheld`. When this returns the broker has acknowledged the
        dispute.

        Returns:
            The id of the dispute.

        Raises:
            NotFoundError: no answer to this document was accepted, or the demand has expired.
            UndecodableError: it is not a valid message.
            DeliveryError: not acknowledged; dispute again, a holder that looks twice says the same.
            BrokerUnavailableError: no broker answers.
            SchemaRegistryUnavailableError: the exchange does not know disputes yet.
        """
        now = self._clock()
        answered = exchange.answering(objection)
        message = answered.disputed(objection, uuid7(now, self._random_bits(74)), now)
        await self._listener.start()
        for one in (exchange, answered):
            one.reopen()
            self._listener.follow(one)
        answered.await_dispute(message.dispute_id)
        try:
            await self._send_dispute(message)
        except BaseException:
            answered.forget_dispute(message.dispute_id)
            raise
        return message.dispute_id

    def _exchange(self, demand: Demand, value: bytes, began: float) -> Exchange:
        ask = self.send if self._ask_next else None
        exchange = Exchange(demand, value, self._decoder, lambda: self._monotonic() - began, self._listener.leave, ask)
        self._listener.follow(exchange)
        return exchange


class _Listener:
    """The one reader of a process: hands each record to the exchange of its key, and knows when demands expire."""

    def __init__(self, bus: Bus, agency: AgencyId, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        topics = (DEMAND_RESOLVED.of(agency), EVIDENCE_PROVIDED.of(agency))
        self._places = [TopicPartition(topic, number) for topic in topics for number in range(PARTITIONS)]
        self._bus = bus
        self._reader: Reader | None = None
        self._task: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        # Weak: who has dropped an exchange without closing it waits for nothing.
        self._exchanges: WeakValueDictionary[bytes, Exchange] = WeakValueDictionary()
        self._expires_first: datetime | None = None
        """No demand that is not `_expired` expires before it; None: there is none."""
        self._expired: WeakValueDictionary[bytes, Exchange] = WeakValueDictionary()
        self._ends: dict[TopicPartition, int] | None = None
        """Asked for after expiry of all of `_expired`."""

    async def start(self) -> None:
        """Begin to read at the present ends; nothing happens if it has begun.

        Raises:
            BrokerUnavailableError: no broker answers.
            StopError: reading has ended, because what was not read yet is gone.
        """
        async with self._starting:
            if self._task is not None:
                if self._task.done():
                    self._task.result()
                return
            reader = self._bus.reader(dict.fromkeys(self._places))
            await reader.start()
            try:
                for place, end in (await reader.end_offsets(self._places)).items():
                    reader.seek(place, end)
            except BaseException:
                await reader.stop()
                raise
            self._reader = reader
            self._task = asyncio.create_task(self._listen())
            self._task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Close all exchanges, and stop reading."""
        for exchange in list(self._exchanges.values()):
            await exchange.aclose()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._reader is not None:
            await self._reader.stop()
        self._task = self._reader = None

    def follow(self, exchange: Exchange) -> None:
        """Give this one its records from now on."""
        self._exchanges[exchange.key] = exchange
        expires_at = exchange.demand.expires_at
        if self._expires_first is None or expires_at < self._expires_first:
            self._expires_first = expires_at

    def leave(self, exchange: Exchange) -> None:
        """It takes no more."""
        if self._exchanges.get(exchange.key) is exchange:
            del self._exchanges[exchange.key]

    async def _listen(self) -> None:
        renew = False
        while self._reader is not None:
            try:
                if renew:
                    await self._renew(self._reader)
                renew = False
                await self._once(self._reader)
            except UnavailableError as error:
                self._fail(error)
                renew = True  # a client may not find its way back to a broker that is there again
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _renew(self, former: Reader) -> None:
        """Go on with another reader, from where this one stands."""
        reader = self._bus.reader({place: former.position(place) for place in self._places})
        await reader.start()
        self._reader = reader  # `stop` ends this one, also where it cancels what follows
        await former.stop()

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._fail(error if isinstance(error, ChoparError) else StopError("reading answers has ended"))

    async def _once(self, reader: Reader) -> None:
        for records in (await reader.fetch(_BATCH, _LISTEN_SECONDS)).values():
            for record in records:
                exchange = self._exchanges.get(record.key or b"")
                if exchange is not None and record.value is not None:
                    exchange.take(record)
        if self._expires_first is not None and self._clock() >= self._expires_first + CLOCKS_APART:
            self._note_expired()
        if self._expired:
            await self._end_expired(reader)

    def _note_expired(self) -> None:
        now = self._clock() - CLOCKS_APART
        expired = {key: one for key, one in self._exchanges.items() if one.demand.expires_at <= now}
        later = [one.demand.expires_at for one in self._exchanges.values() if one.demand.expires_at > now]
        self._expires_first = min(later, default=None)
        if expired.keys() - self._expired.keys():
            self._expired.update(expired)
            self._ends = None

    async def _end_expired(self, reader: Reader) -> None:
        """The ends are asked for once: on a busy partition a newer end would always lie ahead."""
        if self._ends is None:
            self._ends = await reader.end_offsets(self._places)
        behind = {place.partition for place, end in self._ends.items() if reader.position(place) < end}
        for key, exchange in list(self._expired.items()):
            if partition_of(key, PARTITIONS) not in behind:
                exchange.read_to_end()
                del self._expired[key]

    def _fail(self, error: ChoparError) -> None:
        for exchange in list(self._exchanges.values()):
            exchange.fail(error)
