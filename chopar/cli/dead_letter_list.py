"""`dead-letter list`: the records that could not be handled, with reason and origin, and what operators decided.

Masked: a key is shown only if it is a demand id, a value never. Letters are read one after another and only what is
shown of them is kept, as there may be many and large ones.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from chopar.avro import SchemaFiles
from chopar.bus.between import between
from chopar.bus.dead_letter import DeadLetter, read_dead_letter
from chopar.bus.port import Bus, Record, TopicPartition
from chopar.cli.output import Table, hide_rejected
from chopar.errors import ConfigurationError, NotFoundError, RecordError, UnavailableError, WrongRecordError
from chopar.identifiers import parse_demand_id
from chopar.messages.operations import LetterReplayed, ReplayAction, ReplayOutcome, ReplayRequested
from chopar.near import did_you_mean
from chopar.schema_registry import Decoder, SchemaRegistry
from chopar.topics import DEAD_LETTER_SUFFIX, OPERATIONS_REPLAYED

UNREADABLE = "no_dead_letter"
"""The code shown of a record on a dead letter topic whose headers are not those of a dead letter."""

_PLACE = re.compile(r"([\w.-]+)/(\d{1,9})/(\d{1,18})", re.ASCII)
_AGO = re.compile(r"(\d{1,6})([mhd])", re.ASCII)
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a dead letter is; `str` of it is what operators copy from the list."""

    topic: str
    partition: int
    offset: int

    @classmethod
    def parse(cls, text: str) -> "Place":
        """The place of a letter as it was typed.

        Raises:
            ConfigurationError: it is none.
        """
        found = _PLACE.fullmatch(text.strip())
        if found is None or not found.group(1).endswith(DEAD_LETTER_SUFFIX):
            raise ConfigurationError(
                "a dead letter is named as `chopar dead-letter list` does: TOPIC.dlq/PARTITION/OFFSET"
            )
        return cls(found.group(1), int(found.group(2)), int(found.group(3)))

    @classmethod
    def of(cls, it: Record | ReplayRequested | LetterReplayed) -> "Place":
        """Where a record is, or the letter that a decision is about."""
        return cls(it.topic, it.partition, it.offset)

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter as operators see it.

    Attributes:
        place: where it is.
        written_at: broker time of the letter itself.
        noted: what the consumer noted that gave it up; None if its headers cannot be read.
        demand_id: the key, if it is a demand id.
        size_bytes: of the original's key and value, also where the letter holds only the beginning.
    """

    place: Place
    written_at: datetime
    noted: DeadLetter | None
    demand_id: str | None
    size_bytes: int

    @classmethod
    def of(cls, record: Record) -> "Letter":
        """Read a record of a dead letter topic; one that is no dead letter of ours has nothing noted."""
        try:
            noted, _ = read_dead_letter(record)
        except RecordError:
            noted = None
        size = len(record.key or b"") + len(record.value or b"")
        if noted is not None and noted.cut is not None:
            size = noted.cut.key_bytes + noted.cut.value_bytes
        return cls(Place.of(record), when(record.timestamp_ms), noted, shown_key(record.key), size)

    @property
    def code(self) -> str:
        """The code for which it was given up, as it can be shown."""
        return UNREADABLE if self.noted is None else hide_rejected(self.noted.code)

    @property
    def failed_at(self) -> datetime:
        """When it failed last."""
        return self.written_at if self.noted is None else when(self.noted.last_failed_ms)

    @property
    def why_not_replayable(self) -> str | None:
        """Why it cannot be replayed, or None if it can."""
        if self.noted is None:
            return "its headers are not those of a dead letter"
        return "it holds only the beginning of a record that was too large" if self.noted.cut is not None else None


@dataclass(frozen=True, slots=True)
class Filter:
    """Which letters are meant.

    Args:
        topic: the dead letter topic's name contains this.
        code: the code, exactly.
        since: failed last at this time or later.
    """

    topic: str = ""
    code: str = ""
    since: datetime | None = None

    def takes(self, letter: Letter) -> bool:
        """Whether a letter is meant."""
        return (
            self.topic in letter.place.topic
            and self.code in ("", letter.code)
            and (self.since is None or letter.failed_at >= self.since)
        )


@dataclass(frozen=True, slots=True)
class Decisions:
    """What operators decided and what came of it, read from `operations.replayed`.

    Args:
        settled: the decision on each letter; the first replay or discard counts.
        ended: what became of each replay that is done.
        again: the new letter of each whose replay failed, where it was looked for.
    """

    settled: Mapping[Place, ReplayRequested]
    ended: Mapping[Place, LetterReplayed]
    again: Mapping[Place, Place] = field(default_factory=dict)

    def state(self, place: Place) -> str:
        """`open`, `discarded`, or of a replay `requested` until it is done; then `replayed`, `failed`, `impossible`."""
        decided = self.settled.get(place)
        if decided is None:
            return "open"
        if decided.action is ReplayAction.DISCARD:
            return "discarded"
        ended = self.ended.get(place)
        if ended is None:
            return "requested"
        return "replayed" if ended.outcome is ReplayOutcome.HANDLED else ended.outcome.value


def when(timestamp_ms: int) -> datetime:
    """An instant from Unix milliseconds, whatever a header may say."""
    try:
        return datetime.fromtimestamp(timestamp_ms / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(0, UTC)


def shown_key(key: bytes | None) -> str | None:
    """A key that is the canonical text of a demand id; anything else may be anybody's number."""
    try:
        text = (key or b"").decode("ascii")
    except UnicodeDecodeError:
        return None
    return text if parse_demand_id(text) is not None else None


