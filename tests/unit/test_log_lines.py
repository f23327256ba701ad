"""Lines of the log: what a fast rendering says is what the slow one says, and nothing waits that should not."""

import asyncio
import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from chopar.bus.consume_metrics import ConsumeMetrics
from chopar.bus.failures import Handled, Verdict
from chopar.bus.port import Record
from chopar.bus.report import Report
from chopar.log_lines import ALIKE, Alike, AlikeRow, JsonLines, Lines, TimeAndLevel
from chopar.observe import _BODIES, _MAY_BE_IDENTIFIER, configure_logging, drop_personal_data
from tests.builders import BUSINESS, PERSON
from tests.full_disk import full_disk

RENDER = JsonLines(drop_personal_data, _MAY_BE_IDENTIFIER, _BODIES)
TEXTS = st.text(max_size=20) | st.sampled_from(
    [PERSON, f"for {BUSINESS}.", f"\x07{BUSINESS}", "٣" * 14, "\udc00", "019ab123-4567-8901-8abc-a123456789bc", "x\n"]
)
VALUES = st.recursive(
    TEXTS | st.integers(-(2**63), 2**63) | st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False)
    | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "body"]), inner, max_size=2),
    max_leaves=6,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["event", "a", "b", "subject", "value"]), VALUES))
def test_what_is_written_is_the_cleaned_event(event: dict[str, Any]) -> None:
    expected = drop_personal_data(None, "info", dict(event))
    line = RENDER(None, "info", dict(event))
    assert "\n" not in line
    assert json.loads(line) == json.loads(json.dumps(expected))


def test_what_json_does_not_have_is_written_as_python_shows_it() -> None:
    assert json.loads(RENDER(None, "info", {"event": "x", "a": {1, 2}, "b": ValueError})) == {
        "event": "x",
        "a": [1, 2],
        "b": "<class 'ValueError'>",
    }


def test_time_and_level() -> None:
    times = iter([1_795_678_200_000_000_999, 1_795_678_200_999_999_999, 1_795_678_201_000_001_000])
    add = TimeAndLevel(lambda: next(times))
    assert add(None, "info", {}) == {"level": "info", "timestamp": "2026-11-26T07:30:00.000000Z"}
    assert add(None, "exception", {}) == {"level": "error", "timestamp": "2026-11-26T07:30:00.999999Z"}
    assert add(None, "warn", {}) == {"level": "warning", "timestamp": "2026-11-26T07:30:01.000001Z"}


def test_outside_an_event_loop_a_line_is_written_at_once() -> None:
    out = io.StringIO()
    Lines(out).info("a")
    assert out.getvalue() == "a\n"


async def test_lines_of_a_turn_are_written_together_and_a_warning_at_once() -> None:
    out = io.StringIO()
    lines = Lines(out)
    lines.info("a")
    lines.debug("b")
    assert out.getvalue() == ""
    await asyncio.sleep(0)
    assert out.getvalue() == "a\nb\n"
    lines.info("c")
    lines.warning("d")
    assert out.getvalue() == "a\nb\nc\nd\n"
    await asyncio.sleep(0)
    assert out.getvalue() == "a\nb\nc\nd\n"


async def test_lines_that_wait_are_bounded() -> None:
    out = io.StringIO()
    lines = Lines(out)
    for _ in range(1500):
        lines.info("a")
    assert out.getvalue().count("\n") == 1000


def test_a_full_disk_under_the_log_ends_nobodys_work_and_is_said_afterwards(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w", encoding="utf-8") as stream:
        lines = Lines(stream)
        lines.error('{"event":"before"}')
        with full_disk():
            for number in range(3):
                lines.error(f'{{"event":"lost {number}"}}')
        lines.error('{"event":"after"}')
    said = [json.loads(line) for line in (tmp_path / "log").read_text("utf-8").splitlines()]
    assert said[0]["event"] == "before"
    assert [one["event"] for one in said][-2:] == ["log.lines_missing", "after"]
    assert said[-2]["count"] == 3


def test_a_closed_stream_is_no_error_at_the_end() -> None:
    out = io.StringIO()
    lines = Lines(out)
    out.close()
    lines.info("a")


@pytest.fixture
def logs() -> Iterator[io.StringIO]:
    root, out = logging.getLogger(), io.StringIO()
    handlers, level, before = root.handlers[:], root.level, structlog.get_config()
    configure_logging("info", process="a process", stream=out, for_good=False)
    yield out
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**before)
    structlog.contextvars.clear_contextvars()


