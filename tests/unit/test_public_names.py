"""The library's public names: pinned, importable, and costing nothing until they are used."""

import subprocess
import sys

import chopar

PUBLIC = {
    "AmbiguousSubject", "BusinessId", "ChoparError", "Completed", "Completion", "Corrections", "Deferred",
    "Delivered", "Demand", "DemandResolved", "DemandedDocument", "DisputeReason", "DurableRequester", "Effect",
    "EffectKey", "Evidence", "EvidenceDisputed", "EvidenceRequested", "Exchange", "HttpSchemaRegistry",
    "InMemorySchemaRegistry", "Inbox", "InboxMetrics", "KafkaBus", "MemoryBus", "NoRecord", "NotEntitled",
    "Objection", "OpenDispute", "PersonId", "Provider", "ProviderError", "ProviderHandler", "Rejected", "Requester",
    "SchemaFiles", "Undelivered", "Upheld", "WaitingDocument", "effect_of", "run_provider", "subject_of",
}  # fmt: skip


def test_the_public_names_are_these_and_each_is_there() -> None:
    assert set(chopar.__all__) == PUBLIC
    assert dir(chopar) == sorted(PUBLIC)
    for name in PUBLIC:
        found = getattr(chopar, name)
        assert found.__name__ == name
        assert found.__module__.startswith("chopar.")


def test_importing_the_library_loads_nothing_heavy() -> None:
    heavy = ("pydantic", "aiokafka", "fastavro", "sqlalchemy", "structlog")
    code = f"import chopar, sys; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
