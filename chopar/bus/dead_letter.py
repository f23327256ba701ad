"""Dead letters: a record that cannot be handled, kept beside its topic, with a reason and its origin.

Whole, unless it is larger than any dead letter topic of ours takes (a broker counts compressed bytes, so it may have
taken much more than we can give back): then its beginning, with the size and digest of what it was.

Built here and read back here, so that the consume loop and `chopar dead-letter` agree. Headers carry codes, places and
times only: never a word of the body, never the text of an exception, as both may hold an identifier. When a record
becomes a dead letter, and when one is replayed, is decided elsewhere.
"""

import hashlib
import re
from dataclasses import dataclass, fields

from chopar.bus.port import Headers, Outgoing, Record, size_bytes
from chopar.errors import UndecodableError
from chopar.topics import dead_letter_topic

DEAD_LETTER_PARTITION = 0
"""Dead letter topics have one partition: they are few, and operations read them as one list."""

LARGEST_BYTES = (1024 + 64) * 1024
"""What dead letter topics take (`chopar.topics` makes them so): any uncompressed record of ours, and its reason."""
_LEFT_BYTES = 64 * 1024  # of the value, and of the key, where both do not fit: enough to see what it was

_PREFIX = "dlq_"
_CUT = _PREFIX + "cut"
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
class Cut:
    """What a record was of which a dead letter holds only the beginning; such a one cannot be replayed."""

    key_bytes: int
    value_bytes: int
    value_sha256: str
    """Of the whole value, in hexadecimal."""


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
    cut: Cut | None = None
    """None if the letter holds the whole record."""


_NAMES = tuple(one.name for one in fields(DeadLetter) if one.name != "cut")
_CUT_NAMES = tuple(one.name for one in fields(Cut))


def dead_letter(
    record: Record, *, code: str, group: str, first_failed_ms: int, last_failed_ms: int, attempts: int
) -> Outgoing:
    """Build the dead letter of a record: its own key and bytes, reason and origin in headers.

    It always fits into `LARGEST_BYTES`: of a record that is too large, key and value are cut.

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
    ours = _headers(letter, _NAMES)
    whole = Outgoing(dead_letter_topic(record.topic), DEAD_LETTER_PARTITION, record.key, record.value, kept + ours)
    if size_bytes(whole) <= LARGEST_BYTES:
        return whole
    key, value = record.key or b"", record.value or b""
    cut = Cut(len(key), len(value), hashlib.sha256(value).hexdigest())
    marks = ((_CUT, b"true"), *_headers(cut, _CUT_NAMES))
    once = dict(reversed(kept))  # a name that comes often may be what is too large
    return whole._replace(
        key=record.key and key[:_LEFT_BYTES],
        value=record.value and value[:_LEFT_BYTES],
        headers=(*reversed(once.items()), *ours, *marks),
    )


def _headers(of: DeadLetter | Cut, names: tuple[str, ...]) -> Headers:
    return tuple((_PREFIX + name, str(getattr(of, name)).encode()) for name in names)


def _harmless(value: bytes) -> bool:
    return len(value) <= _KEPT_BYTES and (_HEX.fullmatch(value) is not None or _IDENTIFIER.search(value) is None)


def read_dead_letter(record: Record) -> tuple[DeadLetter, Record]:
    """Read a record of a dead letter topic.

    Returns:
        What was noted, and the original record, at its original place and time (its beginning, if `cut` says so).

    Raises:
        UndecodableError: it lacks a header that `dead_letter` writes, or one holds what it never writes.
    """
    was_cut = record.header(_CUT) is not None
    texts: dict[str, str] = {}
    for name in _NAMES + (_CUT_NAMES if was_cut else ()):
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
            cut=Cut(int(texts["key_bytes"]), int(texts["value_bytes"]), texts["value_sha256"]) if was_cut else None,
        )
    except ValueError:
        raise UndecodableError("a dead letter whose headers hold no numbers where numbers are due") from None
    headers = tuple((name, value) for name, value in record.headers if not name.startswith(_PREFIX))
    original = Record(
        letter.topic, letter.partition, letter.offset, letter.timestamp_ms, record.key, record.value, headers
    )
    return letter, original
