"""Sending what a batch led to: dead letters, all `before`, then `after` where `before` is acknowledged.

What is done with records whose outputs were not acknowledged (committed, read again, paused) is the loop's.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto
from typing import TypeAlias

from chopar.bus.consume_metrics import ConsumeMetrics
from chopar.bus.consume_settings import ConsumeSettings
from chopar.bus.dead_letter import dead_letter
from chopar.bus.failures import Failures, Handled, Verdict
from chopar.bus.port import Outgoing, Producer, Sent, TopicPartition
from chopar.errors import ChoparError, NoSuchTopicError, TooLargeError

Batch: TypeAlias = Mapping[TopicPartition, list[Handled]]

_MOST_MISSING = 1000  # topics remembered as missing


class _Part(Enum):
    """Which outputs are being sent."""

    LETTER = auto()
    BEFORE = auto()
    AFTER = auto()


class Release:
    """Sends the outputs of batches.

    Args:
        failures: of the loop; what is found to be impossible to send is noted there.
        metrics: of the loop.
        group: the consumer group, for dead letters.
        settings: how long a missing topic is waited for.
        clock: Unix milliseconds; only for the times in dead letters.
    """

    def __init__(
        self,
        failures: Failures,
        metrics: ConsumeMetrics,
        group: str,
        settings: ConsumeSettings,
        clock: Callable[[], int],
    ) -> None:
        self._failures = failures
        self._metrics = metrics
        self._group = group
        self._settings = settings
        self._clock = clock
        self._missing: dict[str, float] = {}
        """Topics that outputs go to and that are not there, and since when they are known to be missing."""
        self._counts: dict[str, int] = {}
        """What was sent to each topic and is not in the metrics yet: that is nothing a record should wait for."""

    async def run(self, producer: Producer, batch: Batch, holds: Callable[[TopicPartition], bool]) -> None:
        """Send all that goes on; afterwards each record says whether it is acknowledged.

        Args:
            producer: sends.
            batch: handled records.
            holds: whether a partition is still ours; asked before each step, as one may be lost meanwhile.
        """
        try:
            await self._send_letters(producer, batch, holds)
            await self._send(producer, batch, holds, _Part.BEFORE)
            _hold_back(batch)
            await self._send(producer, batch, holds, _Part.AFTER)
            await self._send_letters(producer, batch, holds)
        finally:
            self._count()

    def _count(self) -> None:
        counts, self._counts = self._counts, {}
        for topic, count in counts.items():
            self._metrics.sent.labels(topic).inc(count)

    async def _send_letters(self, producer: Producer, batch: Batch, holds: Callable[[TopicPartition], bool]) -> None:
        """Send the dead letters not sent yet; behind one that is refused nothing of its partition goes on."""
        dead = [
            one
            for partition, ones in batch.items()
            for one in ones
            if one.verdict is Verdict.DEAD_LETTER and not one.buried and holds(partition)
        ]
        if not dead:
            return
        await self._deliver(producer, dead, [self._letter(one) for one in dead], _Part.LETTER)
        for one in dead:
            one.buried = True
        for ones in batch.values():
            refused = next((i for i, one in enumerate(ones) if one.buried and not one.acknowledged), len(ones))
            for behind in ones[refused + 1 :]:
                behind.acknowledged = False

    async def _send(
        self, producer: Producer, batch: Batch, holds: Callable[[TopicPartition], bool], part: _Part
    ) -> None:
        causes: list[Handled] = []
        outgoing: list[Outgoing] = []
        for partition, ones in batch.items():
            if not holds(partition):
                continue
            for one in ones:
                if one.verdict is Verdict.OK and one.acknowledged:
                    sent = one.outputs.before if part is _Part.BEFORE else one.outputs.after
                    outgoing += sent
                    causes += [one] * len(sent)
        if outgoing:
            await self._deliver(producer, causes, outgoing, part)

    async def _deliver(
        self, producer: Producer, causes: Sequence[Handled], outgoing: Sequence[Outgoing], part: _Part
    ) -> None:
        results = await producer.send(outgoing)
        counts = self._counts
        for one, record, result in zip(causes, outgoing, results, strict=True):
            if isinstance(result, Sent):
                counts[record.topic] = counts.get(record.topic, 0) + 1
                if self._missing:
                    self._missing.pop(record.topic, None)
            else:
                self._not_sent(one, record, result, part)

    def _not_sent(self, one: Handled, record: Outgoing, error: ChoparError, part: _Part) -> None:
        """Judge a failed delivery: for good, not yet, or unknown."""
        if part is _Part.LETTER:
            one.acknowledged = False
        if one.verdict is not Verdict.OK:
            return  # judged by another of its outputs
        one.acknowledged, one.unrecorded = False, part is _Part.BEFORE
        if isinstance(error, TooLargeError):
            self._give_up(one, error)
        elif isinstance(error, NoSuchTopicError) and part is _Part.AFTER:
            now = asyncio.get_running_loop().time()
            if len(self._missing) >= _MOST_MISSING:
                self._missing.clear()
            if now - self._missing.setdefault(record.topic, now) >= self._settings.unknown_topic_seconds:
                self._give_up(one, error)
            else:
                failure, one.verdict, one.code = self._failures.note(one.record, error)
                one.attempt, failure.holds = failure.attempts, True

    def _give_up(self, one: Handled, error: ChoparError) -> None:
        one.acknowledged = True  # as far as it goes: what becomes of it is its dead letter's
        one.verdict, one.code = Verdict.DEAD_LETTER, error.code
        self._failures.give_up(one.record, error.code)

    def _letter(self, one: Handled) -> Outgoing:
        failure = self._failures.of(one.record)
        now = self._clock()
        one.attempt = failure.attempts if failure else one.attempt
        return dead_letter(
            one.record,
            code=one.code,
            group=self._group,
            first_failed_ms=failure.first_failed_ms if failure else now,
            last_failed_ms=failure.last_failed_ms if failure else now,
            attempts=one.attempt,
        )


def _hold_back(batch: Batch) -> None:
    """What comes after an unacknowledged record of its key does not overtake it."""
    for ones in batch.values():
        behind = {one.record.key for one in ones if not one.acknowledged and one.verdict is Verdict.OK}
        if behind:
            seen: set[bytes | None] = set()
            for one in ones:
                if one.record.key in seen:
                    one.acknowledged = False
                elif one.record.key in behind and not one.acknowledged:
                    seen.add(one.record.key)
