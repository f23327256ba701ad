"""The library of Chopar: what an agency system imports to ask for documents and to answer for them.

Names are loaded when they are first used: whoever needs one pays for that one.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chopar.avro import SchemaFiles
    from chopar.bus.inbox import Effect, EffectKey, Inbox, InboxMetrics
    from chopar.bus.kafka import KafkaBus
    from chopar.bus.memory import MemoryBus
    from chopar.errors import ChoparError
    from chopar.identifiers import BusinessId, PersonId
    from chopar.messages.demand import Demand, DemandedDocument, DemandResolved
    from chopar.messages.dispute import DisputeReason, EvidenceDisputed
    from chopar.messages.evidence import Evidence, EvidenceRequested
    from chopar.provider.corrections import Corrections
    from chopar.provider.process import run_provider
    from chopar.provider.provider import (
        AmbiguousSubject,
        Deferred,
        NoRecord,
        NotEntitled,
        Provider,
        ProviderError,
        ProviderHandler,
        subject_of,
    )
    from chopar.requester.completion import Completion, Delivered, Rejected, Undelivered, Upheld
    from chopar.requester.disputes import Objection
    from chopar.requester.durable_requester import Completed, DurableRequester, WaitingDocument
    from chopar.requester.effects import effect_of
    from chopar.requester.kept_disputes import OpenDispute
    from chopar.requester.requester import Exchange, Requester
    from chopar.schema_registry import HttpSchemaRegistry, InMemorySchemaRegistry

_HOMES = {
    "chopar.avro": ("SchemaFiles",),
    "chopar.bus.inbox": ("Effect", "EffectKey", "Inbox", "InboxMetrics"),
    "chopar.bus.kafka": ("KafkaBus",),
    "chopar.bus.memory": ("MemoryBus",),
    "chopar.requester.completion": ("Completion", "Delivered", "Rejected", "Undelivered", "Upheld"),
    "chopar.provider.corrections": ("Corrections",),
    "chopar.requester.disputes": ("Objection",),
    "chopar.requester.durable_requester": ("Completed", "DurableRequester", "WaitingDocument"),
    "chopar.errors": ("ChoparError",),
    "chopar.identifiers": ("BusinessId", "PersonId"),
    "chopar.requester.effects": ("effect_of",),
    "chopar.requester.kept_disputes": ("OpenDispute",),
    "chopar.messages.demand": ("Demand", "DemandResolved", "DemandedDocument"),
    "chopar.messages.dispute": ("DisputeReason", "EvidenceDisputed"),
    "chopar.messages.evidence": ("Evidence", "EvidenceRequested"),
    "chopar.provider.provider": (
        "AmbiguousSubject",
        "Deferred",
        "NoRecord",
        "NotEntitled",
        "Provider",
        "ProviderError",
        "ProviderHandler",
        "subject_of",
    ),
    "chopar.provider.process": ("run_provider",),
    "chopar.requester.requester": ("Exchange", "Requester"),
    "chopar.schema_registry": ("HttpSchemaRegistry", "InMemorySchemaRegistry"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "AmbiguousSubject",
    "BusinessId",
    "ChoparError",
    "Completed",
    "Completion",
    "Corrections",
    "Deferred",
    "Delivered",
    "Demand",
    "DemandResolved",
    "DemandedDocument",
    "DisputeReason",
    "DurableRequester",
    "Effect",
    "EffectKey",
    "Evidence",
    "EvidenceDisputed",
    "EvidenceRequested",
    "Exchange",
    "HttpSchemaRegistry",
    "InMemorySchemaRegistry",
    "Inbox",
    "InboxMetrics",
    "KafkaBus",
    "MemoryBus",
    "NoRecord",
    "NotEntitled",
    "Objection",
    "OpenDispute",
    "PersonId",
    "Provider",
    "ProviderError",
    "ProviderHandler",
    "Rejected",
    "Requester",
    "SchemaFiles",
    "Undelivered",
    "Upheld",
    "WaitingDocument",
    "effect_of",
    "run_provider",
    "subject_of",
]


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
