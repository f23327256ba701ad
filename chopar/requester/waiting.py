"""What a durable asker waits for, as clerks see it. Only looks."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from chopar.messages.demand import Demand, DemandResolved
from chopar.requester import store
from chopar.requester.completion import Waiting


@dataclass(frozen=True, slots=True)
class WaitingDocument:
    """A document that is waited for.

    `provider` and `due` are None while the gateway has not answered. `late` says that the promise has passed: a fact
    for people, who wait and escalate; the person is not asked because of it. `own_dead_letter` says that the holder has
    answered, and the answer lies among this agency's own dead letters: mend what it failed on and replay it
    (`chopar dead-letter list --topic evidence.provided.AGENCY`); it is not late, and nobody waits for the holder.
    `given_up` says that the demand has expired, and that this agency's own `completed` has killed its process three
    times when it was told so: mend it, and call `DurableRequester.try_again`.
    """

    demand_id: UUID
    case_id: str
    document_type: str
    about: str | None
    provider: str | None
    due: datetime | None
    promised_at: datetime | None
    expires_at: datetime
    late: bool
    own_dead_letter: bool = False
    given_up: bool = False


def documents_of(
    demand: Demand,
    resolution: DemandResolved | None,
    requests: Mapping[bytes, store.KeptRequest],
    *,
    in_vain: Collection[bytes],
    given_up: bool,
    now: datetime,
) -> list[WaitingDocument]:
    """What is waited for of one demand.

    Args:
        demand: as it was sent.
        resolution: what the gateway has answered, if it has.
        requests: how it stands with its requests, by the SHA-256 of their ids.
        in_vain: ids of requests whose answers are dead letters of the asker.
        given_up: whether nobody tries any more to tell the application of its end.
        now: aware UTC time.
    """

    def made(document_type: str, about: str | None, **more: Any) -> WaitingDocument:
        fields: dict[str, Any] = {"provider": None, "due": None, "promised_at": None, "late": False, **more}
        return WaitingDocument(
            demand_id=demand.demand_id,
            case_id=demand.case_id,
            document_type=document_type,
            about=about,
            expires_at=demand.expires_at,
            given_up=given_up,
            **fields,
        )

    if resolution is None:
        return [made(one.type, one.about) for one in demand.documents]
    found = []
    for one in resolution.to_fetch():
        kept = requests.get(store.request_hash(one.request_id or b""))
        if kept is not None and kept.waiting is Waiting.OPEN:
            promised = datetime.fromtimestamp(kept.promised_ms / 1000, UTC) if kept.promised_ms else None
            ours = one.request_id in in_vain
            said: dict[str, Any] = {"provider": one.provider, "due": one.due, "promised_at": promised}
            said |= {"late": one.due is not None and one.due < now and not ours, "own_dead_letter": ours}
            found.append(made(one.document_type, one.about, **said))
    return found
