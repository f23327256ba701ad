"""Reading `exchange.recorded`, for commands that list or count: metadata alone lies there."""

from contextlib import aclosing

from chopar.bus.between import between
from chopar.bus.port import Bus, TopicPartition
from chopar.errors import RecordError, UnavailableError
from chopar.messages.exchange import ExchangeRecorded
from chopar.schema_registry import Decoder
from chopar.topics import EXCHANGE_RECORDED


async def span(bus: Bus, since_ms: int = 0) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
    """Where the records of a broker time or later begin in each partition, and where each ends now.

    Raises:
        UnavailableError: no broker answers, or the topic is not there.
    """
    name = EXCHANGE_RECORDED.of()
    admin = bus.admin()
    await admin.start()
    try:
        count = (await admin.partitions()).get(name)
        if count is None:
            raise UnavailableError(f"the topic {name} is missing: `python -m gateway --apply-topics` makes it")
        places = [TopicPartition(name, number) for number in range(count)]
        return await admin.offsets_at(places, since_ms), await admin.end_offsets(places)
    finally:
        await admin.stop()


async def records(
    bus: Bus, decoder: Decoder, start: dict[TopicPartition, int], ends: dict[TopicPartition, int]
) -> list[ExchangeRecorded]:
    """The records between two places of each partition; one that cannot be read here is its readers' dead letter.

    Raises:
        UnavailableError: the broker or the schema registry does not answer.
    """
    found: list[ExchangeRecorded] = []
    async with aclosing(between(bus, start, ends)) as span_of_records:
        async for record in span_of_records:
            try:
                found.append(await decoder.message(record.value or b"", ExchangeRecorded))
            except RecordError:
                continue
    return found
