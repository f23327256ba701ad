"""A resolved document as the listener's JSON shows it: codes, the rule, and nothing of a person."""

from typing import Any

from gateway.answer import alternative_message, rule_message
from gateway.resolution import ResolvedDocument


def shown(document: ResolvedDocument) -> dict[str, Any]:
    """The outcome of one document."""
    rule = rule_message(document.rule)
    return {
        "document_type": document.document_type,
        "about": document.about,
        "parameter_names": sorted(document.parameters),
        "outcome": document.outcome.value,
        "code": document.code.value,
        "person_may_be_asked": document.person_may_be_asked.value,
        "rule": rule.model_dump(mode="json") if rule else None,
        "named_basis": document.named_basis,
        "next_step": document.next_step.value,
        "replaces": document.replaces,
        "provider": document.provider,
        "evidence_type": document.evidence_type,
        "fields": list(document.fields),
        "alternatives": [alternative_message(one).model_dump(mode="json") for one in document.alternatives],
    }