def read_since(text: str, now: datetime) -> datetime | None:
    """A time as it was typed: `30m`, `2h`, `7d` ago, or an ISO date or time, UTC unless it says otherwise.

    Raises:
        ConfigurationError: it is none.
    """
    if not text:
        return None
    ago = _AGO.fullmatch(text)
    try:
        if ago:
            return now - timedelta(**{_UNITS[ago.group(2)]: int(ago.group(1))})
        found = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise ConfigurationError("--since: 30m, 2h or 7d is due, or a date or time like 2026-11-26T07:30") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


async def letters(bus: Bus, wanted: Filter) -> list[Letter]:
    """The dead letters that a filter takes, of all dead letter topics, in the order in which they failed last.

    Raises:
        BrokerUnavailableError: no broker answers.
    """
    admin = bus.admin()
    await admin.start()
    try:
        counts = await admin.partitions()
        places = [
            TopicPartition(name, number)
            for name, count in sorted(counts.items())
            if name.endswith(DEAD_LETTER_SUFFIX) and wanted.topic in name
            for number in range(count)
        ]
        start, ends = await admin.offsets_at(places, 0), await admin.end_offsets(places)
    finally:
        await admin.stop()
    found = [letter async for record in between(bus, start, ends) if wanted.takes(letter := Letter.of(record))]
    return sorted(found, key=lambda letter: (letter.failed_at, letter.place))


async def other_codes(bus: Bus, wanted: Filter) -> str:
    """Where a filter takes nothing: which codes it may have meant, behind its semicolon; empty if it is not the code.

    Raises:
        BrokerUnavailableError: no broker answers.
    """
    there = {letter.code for letter in await letters(bus, replace(wanted, code=""))} if wanted.code else set()
    if not there or wanted.code in there:
        return ""
    return f"; none has this code{did_you_mean(wanted.code, there)}"


