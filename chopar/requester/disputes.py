"""The asker's side of a dispute: from an answer that was accepted to the message that disputes it.

Pure. Who sends it is `requester` or `durable_requester`; what the holder makes of it, `chopar.provider.reviews`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from chopar.errors import NotFoundError
from chopar.messages.demand import Demand
from chopar.messages.dispute import DisputeReason, EvidenceDisputed
from chopar.requester.completion import Awaited


@dataclass(frozen=True, slots=True)
class Objection:
    """What is said against an answer.

    Attributes:
        document_type: of the document, as the demand or its resolution names it.
        reason: a code; there is no room for words, since they would tell of the person.
        fields: names of the fields that are disputed; all of the answer if none is named.
        about: role of the party that the document is about; None: the subject.
        official: pseudonym of the official who disputes; of the demand by default.
    """

    document_type: str
    reason: DisputeReason
    fields: tuple[str, ...] = ()
    about: str | None = None
    official: str | None = None


def disputed(
    objection: Objection,
    demand: Demand,
    value: bytes,
    awaited: Mapping[bytes, Awaited],
    *,
    dispute_id: UUID,
    now: datetime,
) -> EvidenceDisputed:
    """The message that disputes the answer that was accepted last for a document.

    Args:
        objection: what is said.
        demand: that was answered.
        value: its bytes, as they were sent.
        awaited: how it stands with its requests.
        dispute_id: a UUIDv7.
        now: aware UTC time.

    Raises:
        NotFoundError: no answer was accepted that it could be of, or more than one, or the demand has expired.
        UndecodableError: it is no valid message.
    """
    answered = answers_to(objection, awaited)
    if now >= demand.expires_at:
        raise NotFoundError("the demand has expired: nothing is read or released for it any more; demand it anew")
    if len(answered) != 1:
        raise NotFoundError(f"there is nothing that can be disputed: {_why_not(objection, demand, awaited, answered)}")
    [(request_id, one)] = answered.items()
    require_fields(objection.fields, one.document.fields)
    return EvidenceDisputed.from_avro(
        {
            "dispute_id": dispute_id,
            "demand_id": demand.demand_id,
            "requester": demand.requester,
            "request_id": request_id,
            "answer_digest": one.last,
            "reason": objection.reason,
            "fields": objection.fields,
            "official": objection.official or demand.official,
            "disputed_at": now,
            "original": value,
        }
    )


def _why_not(
    objection: Objection, demand: Demand, awaited: Mapping[bytes, Awaited], answered: Mapping[bytes, Awaited]
) -> str:
    if answered:
        return "several documents are alike"
    named = [(document.type, document.about) for document in demand.documents]
    named += [(one.document.document_type, one.document.about) for one in awaited.values()]  # with replacements
    if (objection.document_type, objection.about) in named:
        return "no answer to this document was accepted"
    papers = (f"{kind}@{about}" if about else kind for kind, about in dict.fromkeys(named))
    return f"the demand has no such document, it has {', '.join(papers)}"


def answers_to(objection: Objection, awaited: Mapping[bytes, Awaited]) -> dict[bytes, Awaited]:
    """The requests whose accepted answers are objected to, by their ids: several where documents are alike."""
    wanted = (objection.document_type, objection.about)
    return {
        request_id: one
        for request_id, one in awaited.items()
        if (one.document.document_type, one.document.about) == wanted and one.last is not None
    }


def require_fields(disputed_fields: Iterable[str], given: Iterable[str]) -> None:
    """Raise NotFoundError if a field was not let through, so that nothing was said of it."""
    more = sorted(set(disputed_fields) - set(given))
    if more:
        raise NotFoundError(f"fields that were not let through: {', '.join(more)}; there are {', '.join(given)}")
