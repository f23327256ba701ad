"""Builders of messages and identifiers for tests: valid by default, one thing changed at a time."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from chopar.identifiers import pinfl_check_digit, uuid7
from chopar.messages.demand import Demand

NOW = datetime(2026, 11, 26, 7, 30, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)

PERSON = "30101900010018"  # synthetic: the numbers of the formats page, made by the rule
SECOND_PERSON = "43112990020153"
BUSINESS = "301234567"


def demand_id(number: int = 1, at: datetime = NOW) -> UUID:
    """A UUIDv7 of a time, told apart by a number."""
    return uuid7(at, number)


def pinfl(number: int) -> str:
    """A valid synthetic PINFL for any number below 998001."""
    district, serial = divmod(number, 999)
    first = f"3010190{district + 1:03d}{serial + 1:03d}"
    return first + str(pinfl_check_digit(first))


def demand(**changes: Any) -> Demand:
    """A valid demand of one paper about one person."""
    fields: dict[str, Any] = {
        "demand_id": demand_id(),
        "requester": "electricity-het",
        "procedure": "electricity-supply-contract",
        "case_id": "case-1",
        "official": "official-7",
        "subject": {"kind": "person", "id": PERSON},
        "ground": {"kind": "law", "reference": "article 1"},
        "documents": ({"type": "tax-debt-certificate"},),
        "expires_at": NOW + timedelta(days=7),
    }
    return Demand.model_validate({**fields, **changes})
