"""What stands around a message on the bus: CloudEvents headers in binary mode, W3C trace context, the key.

Headers never carry a personal identifier, a request id or an outcome. Everything but `traceparent` is a function of the
message's cause, so a message that is sent again is the same message.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from chopar.bus.port import Headers, Outgoing

CONTENT_TYPE = b"application/avro"

_TRACEPARENT = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_NO_TRACE = b"0" * 32
_VERSION = ("ce_specversion", b"1.0")


def cloudevent_time(timestamp_ms: int) -> str:
    """RFC 3339 in UTC with milliseconds."""
    stamp = datetime.fromtimestamp(timestamp_ms // 1000, UTC)
    return f"{stamp.isoformat()[:19]}.{timestamp_ms % 1000:03d}Z"


def traceparent(trace: bytes | None, correlation_id: UUID, message_id: UUID) -> bytes:
    """The trace context of a message: the given one's trace if it is valid, else a trace named by the demand."""
    return b"00-%b-%b-01" % (_trace_id(trace, correlation_id), message_id.hex[16:].encode())


def _trace_id(trace: bytes | None, correlation_id: UUID) -> bytes:
    found = _TRACEPARENT.fullmatch(trace) if trace else None
    return found.group(1) if found and found.group(1) != _NO_TRACE else correlation_id.hex.encode()


@dataclass(frozen=True, slots=True)
class Origin:
    """What a message follows from.

    Args:
        source: who says it, `ce_source`, for example `/gateway` or `/agencies/ID`.
        time_ms: `ce_time`: the cause's broker time; for a demand the asker's own.
        correlation_id: the demand id.
        causation: what caused it: a message id, or for the gateway the place of the demand on its topic.
        trace: the cause's `traceparent`, if it had one.
    """

    source: str
    time_ms: int
    correlation_id: UUID
    causation: str | None = None
    trace: bytes | None = None
    key: bytes = field(init=False, repr=False, compare=False)
    """The demand id as the 36 characters that messages are keyed by."""
    _shared: Headers = field(init=False, repr=False, compare=False)
    _trace_id: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Once for all messages of one cause: the same text is in each.
        key = str(self.correlation_id).encode()
        shared = [("ce_time", cloudevent_time(self.time_ms).encode()), ("ce_correlationid", key)]
        if self.causation is not None:
            shared.append(("ce_causationid", self.causation.encode()))
        object.__setattr__(self, "key", key)
        object.__setattr__(self, "_shared", (*shared, ("content-type", CONTENT_TYPE)))
        object.__setattr__(self, "_trace_id", _trace_id(self.trace, self.correlation_id))


def headers(message_id: UUID, record: str, origin: Origin) -> Headers:
    """The headers of a message.

    Args:
        message_id: `ce_id`; derived from the cause by all but the first sender.
        record: full name of the Avro record, `ce_type`.
        origin: what it follows from.
    """
    text = str(message_id)
    return (
        _VERSION,
        ("ce_id", text.encode()),
        ("ce_source", origin.source.encode()),
        ("ce_type", record.encode()),
        *origin._shared,
        ("traceparent", b"00-%b-%b-01" % (origin._trace_id, f"{text[19:23]}{text[24:]}".encode())),
    )


def outgoing(topic: str, partition: int, value: bytes, message_id: UUID, record: str, origin: Origin) -> Outgoing:
    """A message on a demand's way: keyed by the demand, on the partition that every hop copies."""
    return Outgoing(topic, partition, origin.key, value, headers(message_id, record, origin))
