"""Which demands belong together: one that follows another asks the next holder, because the one before had no record.

Found in the record of exchanges, where metadata alone lies. A following demand has the millisecond of the first one in
its id (`chopar.requester.alternatives`), so that only what was recorded of that millisecond is decoded.
"""

import contextlib
from uuid import UUID

from chopar.avro import SchemaFiles
from chopar.bus.between import between
from chopar.bus.port import Bus
from chopar.cli.demand_trace import CLOCKS_APART_MS, Hop, hops_of, in_order
from chopar.cli.exchange_records import span
from chopar.cli.session import Session
from chopar.errors import NotFoundError, RecordError, UnavailableError
from chopar.identifiers import uuid7_milliseconds
from chopar.messages.exchange import ExchangeRecorded
from chopar.schema_registry import Decoder, SchemaRegistry

_MILLISECOND = len("01234567-89ab")  # of a UUIDv7 as it is written


async def followings_of(demand_id: UUID, bus: Bus, registry: SchemaRegistry) -> dict[UUID, UUID | None]:
    """The demand, the one that it follows, and those that follow that one or itself: each with the one it follows.

    Raises:
        UnavailableError: broker or schema registry do not answer, or nothing records exchanges here.
    """
    start, ends = await span(bus, max(0, uuid7_milliseconds(demand_id) - CLOCKS_APART_MS))
    decoder = Decoder(SchemaFiles.shipped(), registry)
    follows: dict[UUID, UUID | None] = {}
    of_millisecond = str(demand_id)[:_MILLISECOND].encode()
    async with contextlib.aclosing(between(bus, start, ends)) as records:
        async for record in records:
            if not (record.key or b"").startswith(of_millisecond):
                continue
            try:
                message = await decoder.message(record.value or b"", ExchangeRecorded)
            except RecordError:
                continue
            if message.resolution is not None:
                said = message.resolution.follows
                follows.setdefault(message.demand_id, said.demand_id if said is not None else None)
    first = follows.get(demand_id) or demand_id
    family = {one: before for one, before in follows.items() if first in (one, before)}
    return {first: None, demand_id: None if first == demand_id else first} | family


async def trace_in(session: Session, demand_id: UUID) -> tuple[list[Hop], dict[UUID, UUID | None]]:
    """The hops of a demand and of all that belong to it, in the order of their times; and which follows which.

    Raises:
        NotFoundError: there are none.
        BrokerUnavailableError: no broker answers.
    """
    bus, registry = session.bus(), session.schema_registry()
    hops = await hops_of(demand_id, bus)
    follows: dict[UUID, UUID | None] = {}
    try:
        follows = await followings_of(demand_id, bus, registry)
    except UnavailableError as error:
        session.output.say(f"which demands follow it, or which it follows, cannot be seen now: {error}")
    finally:
        await registry.aclose()
    for one in follows:
        if one != demand_id:
            with contextlib.suppress(NotFoundError):  # its records have expired
                hops += await hops_of(one, bus)
    return in_order(hops), follows
