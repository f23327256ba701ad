"""Brings the table of first records up to date from the log, when partitions are assigned.

A part that was kept is continued where it ends, if the log still holds the very record that it ended with; otherwise it
is thrown away and read again from the beginning. Keys, schema ids, values' digests and times alone are needed: nothing
is decoded.
"""

from collections.abc import Awaitable, Callable, Mapping

import structlog

from chopar.bus.port import Bus, Reader, Record, TopicPartition
from chopar.errors import FirstRecordsLostError
from gateway.store import DAY_MS, FirstRecords, Reached, record_digest

_BATCH = 500
"""A record in memory takes some kilobytes, and a larger batch is folded no faster."""
_LISTEN_SECONDS = 1.0
_LONGEST_LAG_MS = 3 * DAY_MS
"""Topics keep records 35 days and ids live 30: so far behind, and without a table, a first record may be gone."""

_log = structlog.get_logger()


async def _nothing_to_know(_: int) -> None:
    """Whoever has no law to read."""


async def rebuild(
    bus: Bus,
    table: FirstRecords,
    partitions: Mapping[TopicPartition, int],
    known_at: Callable[[int], Awaitable[None]] = _nothing_to_know,
) -> int:
    """Open the parts of these partitions and fold what they lack up to the offset that each is to be read from.

    Args:
        bus: where the log is.
        table: to be brought up to date.
        partitions: the offset that each will be read from.
        known_at: waits until it is settled what held at a broker time, by which the table tells disputes.

    Returns:
        How many records were read.

    Raises:
        FirstRecordsLostError: a part is missing, its log has lost its beginning, and its reader is over three days
            behind.
        UnavailableError: the broker does not answer, or it is not settled what held.
    """
    kept = {partition: table.open(partition) for partition in partitions}
    wanted = [p for p, offset in partitions.items() if offset > 0 or kept[p] is not None]
    if not wanted:
        return 0
    reader = bus.reader(dict.fromkeys(wanted))
    await reader.start()
    try:
        return await _Rebuilding(table, reader, {p: partitions[p] for p in wanted}, kept, known_at).run()
    finally:
        await reader.stop()


class _Rebuilding:
    """One run of it."""

    def __init__(
        self,
        table: FirstRecords,
        reader: Reader,
        until: Mapping[TopicPartition, int],
        kept: Mapping[TopicPartition, Reached | None],
        known_at: Callable[[int], Awaitable[None]],
    ) -> None:
        self._table = table
        self._reader = reader
        self._until = until
        self._kept = kept
        self._known_at = known_at
        self._begins: dict[TopicPartition, int] = {}
        self._to_check: dict[TopicPartition, Reached] = {}

    async def run(self) -> int:
        self._begins = await self._reader.beginning_offsets(list(self._until))
        ends = await self._reader.end_offsets(list(self._until))
        for partition, begin in self._begins.items():
            reached = self._kept[partition]
            if reached is not None and begin < reached.next_offset <= ends[partition]:
                self._to_check[partition] = reached
            else:
                await self._begin_anew(partition, ends[partition])
        for partition, begin in self._begins.items():
            check = self._to_check.get(partition)
            self._reader.seek(partition, check.next_offset - 1 if check else begin)
        read = await self._fold(ends)
        self._table.write()
        for partition, begin in self._begins.items():
            if begin > 0 and self._table.sizes()[partition]:
                oldest = await self._record_at(partition, begin)
                self._table.forget_before(partition, begin, oldest.timestamp_ms)
        self._table.write()
        return read

    async def _fold(self, ends: Mapping[TopicPartition, int]) -> int:
        read = 0
        while any(p in self._to_check or self._reader.position(p) < until for p, until in self._until.items()):
            for partition, records in (await self._reader.fetch(_BATCH, _LISTEN_SECONDS)).items():
                read += len(records)
                reached = self._to_check.pop(partition, None)
                if reached is not None and not _is_last(records[0], reached):
                    await self._begin_anew(partition, ends[partition])
                    self._reader.seek(partition, self._begins[partition])
                    continue
                fresh = [record for record in records if record.offset < self._until[partition]]
                if fresh:
                    await self._known_at(max(record.timestamp_ms for record in fresh))
                for record in fresh:
                    self._table.fold(record)
        return read

    async def _begin_anew(self, partition: TopicPartition, end: int) -> None:
        """Empty a part; where its log has lost its beginning, only if its reader is not too far behind for that."""
        if self._kept[partition] is not None:
            _log.warning("first_records.discarded", topic=partition.topic, partition=partition.partition)
            self._table.clear(partition)
        until = self._until[partition]
        if self._begins[partition] == 0 or not self._begins[partition] <= until < end:
            return
        position = self._reader.position(partition)
        waits_ms = (await self._record_at(partition, until)).timestamp_ms
        newest_ms = (await self._record_at(partition, end - 1)).timestamp_ms
        self._reader.seek(partition, position)
        if newest_ms - waits_ms > _LONGEST_LAG_MS:
            raise FirstRecordsLostError(
                f"{partition.topic}-{partition.partition}: over three days behind and without its table of first "
                "records, whose beginning has left the log; restore the gateway's folder first_records"
            )

    async def _record_at(self, partition: TopicPartition, offset: int) -> Record:
        """The first record at an offset or after it; the positions of the others stay."""
        others = {p: self._reader.position(p) for p in self._until if p != partition}
        self._reader.seek(partition, offset)
        found: list[Record] = []
        while not found:
            found = (await self._reader.fetch(_BATCH, _LISTEN_SECONDS)).get(partition, [])
        for other, position in others.items():
            self._reader.seek(other, position)
        return found[0]


def _is_last(record: Record, reached: Reached) -> bool:
    return record.offset == reached.next_offset - 1 and record_digest(record) == reached.last_digest
