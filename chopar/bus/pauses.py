"""The partitions of a consume loop that wait: for a dependency, or because what they lead to is refused.

When a partition waits, and from which offset it is read again, is the loop's to say.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from chopar.bus.consume_metrics import ConsumeMetrics
from chopar.bus.consume_settings import EARLY_SECONDS, ConsumeSettings
from chopar.bus.port import Consumer, TopicPartition

LETTER_REFUSED = "dead_letter_refused"
RECORD_REFUSED = "record_refused"

_ALARM_TIMES = 3
"""A record that was not acknowledged so often in a row is an alarm: before, it may be a broker that has just died."""

_log = structlog.get_logger()


@dataclass(slots=True)
class _Pause:
    """A partition that waits."""

    code: str
    reason: str = ""
    until: float = 0.0
    times: int = 0
    paused: bool = False


class Pauses:
    """Pauses partitions with growing delays, and resumes them.

    Args:
        settings: the delays.
        metrics: of the loop.
        jitter: a number from 0 to 1.
    """

    def __init__(self, settings: ConsumeSettings, metrics: ConsumeMetrics, jitter: Callable[[], float]) -> None:
        self._settings = settings
        self._metrics = metrics
        self._jitter = jitter
        self._pauses: dict[TopicPartition, _Pause] = {}

    def reasons(self) -> dict[str, str]:
        """What partitions wait for, and why, by code; until they have gone on, not only while they are paused."""
        waits = "partitions wait for it"
        return {pause.code: f"{waits}: {pause.reason}" if pause.reason else waits for pause in self._pauses.values()}

    def wait(self, consumer: Consumer, partition: TopicPartition, offset: int, code: str, reason: str = "") -> None:
        """Put a partition back to an offset and leave it alone for a while."""
        pause = self._pauses.setdefault(partition, _Pause(code))
        pause.code, pause.reason = code, reason
        pause.times += 1
        delay = self._settings.delay(pause.times, self._jitter())
        pause.until = asyncio.get_running_loop().time() + delay
        pause.paused = True
        consumer.pause([partition])
        consumer.seek(partition, offset)
        self._metrics.unavailable.labels(partition.topic, code).inc()
        self._metrics.paused.labels(partition.topic, str(partition.partition)).set(1)
        _log.warning(
            "partition.paused",
            topic=partition.topic,
            partition=partition.partition,
            offset=offset,
            code=code,
            reason=reason,
            times=pause.times,
            seconds=round(delay, 3),
        )

    def stand_still(self, consumer: Consumer, partition: TopicPartition, offset: int, code: str) -> None:
        """The dead letter of a record was refused: nothing of its partition goes on, and nothing is lost."""
        self.wait(consumer, partition, offset, LETTER_REFUSED, "its dead letter topic does not take a record")
        self._alarm(partition, offset, code, "its dead letter topic does not take the record; look at that topic")

    def withhold(self, consumer: Consumer, partition: TopicPartition, offset: int) -> None:
        """What is to be recorded first was not acknowledged: nothing is released, or goes on in its partition."""
        self.wait(consumer, partition, offset, RECORD_REFUSED, "what is to be recorded first is not acknowledged")
        if self._pauses[partition].times >= _ALARM_TIMES:
            reason = "the topic of records does not take what must be there before an answer; look at that topic"
            self._alarm(partition, offset, RECORD_REFUSED, reason)

    def _alarm(self, partition: TopicPartition, offset: int, code: str, reason: str) -> None:
        self._metrics.stopped.labels(partition.topic, str(partition.partition)).set(1)
        _log.error(
            "partition.stopped",
            topic=partition.topic,
            partition=partition.partition,
            offset=offset,
            code=code,
            reason=reason,
        )

    def forget(self, partition: TopicPartition) -> None:
        """A partition has gone on, or is ours no longer."""
        if partition in self._pauses:
            del self._pauses[partition]
            self._metrics.paused.labels(partition.topic, str(partition.partition)).set(0)
            self._metrics.stopped.labels(partition.topic, str(partition.partition)).set(0)

    def resume_due(self, consumer: Consumer, longest: float) -> float:
        """Resume what has waited long enough; gives how long a fetch may wait, at most `longest`."""
        if not self._pauses:
            return longest
        now = asyncio.get_running_loop().time()
        for partition, pause in self._pauses.items():
            if not pause.paused:
                continue
            if pause.until - now <= EARLY_SECONDS:
                pause.paused = False
                consumer.resume([partition])
                self._metrics.paused.labels(partition.topic, str(partition.partition)).set(0)
                _log.info("partition.resumed", topic=partition.topic, partition=partition.partition, code=pause.code)
            else:
                longest = min(longest, pause.until - now)
        return longest
