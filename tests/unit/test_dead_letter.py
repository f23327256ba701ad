"""What of a sender's headers goes along with a dead letter, and what is written of its codes."""

import re
from pathlib import Path

import chopar.errors
from chopar.bus.dead_letter import dead_letter, read_dead_letter
from chopar.bus.port import Record
from chopar.cli.dead_letter_list import UNREADABLE
from chopar.errors import ConfigurationError, NoSuchTopicError, RecordError
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


def test_the_operations_guide_explains_each_code_of_a_dead_letter() -> None:
    text = (Path(__file__).parents[2] / "docs" / "operations.md").read_text("utf-8")
    table = text.partition("| Code | What it means | What to do |\n|---|---|---|\n")[2].partition("\n\n")[0]
    explained = re.findall(r"^\| `(\w+)` \| .{20,} \| .{20,} \|$", table, re.MULTILINE)
    errors = [one for one in vars(chopar.errors).values() if isinstance(one, type) and issubclass(one, RecordError)]
    codes = {error.code for error in errors if error is not RecordError}
    codes |= {ConfigurationError.code, NoSuchTopicError.code, UNREADABLE}
    assert sorted(explained) == sorted(codes)
    assert len(explained) == len(table.splitlines())
