"""What of a sender's headers goes along with a dead letter."""

from chopar.bus.dead_letter import dead_letter, read_dead_letter
from chopar.bus.port import Record
from tests.builders import BUSINESS, PERSON

OURS = (
    ("ce_id", b"019ab123-4567-8901-8abc-a123456789bc"),
    ("ce_source", b"/agencies/electricity-het"),
    ("ce_time", b"2026-11-26T02:38:25.123Z"),
    ("traceparent", b"00-123456789a1234567890123456789012-a123456789a12345-01"),
)
THEIRS = (
    ("ce_subject", b"somebody"),
    ("ce_type", b"debt of " + PERSON.encode()),
    ("ce_causationid", BUSINESS.encode()),
    ("ce_correlationid", b"x" * 257),
    ("name", b"somebody"),
)


def test_headers_that_we_write_go_along_and_those_that_a_sender_made_up_do_not() -> None:
    record = Record("topic", 3, 7, 1000, b"key", b"value", OURS + THEIRS)
    letter = dead_letter(record, code="c", group="g", first_failed_ms=1, last_failed_ms=2, attempts=3)
    kept = tuple(header for header in letter.headers if not header[0].startswith("dlq_"))
    assert kept == OURS
    sent = Record(letter.topic, 0, 0, 5000, letter.key, letter.value, letter.headers)
    assert read_dead_letter(sent)[1] == record._replace(headers=OURS)