async def letter_at(bus: Bus, place: Place) -> Record:
    """The record of one dead letter.

    Raises:
        NotFoundError: there is none at that place (any more).
        BrokerUnavailableError: no broker answers.
    """
    partition = TopicPartition(place.topic, place.partition)
    admin = bus.admin()
    await admin.start()
    try:
        known = place.partition < (await admin.partitions()).get(place.topic, 0)
        first = (await admin.offsets_at([partition], 0))[partition] if known else 0
        end = (await admin.end_offsets([partition]))[partition] if known else 0
    finally:
        await admin.stop()
    if first <= place.offset < end:
        async with aclosing(between(bus, {partition: place.offset}, {partition: place.offset + 1})) as records:
            async for record in records:
                return record
    raise NotFoundError(f"there is no dead letter {place}: it was never written, or has expired")


async def decisions(bus: Bus, registry: SchemaRegistry) -> Decisions:
    """What operators decided so far.

    Raises:
        UnavailableError: Kafka or the schema registry does not answer, or the topic is not there.
    """
    partition = TopicPartition(OPERATIONS_REPLAYED.of(), 0)
    admin = bus.admin()
    await admin.start()
    try:
        if partition.topic not in await admin.partitions():
            raise UnavailableError(
                f"the topic {partition.topic} is missing: `python -m gateway --apply-topics` makes it"
            )
        start, ends = await admin.offsets_at([partition], 0), await admin.end_offsets([partition])
    finally:
        await admin.stop()
    decoder = Decoder(SchemaFiles.shipped(), registry)
    settled: dict[Place, ReplayRequested] = {}
    ended: dict[Place, LetterReplayed] = {}
    async with aclosing(between(bus, start, ends)) as records:
        async for record in records:
            try:
                message = await decoder.message(record.value or b"", ReplayRequested)
            except WrongRecordError:
                with suppress(RecordError):
                    done = await decoder.message(record.value or b"", LetterReplayed)
                    ended[Place.of(done)] = done
                continue
            except RecordError:
                continue  # nobody's decision
            if message.action is not ReplayAction.REVEAL:
                settled.setdefault(Place.of(message), message)
    return Decisions(settled, ended)


def row(letter: Letter, decided: Decisions) -> dict[str, Any]:
    """One letter as it is printed."""
    noted, settled = letter.noted, decided.settled.get(letter.place)
    return {
        "letter": str(letter.place),
        "state": decided.state(letter.place),
        "code": letter.code,
        "origin": f"{hide_rejected(noted.topic)}/{noted.partition}/{noted.offset}" if noted else None,
        "received_at": when(noted.timestamp_ms) if noted else None,
        "group": hide_rejected(noted.group) if noted else None,
        "first_failed_at": when(noted.first_failed_ms) if noted else None,
        "last_failed_at": letter.failed_at,
        "attempts": noted.attempts if noted else None,
        "size_bytes": letter.size_bytes,
        "cut": bool(noted and noted.cut),
        "demand_id": letter.demand_id,
        "decided_by": hide_rejected(settled.requested_by) if settled else None,
        "decided_at": settled.requested_at if settled else None,
        "reason": hide_rejected(settled.reason) if settled else None,
        "replay_code": ended.code if (ended := decided.ended.get(letter.place)) else None,
        "new_letter": str(new) if (new := decided.again.get(letter.place)) else None,
    }


def to_text(rows: Sequence[Mapping[str, Any]], narrowed: bool = False, hint: str = "") -> Sequence[Table | str]:
    """Rows as a table.

    Args:
        rows: as of `row`.
        narrowed: whether not all were asked for.
        hint: of `other_codes`.
    """
    columns = {
        "letter": "letter",
        "state": "state",
        "code": "code",
        "origin": "origin",
        "first_failed_at": "first failed",
        "last_failed_at": "last failed",
        "attempts": "tries",
        "size_bytes": "bytes",
        "demand_id": "demand",
        **({"new_letter": "new letter"} if any(one["new_letter"] for one in rows) else {}),
    }
    lines = [tuple(one[name] for name in columns) for one in rows]
    if not lines:
        return [f"no dead letter of these{hint}" if narrowed else "no dead letters"]
    return [Table(tuple(columns.values()), lines, right=frozenset({"tries", "bytes"}))]
