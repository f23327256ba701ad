"""Gaps: papers that may not be demanded and data that cannot be fetched yet, counted: what to connect or read. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from chopar.identifiers import AgencyId, EvidenceType
from chopar.messages.demand import FetchMode, Outcome
from chopar.messages.exchange import ExchangeRecorded
from gateway.access_ground import AccessGround
from gateway.list_version import ListVersion
from gateway.resolution import Code


@dataclass(frozen=True, slots=True)
class Gap:
    """One thing that is missing.

    Attributes:
        requester: who asked.
        document_type: for what.
        entry: the entry that bars asking the person; None where it was not recorded.
        holder: who holds the data.
        evidence_type: what it holds.
        code: `holder_not_connected` or `ground_not_verified`.
        count: how many documents came to it.
        since, last: broker time of the first and the last demand.
        open: whether it still is one, by the list version that holds.
        grounds: for `ground_not_verified`, the grounds whose act is to be read.
    """

    requester: str
    document_type: str
    entry: str | None
    holder: str
    evidence_type: str
    code: str
    count: int
    since: datetime
    last: datetime
    open: bool
    grounds: tuple[str, ...] = ()


def gaps(recorded: Iterable[ExchangeRecorded], lists: ListVersion, fetch_mode: FetchMode) -> list[Gap]:
    """Count the gaps of recorded exchanges; a demand that was recorded twice counts once.

    Args:
        recorded: records of the gateway's; others are passed over.
        lists: the list version that holds now.
        fetch_mode: which grounds it opens.

    Returns:
        The most frequent first.
    """
    seen = set()
    found: dict[tuple[str, ...], tuple[int, datetime, datetime, str | None]] = {}
    for message in recorded:
        entry = message.resolution
        if entry is None or message.demand_id in seen:
            continue
        seen.add(message.demand_id)
        for document in entry.documents:
            if document.outcome != Outcome.GAP:
                continue
            key = (
                message.requester,
                document.document_type,
                document.provider or "",
                document.evidence_type or "",
                document.code,
            )
            count, since, last, barred_by = found.get(key, (0, entry.received_at, entry.received_at, document.entry))
            found[key] = (count + 1, min(since, entry.received_at), max(last, entry.received_at), barred_by)
    made = [
        Gap(
            requester=requester,
            document_type=document_type,
            entry=entry_id,
            holder=holder,
            evidence_type=evidence_type,
            code=code,
            count=count,
            since=since,
            last=last,
            open=_open(code, holder, evidence_type, entry_id, lists, fetch_mode),
            grounds=tuple(ground.id for ground in _grounds(holder, evidence_type, entry_id, lists))
            if code == Code.GROUND_NOT_VERIFIED
            else (),
        )
        for (requester, document_type, holder, evidence_type, code), (count, since, last, entry_id) in found.items()
    ]
    return sorted(made, key=lambda gap: (not gap.open, -gap.count, gap.requester, gap.document_type, gap.holder))


def _open(
    code: str, holder: str, evidence_type: str, entry: str | None, lists: ListVersion, fetch_mode: FetchMode
) -> bool:
    if code == Code.HOLDER_NOT_CONNECTED:
        holding = lists.directory.get((AgencyId(holder), EvidenceType(evidence_type)))
        return holding is None or not holding.connected
    return not any(ground.opened_by(fetch_mode) for ground in _grounds(holder, evidence_type, entry, lists))


def _grounds(holder: str, evidence_type: str, entry: str | None, lists: ListVersion) -> list[AccessGround]:
    return [
        ground
        for ground in lists.grounds_for.get(entry or "", ())
        if ground.holder == holder and ground.evidence_type == evidence_type
    ]
