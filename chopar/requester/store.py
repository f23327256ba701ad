"""The asker's store: the demands that it has sent, and how it stands with each request, in the application's database.

Beside the inbox and in its transactions, so that what was delivered, what became of it and the application's own rows
are committed together. A demand's row holds its bytes, and so whom it is about: it is the agency's own database, and
rows are deleted when nothing can be delivered for them any more. Of a request id only the SHA-256 is kept.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    CursorResult,
    Executable,
    Index,
    LargeBinary,
    MetaData,
    String,
    Table,
    and_,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from chopar.bus.inbox import KEPT, Batch, Inbox
from chopar.database import adding_new
from chopar.identifiers import uuid7
from chopar.messages.demand import DemandResolved
from chopar.requester.completion import Awaited, Waiting

ELSEWHERE = "elsewhere"
"""Of a request that belongs to a demand of this agency which another system of it has sent."""

_DIGEST_BYTES = 32
_FIRST_ANSWER = bytes(_DIGEST_BYTES)
_DELETED_AT_ONCE = 1000

TABLES = MetaData()
_DEMAND = Table(
    "chopar_demand",
    TABLES,
    Column("demand_id", String(36), primary_key=True),
    Column("value", LargeBinary, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("sent", Boolean, nullable=False),
    Column("complete", Boolean, nullable=False),
    Column("resolution", LargeBinary),
    sqlite_with_rowid=False,
)
Index("chopar_demand_unsent", _DEMAND.c.demand_id, sqlite_where=~_DEMAND.c.sent, postgresql_where=~_DEMAND.c.sent)
Index(
    "chopar_demand_open",
    _DEMAND.c.expires_ms,
    sqlite_where=~_DEMAND.c.complete,
    postgresql_where=~_DEMAND.c.complete,
)
_REQUEST = Table(
    "chopar_request",
    TABLES,
    Column("request", LargeBinary(_DIGEST_BYTES), primary_key=True),
    Column("demand_id", String(36), nullable=False, index=True),
    Column("waiting", String, nullable=False),
    Column("late", Boolean, nullable=False),
    Column("accepted", LargeBinary, nullable=False),
    Column("promised_ms", BigInteger),
    sqlite_with_rowid=False,
)
_FOLLOWING = Table(
    "chopar_following",
    TABLES,
    Column("demand_id", String(36), primary_key=True),
    Column("first_id", String(36), nullable=False, index=True),
    Column("document_type", String, nullable=False),
    Column("about", String),
    Column("waiting", String, nullable=False),
    sqlite_with_rowid=False,
)
_FIRSTS = select(_FOLLOWING.c.demand_id, _FOLLOWING.c.first_id).where(
    _FOLLOWING.c.demand_id.in_(bindparam("demands", expanding=True))
)
_FOLLOWINGS = select(_FOLLOWING).where(_FOLLOWING.c.first_id.in_(bindparam("demands", expanding=True)))
_FOLLOWED = update(_FOLLOWING).where(_FOLLOWING.c.demand_id == bindparam("of_demand")).values(waiting=bindparam("how"))
_UNSENT = (
    select(_DEMAND.c.demand_id, _DEMAND.c.value)
    .where(~_DEMAND.c.sent)
    .order_by(_DEMAND.c.demand_id)
    .limit(bindparam("most"))
)
_SENT = update(_DEMAND).where(_DEMAND.c.demand_id == bindparam("of_demand")).values(sent=True)
_UNSENDABLE = delete(_DEMAND).where(and_(_DEMAND.c.demand_id == bindparam("of_demand"), ~_DEMAND.c.sent))
_OVERDUE = (
    select(_DEMAND.c.demand_id)
    .where(and_(~_DEMAND.c.complete, _DEMAND.c.expires_ms <= bindparam("until_ms")))
    .order_by(_DEMAND.c.expires_ms)
    .limit(bindparam("most"))
)
_OPEN = (
    select(_DEMAND.c.demand_id)
    .where(~_DEMAND.c.complete)
    .order_by(_DEMAND.c.expires_ms, _DEMAND.c.demand_id)
    .limit(bindparam("most"))
)
_OWNERS = select(_REQUEST.c.request, _REQUEST.c.demand_id, _REQUEST.c.waiting).where(
    _REQUEST.c.request.in_(bindparam("requests", expanding=True))
)
# Locked in one order: two members of a group may hold the same demand's topics, a zombie its very records.
_DEMANDS = (
    select(_DEMAND).where(_DEMAND.c.demand_id.in_(bindparam("demands", expanding=True))).order_by(_DEMAND.c.demand_id)
)
_DEMANDS_LOCKED = _DEMANDS.with_for_update()
_REQUESTS = select(_REQUEST).where(_REQUEST.c.demand_id.in_(bindparam("demands", expanding=True)))
_RESOLVED = (
    update(_DEMAND)
    .where(_DEMAND.c.demand_id == bindparam("of_demand"))
    .values(resolution=bindparam("its_resolution"), complete=bindparam("is_complete"))
)
_ANSWERED = (
    update(_REQUEST)
    .where(_REQUEST.c.request == bindparam("of_request"))
    .values(
        waiting=bindparam("how"),
        late=bindparam("is_late"),
        accepted=bindparam("what"),
        promised_ms=bindparam("until_ms"),
    )
)


class Executes(Protocol):
    """A transaction: the inbox's batch, or a connection of the application."""

    async def execute(self, statement: Executable, parameters: Any = None) -> CursorResult[Any]:
        """Run a statement."""