def test_a_process_writes_one_line_of_json_each_without_personal_data(logs: io.StringIO) -> None:
    structlog.get_logger().info("register.seeded", reason=f"for {PERSON}", subject=PERSON, added=123456789)
    structlog.get_logger().debug("register.seeded")
    logging.getLogger("somebody.else").warning("no %s here", PERSON)
    try:
        raise KeyError(PERSON)
    except KeyError:
        structlog.get_logger().exception("process.failed")
    first, second, third = map(json.loads, logs.getvalue().splitlines())
    assert (first["event"], first["reason"], first["added"]) == ("register.seeded", "for …", 123456789)
    assert "subject" not in first
    assert (first["process"], first["level"]) == ("a process", "info")
    assert (second["event"], second["level"]) == ("no … here", "warning")
    assert third["level"] == "error"
    assert "KeyError" in third["exception"]
    assert PERSON not in logs.getvalue()


IDS = st.uuids().map(str) | TEXTS | st.none() | st.sampled_from([PERSON.rjust(36), "a" * 36])
ROWS = st.builds(
    AlikeRow,
    IDS,
    IDS,
    st.integers(0, 2**63 - 1),
    st.sampled_from(["ok", "dead_letter"]),
    st.sampled_from(["ok", "no_record"]) | TEXTS,
    st.floats(0, 1e9).map(lambda number: round(number, 3)),
    st.integers(1, 100),
)


@given(
    st.dictionaries(st.sampled_from(["event", "process", "topic", "offset", "value", "a"]), VALUES),
    st.lists(ROWS, max_size=4),
)
def test_lines_rendered_together_say_what_each_would_say_alone(event: dict[str, Any], rows: list[AlikeRow]) -> None:
    together = RENDER(None, "info", event | {ALIKE: Alike(rows)})
    alone = [RENDER(None, "info", event | row._asdict()) for row in rows]
    assert [json.loads(line) for line in together.split("\n") if line] == [json.loads(line) for line in alone]
    assert all(not re.search(rf"(?<!\d){number}(?!\d)", together) for number in (PERSON, BUSINESS))


def test_a_report_writes_the_same_lines_whoever_renders_them(logs: io.StringIO) -> None:
    record = Record("in", 3, 7, 0, b"01890a5d-ac96-774b-bcce-b302099a8057", b"", (("ce_id", PERSON.encode()),))
    ones = [Handled(record), Handled(record._replace(offset=8, key=None, headers=()))]
    ones[0].verdict, ones[0].seconds, ones[1].verdict = Verdict.OK, 0.00012345, Verdict.SKIPPED
    Report(ConsumeMetrics(), lambda: 0, 60.0).of(ones)
    chain = structlog.get_config()["processors"][:-1]
    structlog.configure(processors=[*chain, drop_personal_data, structlog.processors.JSONRenderer()])
    Report(ConsumeMetrics(), lambda: 0, 60.0).of(ones)
    lines = [json.loads(line) for line in logs.getvalue().splitlines()]
    for line in lines:
        assert line.pop("timestamp")
    assert lines[:2] == lines[2:]
    assert lines[0] == {
        "process": "a process",
        "event": "record.handled",
        "level": "info",
        "correlation_id": "01890a5d-ac96-774b-bcce-b302099a8057",
        "message_id": "…",
        "topic": "in",
        "partition": 3,
        "offset": 7,
        "outcome": "ok",
        "code": "ok",
        "duration_ms": 0.123,
        "attempt": 1,
    }
