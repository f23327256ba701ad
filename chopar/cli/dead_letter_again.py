"""Which new dead letter came of one whose replay failed: nothing notes it, but both are of the same record."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from chopar.bus.between import between
from chopar.bus.port import Bus, TopicPartition
from chopar.cli.dead_letter_list import Decisions, Letter, Place


async def with_new_letters(bus: Bus, decided: Decisions, letters: Iterable[Letter]) -> Decisions:
    """`decided`, with the new letter of each of these whose replay failed; nothing is read where none has.

    Raises:
        BrokerUnavailableError: no broker answers.
    """
    failed: dict[object, list[Letter]] = defaultdict(list)
    start: dict[TopicPartition, int] = {}
    for letter in letters:
        if letter.noted is not None and decided.state(letter.place) == "failed":
            failed[_record(letter)].append(letter)
            partition = TopicPartition(letter.place.topic, letter.place.partition)
            start[partition] = min(letter.place.offset, start.get(partition, letter.place.offset))
    if not failed:
        return decided
    admin = bus.admin()
    await admin.start()
    try:
        ends, kept = await admin.end_offsets([*start]), await admin.offsets_at([*start], 0)
    finally:
        await admin.stop()
    again: dict[Place, Place] = {}
    async for record in between(bus, {one: max(offset, kept[one]) for one, offset in start.items()}, ends):
        new = Letter.of(record)
        for old in failed.get(_record(new), ()):
            if _later(new, old):
                again.setdefault(old.place, new.place)
    return replace(decided, again=again)


def _record(letter: Letter) -> object:
    """What two letters of one record have in common; a replay that fails goes on counting from the first failure."""
    noted = letter.noted
    return noted and (
        letter.place.topic,
        *(noted.topic, noted.partition, noted.offset, noted.timestamp_ms, noted.group, noted.first_failed_ms),
    )


def _later(new: Letter, old: Letter) -> bool:
    """More tries, too: a process that was killed between its letter and its commit has written the old one twice."""
    return (
        new.noted is not None
        and old.noted is not None
        and new.place > old.place
        and new.noted.attempts > old.noted.attempts
    )
