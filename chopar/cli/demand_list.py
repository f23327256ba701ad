"""`demand list`: recent demands from `exchange.recorded`, which holds metadata alone; what is open, late or ended.

A projection for operations: nothing is decided by it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from chopar.avro import SchemaFiles
from chopar.bus.port import Bus
from chopar.cli.exchange_records import records, span
from chopar.cli.output import Table, instant
from chopar.cli.session import Session
from chopar.messages.demand import Outcome
from chopar.messages.exchange import ExchangeRecorded, ResolutionEntry
from chopar.schema_registry import Decoder, SchemaRegistry

State = Literal["open", "late", "ended"]

_FIRST_WINDOW = 200
"""How many records from the end of each partition are read first; four times as many each time that is not enough."""

_WIDER = 4


@dataclass(frozen=True, slots=True)
class RecentDemand:
    """One demand as operations see it.

    Attributes:
        outcomes: how many documents came to each outcome.
        state: `late` if an answer is overdue, `open` if one is waited for, else `ended`.
        refused: the code, if the whole demand was refused.
        follows: the demand whose holder had no record, so that this one asks the next.
    """

    demand_id: UUID
    received_at: datetime
    requester: str
    procedure: str | None
    subject_kind: str | None
    outcomes: dict[str, int]
    state: State
    refused: str | None
    follows: UUID | None = None


@dataclass(slots=True)
class _Exchange:
    """What was recorded of one demand."""

    resolution: ExchangeRecorded | None = None
    final: set[bytes] = field(default_factory=set)


def project(recorded: Iterable[ExchangeRecorded], now: datetime) -> list[RecentDemand]:
    """The demands whose resolution is among these records, the newest first."""
    exchanges: dict[UUID, _Exchange] = {}
    for message in recorded:
        exchange = exchanges.setdefault(message.demand_id, _Exchange())
        if message.resolution is not None and exchange.resolution is None:
            exchange.resolution = message
        if message.access is not None and message.access.final:
            exchange.final.add(message.access.request_hash)
    demands = [
        _demand(exchange.resolution, resolution, exchange.final, now)
        for exchange in exchanges.values()
        if exchange.resolution is not None and (resolution := exchange.resolution.resolution) is not None
    ]
    return sorted(demands, key=lambda demand: demand.received_at, reverse=True)


async def recent(
    bus: Bus, registry: SchemaRegistry, requester: str | None, limit: int, now: datetime
) -> list[RecentDemand]:
    """The newest demands.

    Args:
        bus: where `exchange.recorded` is.
        registry: where its writers' schemas are.
        requester: only those of this agency; None: of all.
        limit: how many at most.
        now: by which an answer is late.

    Raises:
        UnavailableError: Kafka or the schema registry does not answer, or the topic is not there.
    """
    first, ends = await span(bus)
    decoder = Decoder(SchemaFiles.shipped(), registry)
    window = max(_FIRST_WINDOW, limit * _WIDER)
    while True:
        start = {partition: max(first[partition], end - window) for partition, end in ends.items()}
        recorded = await records(bus, decoder, start, ends)
        demands = [demand for demand in project(recorded, now) if requester in (None, demand.requester)]
        if len(demands) >= limit or start == first:
            return demands[:limit]
        window *= _WIDER


async def recent_in(session: Session, requester: str | None, limit: int) -> list[RecentDemand]:
    """`recent`, against what a session addresses."""
    bus, registry = session.bus(), session.schema_registry()
    try:
        return await recent(bus, registry, requester, limit, datetime.now(UTC))
    finally:
        await registry.aclose()


def to_json(demands: Sequence[RecentDemand]) -> list[dict[str, Any]]:
    """As it is printed."""
    return [
        {
            "demand_id": str(demand.demand_id),
            "received_at": instant(demand.received_at),
            "requester": demand.requester,
            "procedure": demand.procedure,
            "subject_kind": demand.subject_kind,
            "outcomes": demand.outcomes,
            "state": demand.state,
            "refused": demand.refused,
            "follows": str(demand.follows) if demand.follows is not None else None,
        }
        for demand in demands
    ]


def to_text(demands: Sequence[RecentDemand]) -> list[Table | str]:
    """As a table."""
    if not demands:
        return ["no demands yet"]
    linked = any(demand.follows is not None for demand in demands)
    rows = [
        (
            instant(demand.received_at),
            demand.demand_id,
            demand.requester,
            demand.procedure,
            demand.subject_kind,
            ", ".join(f"{count} {outcome}" for outcome, count in demand.outcomes.items()),
            demand.state if demand.refused is None else f"{demand.state} ({demand.refused})",
            *((demand.follows,) if linked else ()),
        )
        for demand in demands
    ]
    columns = ("received", "demand", "requester", "procedure", "about", "outcomes", "state")
    return [Table((*columns, "follows") if linked else columns, rows)]


def _demand(message: ExchangeRecorded, resolution: ResolutionEntry, final: set[bytes], now: datetime) -> RecentDemand:
    fetched = [document for document in resolution.documents if document.outcome == Outcome.FETCH]
    waiting = [document for document in fetched if document.request_hash not in final]
    if resolution.expires_at is not None and resolution.expires_at <= now:
        waiting = []
    late = any(document.due is not None and document.due < now for document in waiting)
    return RecentDemand(
        demand_id=message.demand_id,
        received_at=resolution.received_at,
        requester=message.requester,
        procedure=resolution.procedure,
        subject_kind=resolution.subject_kind,
        outcomes=dict(Counter(document.outcome for document in resolution.documents)),
        state="late" if late else "open" if waiting else "ended",
        refused=resolution.refused,
        follows=resolution.follows.demand_id if resolution.follows is not None else None,
    )
