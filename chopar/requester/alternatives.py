"""The next holder of a document, where the directory names several: who is asked, and by what demand. Pure.

A holder that has no record has said nothing about the person. If the resolution names another that the asker has a
ground to ask, the asker asks it by a demand of its own, which names the first demand and who was asked; the gateway,
which sees no answers, passes over these. Only `no_record` leads on: who is late, has refused or has failed was not
silent about a register. What the last one says stands, and is never dressed as a fact. The rule, the same in any
language, stands in `docs/completeness.md` with vectors.
"""

from datetime import timedelta
from uuid import UUID

from chopar.identifiers import derived_uuid, uuid7, uuid7_time
from chopar.messages.demand import (
    MAX_ASKED,
    AskedHolder,
    Demand,
    DemandedDocument,
    DemandResolved,
    Following,
    ResolvedDocument,
)
from chopar.messages.evidence import UnavailableCode
from chopar.requester.completion import Delivered
from chopar.requester.demanded import parameters_of

OPEN = "ground"
"""The code of an alternative that would be fetched from."""


def following(demand: Demand, delivered: Delivered, resolution: DemandResolved | None) -> Demand | None:
    """The demand for the next holder, once one has no record.

    The same answer leads to the same demand, to the byte, whoever works it out and how often: its id follows from the
    first demand, the document and who was asked. It has the first one's time and expires with it.

    Args:
        demand: that was answered.
        delivered: what a holder answered.
        resolution: of the demand.

    Returns:
        None if the answer is the last word on the document.

    Raises:
        NotAnEffectError: the answer is of no document of this demand.
    """
    asked = _asked(demand, delivered)
    if asked is None:
        return None
    document = delivered.document
    parameters = parameters_of(demand, document, resolution)
    wanted = DemandedDocument(type=document.document_type, about=document.about, parameters=dict(parameters))
    first = first_of(demand)
    changes = {
        "demand_id": _following_id(first, wanted, asked),
        "documents": (wanted,),
        "follows": Following(demand_id=first, asked=asked),
    }
    return demand.model_copy(update=changes)


def first_of(demand: Demand) -> UUID:
    """The id of the demand that an official sent: its own, or that of the one which it follows."""
    return demand.follows.demand_id if demand.follows is not None else demand.demand_id


def asked_before(demand: Demand) -> int:
    """How many holders were asked before the one that this demand is for."""
    return len(demand.follows.asked) if demand.follows is not None else 0


def _asked(demand: Demand, delivered: Delivered) -> tuple[AskedHolder, ...] | None:
    """Who was asked by now, if there is somebody to ask next."""
    document, unavailable = delivered.document, delivered.unavailable
    if not delivered.ends or unavailable is None or unavailable.code is not UnavailableCode.NO_RECORD:
        return None
    if document.provider is None or document.evidence_type is None or not _has_next(document):
        return None
    before = demand.follows.asked if demand.follows is not None else ()
    this = AskedHolder(provider=document.provider, evidence_type=document.evidence_type)
    if this in before or len(before) >= MAX_ASKED:
        return None  # a gateway that does not pass over who was asked would be asked without end
    return (*before, this)


def _has_next(document: ResolvedDocument) -> bool:
    return any(alternative.code == OPEN for alternative in document.alternatives)


def _following_id(first: UUID, wanted: DemandedDocument, asked: tuple[AskedHolder, ...]) -> UUID:
    about = () if wanted.about is None else (wanted.about,)
    given = [text for name in sorted(wanted.parameters) for text in (name, wanted.parameters[name])]
    before = [text for one in asked for text in (one.provider, one.evidence_type)]
    made = derived_uuid("following", str(first), wanted.type, len(about), *about, len(given), *given, *before)
    # In the middle of the first one's millisecond, so that no rounding leads out of it.
    return uuid7(uuid7_time(first) + timedelta(microseconds=500), made.int)
