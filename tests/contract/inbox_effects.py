"""Effects to act on, and the table in which an application keeps what it did."""

import hashlib

from sqlalchemy import Column, Integer, MetaData, Table, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from chopar.bus.inbox import Effect, EffectKey
from tests.builders import demand_id

METADATA = MetaData()
# No key: what is done twice shows as two rows.
DONE = Table("done", METADATA, Column("number", Integer, nullable=False))


def effect(
    number: int = 0,
    *,
    content: bytes = b"owes nothing",
    provider: str = "tax-committee",
    correction: bytes | None = None,
) -> Effect:
    """The effect of the answer to one demand's paper."""
    key = EffectKey.of("electricity-het", demand_id(number), "tax-debt-certificate", correction=correction)
    return Effect(key, hashlib.sha256(content).digest(), provider)


async def enter(connection: AsyncConnection, number: int = 0) -> None:
    """What the application does: a row of its own."""
    await connection.execute(insert(DONE), {"number": number})
