"""Connecting a holder: a directory file changes what it names, nothing else, and opens no data."""

from datetime import UTC, datetime, timedelta

import pytest

from chopar.errors import ConfigurationError, LawUnreadableError
from chopar.identifiers import AgencyId, EvidenceType
from gateway.bundle import list_files
from gateway.connecting import connect, doubts, holdings
from gateway.evidence_directory import DirectoryEntry
from gateway.list_version import DIRECTORY, ListVersion
from tests.standing import LISTS

FILES = list_files(LISTS)
BEFORE = ListVersion.from_files(FILES)
HOLDER, EVIDENCE = AgencyId("defence-ministry"), EvidenceType("military-service-periods")
HOLDING = """[[holding]]
provider = "defence-ministry"
evidence_type = "military-service-periods"
connected = true
due_hours = 5
"""


def test_a_holder_is_connected_and_nothing_else_changes() -> None:
    assert not BEFORE.directory[HOLDER, EVIDENCE].connected
    merged = connect(FILES, HOLDING)
    after = ListVersion.from_files(merged)
    entry = after.directory[HOLDER, EVIDENCE]
    assert entry.connected
    assert entry.due.total_seconds() == 5 * 3600
    assert {name for name in FILES if merged[name] != FILES[name]} == {DIRECTORY}
    assert {place: entry for place, entry in after.directory.items() if place != (HOLDER, EVIDENCE)} == {
        place: entry for place, entry in BEFORE.directory.items() if place != (HOLDER, EVIDENCE)
    }
    assert after.grounds == BEFORE.grounds
    assert after.prohibited == BEFORE.prohibited


def test_again_it_changes_nothing() -> None:
    once = connect(FILES, HOLDING)
    assert connect(once, HOLDING) == once


def test_a_new_evidence_type_of_a_known_agency() -> None:
    after = ListVersion.from_files(connect(FILES, HOLDING.replace("military-service-periods", "draft-status")))
    assert after.directory[HOLDER, EvidenceType("draft-status")].connected
    assert len(after.directory) == len(BEFORE.directory) + 1


def test_a_holder_that_is_disconnected() -> None:
    text = '[[holding]]\nprovider = "tax-committee"\nevidence_type = "tax-debt"\ndue_hours = 1\nconnected = false\n'
    after = ListVersion.from_files(connect(FILES, text))
    assert not after.directory[AgencyId("tax-committee"), EvidenceType("tax-debt")].connected


def test_a_new_agency_comes_with_its_holding() -> None:
    agency = (
        '[[agency]]\nid = "weather-service"\nname_en = "Weather"\nname_uz = "Ob-havo"\nname_ru = "Погода"\n'
        'kind = "registry"\nbasis = "stated"\nsources = ["an act"]\n'
    )
    text = agency + HOLDING.replace("defence-ministry", "weather-service")
    after = ListVersion.from_files(connect(FILES, text))
    assert after.agencies[AgencyId("weather-service")].is_connected_kind
    assert after.directory[AgencyId("weather-service"), EVIDENCE].connected


def changed(text: str) -> list[DirectoryEntry]:
    after = ListVersion.from_files(connect(FILES, text))
    return [entry for place, entry in after.directory.items() if BEFORE.directory.get(place) != entry]


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("military-service-period", "the lists know no evidence type military-service-period: nobody may ask for it"),
        ("military-service-period", "Did you mean military-service-periods?"),
        ("draft-status", "the lists know no evidence type draft-status"),
        ("tax-debt", "the grounds for tax-debt name another holder than defence-ministry: tax-committee"),
    ],
)
def test_what_may_have_been_meant_otherwise_is_said(named: str, said: str) -> None:
    [sentence] = doubts(BEFORE, changed(HOLDING.replace("military-service-periods", named)))
    assert said in sentence
    assert ("Did you mean" in sentence) is (named == "military-service-period")


def test_what_a_ground_names_and_what_is_disconnected_leaves_no_doubt() -> None:
    assert doubts(BEFORE, changed(HOLDING)) == []
    nobody = HOLDING.replace("military-service-periods", "draft-status").replace("true", "false")
    assert doubts(BEFORE, changed(nobody)) == []


def test_a_holder_is_connected_from_when_its_lists_hold_and_not_before() -> None:
    after = ListVersion.from_files(connect(FILES, HOLDING))
    at = datetime(2026, 1, 15, 10, tzinfo=UTC)

    def held(now: ListVersion, *to_come: ListVersion) -> tuple[bool, datetime | None]:
        planned = [(at + number * timedelta(days=1), one) for number, one in enumerate(to_come)]
        [one] = [one for one in holdings(now, planned) if one.entry.provider == HOLDER]
        return one.connected, one.changes_at

    assert held(BEFORE, after) == (False, at)
    assert held(BEFORE, after, after) == (False, at)
    assert held(BEFORE, BEFORE, after) == (False, at + timedelta(days=1))
    assert held(after) == held(after, after) == (True, None)
    assert held(after, BEFORE) == (True, at)
    assert [one.changes_at for one in holdings(BEFORE, [(at, after)]) if one.entry.provider != HOLDER].count(at) == 0


def test_a_holding_that_planned_lists_leave_out_is_listed_until_then() -> None:
    at = datetime(2026, 1, 15, 10, tzinfo=UTC)
    more = ListVersion.from_files(connect(FILES, HOLDING.replace("military-service-periods", "draft-status")))
    [one] = [one for one in holdings(more, [(at, BEFORE)]) if one.entry.evidence_type == "draft-status"]
    assert (one.connected, one.entry.connected, one.changes_at) == (True, False, at)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no toml",
        '[[ground]]\nid = "x"\n',
        "holding = 1\n",
        "[[agency]]\n",
        HOLDING + "[other]\n",
        HOLDING.replace("connected = true\n", ""),
        "a = " + "[" * 5000,
    ],
)
def test_a_file_that_holds_something_else_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        connect(FILES, text)


@pytest.mark.parametrize(
    "text",
    [
        HOLDING.replace("defence-ministry", "nobody-known"),
        HOLDING.replace("military-service-periods", "draft-status").replace("due_hours = 5", ""),
        HOLDING + 'until = "tomorrow"\n',
    ],
)
def test_a_holding_that_cannot_be_is_refused_by_the_lists(text: str) -> None:
    with pytest.raises(LawUnreadableError):
        ListVersion.from_files(connect(FILES, text))
