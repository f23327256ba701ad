"""What stands around a message on the bus: CloudEvents headers in binary mode, W3C trace context, the key.

Headers never carry a personal identifier, a request id or an outcome. Everything but `traceparent` is a function of the
message's cause, so a message that is sent again is the same message.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache
from uuid import UUID

from chopar.bus.port import Headers, Outgoing

CONTENT_TYPE = b"application/avro"

_TRACEPARENT = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_NO_TRACE = b"0" * 32
_VERSION = ("ce_specversion", b"1.0")
_CONTENT = ("content-type", CONTENT_TYPE)


@lru_cache(maxsize=1024)  # sources and records are few, times are a batch's
def _named(name: str, text: str) -> tuple[str, bytes]:
    return name, text.encode()


@lru_cache(maxsize=1024)
def cloudevent_time(timestamp_ms: int) -> str:
    """RFC 3339 in UTC with milliseconds."""
    stamp = datetime.fromtimestamp(timestamp_ms // 1000, UTC)
    return f"{stamp.isoformat()[:19]}.{timestamp_ms % 1000:03d}Z"


def traceparent(trace: bytes | None, correlation_id: UUID, message_id: UUID) -> bytes:
    """The trace context of a message: the given one's trace if it is valid, else a trace named by the demand."""
    return b"00-%b-%b-01" % (_trace_id(trace) or correlation_id.hex.encode(), message_id.hex[16:].encode())


def _trace_id(trace: bytes | None) -> bytes | None:
    found = _TRACEPARENT.fullmatch(trace) if trace else None
    return found[1] if found and found[1] != _NO_TRACE else None


class Origin:
    """What a message follows from. Not to be changed: what all messages of one cause share is made once, here.

    Args:
        source: who says it, `ce_source`, for example `/gateway` or `/agencies/ID`.
        time_ms: `ce_time`: the cause's broker time; for a demand the asker's own.
        correlation_id: the demand id.
        causation: what caused it: a message id, or for the gateway the place of the demand on its topic.
        trace: the cause's `traceparent`, if it had one.
        key: the text of the correlation id, if that is at hand.
    """

    __slots__ = ("_shared", "_source", "_trace", "correlation_id", "key", "source", "time_ms")

    key: bytes
    """The demand id as the 36 characters that messages are keyed by."""

    def __init__(
        self,
        source: str,
        time_ms: int,
        correlation_id: UUID,
        causation: str | None = None,
        trace: bytes | None = None,
        key: bytes | None = None,
    ) -> None:
        self.source = source
        self.time_ms = time_ms
        self.correlation_id = correlation_id
        self.key = key = key or str(correlation_id).encode()
        time, correlation = _named("ce_time", cloudevent_time(time_ms)), ("ce_correlationid", key)
        self._shared: Headers = (
            (time, correlation, _CONTENT)
            if causation is None
            else (time, correlation, ("ce_causationid", causation.encode()), _CONTENT)
        )
        self._source = _named("ce_source", source)
        self._trace = b"00-%b-" % (_trace_id(trace) or key.replace(b"-", b""))


def headers(message_id: UUID | str, record: str, origin: Origin) -> Headers:
    """The headers of a message.

    Args:
        message_id: `ce_id`, a UUID or its text; derived from the cause by all but the first sender.
        record: full name of the Avro record, `ce_type`.
        origin: what it follows from.
    """
    raw = str(message_id).encode()
    return (
        _VERSION,
        ("ce_id", raw),
        origin._source,
        _named("ce_type", record),
        *origin._shared,
        ("traceparent", b"%b%b%b-01" % (origin._trace, raw[19:23], raw[24:])),
    )


def outgoing(topic: str, partition: int, value: bytes, message_id: UUID | str, record: str, origin: Origin) -> Outgoing:
    """A message on a demand's way: keyed by the demand, on the partition that every hop copies."""
    return Outgoing(topic, partition, origin.key, value, headers(message_id, record, origin))
