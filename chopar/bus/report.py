"""What became of the records of a consume loop: counters, the one line of each, and the alarm when they are old."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from chopar.bus.consume_metrics import ConsumeMetrics
from chopar.bus.failures import Handled, Verdict
from chopar.log_lines import ALIKE, Alike, AlikeRow, JsonLines

_SAY_AGAIN_MS = 60_000

_log = structlog.get_logger()


class Report:
    """Counts and writes down what became of records.

    Args:
        metrics: of the loop.
        clock: Unix milliseconds.
        alarm_age_seconds: how old records may be when they are handled.
    """

    def __init__(self, metrics: ConsumeMetrics, clock: Callable[[], int], alarm_age_seconds: float) -> None:
        self._metrics = metrics
        self._clock = clock
        self._alarm_age_seconds = alarm_age_seconds
        self._behind: dict[str, int] = {}
        """The topics that are read late, and when that was said."""

    def of(self, ones: Sequence[Handled]) -> None:
        """Records of one partition, in order, that are done or will be read again."""
        if not ones:
            return
        topic = ones[0].record.topic
        outcomes: dict[Verdict, int] = {}
        for one in ones:
            outcomes[one.verdict] = outcomes.get(one.verdict, 0) + 1
            if one.verdict is Verdict.DEAD_LETTER:
                self._metrics.dead_letters.labels(topic, one.code).inc()
        for outcome, count in outcomes.items():
            self._metrics.handled.labels(topic, outcome.value).inc(count)
        self._age(topic, ones[-1])
        if _log.is_enabled_for(logging.INFO):
            self._write(topic, ones[0].record.partition, [_row(one) for one in ones])

    def _write(self, topic: str, partition: int, rows: Sequence[AlikeRow]) -> None:
        """One line for each; rendered together where that can be done."""
        common: dict[str, Any] = {"topic": topic, "partition": partition}
        if isinstance(structlog.get_config()["processors"][-1], JsonLines):
            _log.info("record.handled", **common, **{ALIKE: Alike(rows)})
            return
        for row in rows:
            _log.info("record.handled", **common, **row._asdict())

    def _age(self, topic: str, newest: Handled) -> None:
        """Say how old records are, and raise the alarm while they are too old."""
        now = self._clock()
        seconds = (now - newest.record.timestamp_ms) / 1000
        self._metrics.record_age.labels(topic).set(seconds)
        if seconds > self._alarm_age_seconds:
            said_at = self._behind.get(topic)
            if said_at is None or now - said_at >= _SAY_AGAIN_MS:
                self._behind[topic] = now
                _log.error(
                    "topic.behind",
                    topic=topic,
                    age_seconds=round(seconds, 1),
                    reason="records are handled long after they came; more instances, or a look at what slows this one",
                )
        elif self._behind and topic in self._behind:
            del self._behind[topic]
            _log.warning("topic.caught_up", topic=topic, age_seconds=round(seconds, 1))


def _row(one: Handled) -> AlikeRow:
    record, outcome = one.record, _WORDS[one.verdict]
    return AlikeRow(
        record.correlation_id,
        record.message_id,
        record.offset,
        outcome,
        one.code or outcome,
        round(one.seconds * 1000, 3),
        one.attempt,
    )


_WORDS = {verdict: verdict.value for verdict in Verdict}  # an enum's `value` is a call
