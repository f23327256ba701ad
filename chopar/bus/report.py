"""What became of the records of a consume loop: counters, the one line of each, and the alarm when they are old."""

import logging
from collections.abc import Callable, Sequence

import structlog

from chopar.bus.consume_metrics import ConsumeMetrics
from chopar.bus.failures import Handled, Verdict

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
            for one in ones:
                record = one.record
                _log.info(
                    "record.handled",
                    **record.log_context(),
                    partition=record.partition,
                    offset=record.offset,
                    outcome=one.verdict.value,
                    code=one.code or one.verdict.value,
                    duration_ms=round(one.seconds * 1000, 3),
                    attempt=one.attempt,
                )

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
