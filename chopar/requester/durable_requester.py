"""An agency's system that acts on answers: once, in its own database, whoever dies.

    requester = DurableRequester("some-agency", bus, registry, Inbox("sqlite+aiosqlite:////var/lib/agency/agency.db"))

    @requester.receives("some-paper")
    async def enter(transaction, demand, delivered):
        await transaction.execute(...)  # by this connection and nothing else

    async with requester:
        await requester.submit(procedure="some-procedure", subject=PersonId("..."), documents=["some-paper"])
        await requester.run()

A demand is kept before it is sent, and sent again until its acknowledgement is noted. What a callback writes is
committed together with the inbox row of the answer, before the answer's offset. Several processes of one system may
run, on one database: one group, one database. A new database for a group that was read with another is refused at
start; another system of the same agency needs a group of its own. How batches are worked off is `answers`'; an
asker that only waits for its answers in memory is `requester`'s.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import structlog
from prometheus_client import CollectorRegistry
from sqlalchemy.ext.asyncio import AsyncConnection

from chopar.bus.consume import ConsumeLoop, ConsumeMetrics, ConsumeSettings
from chopar.bus.inbox import Inbox
from chopar.bus.port import Admin, Bus, Sent, TopicPartition, partition_of
from chopar.bus.replay import Replays
from chopar.errors import ConfigurationError, DeliveryError, TooLargeError, UnavailableError
from chopar.identifiers import DataSubject, uuid7
from chopar.messages.demand import Demand, DemandedDocument, DemandResolved
from chopar.requester import store
from chopar.requester.answer_callbacks import (
    Callbacks,
    Completed,
    Receives,
    TakesCompletion,
    TakesResolution,
    TakesUpheld,
)
from chopar.requester.answers import AnswersHandler
from chopar.requester.completion import Waiting
from chopar.requester.demand_sender import CLOCKS_APART, DemandSender
from chopar.requester.disputes import Objection, disputed
from chopar.requester.own_letters import answered_in_vain
from chopar.schema_registry import SchemaRegistry
from chopar.topics import DEMAND_RESOLVED, EVIDENCE_PROVIDED, PARTITIONS

__all__ = ["Completed", "DurableRequester", "Objection", "WaitingDocument"]

_AT_ONCE = 500
_PURGE_EVERY = timedelta(hours=6)
_REST = timedelta(minutes=1)

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class WaitingDocument:
    """A document that is waited for.

    `provider` and `due` are None while the gateway has not answered. `late` says that the promise has passed: a fact
    for people, who wait and escalate; the person is not asked because of it. `own_dead_letter` says that the holder has
    answered, and the answer lies among this agency's own dead letters: mend what it failed on and replay it
    (`chopar dead-letter list --topic evidence.provided.AGENCY`); it is not late, and nobody waits for the holder.
    """

    demand_id: UUID
    case_id: str
    document_type: str
    about: str | None
    provider: str | None
    due: datetime | None
    promised_at: datetime | None
    expires_at: datetime
    late: bool
    own_dead_letter: bool = False


class DurableRequester(DemandSender):
    """An agency that asks and acts on what it is answered.

    Args:
        agency: its id; also in the names of its topics.
        bus: where it asks.
        registry: where schema ids come from.
        inbox: in the application's database; demands are kept beside it.
        group: of its consumers; `requester.AGENCY` by default. One group, one database.
        settings: of its consume loop.
        metrics: where its counters are kept; a private registry by default.
        look_seconds: how often it looks for demands that are not sent, and for those that have expired.
        callback_seconds: within which a callback has to end; one that does not has failed.
        ask_next: whether the next holder of a document is asked where one has no record (`alternatives`).
        notes: a folder that outlives the process, in which it notes what it is handling: so that an answer whose
            callback kills the process (three times) becomes a dead letter and others go on; nothing is noted by
            default. Processes of one system may share it.
        more: `files`, `clock` and `random_bits`, as of `DemandSender`.
    """

    def __init__(
        self,
        agency: str,
        bus: Bus,
        registry: SchemaRegistry,
        inbox: Inbox,
        *,
        group: str | None = None,
        settings: ConsumeSettings | None = None,
        metrics: CollectorRegistry | None = None,
        look_seconds: float = 1.0,
        callback_seconds: float = 60.0,
        ask_next: bool = True,
        notes: Path | None = None,
        **more: Any,
    ) -> None:
        super().__init__(agency, bus, registry, **more)
        self.group = group or f"requester.{self.agency}"
        self._inbox = inbox
        self._callbacks = Callbacks(callback_seconds)
        self._look_seconds = look_seconds
        kept = metrics if metrics is not None else CollectorRegistry()
        self._handler = AnswersHandler(
            self.agency,
            self.group,
            bus=bus,
            decoder=self._decoder,
            inbox=inbox,
            callbacks=self._callbacks,
            encoded=self._encoded if ask_next else None,
            to_send=self._send_soon,
            metrics=kept,
        )
        self._loop = ConsumeLoop(
            bus,
            self.group,
            [DEMAND_RESOLVED.of(self.agency), EVIDENCE_PROVIDED.of(self.agency)],
            self._handler,
            settings=settings,
            metrics=ConsumeMetrics(kept),
            replays=Replays(bus, self.group, self._files, registry),
            notes=notes,
            clock=lambda: round(self._clock().timestamp() * 1000),
        )
        self._sending: set[str] = set()
        self._added: set[str] = set()
        """Demands that were kept because one before them had no record, and that nobody has tried to send."""
        self._news = asyncio.Event()
        self._producer_failed = False
        self._ends: tuple[datetime, dict[TopicPartition, int]] | None = None
        self._purged_at: datetime | None = None
        self._resting: dict[str, datetime] = {}
        """Expired demands that the application's callback failed on, and when each is tried again."""

    def receives(self, *document_types: str) -> Callable[[Receives], Receives]:
        """Make a function the one that acts on final answers about these documents; without any: about all others.

        It is given the transaction, the demand and a `Delivered`, and runs once for each answer that counts: also for
        one that is late, and for each correction (`delivered.late`, `delivered.supersedes`), and for one that has no
        record while the next holder is asked (`delivered.followed_by`): that one's answer comes with the same demand,
        and `delivered.document` says whose it is. What it raises undoes what
        it wrote: an `UnavailableError` has the answer tried again, anything else three times and then makes it a dead
        letter.

        Raises:
            ConfigurationError: another one does already.
        """

        def keep(function: Receives) -> Receives:
            for document_type in document_types or (None,):
                if document_type in self._callbacks.receives:
                    raise ConfigurationError(f"{document_type or 'all other documents'}: two functions receive it")
                self._callbacks.receives[document_type] = function
            return function

        return keep

    def resolved(self, function: TakesResolution) -> TakesResolution:
        """Make a function the one that is told what the gateway has answered, once for each demand of the application.

        What it answers to demands that follow one, for the next holder, is not told.
        """
        self._callbacks.resolved = function
        return function

    def completed(self, function: TakesCompletion) -> TakesCompletion:
        """Make a function the one that is told that a demand is complete, once, and what was undelivered.

        It runs in the transaction of the last answer, or when the demand has expired: of the last holder's answer,
        where one was asked after another.
        """
        self._callbacks.completed = function
        return function

    def upheld(self, function: TakesUpheld) -> TakesUpheld:
        """Make a function the one that is told that a holder has looked again and stands by its answer.

        It is given the transaction, the demand and an `Upheld`, and runs once for each dispute. A holder that does not
        stand by it corrects it, which `receives` is told.
        """
        self._callbacks.upheld = function
        return function

    async def __aenter__(self) -> Self:
        """Connect, and create the tables that are missing.

        Raises:
            ConfigurationError: the database is new, and the group has been read with another one already.
            BrokerUnavailableError, SchemaRegistryUnavailableError, StoreUnavailableError: one does not answer.
        """
        try:
            await self._require_own_group()
        except ConfigurationError:
            await self._inbox.close()
            raise
        await store.create_schema(self._inbox)
        await self._connect()
        return self

    async def _require_own_group(self) -> None:
        """Refuse a new database for a group that was read with another: each would take the other's answers."""
        if not await store.is_new(self._inbox):
            return
        admin = self._bus.admin()
        await admin.start()
        try:
            committed = await admin.committed(self.group)
        finally:
            with contextlib.suppress(UnavailableError):
                await admin.stop()
        topics = {DEMAND_RESOLVED.of(self.agency), EVIDENCE_PROVIDED.of(self.agency)}
        # Another process may have made the tables, and begun to read, since they were looked for.
        if any(place.topic in topics for place in committed) and await store.is_new(self._inbox):
            raise ConfigurationError(
                f"this database is new, and the consumer group {self.group} has been read with another one: the two "
                f"would take each other's answers. Start with the first database (by its absolute path); if that is "
                f"lost, or this is another system of {self.agency}, give DurableRequester a group of its own, as "
                f"group='{self.group}.2'"
            )

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._producer.stop()
        await self._inbox.close()

    async def submit(
        self,
        *,
        procedure: str,
        subject: DataSubject,
        documents: Sequence[str | DemandedDocument],
        within: AsyncConnection | None = None,
        **more: Any,
    ) -> UUID:
        """Compose a demand and keep it; `more` as of `compose`. See `submit_all`.

        Raises:
            UndecodableError: it is not a valid message.
            ChoparError: as of `submit_all`.
        """
        demand = self._composed(subject, documents, procedure=procedure, **more)
        await self.submit_all([demand], within=within)
        return demand.demand_id

    async def submit_all(self, demands: Sequence[Demand], *, within: AsyncConnection | None = None) -> None:
        """Keep demands, and send them. When this returns they are kept, and will be sent whatever happens.

        Args:
            demands: from `compose`.
            within: a transaction of the application, in the inbox's database. Then they are kept with what else it
                writes, and sent after its commit: by `run` of any process, or at once by `send_waiting`.

        Raises:
            TooLargeError: one has more than 256 KiB; none is kept.
            StoreUnavailableError: the database does not answer. Whether they are kept is unknown.
        """
        kept = [(str(one.demand_id), self._encoded(one), one.expires_at) for one in demands]
        if not kept:
            return
        if within is not None:
            await store.add(within, kept)
            return
        ids = {demand_id for demand_id, _, _ in kept}
        self._sending |= ids
        try:
            async with self._inbox.batch() as batch:
                await store.add(batch, kept)
            await self._send([(demand_id, value) for demand_id, value, _ in kept])
        finally:
            self._sending -= ids

    async def send_waiting(self) -> None:
        """Send the demands that are kept and whose acknowledgement is not noted, at once.

        `run` does so all the time, with those that were not sent a look before either: another process of this
        database may be sending them at this moment.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        await self._send_waiting(None)

    async def _send_waiting(self, among: Collection[str] | None) -> set[str]:
        """Send those that are not sent, of these ids or of all; gives the ids of all that were not."""
        unsent: set[str] = set()
        found = settled = _AT_ONCE
        while found == settled == _AT_ONCE:
            async with self._inbox.batch() as batch:
                kept = await store.unsent(batch, _AT_ONCE)
            unsent |= {demand_id for demand_id, _ in kept}
            mine = [one for one in kept if one[0] not in self._sending and (among is None or one[0] in among)]
            self._sending |= {demand_id for demand_id, _ in mine}
            try:
                found, settled = len(kept), await self._send(mine)
            finally:
                self._sending -= {demand_id for demand_id, _ in mine}
        return unsent

    async def _send(self, demands: Sequence[tuple[str, bytes]]) -> int:
        """Send, and note what is acknowledged; the rest is sent again later. How many are done with."""
        if not demands:
            return 0
        try:
            await self._renew_producer()
            results = await self._deliver([(UUID(demand_id), value) for demand_id, value in demands])
        except UnavailableError as error:
            _log.warning("demand.waits", count=len(demands), code=error.code)
            return 0
        told = [(demand_id, result) for (demand_id, _), result in zip(demands, results, strict=True)]
        sent = [demand_id for demand_id, result in told if isinstance(result, Sent)]
        unsendable = [demand_id for demand_id, result in told if isinstance(result, TooLargeError)]
        async with self._inbox.batch() as batch:
            await store.note_sent(batch, sent)
            for demand_id in unsendable:
                _log.error("demand.unsendable", demand_id=demand_id, code=TooLargeError.code)
                await store.forget_unsendable(batch, demand_id)
        left = len(demands) - len(sent) - len(unsendable)
        if left:
            _log.warning("demand.waits", count=left, code=DeliveryError.code)
            self._producer_failed = True
        return len(demands) - left

    async def _renew_producer(self) -> None:
        """An idempotent producer may fail for good once a send of it failed."""
        if not self._producer_failed:
            return
        self._producer_failed = False
        former, self._producer = self._producer, self._bus.producer(f"requester.{self.agency}")
        try:
            await former.stop()
            await self._producer.start()
        except BaseException:
            self._producer_failed = True
            raise

    async def dispute(self, demand_id: UUID, objection: Objection) -> UUID:
        """Dispute an answer that was acted on. When this returns the broker has acknowledged the dispute.

        Nothing is kept of it: what the holder says to it comes as any answer does (`receives`, `upheld`), and a holder
        that is asked to look twice says the same twice.

        Returns:
            The id of the dispute.

        Raises:
            NotFoundError: no answer to this document was accepted, or the demand has expired.
            UndecodableError: it is not a valid message.
            UnavailableError: database, broker or schema registry do not answer; dispute again.
        """
        now = self._clock()
        one = await self._handler.answered(demand_id, objection)
        dispute_id = uuid7(now, self._random_bits(74))
        message = disputed(
            objection, one.demand, one.kept.value, one.completion.awaited, dispute_id=dispute_id, now=now
        )
        await self._renew_producer()
        try:
            await self._send_dispute(message)
        except UnavailableError:
            self._producer_failed = True
            raise
        return dispute_id

    async def run(self) -> None:
        """Act on what arrives, until `stop`.

        Raises:
            StopError: going on would lose something.
            UnavailableError: the broker was away for too long; start this process again.
        """
        consuming = asyncio.create_task(self._loop.run())
        looking = asyncio.create_task(self._look())
        try:
            await asyncio.wait({consuming, looking}, return_when=asyncio.FIRST_COMPLETED)
            if looking.done() and not consuming.done():
                self.stop()
            await consuming
            if looking.done():
                looking.result()
        finally:
            for task in (consuming, looking):
                task.cancel()
            await asyncio.gather(consuming, looking, return_exceptions=True)

    def stop(self) -> None:
        """Finish what is in hand; `run` then returns."""
        self._loop.stop()

    def missing(self) -> dict[str, str]:
        """What keeps this asker from working, for `/ready`; empty when nothing does."""
        return self._loop.missing()

    async def waiting(self, limit: int = 100) -> list[WaitingDocument]:
        """What is waited for, of the demands that expire first.

        Args:
            limit: of how many demands.

        Raises:
            UnavailableError: the database or the schema registry does not answer.
        """
        async with self._inbox.batch() as batch:
            kept = await store.load(batch, await store.still_open(batch, limit), lock=False)
        in_vain = await answered_in_vain(self._bus, self._decoder, self.agency, kept)
        now = self._clock()
        found: list[WaitingDocument] = []
        for one in kept.values():
            demand = await self._decoder.message(one.value, Demand)
            resolution = await self._decoder.message(one.resolution, DemandResolved) if one.resolution else None
            found += _waiting(demand, resolution, one.requests, in_vain, now)
        return sorted(found, key=lambda one: (one.expires_at, one.demand_id))

    async def purge(self) -> int:
        """Delete what no answer can be delivered for any more (`chopar.bus.inbox.KEPT`), as `run` does by itself.

        Returns:
            How many rows were deleted.

        Raises:
            StoreUnavailableError: retriable; the database does not answer.
        """
        now = self._clock()
        # What is known goes first: to a request that is not known nobody acts.
        return await store.purge(self._inbox, now) + await self._inbox.purge(now)

    async def _look(self) -> None:
        """What no record starts: send what was not sent, say what is undelivered, delete what is old."""
        admin: Admin | None = None
        before: set[str] | None = None  # at the first look nobody is known to be sending
        try:
            while True:
                try:
                    before = await self._send_waiting(before)
                    if admin is None:
                        admin = self._bus.admin()
                        await admin.start()
                    await self._end_expired(admin)
                    if self._purged_at is None or self._clock() - self._purged_at >= _PURGE_EVERY:
                        self._purged_at = self._clock()
                        await self.purge()
                except UnavailableError as error:
                    _log.warning("requester.waits", code=error.code)
                await self._rest()
        finally:
            if admin is not None:
                with contextlib.suppress(UnavailableError):
                    await admin.stop()

    def _send_soon(self, demand_ids: Iterable[str]) -> None:
        self._added |= set(demand_ids)
        self._news.set()

    async def _rest(self) -> None:
        """Wait for the next look; what is kept meanwhile for a next holder is sent at once."""
        until = asyncio.get_running_loop().time() + self._look_seconds
        while True:
            try:
                async with asyncio.timeout_at(until):
                    await self._news.wait()
            except TimeoutError:
                return
            self._news.clear()
            added, self._added = self._added, set()
            try:
                await self._send_waiting(added)
            except UnavailableError as error:  # a later look sends it
                _log.warning("requester.waits", code=error.code)

    async def _end_expired(self, admin: Admin) -> None:
        """Say what is undelivered: when the group has done with all up to ends that were asked for after expiry.

        The ends are asked for once and kept until they are reached: on a busy partition a newer end would always lie
        ahead.
        """
        now = self._clock()
        asked_at, ends = self._ends if self._ends is not None else (now, {})
        async with self._inbox.batch() as batch:
            until_ms = round((asked_at - CLOCKS_APART).timestamp() * 1000)
            # Those that a callback fails on would stand before all others at every look.
            resting = {demand_id for demand_id, again_at in self._resting.items() if again_at > now}
            overdue = await store.overdue(batch, until_ms, _AT_ONCE + len(resting))
            expired = [demand_id for demand_id in overdue if demand_id not in resting]
        if not expired:
            self._ends = None
            return
        if self._ends is None:
            topics = (DEMAND_RESOLVED.of(self.agency), EVIDENCE_PROVIDED.of(self.agency))
            places = [TopicPartition(topic, number) for topic in topics for number in range(PARTITIONS)]
            first = await admin.offsets_at(places, 0)
            # Of a partition without records the group never commits anything.
            ends = {place: end for place, end in (await admin.end_offsets(places)).items() if first[place] < end}
            self._ends = now, ends
        committed = await admin.committed(self.group)
        behind = {place.partition for place, end in ends.items() if committed.get(place, 0) < end}
        failed = await self._handler.expire(
            demand_id for demand_id in expired if partition_of(demand_id.encode(), PARTITIONS) not in behind
        )
        self._resting = {demand_id: at for demand_id, at in self._resting.items() if demand_id in resting}
        self._resting |= dict.fromkeys(failed, now + _REST)
        if not behind:
            self._ends = None


def _waiting(
    demand: Demand,
    resolution: DemandResolved | None,
    requests: Mapping[bytes, store.KeptRequest],
    in_vain: Collection[bytes],
    now: datetime,
) -> list[WaitingDocument]:
    def made(document_type: str, about: str | None, **more: Any) -> WaitingDocument:
        fields: dict[str, Any] = {"provider": None, "due": None, "promised_at": None, "late": False, **more}
        return WaitingDocument(
            demand_id=demand.demand_id,
            case_id=demand.case_id,
            document_type=document_type,
            about=about,
            expires_at=demand.expires_at,
            **fields,
        )

    if resolution is None:
        return [made(one.type, one.about) for one in demand.documents]
    found = []
    for one in resolution.to_fetch():
        kept = requests.get(store.request_hash(one.request_id or b""))
        if kept is not None and kept.waiting is Waiting.OPEN:
            promised = datetime.fromtimestamp(kept.promised_ms / 1000, UTC) if kept.promised_ms else None
            ours = one.request_id in in_vain
            said: dict[str, Any] = {"provider": one.provider, "due": one.due, "promised_at": promised}
            said |= {"late": one.due is not None and one.due < now and not ours, "own_dead_letter": ours}
            found.append(made(one.document_type, one.about, **said))
    return found
