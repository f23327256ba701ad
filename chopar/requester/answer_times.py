"""Whether a provider's clock is wrong, as its answers tell it by the times that they carry.

An answer is made after its demand came in and before the broker takes it: a time of its own outside of that, by more
than two minutes, is a wrong clock's. It is accepted all the same, and what is in time is decided by the broker's time
alone; the asker says so in its log and counts it.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from chopar.bus.port import Record
from chopar.messages.demand import DemandResolved
from chopar.messages.evidence import EvidenceUnavailable
from chopar.requester.completion import Delivered

CLOCK_MARGIN = timedelta(minutes=2)
"""How far clocks may be apart before it is said; the same for which a demand may come from the future."""

_log = structlog.get_logger()


def clock_apart(
    record: Record,
    evidence: Mapping[str, Any] | None,
    unavailable: EvidenceUnavailable | None,
    resolution: DemandResolved,
) -> timedelta | None:
    """How far the times of an answer lie outside of when it can have been made.

    Args:
        record: the answer; its time is the broker's.
        evidence: the decoded body, if it is evidence.
        unavailable: the body, if it is none.
        resolution: of its demand; says when the broker took that.

    Returns:
        How far the clock is ahead, or behind (negative); None within `CLOCK_MARGIN`. That `as_of` lies before the
        demand says nothing of a clock: a register may be of yesterday.
    """
    taken_at = datetime.fromtimestamp(record.timestamp_ms / 1000, UTC)
    as_of = unavailable.as_of if unavailable is not None else (evidence or {}).get("as_of")
    said_at = _said_at(record)
    latest = max((one for one in (said_at, as_of) if isinstance(one, datetime)), default=taken_at)
    if latest - taken_at > CLOCK_MARGIN:
        return latest - taken_at
    if said_at is not None and resolution.received_at - said_at > CLOCK_MARGIN:
        return said_at - resolution.received_at
    return None


def say_apart(record: Record, event: Delivered, apart: timedelta) -> None:
    """Write down that a provider's clock is wrong. Whom the gateway asked is named; nothing of the envelope is."""
    _log.warning(
        "answer.clock_apart",
        provider=event.document.provider,
        seconds=round(apart.total_seconds()),
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
    )


def _said_at(record: Record) -> datetime | None:
    """`ce_time`, if it is a time."""
    try:
        said_at = datetime.fromisoformat((record.header("ce_time") or b"").decode("ascii"))
    except ValueError:
        return None
    return said_at if said_at.tzinfo is not None else None
