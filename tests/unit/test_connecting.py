"""Connecting a holder: a directory file changes what it names, nothing else, and opens no data."""

import pytest

from chopar.errors import ConfigurationError, LawUnreadableError
from chopar.identifiers import AgencyId, EvidenceType
from gateway.bundle import list_files
from gateway.connecting import connect
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
