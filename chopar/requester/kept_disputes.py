"""The disputes that a durable asker keeps: until they are sent, and until the holder has said something to them.

Kept in the application's database, in its own transaction if it likes. The bytes are those that are sent, so a dispute
that is sent twice is the same message. One that nobody answers stays to be seen: it may be a dead letter of the
gateway, though what our library sends is only where clocks disagree about the demand's end.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, Column, Index, LargeBinary, String, Table, bindparam, delete, select, update
from sqlalchemy import insert as inserted

from chopar.requester.store import TABLES, Executes, milliseconds

_DISPUTE = Table(
    "chopar_dispute",
    TABLES,
    Column("dispute_id", String(36), primary_key=True),
    Column("demand_id", String(36), nullable=False),
    Column("first_id", String(36), nullable=False),
    Column("document_type", String, nullable=False),
    Column("about", String),
    Column("value", LargeBinary, nullable=False),
    Column("disputed_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("sent", Boolean, nullable=False),
    sqlite_with_rowid=False,
)
Index("chopar_dispute_unsent", _DISPUTE.c.dispute_id, sqlite_where=~_DISPUTE.c.sent, postgresql_where=~_DISPUTE.c.sent)
_UNSENT = (
    select(_DISPUTE.c.dispute_id, _DISPUTE.c.demand_id, _DISPUTE.c.value)
    .where(~_DISPUTE.c.sent, _DISPUTE.c.expires_ms > bindparam("now_ms"))
    .order_by(_DISPUTE.c.dispute_id)
    .limit(bindparam("most"))
)
_SENT = update(_DISPUTE).where(_DISPUTE.c.dispute_id == bindparam("of_dispute")).values(sent=True)
_ENDED = delete(_DISPUTE).where(_DISPUTE.c.dispute_id == bindparam("of_dispute"))
_OPEN = select(_DISPUTE).order_by(_DISPUTE.c.dispute_id).limit(bindparam("most"))


@dataclass(frozen=True, slots=True)
class OpenDispute:
    """A dispute to which the holder has said nothing yet.

    `sent` says whether the broker has acknowledged it. Behind `expires_at`, of its demand, nobody answers it any more:
    demand anew.
    """

    dispute_id: UUID
    demand_id: UUID
    document_type: str
    about: str | None
    disputed_at: datetime
    expires_at: datetime
    sent: bool


@dataclass(frozen=True, slots=True)
class Unsent:
    """A dispute as it is sent; `demand_id` is its key."""

    dispute_id: UUID
    demand_id: UUID
    value: bytes


async def add(where: Executes, dispute: Unsent, opened: OpenDispute) -> None:
    """Keep a dispute that is to be sent."""
    row = {
        "dispute_id": str(dispute.dispute_id),
        "demand_id": str(dispute.demand_id),
        "first_id": str(opened.demand_id),
        "document_type": opened.document_type,
        "about": opened.about,
        "value": dispute.value,
        "disputed_ms": milliseconds(opened.disputed_at),
        "expires_ms": milliseconds(opened.expires_at),
        "sent": False,
    }
    await where.execute(inserted(_DISPUTE), [row])


async def unsent(where: Executes, now: datetime, most: int) -> list[Unsent]:
    """Those whose acknowledgement is not noted, oldest first, of demands that live."""
    found = await where.execute(_UNSENT, {"now_ms": milliseconds(now), "most": most})
    return [Unsent(UUID(row.dispute_id), UUID(row.demand_id), row.value) for row in found]


async def note_sent(where: Executes, dispute_id: UUID) -> None:
    """The broker has acknowledged it."""
    await where.execute(_SENT, {"of_dispute": str(dispute_id)})


async def end(where: Executes, dispute_id: UUID) -> None:
    """The holder has said something to it."""
    await where.execute(_ENDED, {"of_dispute": str(dispute_id)})


async def still_open(where: Executes, most: int) -> list[OpenDispute]:
    """Those to which nothing was said, oldest first."""
    return [
        OpenDispute(
            UUID(row.dispute_id),
            UUID(row.first_id),
            row.document_type,
            row.about,
            datetime.fromtimestamp(row.disputed_ms / 1000, UTC),
            datetime.fromtimestamp(row.expires_ms / 1000, UTC),
            row.sent,
        )
        for row in await where.execute(_OPEN, {"most": most})
    ]
