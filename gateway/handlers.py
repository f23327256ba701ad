"""What the gateway does with each record of `demand.submitted`: find its cause, and answer it.

The table of first records decides what is a repetition; `gateway.answer` makes the messages, `gateway.rendering` makes
them again for demands that are alike, `gateway.disputes` those that pass on a dispute.
"""

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import UUID

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from chopar.bus.consume import Outputs
from chopar.bus.port import Bus, Record, TopicPartition
from chopar.errors import DisputeRefusedError, RecordError, StoreUnavailableError, UndecodableError
from chopar.identifiers import AgencyId
from chopar.topics import DEMAND_SUBMITTED, suffix_of
from gateway.answer import Cause, answer
from gateway.disputes import passed_on
from gateway.law_reader import LawReader
from gateway.rebuild import rebuild
from gateway.rendering import Renderings
from gateway.standing import Standing
from gateway.store import FirstRecords, demand_id_of, out_of_time

MOST_RENDERED = 4
"""Of so many list versions answers are remembered: what holds, what comes, what held when the waiting came."""

_log = structlog.get_logger()


class GatewayHandler:
    """Answers demands.

    Args:
        bus: read when a partition is assigned, to rebuild the table of first records.
        law: what holds at a broker time.
        metrics: where its figures are kept.
        folder: where the table of first records lies; in memory if there is none.
    """

    def __init__(self, bus: Bus, law: LawReader, metrics: CollectorRegistry, folder: Path | None = None) -> None:
        self._bus = bus
        self._law = law
        self._first = FirstRecords(folder, self._is_dispute)
        self._counters: dict[tuple[AgencyId, str], Counter] = {}
        self._requesters: dict[str, AgencyId] = {}
        self._renderings: dict[Standing, Renderings] = {}
        self.rebuilding = 0
        self._answered = Counter(
            "chopar_demands", "Demands by what became of them", ["requester", "outcome"], registry=metrics
        )
        ids = Gauge("chopar_first_records", "Demand ids in the table of first records", registry=metrics)
        ids.set_function(lambda: sum(self._first.sizes().values()))

    async def assigned(self, partitions: Mapping[TopicPartition, int]) -> None:
        """Bring the table up to where each partition is read from: by its file, and by the log where that lacks.

        Raises:
            FirstRecordsLostError: there is no table, and what it should hold may have left the log.
            UnavailableError: what held when a record was taken is not settled yet.
        """
        self.rebuilding += 1
        try:
            read = await rebuild(self._bus, self._first, partitions, self._law.known_at)
        finally:
            self.rebuilding -= 1
        _log.info("first_records.ready", partitions=len(partitions), read=read, ids=sum(self._first.sizes().values()))

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """Let go of the table of partitions that another gateway may get."""
        self._first.close(partitions)

    async def ready_for(self, records: Sequence[Record]) -> None:
        """Wait until it is settled what holds at the broker time of every record.

        Raises:
            UnavailableError: it is not, or something that holds is not on this machine; the batch is read again.
        """
        self._first.write()
        await self._law.known_at(max(record.timestamp_ms for record in records))
        for timestamp_ms in {record.timestamp_ms for record in records}:
            await self._law.ready_at(timestamp_ms)

    def rest(self) -> None:
        """Keep what the batch has added to the table; what the disk refuses is kept before the next, or that waits."""
        with contextlib.suppress(StoreUnavailableError):
            self._first.write()

    def seen(self, record: Record) -> None:
        """Fold every record, also one that is given up: which is the first of its id is the log's to say."""
        self._first.fold(record)

    def _is_dispute(self, record: Record) -> bool:
        return self._law.law.is_dispute(record.value, record.timestamp_ms)

    def handle(self, record: Record) -> Outputs:
        """Answer one record, which has been seen.

        Raises:
            UndecodableError: its key is no canonical demand id, so nobody could be answered.
            DisputeRefusedError: it is a dispute of nothing that was asked, or comes too late.
            LawIncompleteError: what held at the first record of its id is not on this machine.
        """
        demand_id = demand_id_of(record)
        if demand_id is None or record.value is None:
            raise UndecodableError("the key is not a demand id (36 characters of a UUIDv7)")
        requester = self._requester(record.topic)
        if self._is_dispute(record):
            return self._pass_on(record, requester, demand_id, record.value)
        refused = out_of_time(demand_id, record.timestamp_ms)
        offset, timestamp_ms = record.offset, record.timestamp_ms
        if refused is None:
            first = self._first.first(record, demand_id)
            if first is not None and first.offset != record.offset:
                if first.digest == hashlib.sha256(record.value).digest():
                    offset, timestamp_ms = first.offset, first.timestamp_ms
                else:
                    refused = "id_reused"
        cause = Cause(
            topic=record.topic,
            partition=record.partition,
            offset=offset,
            timestamp_ms=timestamp_ms,
            requester=requester,
            demand_id=demand_id,
            value=record.value,
            trace=record.header("traceparent"),
        )
        standing = self._law.standing_at(timestamp_ms)
        outputs = self._renderings_by(standing).answer(cause) if refused is None else answer(cause, standing, refused)
        self._count(requester, refused or ("repeated" if offset != record.offset else "answered"))
        return outputs

    def _pass_on(self, record: Record, requester: AgencyId, demand_id: UUID, value: bytes) -> Outputs:
        """A dispute goes to its holder; one that is refused, to the dead letters: nobody is owed an answer to it."""
        said = Cause(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            timestamp_ms=record.timestamp_ms,
            requester=requester,
            demand_id=demand_id,
            value=value,
            trace=record.header("traceparent"),
        )
        try:
            if out_of_time(demand_id, record.timestamp_ms):
                raise DisputeRefusedError("a dispute whose demand's time is over")
            outputs = passed_on(said, self._first.first(record, demand_id), self._law.standing_at)
        except RecordError:
            self._count(requester, "dispute_refused")
            raise
        self._count(requester, "disputed")
        return outputs

    def _count(self, requester: AgencyId, outcome: str) -> None:
        counter = self._counters.get((requester, outcome))
        if counter is None:
            counter = self._counters[requester, outcome] = self._answered.labels(requester, outcome)
        counter.inc()

    def _renderings_by(self, standing: Standing) -> Renderings:
        known = self._renderings.pop(standing, None)
        if known is None:
            if len(self._renderings) >= MOST_RENDERED:
                del self._renderings[next(iter(self._renderings))]
            known = Renderings(standing)
        self._renderings[standing] = known  # behind all others: what is used least is let go
        return known

    def _requester(self, topic: str) -> AgencyId:
        known = self._requesters.get(topic)
        if known is None:
            found = suffix_of(DEMAND_SUBMITTED, topic)
            if found is None:
                raise UndecodableError("not a topic of demands")
            known = self._requesters[topic] = found
        return known
