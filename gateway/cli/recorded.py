"""The recorded exchanges of a period, for commands that count them; metadata alone lies there."""

import datetime

from chopar.avro import SchemaFiles
from chopar.bus.port import TopicPartition
from chopar.cli.demand_trace import read_to
from chopar.cli.session import Session
from chopar.errors import RecordError, UnavailableError
from chopar.messages.exchange import ExchangeRecorded
from chopar.schema_registry import Decoder
from chopar.topics import EXCHANGE_RECORDED

_TASHKENT = datetime.timezone(datetime.timedelta(hours=5))
_DAY = datetime.timedelta(days=1)


async def recorded(
    session: Session, since: datetime.date | None, until: datetime.date | None
) -> list[ExchangeRecorded]:
    """The gateway's records of demands received in a period, both days included; all if no day is given.

    Raises:
        UnavailableError: Kafka or the schema registry does not answer, or the topic is not there.
    """
    name = EXCHANGE_RECORDED.of()
    bus, registry = session.bus(), session.schema_registry()
    admin = bus.admin()
    await admin.start()
    try:
        count = (await admin.partitions()).get(name)
        if count is None:
            raise UnavailableError(f"the topic {name} is missing: `python -m gateway --apply-topics` makes it")
        places = [TopicPartition(name, number) for number in range(count)]
        start = await admin.offsets_at(places, _midnight_ms(since) if since else 0)
        ends = await admin.end_offsets(places)
    finally:
        await admin.stop()
    decoder = Decoder(SchemaFiles.shipped(), registry)
    found: list[ExchangeRecorded] = []
    try:
        for record in await read_to(bus, start, {place: end for place, end in ends.items() if start[place] < end}):
            try:
                message = await decoder.message(record.value or b"", ExchangeRecorded)
            except RecordError:
                continue  # what cannot be read here is its readers' dead letter
            if message.resolution is not None and _within(message.resolution.received_at, since, until):
                found.append(message)
    finally:
        await registry.aclose()
    return found


def _midnight_ms(day: datetime.date) -> int:
    return int(datetime.datetime.combine(day, datetime.time(), _TASHKENT).timestamp() * 1000)


def _within(moment: datetime.datetime, since: datetime.date | None, until: datetime.date | None) -> bool:
    day = moment.astimezone(_TASHKENT).date()
    return (since is None or day >= since) and (until is None or day <= until)
