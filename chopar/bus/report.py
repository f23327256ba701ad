"""What became of the records of a consume loop: counters, the one line of each, and the alarm when they are old."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from chopar.bus.consume_metrics import ConsumeMetrics
from chopar.bus.failures import Handled, Verdict
from chopar.log_lines import ALIKE, Alike, AlikeRow, JsonLines

_SAY_AGAIN_MS = 60_000
_CATCHES_UP = "records are handled long after they came, as after a stop or at a first start; it should grow less"
_LASTS = "records are handled long after they came, and it grows no less: look at what slows this, or start another"

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
        self._behind: dict[str, tuple[int, float]] = {}
        """The topics that are read late: when that was said, and how late they were read then, in seconds."""

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
        """Say how old records are; while they are too old, warn, and raise the alarm if they grow no younger."""
        now = self._clock()
        seconds = (now - newest.record.timestamp_ms) / 1000
        self._metrics.record_age.labels(topic).set(seconds)
        if seconds > self._alarm_age_seconds:
            said_at, said_seconds = self._behind.get(topic, (None, seconds))
            if said_at is None or now - said_at >= _SAY_AGAIN_MS:
                self._behind[topic] = now, seconds
                lasts = said_at is not None and seconds >= said_seconds
                _log.log(
                    logging.ERROR if lasts else logging.WARNING,
                    "topic.behind",
                    topic=topic,
                    age_seconds=round(seconds, 1),
                    reason=_LASTS if lasts else _CATCHES_UP,
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
