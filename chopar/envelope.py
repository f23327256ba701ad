"""What stands around a message on the bus: CloudEvents headers in binary mode, W3C trace context, the key.

Headers never carry a personal identifier, a request id or an outcome. Everything but `traceparent` is a function of the
message's cause, so a message that is sent again is the same message.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from chopar.bus.port import Headers, Outgoing

CONTENT_TYPE = b"application/avro"

_TRACEPARENT = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_NO_TRACE = b"0" * 32


def cloudevent_time(timestamp_ms: int) -> str:
    """RFC 3339 in UTC with milliseconds."""
    stamp = datetime.fromtimestamp(timestamp_ms / 1000, UTC)
    return stamp.strftime("%Y-%m-%dT%H:%M:%S.") + f"{timestamp_ms % 1000:03d}Z"


def traceparent(trace: bytes | None, correlation_id: UUID, message_id: UUID) -> bytes:
    """The trace context of a message: the given one's trace if it is valid, else a trace named by the demand."""
    found = _TRACEPARENT.fullmatch(trace or b"")
    named = found.group(1) if found and found.group(1) != _NO_TRACE else correlation_id.hex.encode()
    return b"00-%b-%b-01" % (named, message_id.hex[16:].encode())


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


def headers(message_id: UUID, record: str, origin: Origin) -> Headers:
    """The headers of a message.

    Args:
        message_id: `ce_id`; derived from the cause by all but the first sender.
        record: full name of the Avro record, `ce_type`.
        origin: what it follows from.
    """
    fields: list[tuple[str, bytes]] = [
        ("ce_specversion", b"1.0"),
        ("ce_id", str(message_id).encode()),
        ("ce_source", origin.source.encode()),
        ("ce_type", record.encode()),
        ("ce_time", cloudevent_time(origin.time_ms).encode()),
        ("ce_correlationid", str(origin.correlation_id).encode()),
    ]
    if origin.causation is not None:
        fields.append(("ce_causationid", origin.causation.encode()))
    fields.append(("content-type", CONTENT_TYPE))
    fields.append(("traceparent", traceparent(origin.trace, origin.correlation_id, message_id)))
    return tuple(fields)


def outgoing(topic: str, partition: int, value: bytes, message_id: UUID, record: str, origin: Origin) -> Outgoing:
    """A message on a demand's way: keyed by the demand, on the partition that every hop copies."""
    return Outgoing(topic, partition, str(origin.correlation_id).encode(), value, headers(message_id, record, origin))