@dataclass(slots=True)
class KeptRequest:
    """How it stands with one request."""

    waiting: Waiting
    late: bool
    accepted: dict[bytes | None, bytes]
    promised_ms: int | None = None

    def awaited(self, awaited: Awaited) -> Awaited:
        """The same, of a document."""
        return Awaited(awaited.document, self.waiting, self.late, dict(self.accepted))


@dataclass(slots=True)
class KeptDemand:
    """A demand as it is kept. `requests` are by the SHA-256 of their ids."""

    demand_id: str
    value: bytes
    complete: bool
    resolution: bytes | None
    requests: dict[bytes, KeptRequest] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KeptFollowing:
    """How it stands with a demand by which the next holder of a document was asked."""

    document_type: str
    about: str | None
    waiting: Waiting = Waiting.OPEN


def request_hash(request_id: bytes) -> bytes:
    """By what a request is found."""
    return hashlib.sha256(request_id).digest()


async def create_schema(inbox: Inbox) -> None:
    """Create the tables that are missing, the inbox's too.

    Raises:
        StoreUnavailableError: retriable; the database does not answer.
    """
    await inbox.create_schema(TABLES)


async def is_new(inbox: Inbox) -> bool:
    """Whether no asker has ever kept anything in this database: its tables are not there.

    Raises:
        StoreUnavailableError: retriable; the database does not answer.
    """
    return not await inbox.has_table(_DEMAND.name)


async def add(where: Executes, demands: Sequence[tuple[str, bytes, datetime]]) -> None:
    """Keep demands that are to be sent: id, bytes, end of life."""
    await where.execute(insert(_DEMAND), [_new_row(*one) for one in demands])


def milliseconds(at: datetime) -> int:
    """A time as columns have it."""
    return round(at.timestamp() * 1000)


def _new_row(demand_id: str, value: bytes, expires_at: datetime) -> dict[str, Any]:
    return {
        "demand_id": demand_id,
        "value": value,
        "expires_ms": milliseconds(expires_at),
        "sent": False,
        "complete": False,
    }


async def unsent(where: Executes, most: int) -> list[tuple[str, bytes]]:
    """Demands whose acknowledgement is not noted, oldest first."""
    return [(row.demand_id, row.value) for row in await where.execute(_UNSENT, {"most": most})]


async def note_sent(where: Executes, demand_ids: Sequence[str]) -> None:
    """The broker has acknowledged these."""
    if demand_ids:
        await where.execute(_SENT, [{"of_demand": demand_id} for demand_id in demand_ids])


async def forget_unsendable(where: Executes, demand_id: str) -> None:
    """A demand that the broker will never take; the one that it follows waits for it no longer."""
    if (await where.execute(_UNSENDABLE, {"of_demand": demand_id})).rowcount:
        await end_following(where, demand_id, Waiting.UNDELIVERED)


async def overdue(where: Executes, until_ms: int, most: int) -> list[str]:
    """Demands that have expired and are not complete."""
    return list((await where.execute(_OVERDUE, {"until_ms": until_ms, "most": most})).scalars())


async def still_open(where: Executes, most: int) -> list[str]:
    """Demands that are not complete, those that expire first in front."""
    return list((await where.execute(_OPEN, {"most": most})).scalars())


async def owners(where: Executes, requests: Iterable[bytes]) -> dict[bytes, tuple[str, bool]]:
    """Whose the known ones of these requests are: the demand's id, and whether that was sent elsewhere."""
    wanted = list(requests)
    if not wanted:
        return {}
    found = await where.execute(_OWNERS, {"requests": wanted})
    return {row.request: (row.demand_id, row.waiting == ELSEWHERE) for row in found}


async def load(where: Executes, demand_ids: Iterable[str], *, lock: bool = True) -> dict[str, KeptDemand]:
    """The demands of these that are kept. They are locked until the transaction's end, where others might write too."""
    wanted = sorted(set(demand_ids))
    if not wanted:
        return {}
    found = await where.execute(_DEMANDS_LOCKED if lock else _DEMANDS, {"demands": wanted})
    kept = {row.demand_id: KeptDemand(row.demand_id, row.value, row.complete, row.resolution) for row in found}
    if any(one.resolution is not None for one in kept.values()):
        for row in await where.execute(_REQUESTS, {"demands": list(kept)}):
            if row.waiting != ELSEWHERE:
                kept[row.demand_id].requests[row.request] = KeptRequest(
                    Waiting(row.waiting), row.late, _accepted(row.accepted), row.promised_ms
                )
    return kept


