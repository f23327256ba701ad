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
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import structlog
from prometheus_client import CollectorRegistry
from sqlalchemy.ext.asyncio import AsyncConnection

from chopar.bus.consume import ConsumeLoop, ConsumeMetrics, ConsumeSettings
from chopar.bus.inbox import Inbox
from chopar.bus.port import Bus
from chopar.bus.replay import Replays
from chopar.errors import UnavailableError
from chopar.identifiers import DataSubject, uuid7
from chopar.messages.demand import Demand, DemandedDocument, DemandResolved
from chopar.requester import kept_disputes, store
from chopar.requester.answer_callbacks import Completed, TakesCallbacks
from chopar.requester.answers import AnswersHandler
from chopar.requester.demand_sender import LastingSender
from chopar.requester.disputes import Objection, disputed
from chopar.requester.expiry import Expiry
from chopar.requester.group_owner import GroupOwner
from chopar.requester.kept_disputes import OpenDispute, Unsent
from chopar.requester.outbox import Outbox
from chopar.requester.own_letters import answered_in_vain
from chopar.requester.waiting import WaitingDocument, documents_of
from chopar.schema_registry import SchemaRegistry
from chopar.topics import DEMAND_RESOLVED, EVIDENCE_PROVIDED

__all__ = ["Completed", "DurableRequester", "Objection", "OpenDispute", "WaitingDocument"]

_PURGE_EVERY = timedelta(hours=6)

_log = structlog.get_logger()


class DurableRequester(LastingSender, TakesCallbacks):
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
        TakesCallbacks.__init__(self, callback_seconds)
        self._look_seconds = look_seconds
        topics = [DEMAND_RESOLVED.of(self.agency), EVIDENCE_PROVIDED.of(self.agency)]
        self._admin = bus.admin()
        self._outbox = Outbox(inbox, deliver=self._deliver, deliver_dispute=self._deliver_dispute, clock=self._clock)
        fresh_id = f"{self._random_bits(128):032x}"
        self._owner = GroupOwner(inbox, self.agency, self.group, topics, fresh_id)
        kept = metrics if metrics is not None else CollectorRegistry()
        self._handler = AnswersHandler(
            self.agency,
            self.group,
            bus=bus,
            decoder=self._decoder,
            inbox=inbox,
            callbacks=self._callbacks,
            encoded=self._encoded if ask_next else None,
            to_send=self._outbox.send_soon,
            ready=lambda: self._owner.require(self._admin),
            metrics=kept,
        )
        self._loop = ConsumeLoop(
            bus,
            self.group,
            topics,
            self._handler,
            settings=settings,
            metrics=ConsumeMetrics(kept),
            replays=Replays(bus, self.group, self._files, registry),
            notes=notes,
            clock=lambda: round(self._clock().timestamp() * 1000),
        )
        self._expiry = Expiry(inbox, self.group, topics, expire=self._handler.expire, clock=self._clock, metrics=kept)
        self._stopping = asyncio.Event()
        self._purged_at: datetime | None = None

    async def __aenter__(self) -> Self:
        """Connect, and create the tables that are missing.

        Raises:
            ConfigurationError: the group is read with another database.
            BrokerUnavailableError, SchemaRegistryUnavailableError, StoreUnavailableError: one does not answer.
        """
        try:
            await self._admin.start()
            await self._owner.check(self._admin)
            await self._connect()
        except BaseException:
            await self._disconnect()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._disconnect()

    async def _disconnect(self) -> None:
        await self._producer.stop()
        with contextlib.suppress(UnavailableError):
            await self._admin.stop()
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
        await self._outbox.add(kept, within)

    async def send_waiting(self) -> None:
        """Send the demands and disputes that are kept and whose acknowledgement is not noted, at once.

        `run` does so all the time, with those that were not sent a look before either: another process of this
        database may be sending them at this moment.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        await self._outbox.send_waiting()
        await self._outbox.send_disputes()

    async def dispute(self, demand_id: UUID, objection: Objection, *, within: AsyncConnection | None = None) -> UUID:
        """Dispute an answer that was acted on. When this returns it is kept, and will be sent whatever happens.

        What the holder says to it comes as any answer does (`receives`, `upheld`); until then it is among `disputes`.

        Args:
            demand_id: of the application's demand.
            objection: what is said.
            within: as of `submit_all`.

        Returns:
            The id of the dispute.

        Raises:
            NotFoundError: no answer to this document was accepted, or the demand has expired.
            UndecodableError: it is not a valid message.
            UnavailableError: database or schema registry do not answer. Whether it is kept is unknown.
        """
        now = self._clock()
        one = await self._handler.answered(demand_id, objection, within)
        dispute_id = uuid7(now, self._random_bits(74))
        message = disputed(
            objection, one.demand, one.kept.value, one.completion.awaited, dispute_id=dispute_id, now=now
        )
        unsent = Unsent(dispute_id, message.demand_id, await self._encoded_dispute(message))
        opened = OpenDispute(
            dispute_id, demand_id, objection.document_type, objection.about, now, one.demand.expires_at, sent=False
        )
        await self._outbox.add_dispute(unsent, opened, within)
        return dispute_id

    async def disputes(self, limit: int = 100) -> list[OpenDispute]:
        """The disputes to which no holder has said anything yet, oldest first.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        async with self._inbox.batch() as batch:
            return await kept_disputes.still_open(batch, limit)

    async def run(self) -> None:
        """Act on what arrives, until `stop`.

        Raises:
            StopError: going on would lose something.
            ConfigurationError: another database has taken the group over, which was as new as this one.
            UnavailableError: the broker was away for too long; start this process again.
        """
        consuming = asyncio.create_task(self._consume())
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

    async def _consume(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._owner.take(self._admin)
                break
            except UnavailableError as error:
                _log.warning("requester.waits", code=error.code)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._look_seconds):
                    await self._stopping.wait()
        await self._loop.run()

    def stop(self) -> None:
        """Finish what is in hand; `run` then returns."""
        self._stopping.set()
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
        given_up = await self._expiry.given_up([*kept])
        in_vain = await answered_in_vain(self._bus, self._decoder, self.agency, kept)
        now = self._clock()
        found: list[WaitingDocument] = []
        for demand_id, one in kept.items():
            demand = await self._decoder.message(one.value, Demand)
            resolution = await self._decoder.message(one.resolution, DemandResolved) if one.resolution else None
            found += documents_of(
                demand, resolution, one.requests, in_vain=in_vain, given_up=demand_id in given_up, now=now
            )
        return sorted(found, key=lambda one: (one.expires_at, one.demand_id))

    async def try_again(self, demand_id: UUID) -> None:
        """Have `completed` told again of a demand that has expired, once what killed its process is mended.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        await self._expiry.try_again(str(demand_id))

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
        before: set[str] | None = None  # at the first look nobody is known to be sending
        while True:
            try:
                before = await self._outbox.send_waiting(before)
                await self._outbox.send_disputes()
                await self._expiry.look(self._admin)
                if self._purged_at is None or self._clock() - self._purged_at >= _PURGE_EVERY:
                    self._purged_at = self._clock()
                    await self.purge()
                    await self._owner.keep(self._admin)
            except UnavailableError as error:
                _log.warning("requester.waits", code=error.code)
            await self._outbox.rest(self._look_seconds)
