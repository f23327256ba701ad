"""Dead letters: a record that cannot be handled, kept whole beside its topic, with a reason and its origin.

Built here and read back here, so that the consume loop and `chopar dead-letter` agree. Headers carry codes, places and
times only: never a word of the body, never the text of an exception, as both may hold an identifier. When a record
becomes a dead letter, and when one is replayed, is decided elsewhere.
"""

import re
from dataclasses import dataclass

from chopar.bus.port import Headers, Outgoing, Record
from chopar.errors import UndecodableError
from chopar.topics import dead_letter_topic

DEAD_LETTER_PARTITION = 0
"""Dead letter topics have one partition: they are few, and operations read them as one list."""

_PREFIX = "dlq_"
# Headers of the original that a replay needs: those that we write. Others are dropped, as a sender may have put
# anything into them; `ce_subject` is where CloudEvents has people put whom it is about.
_KEPT = frozenset(
    {
        *("ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "ce_correlationid", "ce_causationid"),
        *("content-type", "traceparent"),
    }
)
_KEPT_BYTES = 256  # the longest that any of them has reason to be
_HEX = re.compile(
    rb"[0-9a-f]{2,32}(-[0-9a-f]{2,32}){3,4}"
)  # a UUID or trace context, whatever digits it happens to hold
_IDENTIFIER = re.compile(rb"(?<!\d)(\d{14}|\d{9})(?!\d)")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Why a record was given up, and where it came from. Times are Unix milliseconds."""

    code: str
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    group: str
    first_failed_ms: int
    last_failed_ms: int
    attempts: int


def dead_letter(
    record: Record, *, code: str, group: str, first_failed_ms: int, last_failed_ms: int, attempts: int
) -> Outgoing:
    """Build the dead letter of a record: its own key and bytes, reason and origin in headers.

    Args:
        record: what could not be handled.
        code: the stable code of the error.
        group: the consumer group that gave it up.
        first_failed_ms: when it failed first, by our clock.
        last_failed_ms: when it failed last.
        attempts: how often it was tried.
    """
    letter = DeadLetter(
        code,
        record.topic,
        record.partition,
        record.offset,
        record.timestamp_ms,
        group,
        first_failed_ms,
        last_failed_ms,
        attempts,
    )
    kept = tuple(
        (name, value) for name, value in record.headers if name in _KEPT and value is not None and _harmless(value)
    )
    ours: Headers = tuple(
        (_PREFIX + name, str(getattr(letter, name)).encode()) for name in DeadLetter.__dataclass_fields__
    )
    topic = dead_letter_topic(record.topic)
    return Outgoing(topic, DEAD_LETTER_PARTITION, record.key, record.value, kept + ours)


def _harmless(value: bytes) -> bool:
    return len(value) <= _KEPT_BYTES and (_HEX.fullmatch(value) is not None or _IDENTIFIER.search(value) is None)


def read_dead_letter(record: Record) -> tuple[DeadLetter, Record]:
    """Read a record of a dead letter topic.

    Returns:
        What was noted, and the original record, at its original place and time.

    Raises:
        UndecodableError: it lacks a header that `dead_letter` writes, or one holds what it never writes.
    """
    texts: dict[str, str] = {}
    for name in DeadLetter.__dataclass_fields__:
        value = record.header(_PREFIX + name)
        if value is None:
            raise UndecodableError(f"a dead letter without the header {_PREFIX}{name}")
        try:
            texts[name] = value.decode("ascii")
        except UnicodeDecodeError:
            raise UndecodableError(f"a dead letter whose header {_PREFIX}{name} is not ASCII") from None
    try:
        letter = DeadLetter(
            code=texts["code"],
            topic=texts["topic"],
            partition=int(texts["partition"]),
            offset=int(texts["offset"]),
            timestamp_ms=int(texts["timestamp_ms"]),
            group=texts["group"],
            first_failed_ms=int(texts["first_failed_ms"]),
            last_failed_ms=int(texts["last_failed_ms"]),
            attempts=int(texts["attempts"]),
        )
    except ValueError:
        raise UndecodableError("a dead letter whose headers hold no numbers where numbers are due") from None
    headers = tuple((name, value) for name, value in record.headers if not name.startswith(_PREFIX))
    original = Record(
        letter.topic, letter.partition, letter.offset, letter.timestamp_ms, record.key, record.value, headers
    )
    return letter, original
