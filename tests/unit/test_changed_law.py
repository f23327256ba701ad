"""Recorded demands resolved again: by the same lists nothing changes, by others what changes is said, and by whom."""

from datetime import timedelta
from typing import Any

import pytest

from chopar.messages.demand import FetchMode
from chopar.messages.exchange import ExchangeRecorded
from gateway.answer import Cause, answer
from gateway.changed_law import replay
from gateway.gaps import gaps
from gateway.list_version import ListVersion
from gateway.standing import Standing
from tests.builders import BUSINESS, PERSON, SECOND_PERSON, demand, demand_id
from tests.edited_lists import edited, without
from tests.standing import bundle, standing
from tests.unit.test_gateway_answer import cause, read

HOLDS = standing()
FILES = bundle()
COMMUNAL: dict[str, Any] = {"requester": "electricity-het", "procedure": "electricity-supply-contract"}


def recorded(holds: Standing = HOLDS, number: int = 1, **changes: Any) -> ExchangeRecorded:
    asked = demand(**{"demand_id": demand_id(number), **changes})
    made: Cause = cause(asked)
    [message] = [one for one in map(read, answer(made, holds).before) if isinstance(one, ExchangeRecorded)]
    return message


def papers(*types: str) -> tuple[dict[str, Any], ...]:
    return tuple({"type": one} for one in types)


DEMANDS: list[dict[str, Any]] = [
    {**COMMUNAL, "documents": papers("tax-debt-certificate", "criminal-record-certificate", "no-such-paper")},
    {**COMMUNAL, "subject": {"kind": "business", "id": BUSINESS}},
    {
        "requester": "justice-notary",
        "procedure": "real-estate-sale-notary-non-residential",
        "subject": {"kind": "business", "id": BUSINESS},
        "parties": ({"role": "owner", "kind": "person", "id": PERSON},),
        "documents": (
            {"type": "marital-status-certificate", "about": "owner"},
            {"type": "tax-debt-certificate"},
            {"type": "gas-debt-certificate", "parameters": {"account_address": "somewhere"}},
            {"type": "electricity-debt-certificate"},
            {"type": "kinship-certificate", "about": "owner", "parameters": {"second_person": SECOND_PERSON}},
            {"type": "photo", "about": "nobody"},
        ),
    },
    {"requester": "pension-fund", "procedure": "old-age-pension",
     "documents": papers("pre-2005-service-supporting-documents", "labour-book", "wage-certificate")},
    {"requester": "pension-fund", "procedure": "no-such-procedure"},
    {"requester": "nobody-known"},
    {"requester": "preschool-school-ministry", "procedure": "school-first-grade", "acting_as": "parent",
     "subject": {"kind": "person", "id": "52001200010017"}, "applicant": {"kind": "person", "id": PERSON},
     "documents": papers("birth-certificate-copy", "parents-passport-copies")},
]  # fmt: skip


@pytest.mark.parametrize("changes", DEMANDS, ids=range(len(DEMANDS)))
@pytest.mark.parametrize("mode", list(FetchMode))
def test_by_the_same_lists_nothing_changes(changes: dict[str, Any], mode: FetchMode) -> None:
    holds = standing(fetch_mode=mode)
    found = replay([recorded(holds, **changes)], holds.lists, mode)
    assert found.changes == {}
    assert found.exchanges + sum(found.left_out.values()) == 1


def test_what_a_changed_list_changes_is_counted_by_requester_and_document() -> None:
    entry = "tax-debt-certificate-communal"
    changed = ListVersion.from_files(without(FILES, "grounds.toml", "ground", made_from=entry))
    messages = [recorded(number=number, **COMMUNAL) for number in (1, 2, 3)]
    found = replay([*messages, messages[0]], changed, FetchMode.INFERRED)
    [(change, count)] = found.changes.items()
    assert count == 3  # the one that was recorded twice counts once
    assert (change.requester, change.document_type) == ("electricity-het", "tax-debt-certificate")
    assert (change.before, change.after) == ("fetch / ground", "not_needed / no_ground_to_know")


def test_a_bar_that_is_taken_away_is_seen() -> None:
    entry, asked = "criminal-record-certificate-communal", papers("criminal-record-certificate")
    changed = ListVersion.from_files(without(FILES, "prohibited.toml", "entry", id=entry))
    [change] = replay([recorded(**COMMUNAL, documents=asked)], changed, FetchMode.INFERRED).changes
    assert change.before == "not_needed / no_ground_to_know"
    assert change.after == "refused / not_in_procedure"


def test_what_cannot_be_resolved_again_is_left_out_and_counted() -> None:
    malformed = recorded(**COMMUNAL, subject={"kind": "person", "id": "30101900010019"})
    expired = recorded(number=2, **COMMUNAL, expires_at=demand().expires_at - timedelta(days=30))
    found = replay([malformed, expired], HOLDS.lists, FetchMode.INFERRED)
    assert found.exchanges == 0
    assert found.left_out == {"malformed_identifier": 1, "expired": 1}


def test_gaps_are_counted_by_who_asks_what_is_missing_and_since_when() -> None:
    asked = papers("private-housing-certificate", "tax-debt-certificate")
    messages = [recorded(number=number, **COMMUNAL, documents=asked) for number in (1, 2)]
    [gap] = gaps([*messages, messages[0]], HOLDS.lists, FetchMode.INFERRED)
    assert (gap.requester, gap.document_type, gap.code) == (
        "electricity-het", "private-housing-certificate", "holder_not_connected",
    )  # fmt: skip
    assert (gap.count, gap.open) == (2, True)
    assert gap.holder == "cadastre-agency"
    assert gap.since == messages[0].resolution.received_at  # type: ignore[union-attr]
    connected = edited(
        FILES, "directory.toml", "holding", {"provider": "cadastre-agency", "evidence_type": "dwellings-owned"},
        connected=True,
    )  # fmt: skip
    [closed] = gaps(messages, ListVersion.from_files(connected), FetchMode.INFERRED)
    assert not closed.open


def test_a_ground_that_nobody_read_is_a_gap_until_the_mode_or_a_lawyer_opens_it() -> None:
    verified = standing(fetch_mode=FetchMode.VERIFIED)
    messages = [recorded(verified, **COMMUNAL)]
    [gap] = gaps(messages, HOLDS.lists, FetchMode.VERIFIED)
    assert (gap.code, gap.open) == ("ground_not_verified", True)
    [opened] = gaps(messages, HOLDS.lists, FetchMode.INFERRED)
    assert not opened.open
