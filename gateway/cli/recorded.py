"""The recorded exchanges of a period, for commands that count them; metadata alone lies there."""

import datetime

from chopar.avro import SchemaFiles
from chopar.cli.exchange_records import records, span
from chopar.cli.session import Session
from chopar.messages.exchange import ExchangeRecorded
from chopar.schema_registry import Decoder
from gateway.tashkent import TASHKENT, day_of


async def recorded(
    session: Session, since: datetime.date | None, until: datetime.date | None
) -> list[ExchangeRecorded]:
    """The gateway's records of demands received in a period, both days included; all if no day is given.

    Raises:
        UnavailableError: Kafka or the schema registry does not answer, or the topic is not there.
    """
    bus, registry = session.bus(), session.schema_registry()
    start, ends = await span(bus, _midnight_ms(since) if since else 0)
    try:
        found = await records(bus, Decoder(SchemaFiles.shipped(), registry), start, ends)
    finally:
        await registry.aclose()
    return [one for one in found if one.resolution is not None and _within(one.resolution.received_at, since, until)]


def _midnight_ms(day: datetime.date) -> int:
    return int(datetime.datetime.combine(day, datetime.time(), TASHKENT).timestamp() * 1000)


def _within(moment: datetime.datetime, since: datetime.date | None, until: datetime.date | None) -> bool:
    day = day_of(moment)
    return (since is None or day >= since) and (until is None or day <= until)
