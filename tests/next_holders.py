"""A gateway and holders of a paper that several may prove, played by a test: each demand is asked of the next."""

from typing import Any

from chopar.messages.demand import Demand, Outcome, PersonMayBeAsked
from chopar.messages.evidence import EvidenceUnavailable, UnavailableCode
from tests.builders import NOW
from tests.durable_rig import DurableRig, request_id

HOLDERS = (("tax-committee", "tax-debt"), ("mia-migration", "debt-statement"), ("justice-notary", "debt-statement"))


def turn_of(demand: Demand) -> int:
    """How many holders were asked before."""
    return len(demand.follows.asked) if demand.follows is not None else 0


async def resolve(rig: DurableRig, demand: Demand, holders: int = 3, **changes: Any) -> None:
    """The gateway has the next of so many holders asked, and names the others."""
    papers = [
        paper_of(demand, number, request_id(demand, one.type), holders) for number, one in enumerate(demand.documents)
    ]
    await rig.resolve(demand, **{"documents": papers, **changes})


def paper_of(demand: Demand, number: int, by: bytes, holders: int = 3, **changes: Any) -> dict[str, Any]:
    """A document of a demand as the gateway has it fetched, by a request id."""
    asked = turn_of(demand)
    provider, evidence_type = HOLDERS[asked]
    others = [
        {"provider": who, "evidence_type": what, "code": "already_asked" if place < asked else "ground"}
        for place, (who, what) in enumerate(HOLDERS[:holders])
        if place != asked
    ]
    return {
        "document_type": demand.documents[number].type,
        "request_id": by,
        "outcome": Outcome.FETCH,
        "code": "ground",
        "person_may_be_asked": PersonMayBeAsked.NO,
        "next_step": "wait",
        "provider": provider,
        "evidence_type": evidence_type,
        "fields": ("has_debt",),
        "alternatives": others,
        **changes,
    }


async def find(rig: DurableRig, demand: Demand, paper: str = "paper-a", **changes: Any) -> bytes:
    """The holder that was asked has a record."""
    provider, evidence_type = HOLDERS[turn_of(demand)]
    return await rig.provide(demand, paper, **{"provider": provider, "evidence_type": evidence_type, **changes})


async def find_nothing(rig: DurableRig, demand: Demand, paper: str = "paper-a", **changes: Any) -> bytes:
    """The holder that was asked has no record."""
    nothing = EvidenceUnavailable(code=UnavailableCode.NO_RECORD, source_register="register", as_of=NOW)
    return await find(rig, demand, paper, body=rig.encoder.encode(nothing), **changes)
