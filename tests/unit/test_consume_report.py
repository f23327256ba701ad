"""When old records are an alarm: not after a stop, while they are caught up with; but when they grow no younger."""

from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from chopar.bus.consume_metrics import ConsumeMetrics
from chopar.bus.failures import Handled
from chopar.bus.port import Record
from chopar.bus.report import Report

MINUTE_MS = 60_000


def levels(*ages_ms: int) -> list[tuple[str, str]]:
    """What is said of a topic whose records are so old, from one minute to the next."""
    now = 0
    report = Report(ConsumeMetrics(CollectorRegistry()), lambda: now, 60.0)
    with capture_logs() as logs:
        for age_ms in ages_ms:
            now += MINUTE_MS
            report.of([Handled(Record("topic", 0, 0, now - age_ms, b"key", b"value"))])
    return [(log["event"], log["log_level"]) for log in logs if log["event"].startswith("topic.")]


def test_what_is_caught_up_with_after_a_stop_is_a_warning() -> None:
    behind = ("topic.behind", "warning")
    assert levels(50 * MINUTE_MS, 20 * MINUTE_MS, 2 * MINUTE_MS, 10) == [behind] * 3 + [("topic.caught_up", "warning")]
    assert levels(10) == []


def test_what_grows_no_younger_is_an_alarm() -> None:
    behind = [level for _, level in levels(2 * MINUTE_MS, 3 * MINUTE_MS, 3 * MINUTE_MS, MINUTE_MS + 1)]
    assert behind == ["warning", "error", "error", "warning"]
