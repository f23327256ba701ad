"""Producer, consumer, reader and admin of the in-memory bus."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from chopar.bus.memory.faults import SendFault
from chopar.bus.memory.state import MemoryState
from chopar.bus.port import Assigned, Outgoing, Record, Revoked, Sent, TopicPartition
from chopar.errors import (
    BrokerUnavailableError,
    ChoparError,
    DeliveryError,
    FencedError,
    NoLongerMemberError,
    NoSuchTopicError,
    NotFoundError,
    OffsetOutOfRangeError,
    TopicLayoutError,
    TopicReplacedError,
)
from chopar.topics import TopicLayout

_NO_TIME = 1e-6
"""Seconds that are left to wait and too few for a sum of floats to change: nobody could ever wait for their end."""
_LOOK_AGAIN_SECONDS = 60.0  # nobody waits so long: whoever lets a group answer again says so
_DOWN = "no broker answers (the in-memory bus was told so)"


class MemoryProducer:
    """A producer; with a transactional id it is fenced by the next one of the same id."""

    def __init__(self, state: MemoryState, transactional_id: str | None = None) -> None:
        self._state = state
        self._transactional_id = transactional_id
        self._epoch = 0
        self._spoiled = False

    async def start(self) -> None:
        """Connect; fence older incarnations."""
        self._state.require_up()
        if self._transactional_id is not None:
            self._epoch = self._state.epochs[self._transactional_id] = (
                self._state.epochs.get(self._transactional_id, 0) + 1
            )

    async def stop(self) -> None:
        """Nothing is buffered."""

    async def send(self, records: Sequence[Outgoing]) -> list[Sent | ChoparError]:
        """Append, and wait until everything is readable, under the bus's deadline."""
        if self._transactional_id is not None:
            refused = self._refusal(records)
            if refused is not None:
                return refused
        results: list[Sent | ChoparError] = [self._append(record) for record in records]
        deadline = asyncio.get_running_loop().time() + self._state.send_timeout_seconds
        for index, (record, result) in enumerate(zip(records, results, strict=True)):
            if isinstance(result, Sent):
                results[index] = await self._shown(record, result, deadline)
        await asyncio.sleep(0)  # as any send, it lets others run
        return results

    def _refusal(self, records: Sequence[Outgoing]) -> list[Sent | ChoparError] | None:
        """What a transaction answers if it cannot be carried through as a whole."""
        if self._state.epochs[self._transactional_id or ""] != self._epoch:
            raise FencedError("a newer incarnation of this writer has started")
        faults = [self._state.faults.send(record) for record in records]
        if self._spoiled or self._state.faults.down or any(faults):
            self._spoiled = True
            return [DeliveryError("the transaction was not carried through") for _ in records]
        sizes = [self._state.log.check_size(record) for record in records]
        if any(sizes):
            return [size or DeliveryError("another record of the transaction is too large") for size in sizes]
        return None

    def _append(self, record: Outgoing) -> Sent | ChoparError:
        if self._state.faults.down:
            return DeliveryError(_DOWN)
        too_large = self._state.log.check_size(record)
        if too_large is not None:
            return too_large
        fault = None if self._transactional_id is not None else self._state.faults.send(record)
        if fault is SendFault.NOT_WRITTEN:
            return DeliveryError("not acknowledged")
        try:
            sent = self._state.log.append(record)
        except NotFoundError as error:
            return NoSuchTopicError(str(error))
        return DeliveryError("not acknowledged") if fault is SendFault.WRITTEN else sent

    async def _shown(self, record: Outgoing, sent: Sent, deadline: float) -> Sent | ChoparError:
        partition = self._state.log.partition(TopicPartition(record.topic, record.partition))
        while partition.shown <= sent.offset:
            left = deadline - asyncio.get_running_loop().time()
            if left <= _NO_TIME:
                return DeliveryError("not acknowledged in time")
            await self._state.changed.wait(left, (partition.place,))
        return sent


