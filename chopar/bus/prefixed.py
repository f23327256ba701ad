"""A bus under whose names a prefix is put: topics and groups of one's own on a broker that others use too.

Whoever is given it sees the real names. For tests, the conformance kit and measurements; not for the exchange itself.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from chopar.bus.port import Admin, Assigned, Bus, Consumer, Outgoing, Producer, Reader, Record, Revoked, TopicPartition
from chopar.topics import TopicLayout


class PrefixedBus:
    """Puts a prefix before every name on the way out, and takes it off on the way back.

    Args:
        bus: the bus that is shared.
        prefix: of the names of topics, groups and transactional ids there.
    """

    def __init__(self, bus: Bus, prefix: str) -> None:
        self._bus = bus
        self._prefix = prefix

    def producer(self, name: str) -> Producer:
        """A producer."""
        return _Producer(self._bus.producer(name), self._prefix)

    def fenced_producer(self, transactional_id: str) -> Producer:
        """A producer of which only the newest incarnation may write."""
        return _Producer(self._bus.fenced_producer(self._prefix + transactional_id), self._prefix)

    def consumer(self, group: str, topics: Sequence[str], *, assigned: Assigned, revoked: Revoked) -> Consumer:
        """A member of a group."""

        async def inner_assigned(partitions: Mapping[TopicPartition, int]) -> None:
            await assigned({_in(place, self._prefix): offset for place, offset in partitions.items()})

        async def inner_revoked(partitions: frozenset[TopicPartition]) -> None:
            await revoked(frozenset(_in(place, self._prefix) for place in partitions))

        names = [self._prefix + topic for topic in topics]
        inner = self._bus.consumer(self._prefix + group, names, assigned=inner_assigned, revoked=inner_revoked)
        return _Fetcher(inner, self._prefix)

    def reader(self, start: Mapping[TopicPartition, int | None], *, read_committed: bool = False) -> Reader:
        """A reader of the named partitions."""
        places = {_out(place, self._prefix): offset for place, offset in start.items()}
        inner = self._bus.reader(places, read_committed=read_committed)
        return _Fetcher(inner, self._prefix)

    def admin(self) -> Admin:
        """An admin that sees the topics with the prefix alone."""
        return _Admin(self._bus.admin(), self._prefix)


def _out(place: TopicPartition, prefix: str) -> TopicPartition:
    return TopicPartition(prefix + place.topic, place.partition)


def _in(place: TopicPartition, prefix: str) -> TopicPartition:
    return TopicPartition(place.topic.removeprefix(prefix), place.partition)


class _Producer:
    def __init__(self, inner: Producer, prefix: str) -> None:
        self._inner = inner
        self._prefix = prefix
        self.start = inner.start
        self.stop = inner.stop

    async def send(self, records: Sequence[Outgoing]) -> list[Any]:
        return await self._inner.send([record._replace(topic=self._prefix + record.topic) for record in records])


class _Fetcher:
    """Consumer and reader alike."""

    def __init__(self, inner: Any, prefix: str) -> None:
        self._inner = inner
        self._prefix = prefix
        self.start = inner.start
        self.stop = inner.stop

    async def fetch(self, max_records: int, timeout_seconds: float) -> dict[TopicPartition, list[Record]]:
        got = await self._inner.fetch(max_records, timeout_seconds)
        return {
            _in(place, self._prefix): [
                record._replace(topic=record.topic.removeprefix(self._prefix)) for record in records
            ]
            for place, records in got.items()
        }

    def held(self) -> frozenset[TopicPartition]:
        return frozenset(_in(place, self._prefix) for place in self._inner.held())

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._inner.seek(_out(partition, self._prefix), offset)

    def position(self, partition: TopicPartition) -> int:
        return int(self._inner.position(_out(partition, self._prefix)))

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        found = await self._inner.end_offsets([_out(place, self._prefix) for place in partitions])
        return {_in(place, self._prefix): offset for place, offset in found.items()}

    async def beginning_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        found = await self._inner.beginning_offsets([_out(place, self._prefix) for place in partitions])
        return {_in(place, self._prefix): offset for place, offset in found.items()}

    @property
    def member(self) -> str:
        return str(self._inner.member)

    @property
    def settled(self) -> bool:
        return bool(self._inner.settled)

    @property
    def answered(self) -> bool:
        return bool(self._inner.answered)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        await self._inner.commit({_out(place, self._prefix): offset for place, offset in offsets.items()})

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        self._inner.pause([_out(place, self._prefix) for place in partitions])

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        self._inner.resume([_out(place, self._prefix) for place in partitions])


class _Admin:
    def __init__(self, inner: Admin, prefix: str) -> None:
        self._inner = inner
        self._prefix = prefix
        self.start = inner.start
        self.stop = inner.stop

    async def create(self, layouts: Sequence[TopicLayout]) -> list[str]:
        made = await self._inner.create(
            [TopicLayout(self._prefix + layout.name, layout.partitions, layout.settings) for layout in layouts]
        )
        return [name.removeprefix(self._prefix) for name in made]

    async def delete(self, names: Sequence[str]) -> None:
        await self._inner.delete([self._prefix + name for name in names])

    async def partitions(self) -> dict[str, int]:
        found = await self._inner.partitions()
        return {n.removeprefix(self._prefix): count for n, count in found.items() if n.startswith(self._prefix)}

    async def remove_member(self, group: str, member: str) -> bool:
        return bool(await self._inner.remove_member(self._prefix + group, member))

    async def committed(self, group: str) -> dict[TopicPartition, int]:
        found = await self._inner.committed(self._prefix + group)
        return {_in(place, self._prefix): offset for place, offset in found.items()}

    async def note(self, group: str, place: TopicPartition, text: str) -> None:
        await self._inner.note(self._prefix + group, _out(place, self._prefix), text)

    async def noted(self, group: str, place: TopicPartition) -> str:
        return str(await self._inner.noted(self._prefix + group, _out(place, self._prefix)))

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        found = await self._inner.end_offsets([_out(place, self._prefix) for place in partitions])
        return {_in(place, self._prefix): offset for place, offset in found.items()}

    async def offsets_at(self, partitions: Sequence[TopicPartition], timestamp_ms: int) -> dict[TopicPartition, int]:
        found = await self._inner.offsets_at([_out(place, self._prefix) for place in partitions], timestamp_ms)
        return {_in(place, self._prefix): offset for place, offset in found.items()}
