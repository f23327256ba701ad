"""What logs are cleaned of, whoever wrote them."""

import pytest

from chopar.observe import drop_personal_data, mask
from tests.builders import BUSINESS, PERSON


@pytest.mark.parametrize("identifier", [PERSON, BUSINESS])
@pytest.mark.parametrize("around", ["{}", "person {} owes", "x{}y", "/people/{}?on=2026", "'{}'", "{}-7"])
def test_identifiers_are_masked_wherever_they_stand(identifier: str, around: str) -> None:
    assert mask(around.format(identifier)) == around.format("…")


@pytest.mark.parametrize(
    "text",
    [
        "019ab123-4567-8901-8abc-a123456789bc",
        "topic/3/1234567890",
        "1795660692510 ms",
        "-".join(["12345678", "1234", "7234", "8234", "123456789012"]),
    ],
)
def test_ids_times_and_offsets_stay(text: str) -> None:
    assert mask(text) == text


def test_a_log_event_keeps_no_body_and_no_identifier_at_any_depth() -> None:
    event = {"event": "x", "body": "b", "reason": f"for {PERSON}", "deep": [{"subject": 1, "at": (PERSON, b"123")}]}
    assert drop_personal_data(None, "", event) == {
        "event": "x",
        "reason": "for …",
        "deep": [{"at": ["…", "3 bytes"]}],
    }