class MemoryFetcher:
    """What consumer and reader share: positions over the log."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._stopped = False
        self._ids: dict[str, int] = {}
        """Which topics are read, under their names."""
        self._replaced: set[str] = set()
        self._cut: TopicPartition | None = None
        """The last of the last fetch, which may have left some of it: it is last again, and keeps no other waiting."""

    def held(self) -> frozenset[TopicPartition]:
        """The partitions held now."""
        return frozenset(self._positions)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from an offset."""
        self._require_held(partition)
        self._positions[partition] = offset

    def position(self, partition: TopicPartition) -> int:
        """The next offset."""
        self._require_held(partition)
        return self._positions[partition]

    async def fetch(self, max_records: int, timeout_seconds: float) -> dict[TopicPartition, list[Record]]:
        """Take what there is, waiting at most this long for a first record."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        await asyncio.sleep(0)  # as any fetch, it lets others run
        while not self._stopped:
            if self._state.faults.down:
                raise BrokerUnavailableError(_DOWN)
            batch = await self._ready_batch(max_records)
            left = deadline - loop.time()
            if batch or left <= _NO_TIME:
                return batch
            await self._state.changed.wait(left, self._positions)
        return {}

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset after the last readable record, or what a stale leader says."""
        return self._state.end_offsets(partitions)

    async def beginning_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Where each log starts."""
        self._state.require_up()
        return {place: self._state.log.partition(place).start for place in partitions}

    async def _ready_batch(self, max_records: int) -> dict[TopicPartition, list[Record]]:
        return self._take(max_records)

    def _require_same_topics(self) -> None:
        ids = self._state.log.ids
        self._replaced |= {topic for topic, one in self._ids.items() if ids.get(topic, one) != one}
        if self._replaced:
            raise TopicReplacedError(f"{', '.join(sorted(self._replaced))}: deleted and made again under this reader")

    def _take(self, max_records: int) -> dict[TopicPartition, list[Record]]:
        self._require_same_topics()
        batch: dict[TopicPartition, list[Record]] = {}
        places = [place for place, at in self._positions.items() if place not in self._paused and self._has(place, at)]
        if not places:
            return batch
        places.sort()
        turn = sum(place <= self._cut for place in places) if self._cut is not None else 0
        for place in places[turn:] + places[:turn]:
            if max_records <= 0:
                break
            partition, position = self._state.log.partition(place), self._positions[place]
            if not partition.start <= position <= partition.stamped:
                if batch:
                    break  # first give out what was taken; the next fetch says it
                raise OffsetOutOfRangeError(
                    f"{place.topic}-{place.partition}: offset {position} is outside {partition.start} to "
                    f"{partition.shown}; records were deleted before they were read"
                )
            records = partition.read(position, max_records)
            if records:
                batch[place] = records
                self._positions[place] = records[-1].offset + 1
                max_records -= len(records)
                self._cut = place
        return batch

    def _has(self, place: TopicPartition, position: int) -> bool:
        """Whether there is something to read there, or to complain of."""
        partition = self._state.log.partitions.get(place)
        if partition is None:
            return False  # deleted meanwhile
        return position < partition.shown or not partition.start <= position <= partition.stamped

    def _require_held(self, partition: TopicPartition) -> None:
        if partition not in self._positions:
            raise NotFoundError(f"partition {partition.topic}-{partition.partition} is not held")


class MemoryReader(MemoryFetcher):
    """A reader of named partitions."""

    def __init__(self, state: MemoryState, start: Mapping[TopicPartition, int | None]) -> None:
        super().__init__(state)
        self._start = dict(start)

    async def start(self) -> None:
        """Take the positions up."""
        self._state.require_up()
        for place, offset in self._start.items():
            self._positions[place] = self._state.partition(place).start if offset is None else offset
            self._ids[place.topic] = self._state.log.ids[place.topic]

    async def stop(self) -> None:
        """Let a fetch under way return."""
        self._stopped = True
        self._state.changed.notify()


class MemoryConsumer(MemoryFetcher):
    """A member of a group."""

    def __init__(
        self, state: MemoryState, group: str, topics: Sequence[str], assigned: Assigned, revoked: Revoked
    ) -> None:
        super().__init__(state)
        self.topics = tuple(topics)
        self._group = state.group(group)
        self._name = group
        self._assigned = assigned
        self._revoked = revoked
        self._assigning: asyncio.Task[None] | None = None
        self._giving_up = False

    async def start(self) -> None:
        """Join the group and wait for the assignment."""
        self._state.require_up()
        for topic in self.topics:
            if topic not in self._state.log.layouts:
                raise BrokerUnavailableError(f"topic {topic} does not exist; make the topics first")
        await self._join()

    async def stop(self) -> None:
        """Leave; the others get its partitions."""
        self._stopped = True
        try:
            await self._cancel_assigning()
        finally:  # who is killed in the middle leaves too: no session ends here
            self._positions.clear()
            if self in self._group.members:
                self._group.members.remove(self)
                self._group.rebalance(self._state.partition_counts())
            self._state.changed.notify()

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Store the next offsets to read, of partitions that are held."""
        while self._name in self._state.faults.hung_groups:
            await self._state.changed.wait(_LOOK_AGAIN_SECONDS)
        self._state.require_up()
        if self not in self._group.members:
            raise NoLongerMemberError("the group has gone on without this member")
        held = {
            place: offset
            for place, offset in offsets.items()
            if place in self._positions and place.topic in self._state.log.ids and place.topic not in self._replaced
        }
        if self._state.faults.commit(self._name, held):
            raise BrokerUnavailableError("the commit failed")
        self._group.committed.update(held)
        self._group.topic_ids.update((place, self._ids[place.topic]) for place in held)
        await asyncio.sleep(0)

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Give out nothing of these."""
        self._paused.update(place for place in partitions if place in self._positions)

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Give them out again."""
        self._paused.difference_update(partitions)
        self._state.changed.notify()

    @property
    def member(self) -> str:
        """By which name the group knows this member."""
        return f"{id(self):x}" if self in self._group.members else ""

    @property
    def settled(self) -> bool:
        """Whether it is known what is held, and `assigned` has returned for it."""
        return self in self._group.members and not self._giving_up and self._assigning is None

    @property
    def answered(self) -> bool:
        """Whether the bus was not told to be down."""
        return not self._state.faults.down

    async def give_up(self) -> None:
        """Await `revoked` for everything held; called by the group."""
        self._giving_up = True
        await self._cancel_assigning()
        if self._positions:
            await self._revoked(frozenset(self._positions))
        self._positions.clear()
        self._paused.clear()

    def take_up(self, partitions: Mapping[TopicPartition, int | None]) -> None:
        """Hold these; called by the group."""
        self._giving_up = False
        if self._stopped:
            return
        self._positions = {
            place: self._state.log.partition(place).start if offset is None else offset
            for place, offset in partitions.items()
        }
        self._ids = {place.topic: self._state.log.ids[place.topic] for place in self._positions} | self._ids
        ids = self._group.topic_ids
        self._replaced |= {
            place.topic for place in partitions if ids.get(place, self._ids[place.topic]) != self._ids[place.topic]
        }
        if self._positions:
            self._assigning = asyncio.create_task(self._call_assigned(dict(self._positions)))
        self._state.changed.notify()

    async def _ready_batch(self, max_records: int) -> dict[TopicPartition, list[Record]]:
        if self not in self._group.members:
            await self.give_up()
            await self._join()
        if self._giving_up or self._assigning is not None:
            return {}
        return self._take(max_records)

    async def _join(self) -> None:
        self._group.members.append(self)
        await asyncio.shield(self._group.rebalance(self._state.partition_counts()))

    async def _call_assigned(self, start: Mapping[TopicPartition, int]) -> None:
        await self._assigned(start)
        self._assigning = None
        self._state.changed.notify()

    async def _cancel_assigning(self) -> None:
        assigning, self._assigning = self._assigning, None
        if assigning is not None:
            assigning.cancel()
            await asyncio.wait([assigning])  # awaited itself, it would hide that who waits was cancelled
            if not assigning.cancelled():
                assigning.result()


