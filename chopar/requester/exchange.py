"""One demand under way, in memory: records of it come in, what they mean is told in the order in which it counts.

Where a holder has no record and the directory names another, the exchange asks that one by a demand of its own, and is
complete when that one is. Who reads the topics is `requester`; the rule of what counts is `completion`'s,
who is asked next `alternatives`'.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import takewhile
from types import TracebackType
from typing import Any, Self, TypeAlias
from uuid import UUID

import structlog

from chopar.bus.port import Record
from chopar.errors import (
    ChoparError,
    RecordError,
    SchemaNotYetKnownError,
    SchemaRegistryUnavailableError,
    TooLargeError,
)
from chopar.messages.demand import Demand, DemandResolved
from chopar.messages.dispute import EvidenceCorrected, EvidenceDisputed, EvidenceUpheld
from chopar.messages.evidence import EvidenceUnavailable
from chopar.requester.alternatives import following
from chopar.requester.answer_times import clock_apart, say_apart
from chopar.requester.completion import (
    SAID,
    Answered,
    Completion,
    Delivered,
    Rejected,
    Repeated,
    Said,
    Undelivered,
    Upheld,
)
from chopar.requester.disputes import Objection, answers_to, disputed
from chopar.schema_registry import Decoder
from chopar.topics import DEMAND_RESOLVED

_AGAIN_SECONDS = 0.5
"""How often a record that cannot be read yet is tried again."""

_log = structlog.get_logger()

Event: TypeAlias = DemandResolved | Delivered | Upheld | Rejected | Undelivered


class Exchange:
    """One demand under way. Iterate it for what arrives; it ends, and takes no more, when the demand is complete.

    After a dispute (`Requester.dispute`) it goes on until the dispute is answered, or the demand has expired. Leave
    it early by `aclose`, or by leaving it as a context; its requester closes what was left open.
    """

    def __init__(
        self,
        demand: Demand,
        value: bytes,
        decoder: Decoder,
        elapsed_seconds: Callable[[], float],
        closed: "Callable[[Exchange], None]",
        ask: "Callable[[Demand], Awaitable[Exchange]] | None" = None,
    ) -> None:
        self.demand = demand
        self.key = str(demand.demand_id).encode()
        """Of the records of this demand."""
        self.elapsed_seconds = elapsed_seconds
        """How long ago the demand was handed to the bus."""
        self._value = value
        self._completion = Completion(value, demand.expires_at)
        self._decoder = decoder
        self._tell_closed = closed
        self._closed = False
        self._read_to_end = False
        self._expired = False
        self._disputes: set[UUID] = set()
        """Those that are not answered yet."""
        self._waiting: list[Record] = []
        """Records of this demand that were read and not dealt with: resolutions, then answers, each as they came."""
        self._noted: list[Record] = []
        """Those of which it was logged that they cannot be read yet."""
        self._events: deque[Event] = deque()
        self._failure: ChoparError | None = None
        self._news = asyncio.Event()
        self._ask = ask
        """Sends a demand that follows this one; None: nobody else is asked."""
        self._to_ask: list[Demand] = []
        self._followings: list[Exchange] = []

    @property
    def demand_id(self) -> UUID:
        """The id of the demand."""
        return self.demand.demand_id

    @property
    def complete(self) -> bool:
        """Whether every document and every dispute has its end, and all of it was told."""
        ended = (self._completion.complete and not self._disputes) or self._expired
        told = not self._events and not self._to_ask
        return ended and told and all(one.complete for one in self._followings)

    @property
    def resolution(self) -> DemandResolved | None:
        """The gateway's answer that counts, if it has come."""
        return self._completion.resolved

    @property
    def followings(self) -> "tuple[Exchange, ...]":
        """The demands by which the next holders were asked. What they are answered is told as if it were this one's."""
        return tuple(self._followings)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Take no more; an iteration that is under way ends."""
        self._closed = True
        self._tell_closed(self)
        for one in self._followings:
            await one.aclose()
        self._news.set()

    def disputed(self, objection: Objection, dispute_id: UUID, now: datetime) -> EvidenceDisputed:
        """The message that disputes the answer that was accepted last for a document.

        Raises:
            NotFoundError: there is no such answer, or the demand has expired.
        """
        awaited = self._completion.awaited
        return disputed(objection, self.demand, self._value, awaited, dispute_id=dispute_id, now=now)

    def answering(self, objection: Objection) -> "Exchange":
        """The exchange in which the last answer to a document has come: this one, or one that follows it.

        Of documents that are alike nobody can say which one is meant; then it is this one, which has them all.
        """
        if len(answers_to(objection, self._completion.awaited)) > 1:
            return self
        for one in reversed(self._followings):
            found = one.answering(objection)
            if answers_to(objection, found._completion.awaited):
                return found
        return self

    def reopen(self) -> None:
        """Take records again."""
        self._closed = False

    def await_dispute(self, dispute_id: UUID) -> None:
        """Be complete only when this dispute is answered."""
        self._disputes.add(dispute_id)

    def forget_dispute(self, dispute_id: UUID) -> None:
        """It was not sent."""
        self._disputes.discard(dispute_id)

    def take(self, record: Record) -> None:
        """A record of this demand was read."""
        if _is_resolution(record):
            self._waiting.insert(sum(1 for _ in takewhile(_is_resolution, self._waiting)), record)
        else:
            self._waiting.append(record)
        self._news.set()

    async def catch_up(self, records: Sequence[Record]) -> None:
        """Take what was said before, and tell nobody of it again."""
        for record in records:
            self.take(record)
        while await self._settle():
            self._events.clear()

    def read_to_end(self) -> None:
        """All was read up to ends that were asked for after expiry: nothing more can have come in time."""
        self._read_to_end = True
        self._news.set()

    def fail(self, error: ChoparError) -> None:
        """Reading has failed; who iterates is told."""
        self._failure = error
        self._news.set()

    async def __aiter__(self) -> AsyncIterator[Event]:
        """What arrives, from where an earlier iteration was left.

        What a demand that follows this one is answered is told too, but for its resolution.

        Raises:
            BrokerUnavailableError: no broker answers; nothing is lost, iterate again.
            DeliveryError: the demand for the next holder was not acknowledged; iterate again.
            StopError: what was not read yet is gone.
        """
        while not self._closed:
            self._news.clear()
            while await self._advance():  # told before the next record is read, which may take its time
                while self._events and not self._closed:
                    yield self._events.popleft()
            self._expire()
            while self._events and not self._closed:
                yield self._events.popleft()
            if self.complete or self._closed:
                break
            if self._failure is not None and not self._news.is_set():
                failure, self._failure = self._failure, None
                raise failure
            if not self._has_noted:
                await self._news.wait()
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_AGAIN_SECONDS):
                    await self._news.wait()
        await self.aclose()

    async def _advance(self) -> bool:
        """Work off what waits here and in the demands that follow, up to something to tell; whether there is."""
        if await self._settle():
            return True
        await self._ask_next()
        for one in self._followings:
            if await one._advance():
                self._take_events(one)
                return True
        return False

    async def _ask_next(self) -> None:
        if self._read_to_end:
            self._to_ask.clear()  # nobody would answer any more
        while self._to_ask and self._ask is not None and not self._closed:
            try:
                one = await self._ask(self._to_ask[0])
            except TooLargeError as error:
                _log.error("demand.unsendable", demand_id=str(self._to_ask[0].demand_id), code=error.code)
            else:
                one._news = self._news
                self._followings.append(one)
            del self._to_ask[0]

    def _take_events(self, one: "Exchange") -> None:
        self._events.extend(event for event in one._events if not isinstance(event, DemandResolved))
        one._events.clear()

    @property
    def _has_noted(self) -> bool:
        return bool(self._noted) or any(one._has_noted for one in self._followings)

    async def _settle(self) -> bool:
        """Work off waiting records up to one that there is something to tell of; whether there was one.

        A record that has no place yet, or cannot be read yet, waits on.

        Resolutions come first: the gateway has its answer acknowledged before it asks a holder, but two topics are read
        here. Records keep their order within each topic, since the first that counts decides: behind an envelope that
        cannot be read yet nothing is taken, and behind such a body no other answer to its request.
        """
        unread: set[bytes | None] = set()
        for record in self._waiting[:]:
            if None in unread:
                break
            event: Event | None = None
            request: bytes | None = None
            try:
                if _is_resolution(record):
                    event = await self._resolution(record)
                elif self._completion.resolved is None:
                    break
                else:
                    value = record.value or b""
                    answer = self._decoder.one_of_now(value, *SAID)
                    if answer is None:
                        answer = await self._decoder.one_of(value, *SAID)
                    request = answer.request_id
                    if request in unread:
                        continue
                    event = await self._answer(answer, record)
            except (SchemaNotYetKnownError, SchemaRegistryUnavailableError) as error:
                unread.add(request)
                if record not in self._noted:
                    self._noted.append(record)
                    _log.warning("answer.waiting", code=error.code, topic=record.topic, offset=record.offset)
                continue
            except RecordError as error:
                _log.warning("answer.unreadable", code=error.code, topic=record.topic, offset=record.offset)
            self._waiting.remove(record)
            if record in self._noted:
                self._noted.remove(record)
            if event is not None:
                self._events.append(event)
                return True
        return False

    async def _resolution(self, record: Record) -> DemandResolved | None:
        value = record.value or b""
        resolved = self._decoder.message_now(value, DemandResolved)
        if resolved is None:
            resolved = await self._decoder.message(value, DemandResolved)
        return resolved if self._completion.resolve(resolved) else None

    async def _answer(self, answer: Said, record: Record) -> Delivered | Upheld | Rejected | None:
        if not self._completion.knows(answer.request_id):
            _log.warning("answer.unsolicited", topic=record.topic, offset=record.offset)  # no sender's text in logs
            return None
        event = (
            self._completion.upheld(answer)
            if isinstance(answer, EvidenceUpheld)
            else await self._provided(answer, record.timestamp_ms)
        )
        if isinstance(event, Rejected):
            provider = event.document.provider  # whom the gateway asked; nothing of the envelope goes to the log
            _log.error("answer.rejected", code=event.code, provider=provider, topic=record.topic, offset=record.offset)
        elif isinstance(answer, EvidenceUpheld):
            self._disputes.discard(answer.dispute_id)
        elif isinstance(answer, EvidenceCorrected):
            self._disputes.discard(answer.correction_id)
        if isinstance(event, Delivered) and self._completion.resolved is not None:
            apart = clock_apart(record, event.evidence, event.unavailable, self._completion.resolved)
            if apart is not None:
                say_apart(record, event, apart)
        if isinstance(event, Delivered) and self._ask is not None:
            next_one = following(self.demand, event, self._completion.resolved)
            if next_one is not None:
                self._to_ask.append(next_one)
                event = replace(event, followed_by=next_one.demand_id)
            if self.demand.follows is not None:
                event = replace(event, asked_by=self.demand_id)
        return None if isinstance(event, Repeated) else event

    async def _provided(self, provided: Answered, timestamp_ms: int) -> Delivered | Rejected | Repeated | None:
        name, datum = self._decoder.datum_now(provided.body) or await self._decoder.datum(provided.body)
        unavailable: EvidenceUnavailable | None = None
        evidence: dict[str, Any] | None = datum
        if name == EvidenceUnavailable.RECORD:
            unavailable, evidence = EvidenceUnavailable.from_avro(datum), None
        return self._completion.answer(provided, evidence, unavailable, timestamp_ms)

    def _expire(self) -> None:
        """End what is open when nothing more can have come in time, and nothing of it waits to be readable."""
        for one in self._followings:
            one._expire()
            self._take_events(one)
        if not self._read_to_end or self._expired or (self._completion.complete and not self._disputes):
            return
        resolved = self._completion.resolved is not None
        if any(resolved or _is_resolution(record) for record in self._waiting):
            return
        self._expired = True
        if resolved:
            ended = [(document.document_type, document.about) for document in self._completion.expire()]
        else:
            ended = [(document.type, document.about) for document in self.demand.documents]
        self._events.extend(Undelivered(document, about) for document, about in ended)


def _is_resolution(record: Record) -> bool:
    return record.topic.startswith(DEMAND_RESOLVED.name)
