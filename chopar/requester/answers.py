"""What a durable asker does with what arrives: a batch of resolutions and answers, worked off in one transaction.

The consume loop's handler of `demand.resolved` and `evidence.provided`. All that a batch leads to (open requests,
inbox rows, what the application's callbacks write) is committed before any offset is; a record that comes again finds
what was done. What counts is `completion`'s to say, which effect an answer is `effects`'s.

Where a holder has no record and there is another, the demand for that one is kept in the same transaction, and the
first demand is complete when those that follow it are: which that is, `alternatives` says.

An answer to a request that is not known waits until `demand.resolved` of its partition was read from the group's
commit, before which everything is stored, to the end that it had then; if it is not known even so it is a dead letter.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import prometheus_client
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from chopar.bus.consume import Outputs
from chopar.bus.inbox import Inbox
from chopar.bus.port import Bus, Record, TopicPartition
from chopar.errors import (
    NotFoundError,
    RecordError,
    StoreUnavailableError,
    UnavailableError,
    UnsolicitedAnswerError,
)
from chopar.identifiers import AgencyId
from chopar.messages.demand import Demand, DemandResolved
from chopar.messages.dispute import EvidenceCorrected, EvidenceUpheld
from chopar.messages.evidence import EvidenceUnavailable
from chopar.requester import kept_disputes, store, tries
from chopar.requester.alternatives import asked_before
from chopar.requester.answer_callbacks import Callbacks
from chopar.requester.answer_endings import Endings
from chopar.requester.answer_reading import Reading
from chopar.requester.answer_times import clock_apart, say_apart
from chopar.requester.answer_turn import Open, Outcomes, Read, Turn
from chopar.requester.completion import Awaited, Completion, Delivered, Rejected, Repeated, Upheld
from chopar.requester.disputes import Objection, answers_to
from chopar.requester.effects import effect_of
from chopar.requester.store import KeptRequest, request_hash
from chopar.schema_registry import Decoder
from chopar.topics import DEMAND_RESOLVED

_CATCH_UP_RECORDS = 500
_LISTEN_SECONDS = 0.5
_NOT_OURS = (
    "no demand in this database asked for it; if another database is used with this consumer group, that one did"
)

_NOTHING = Outputs()
_log = structlog.get_logger()


class _NotTogetherError(Exception):
    """A callback has failed among others: the turn is undone, and done again with each alone."""


class AnswersHandler:
    """What the consume loop calls for each resolution and answer of one agency.

    Args:
        agency: that asks.
        group: of its loop.
        bus: where to read what a resolution that is not stored yet says.
        decoder: of everything.
        inbox: in the application's database.
        callbacks: the application's.
        encoded: gives a demand's bytes, for the next holder of a document; None: nobody else is asked.
        to_send: told which demands were kept that are to be sent.
        ready: raises what keeps this database from reading, whenever partitions were dealt out.
        metrics: where its counter is kept.
    """

    def __init__(
        self,
        agency: AgencyId,
        group: str,
        *,
        bus: Bus,
        decoder: Decoder,
        inbox: Inbox,
        callbacks: Callbacks,
        encoded: Callable[[Demand], bytes] | None,
        to_send: Callable[[Iterable[str]], None],
        ready: Callable[[], Awaitable[None]],
        metrics: prometheus_client.CollectorRegistry,
    ) -> None:
        self._resolved_topic = DEMAND_RESOLVED.of(agency)
        self._group = group
        self._bus = bus
        self._reading = Reading(self._resolved_topic, decoder)
        self._inbox = inbox
        self._callbacks = callbacks
        self._endings = Endings(callbacks, encoded)
        self._to_send = to_send
        self._ready = ready
        self._outcomes: Outcomes = {}
        self._counter = prometheus_client.Counter(
            "chopar_answers", "Resolutions and answers by what became of them", ["outcome"], registry=metrics
        )
        self._apart = prometheus_client.Counter(
            "chopar_answers_clock_apart",
            "Answers whose own times lie more than two minutes from when they can have been made",
            ["provider"],
            registry=metrics,
        )

    async def assigned(self, partitions: Mapping[TopicPartition, int]) -> None:
        """Nothing is kept per partition, but the group may have become another database's."""
        await self._ready()

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """Nothing is kept per partition."""

    async def ready_for(self, records: Sequence[Record]) -> None:
        """Work off a whole batch in one transaction; `handle` then says what became of each record.

        Raises:
            UnavailableError: the database or the registry does not answer; nothing was done.
        """
        self._outcomes.clear()
        self._outcomes = await self._work(records)

    def handle(self, record: Record) -> Outputs | Awaitable[Outputs]:
        """Say what became of a record; one that waited for another of its key is worked off now.

        Raises:
            RecordError: it cannot be read, or answers no demand of this agency.
            UnavailableError: it has to wait.
            Exception: what the application's callback raised; nothing of the record was kept.
        """
        place = (record.topic, record.partition, record.offset)
        if place not in self._outcomes:
            return self._alone(record)
        outcome = self._outcomes.pop(place)
        if outcome is not None:
            raise outcome
        return _NOTHING

    async def _alone(self, record: Record) -> Outputs:
        [outcome] = (await self._work([record])).values()
        if outcome is not None:
            raise outcome
        return _NOTHING

    async def expire(self, demand_ids: Iterable[str]) -> list[str]:
        """End what is open of these as undelivered; to be called when nothing more can have come in time.

        What was noted of them before (`tries`) ends with it.

        Returns:
            Those that the application's callback failed on: they stay open, to be tried again.

        Raises:
            UnavailableError: the database or the registry does not answer.
        """
        wanted = list(demand_ids)
        async with self._turn() as turn:
            await self._load(turn, wanted)
            loaded = [turn.demands[demand_id] for demand_id in wanted if demand_id in turn.demands]
            failed = [one.demand_id for one in loaded if not one.kept.complete and not await self._expire(turn, one)]
            await tries.end(turn.batch, wanted)
        return failed

    async def _expire(self, turn: Turn, one: Open) -> bool:
        """End what is open of a demand; False if the application's callback has failed."""
        ended = len(one.completion.expire() if one.completion.resolved is not None else one.demand.documents)
        try:
            async with turn.batch.part(alone=turn.alone) as connection:
                await self._endings.end(connection, turn, one, expired=True)
        except UnavailableError:
            raise
        except Exception as error:  # noqa: BLE001  the application's; it is tried again, and others go on
            _log.error("completion.failed", demand_id=one.demand_id, error=type(error).__name__)
            return False
        turn.counted["undelivered"] += ended
        for request_id, awaited in one.completion.awaited.items():
            self._note(turn, one, request_id, awaited)
        return True

    async def answered(self, demand_id: UUID, objection: Objection, within: AsyncConnection | None = None) -> Open:
        """The demand to which the last answer to a document was accepted: this one, or one that follows it.

        Of documents that are alike nobody can say which one is meant; then it is this one, which has them all.

        Args:
            demand_id: of the application's demand.
            objection: names the document.
            within: the application's transaction, to look in; one of its own by default.

        Raises:
            NotFoundError: it is not kept here.
            UnavailableError: the database or the registry does not answer.
        """
        first = str(demand_id)
        async with self._turn() if within is None else nullcontext(Turn(self._inbox.within(within), {})) as turn:
            await self._load(turn, [first], lock=False)
            await self._load(turn, turn.followings.get(first, {}), lock=False)
        if first not in turn.demands:
            raise NotFoundError("no demand of this id is kept here")
        own = turn.demands[first]
        if len(answers_to(objection, own.completion.awaited)) > 1:
            return own
        known = [turn.demands[one] for one in turn.followings.get(first, {}) if one in turn.demands]
        found = [one for one in known if answers_to(objection, one.completion.awaited)]
        return max(found, key=lambda one: asked_before(one.demand), default=own)

    async def _work(self, records: Sequence[Record]) -> Outcomes:
        outcomes: Outcomes = {}
        read = await self._reading.records(records, outcomes)
        if not read:
            return outcomes
        before = dict(outcomes)
        try:
            unknown = await self._take(read, outcomes, alone=False)
        except _NotTogetherError:
            outcomes = before
            unknown = await self._take(read, outcomes, alone=True)
        for partition in sorted({one.record.partition for one in unknown}):
            await self._catch_up(partition, [one for one in unknown if one.record.partition == partition], outcomes)
        return outcomes

    async def _take(self, read: Sequence[Read], outcomes: Outcomes, *, alone: bool) -> list[Read]:
        """Take all in one transaction; gives back the answers to requests that are not known."""
        async with self._turn(outcomes, alone=alone) as turn:
            await self._take_resolutions(turn, read)
            return await self._take_answers(turn, read)

    @asynccontextmanager
    async def _turn(self, outcomes: Outcomes | None = None, *, alone: bool = True) -> AsyncIterator[Turn]:
        """A transaction of the inbox: what a turn changes is written at its end, and counted when it is committed."""
        async with self._inbox.batch() as batch:
            turn = Turn(batch, {} if outcomes is None else outcomes, alone)
            yield turn
            await store.save(batch, turn.changed.values())
            await store.save_requests(batch, turn.requests)
        for outcome, number in turn.counted.items():
            self._counter.labels(outcome).inc(number)
        for record, event, apart in turn.apart:
            self._apart.labels(event.document.provider or "").inc()
            say_apart(record, event, apart)
        if turn.added:
            self._to_send(turn.added)

    async def _take_resolutions(self, turn: Turn, read: Sequence[Read]) -> None:
        messages = [(one, one.message) for one in read if isinstance(one.message, DemandResolved)]
        await self._load(turn, {str(message.demand_id) for _, message in messages})
        new: dict[bytes, tuple[str, KeptRequest | None]] = {}
        for one, message in messages:
            try:
                found = await self._resolve(turn, one.record, message)
            except Exception as error:  # noqa: BLE001  the consume loop judges it
                self._failed(turn, one.record, error)
                continue
            for request, kept in found.items():
                new.setdefault(request, (str(message.demand_id), kept))
            turn.outcomes[one.record.topic, one.record.partition, one.record.offset] = None
        await store.add_requests(turn.batch, new)

    async def _resolve(self, turn: Turn, record: Record, message: DemandResolved) -> Mapping[bytes, KeptRequest | None]:
        """Take one resolution; the requests that are to be kept for it."""
        one = turn.demands.get(str(message.demand_id))
        if one is None or message.demand_digest != one.completion.digest:
            turn.counted["elsewhere"] += 1
            return dict.fromkeys(store.requests_of(message))
        if one.completion.resolved is not None:
            turn.counted["repeated"] += 1
            return {}
        completion = Completion(one.kept.value, one.demand.expires_at)
        completion.resolve(message)
        if one.kept.complete:
            completion.expire()  # it was said to be undelivered as a whole
        resolved = Open(one.kept, one.demand, completion)
        follows = one.demand_id in turn.firsts
        tell = None if follows else self._callbacks.resolved
        ends = completion.complete and (follows or self._callbacks.completed is not None)
        if tell is not None or (ends and not one.kept.complete):
            async with turn.batch.part(alone=turn.alone) as connection:
                if tell is not None:
                    async with self._callbacks.in_time():
                        await tell(connection, one.demand, message)
                await self._endings.end(connection, turn, resolved)
        one.completion = completion
        one.kept.resolution = record.value
        one.kept.complete = one.kept.complete or completion.complete
        turn.changed[one.kept.demand_id] = one.kept
        turn.counted["resolved"] += 1
        found: dict[bytes, KeptRequest | None] = {}
        for request_id, awaited in completion.awaited.items():
            kept = KeptRequest(awaited.waiting, awaited.late, {})
            one.kept.requests[request_hash(request_id)] = kept
            found[request_hash(request_id)] = kept
        return found

    async def _take_answers(self, turn: Turn, read: Sequence[Read]) -> list[Read]:
        """Take the answers among these; gives back those to requests that are not known."""
        answers = [one for one in read if not isinstance(one.message, DemandResolved)]
        owners = await store.owners(turn.batch, {one.request for one in answers})
        await self._load(turn, {demand_id for demand_id, elsewhere in owners.values() if not elsewhere})
        unknown: list[Read] = []
        for one in answers:
            if (one.record.partition, one.record.key) in turn.blocked:
                continue
            owner = owners.get(one.request)
            if owner is None:
                unknown.append(one)
                continue
            demand = turn.demands.get(owner[0]) if not owner[1] else None
            try:
                if demand is None:
                    turn.counted["elsewhere"] += 1
                else:
                    await self._answer(turn, demand, one)
            except Exception as error:  # noqa: BLE001  the consume loop judges it
                self._failed(turn, one.record, error)
            else:
                turn.outcomes[one.record.topic, one.record.partition, one.record.offset] = None
        return unknown

    async def _answer(self, turn: Turn, one: Open, read: Read) -> None:
        provided = read.message
        if isinstance(provided, DemandResolved):
            raise TypeError
        if isinstance(read.body, RecordError):
            raise read.body
        if isinstance(provided, EvidenceUpheld):
            await self._uphold(turn, one, one.completion.upheld(provided), read.record)
            return
        before = one.completion.awaited[provided.request_id]
        before = replace(before, accepted=dict(before.accepted))
        event = one.completion.answer(provided, *read.body, read.record.timestamp_ms)
        if isinstance(event, Rejected):
            self._rejected(turn, read.record, event)
        elif isinstance(event, Repeated):
            turn.counted["repeated" if event.same_content else "other_content"] += 1
            self._note_if_new(turn, one, provided.request_id, before)
        elif event is None:
            turn.counted["repeated"] += 1
        else:
            try:
                if event.final:
                    await self._act(turn, one, event)
            except BaseException:
                self._take_back(one, provided.request_id, before)
                raise
            turn.counted[_outcome(event)] += 1
            self._watch_clock(turn, one, read, event)
            awaited = one.completion.awaited[provided.request_id]
            self._note(turn, one, provided.request_id, awaited, _promised(event.unavailable))
        if isinstance(provided, EvidenceCorrected) and not isinstance(event, Rejected):
            await kept_disputes.end(turn.batch, provided.correction_id)

    def _watch_clock(self, turn: Turn, one: Open, read: Read, event: Delivered) -> None:
        """Note it if the provider's clock is wrong; the answer counts all the same."""
        resolution = one.completion.resolved
        apart = resolution and clock_apart(read.record, event.evidence, event.unavailable, resolution)
        if apart:
            turn.apart.append((read.record, event, apart))

    async def _uphold(self, turn: Turn, one: Open, event: Upheld | Rejected | None, record: Record) -> None:
        if isinstance(event, Rejected):
            self._rejected(turn, record, event)
        if not isinstance(event, Upheld):
            return
        upheld, told = event, self._callbacks.upheld
        if told is not None:

            async def callback(connection: AsyncConnection) -> None:
                async with self._callbacks.in_time():
                    await told(connection, turn.told(one), upheld)

            effect = effect_of(one.demand, upheld, resolution=one.completion.resolved)
            await turn.batch.act(effect, callback, alone=turn.alone)
        await kept_disputes.end(turn.batch, upheld.dispute_id)
        turn.counted["upheld"] += 1

    @staticmethod
    def _rejected(turn: Turn, record: Record, event: Rejected) -> None:
        if event.code in ("corrects_nothing", "upholds_nothing"):  # that may itself be a dead letter, and be replayed
            raise UnsolicitedAnswerError("a correction of an answer that was not accepted, or word that it stands")
        turn.counted["rejected"] += 1
        _reject(record, event)

    async def _act(self, turn: Turn, one: Open, delivered: Delivered) -> None:
        """Run the application's callbacks for a final answer, unless they have run."""
        effect = effect_of(one.demand, delivered, resolution=one.completion.resolved)
        receives = self._callbacks.of(delivered.document.document_type)
        next_one = self._endings.following(one, delivered)
        if next_one is not None:
            delivered = replace(delivered, followed_by=next_one[0].demand_id)
        if one.demand.follows is not None:
            delivered = replace(delivered, asked_by=one.demand.demand_id)

        async def callback(connection: AsyncConnection) -> None:
            async with self._callbacks.in_time():
                await receives(connection, turn.told(one), delivered)
            if next_one is not None:
                await self._endings.follow(turn, *next_one)
            await self._endings.end(connection, turn, one)

        if not await turn.batch.act(effect, callback, alone=turn.alone) and one.completion.complete:
            async with turn.batch.part(alone=turn.alone) as connection:
                await self._endings.end(connection, turn, one)

    def _note(self, turn: Turn, one: Open, request_id: bytes, awaited: Awaited, promised_ms: int | None = None) -> None:
        request = request_hash(request_id)
        kept = one.kept.requests[request]
        kept.waiting, kept.late, kept.accepted = awaited.waiting, awaited.late, dict(awaited.accepted)
        kept.promised_ms = promised_ms or kept.promised_ms
        turn.requests[request] = kept

    def _note_if_new(self, turn: Turn, one: Open, request_id: bytes, before: Awaited) -> None:
        """A correction that says what is known already is no news, but it must be known when it comes again."""
        awaited = one.completion.awaited[request_id]
        if awaited.accepted != before.accepted:
            self._note(turn, one, request_id, awaited)

    def _take_back(self, one: Open, request_id: bytes, before: Awaited) -> None:
        """A callback failed: the answer was not taken."""
        resolution = one.completion.resolved
        if resolution is not None:
            one.completion.restore(resolution, {**one.completion.awaited, request_id: before})

    def _failed(self, turn: Turn, record: Record, error: Exception) -> None:
        if not turn.alone and turn.batch.lost:
            raise _NotTogetherError from error
        turn.outcomes[record.topic, record.partition, record.offset] = error
        turn.blocked.add((record.partition, record.key))

    async def _load(self, turn: Turn, demand_ids: Iterable[str], *, lock: bool = True) -> None:
        """Load demands, and those that they follow; all are locked in one order."""
        wanted = set(demand_ids) - set(turn.demands)
        firsts = await store.firsts_of(turn.batch, wanted)
        turn.firsts |= firsts
        kept = await store.load(turn.batch, (wanted | set(firsts.values())) - set(turn.demands), lock=lock)
        for demand_id, one in kept.items():
            demand = await self._reading.kept(one.value, Demand)
            completion = Completion(one.value, demand.expires_at)
            if one.resolution is not None:
                resolution = await self._reading.kept(one.resolution, DemandResolved)
                known: dict[bytes, Awaited] = {}
                for document in resolution.to_fetch():
                    state = one.requests.get(request_hash(document.request_id or b""))
                    if state is not None and document.request_id is not None:
                        known[document.request_id] = state.awaited(Awaited(document))
                completion.restore(resolution, known)
            turn.demands[demand_id] = Open(one, demand, completion)
        followed = [demand_id for demand_id in kept if _may_be_followed(turn.demands[demand_id].completion.resolved)]
        turn.followings |= await store.followings_of(turn.batch, followed)

    async def _catch_up(self, partition: int, unknown: list[Read], outcomes: Outcomes) -> None:
        """Look for the resolutions of answers on their partition of `demand.resolved`, and take both."""
        place = TopicPartition(self._resolved_topic, partition)
        try:
            admin = self._bus.admin()
            await admin.start()
            try:
                start = (await admin.committed(self._group)).get(place)
            finally:
                await admin.stop()
            reader = self._bus.reader({place: start})
            await reader.start()
            try:
                end = (await reader.end_offsets([place]))[place]
                while unknown and reader.position(place) < end:
                    batch = await reader.fetch(_CATCH_UP_RECORDS, _LISTEN_SECONDS)
                    unknown = await self._retry(batch.get(place, []), unknown, outcomes)
            finally:
                await reader.stop()
            unknown = await self._retry([], unknown, outcomes)
        except UnavailableError as error:
            for one in unknown:
                outcomes[one.record.topic, one.record.partition, one.record.offset] = error
            return
        for one in unknown:
            self._counter.labels("unsolicited").inc()
            lies = {"topic": one.record.topic, "partition": partition, "offset": one.record.offset}
            _log.error("answer.unsolicited", **lies, reason=_NOT_OURS)
            outcomes[one.record.topic, one.record.partition, one.record.offset] = UnsolicitedAnswerError(
                "an answer to no demand of this agency"
            )

    async def _retry(
        self,
        resolutions: Sequence[Record],
        unknown: list[Read],
        outcomes: Outcomes,
    ) -> list[Read]:
        """Take more resolutions, then the answers; gives back those that are still to no known request."""
        theirs: Outcomes = {}
        read = await self._reading.records(resolutions, theirs)
        async with self._turn(theirs) as turn:
            await self._take_resolutions(turn, read)
            turn.blocked.clear()
            turn.outcomes = outcomes
            still = await self._take_answers(turn, unknown)
        if still and any(error is not None and not isinstance(error, RecordError) for error in theirs.values()):
            raise StoreUnavailableError("a resolution before this answer could not be taken yet")
        return still


def _reject(record: Record, event: Rejected) -> None:
    """A security event. Whom the gateway asked is named; nothing of the envelope goes to the log."""
    provider = event.document.provider
    _log.error(
        "answer.rejected",
        code=event.code,
        provider=provider,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
    )


def _outcome(event: Delivered) -> str:
    if not event.final:
        return "deferred"
    return "corrected" if event.supersedes is not None else "late" if event.late else "delivered"


def _may_be_followed(resolution: DemandResolved | None) -> bool:
    return resolution is not None and any(document.alternatives for document in resolution.documents)


def _promised(unavailable: EvidenceUnavailable | None) -> int | None:
    promised: datetime | None = unavailable.promised_at if unavailable is not None else None
    return None if promised is None else store.milliseconds(promised)