class MemoryAdmin:
    """Makes and describes topics."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def start(self) -> None:
        """Connect."""
        self._state.require_up()

    async def stop(self) -> None:
        """Nothing is kept."""

    async def create(self, layouts: Sequence[TopicLayout]) -> list[str]:
        """Make the topics that are missing."""
        self._state.require_up()
        made: list[str] = []
        for layout in layouts:
            there = self._state.log.layouts.get(layout.name)
            if there is None:
                self._state.log.add(layout)
                made.append(layout.name)
            else:
                _require_equal(layout, there)
        return made

    async def delete(self, names: Sequence[str]) -> None:
        """Delete topics with all that is in them. Those that do not exist are left out."""
        self._state.require_up()
        for name in names:
            self._state.log.remove(name)
            for group in self._state.groups.values():
                group.forget(name)
        self._state.changed.notify()

    async def partitions(self) -> dict[str, int]:
        """All topics and how many partitions each has."""
        self._state.require_up()
        return self._state.partition_counts()

    async def remove_member(self, group: str, member: str) -> bool:
        """Have a group go on without a member; it learns of it at its next fetch. Whether there was one."""
        self._state.require_up()
        members = self._state.group(group).members
        dead = [one for one in members if isinstance(one, MemoryConsumer) and one.member == member]
        for one in dead:
            members.remove(one)
        if dead:
            await asyncio.shield(self._state.group(group).rebalance(self._state.partition_counts()))
        return bool(dead)

    async def committed(self, group: str) -> dict[TopicPartition, int]:
        """The committed offsets of a group."""
        self._state.require_up()
        return dict(self._state.group(group).committed)

    async def note(self, group: str, place: TopicPartition, text: str) -> None:
        """Keep a text under the name of a group that nobody joins."""
        self._state.require_up()
        self._state.group(group).notes[place] = text

    async def noted(self, group: str, place: TopicPartition) -> str:
        """What was kept there last; empty if nothing was."""
        self._state.require_up()
        return self._state.group(group).notes.get(place, "")

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset after the last readable record of each."""
        return self._state.end_offsets(partitions)

    async def offsets_at(self, partitions: Sequence[TopicPartition], timestamp_ms: int) -> dict[TopicPartition, int]:
        """The first offset of each stamped at or after a time."""
        self._state.require_up()
        return {place: self._state.log.partition(place).first_at(timestamp_ms) for place in partitions}


def _require_equal(wanted: TopicLayout, there: TopicLayout) -> None:
    if wanted.partitions != there.partitions:
        raise TopicLayoutError(f"topic {wanted.name} has {there.partitions} partitions, {wanted.partitions} are due")
    different: Iterable[str] = [
        f"{name} is {there.settings.get(name, 'not set')}, {value} is due"
        for name, value in wanted.settings.items()
        if there.settings.get(name) != value
    ]
    if different:
        raise TopicLayoutError(f"topic {wanted.name}: {'; '.join(different)}")
