"""Reading what lies between two offsets of each partition, once, and then no more."""

from collections.abc import AsyncGenerator, Mapping

from chopar.bus.port import Bus, Record, TopicPartition

_BATCH = 2000
_LISTEN_SECONDS = 0.5


async def between(
    bus: Bus, start: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
) -> AsyncGenerator[Record, None]:
    """The records from `start` up to `ends`, one after another, those of a partition in their order.

    Whoever may leave it early closes it (`contextlib.aclosing`), so that its reader stops then.

    Args:
        bus: where they lie.
        start: the first offset, by partition; of those that `ends` names.
        ends: the offset after the last one.

    Raises:
        UnavailableError: no broker answers.
    """
    unread = {place: end for place, end in ends.items() if start[place] < end}
    if not unread:
        return
    reader = bus.reader({place: start[place] for place in unread})
    await reader.start()
    try:
        while any(reader.position(place) < end for place, end in unread.items()):
            for batch in (await reader.fetch(_BATCH, _LISTEN_SECONDS)).values():
                for record in batch:
                    if record.offset < unread[record.topic_partition]:
                        yield record
    finally:
        await reader.stop()