async def firsts_of(where: Executes, demand_ids: Iterable[str]) -> dict[str, str]:
    """Which demand each of these follows, of those that follow one."""
    wanted = sorted(demand_ids)
    if not wanted:
        return {}
    return {row.demand_id: row.first_id for row in await where.execute(_FIRSTS, {"demands": wanted})}


async def followings_of(where: Executes, first_ids: Sequence[str]) -> dict[str, dict[str, KeptFollowing]]:
    """The demands that follow these, by those; right only while these are locked."""
    found: dict[str, dict[str, KeptFollowing]] = {}
    if first_ids:
        for row in await where.execute(_FOLLOWINGS, {"demands": list(first_ids)}):
            kept = KeptFollowing(row.document_type, row.about, Waiting(row.waiting))
            found.setdefault(row.first_id, {})[row.demand_id] = kept
    return found


async def add_following(
    batch: Batch, first_id: str, demand: tuple[str, bytes, datetime], following: KeptFollowing
) -> None:
    """Keep a demand that is to be sent because the one before it had no record; again: nothing changes."""
    await batch.execute(adding_new(_DEMAND, batch.dialect), [_new_row(*demand)])
    row = {
        "demand_id": demand[0],
        "first_id": first_id,
        "document_type": following.document_type,
        "about": following.about,
        "waiting": following.waiting.value,
    }
    await batch.execute(adding_new(_FOLLOWING, batch.dialect), [row])


async def end_following(where: Executes, demand_id: str, waiting: Waiting) -> None:
    """Write how a demand that follows another has ended."""
    await where.execute(_FOLLOWED, {"of_demand": demand_id, "how": waiting.value})


async def save(where: Executes, demands: Iterable[KeptDemand]) -> None:
    """Write the state of demands and of their requests."""
    changed = list(demands)
    if not changed:
        return
    rows = [
        {"of_demand": one.demand_id, "its_resolution": one.resolution, "is_complete": one.complete} for one in changed
    ]
    await where.execute(_RESOLVED, rows)


async def add_requests(batch: Batch, requests: Mapping[bytes, tuple[str, KeptRequest | None]]) -> None:
    """Keep requests that are new, by their SHA-256: the demand's id, and how it stands; None: it was sent elsewhere."""
    rows = [
        {
            "request": request,
            "demand_id": demand_id,
            "waiting": ELSEWHERE if kept is None else kept.waiting.value,
            "late": kept is not None and kept.late,
            "accepted": b"" if kept is None else _packed(kept.accepted),
            "promised_ms": None,
        }
        for request, (demand_id, kept) in requests.items()
    ]
    if rows:
        await batch.execute(adding_new(_REQUEST, batch.dialect), rows)


async def save_requests(where: Executes, requests: Mapping[bytes, KeptRequest]) -> None:
    """Write how it stands with requests that are kept."""
    rows = [
        {
            "of_request": request,
            "how": kept.waiting.value,
            "is_late": kept.late,
            "what": _packed(kept.accepted),
            "until_ms": kept.promised_ms,
        }
        for request, kept in requests.items()
    ]
    if rows:
        await where.execute(_ANSWERED, rows)


async def purge(inbox: Inbox, now: datetime) -> int:
    """Delete what is older than `chopar.bus.inbox.KEPT`; how many demands and requests were deleted.

    Raises:
        StoreUnavailableError: retriable; the database does not answer. What was deleted stays so.
    """
    before = str(uuid7(now - KEPT, 0))
    deleted = 0
    # Whatever is kept of a demand, its requests first: to one that is not known nobody acts.
    for table in sorted(
        (one for one in TABLES.tables.values() if "demand_id" in one.c), key=lambda one: one is not _REQUEST
    ):
        [key] = table.primary_key.columns
        old = select(key).where(table.c.demand_id < before).limit(_DELETED_AT_ONCE)
        some = _DELETED_AT_ONCE
        while some == _DELETED_AT_ONCE:
            async with inbox.batch() as batch:
                some = len((await batch.execute(delete(table).where(key.in_(old)).returning(key))).all())
            deleted += some
    return deleted


def requests_of(resolution: DemandResolved) -> list[bytes]:
    """The SHA-256 of the ids of all requests that a resolution names."""
    return [request_hash(one.request_id) for one in resolution.to_fetch() if one.request_id is not None]


def _packed(accepted: Mapping[bytes | None, bytes]) -> bytes:
    return b"".join((supersedes or _FIRST_ANSWER) + digest for supersedes, digest in accepted.items())


def _accepted(packed: bytes) -> dict[bytes | None, bytes]:
    found: dict[bytes | None, bytes] = {}
    for start in range(0, len(packed), 2 * _DIGEST_BYTES):
        supersedes = packed[start : start + _DIGEST_BYTES]
        digest = packed[start + _DIGEST_BYTES : start + 2 * _DIGEST_BYTES]
        found[None if supersedes == _FIRST_ANSWER else supersedes] = digest
    return found
