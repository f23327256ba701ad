"""Which expired demands the application is being told of, noted in its database before it is: a callback may kill us.

Where a record is at hand the consume loop notes it (`chopar.bus.tried`); what expires has none. Whoever finds a note
that nobody has taken back knows that a process died in the middle, or is in the middle now.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, Integer, String, Table, bindparam, delete, func, select, update

from chopar.bus.inbox import Batch
from chopar.database import adding_new
from chopar.requester.store import TABLES

_TRYING = Table(
    "chopar_trying",
    TABLES,
    Column("demand_id", String(36), primary_key=True),
    Column("tries", Integer, nullable=False),
    Column("noted_ms", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
_BEGUN = (
    update(_TRYING)
    .where(_TRYING.c.demand_id == bindparam("of_demand"))
    .values(tries=_TRYING.c.tries + 1, noted_ms=bindparam("now_ms"))
)
_OF = select(_TRYING).where(_TRYING.c.demand_id.in_(bindparam("demands", expanding=True)))
_ENDED = delete(_TRYING).where(_TRYING.c.demand_id == bindparam("of_demand"))
_MANY = select(func.count()).select_from(_TRYING).where(_TRYING.c.tries >= bindparam("least"))


@dataclass(frozen=True, slots=True)
class Tries:
    """How often a try was begun that nobody has ended, and when the last was."""

    number: int
    noted_ms: int


async def of(batch: Batch, demand_ids: Sequence[str]) -> dict[str, Tries]:
    """What is noted of these."""
    if not demand_ids:
        return {}
    found = await batch.execute(_OF, {"demands": list(demand_ids)})
    return {row.demand_id: Tries(row.tries, row.noted_ms) for row in found}


async def begin(batch: Batch, demand_ids: Iterable[str], now_ms: int) -> None:
    """Note that one more try of each begins; to be committed before it does."""
    ids = sorted(demand_ids)
    if ids:
        await batch.execute(
            adding_new(_TRYING, batch.dialect), [{"demand_id": one, "tries": 0, "noted_ms": now_ms} for one in ids]
        )
        await batch.execute(_BEGUN, [{"of_demand": one, "now_ms": now_ms} for one in ids])


async def end(batch: Batch, demand_ids: Iterable[str]) -> None:
    """The process outlived these tries, however they ended."""
    ids = sorted(demand_ids)
    if ids:
        await batch.execute(_ENDED, [{"of_demand": one} for one in ids])


async def as_often_as(batch: Batch, least: int) -> int:
    """How many were tried so often, or more."""
    return int((await batch.execute(_MANY, {"least": least})).scalar_one())
