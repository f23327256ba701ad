"""What became of each record of a batch, and what is remembered of those that failed until they are committed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from chopar.bus.handler import NO_OUTPUTS, Outputs
from chopar.bus.port import Record, TopicPartition
from chopar.errors import ChoparError, HandlerFailedError
from chopar.observe import mask

_LONGEST_REASON = 300


class Verdict(StrEnum):
    """What became of a record. The words stand in logs and metrics."""

    PENDING = "pending"
    OK = "ok"
    SKIPPED = "skipped"
    RETRY = "retry"
    DEAD_LETTER = "dead_letter"


@dataclass(slots=True)
class Failure:
    """What is remembered of a record that failed, until its offset is committed."""

    attempts: int
    first_failed_ms: int
    last_failed_ms: int
    given_up: str | None = None
    """The code for which it is a dead letter; then the handler is not asked again."""
    reason: str = ""
    """What a dependency that does not answer said of itself, fit to be shown."""
    holds: bool = False
    """What it leads to cannot be sent now; until it can, nothing behind it is handled."""


class Handled:
    """A record on its way through a batch. One is made for every record, so what is usual is the class's."""

    verdict: Verdict = Verdict.PENDING
    outputs: Outputs = NO_OUTPUTS
    code: str = ""
    attempt: int = 1
    seconds: float = 0.0
    acknowledged: bool = True
    """False as soon as one of its outputs was not."""

    unrecorded: bool = False
    """Whether what was not acknowledged had to be, before anything is released."""

    buried: bool = False
    """Whether its dead letter has been sent, acknowledged or not."""

    def __init__(self, record: Record) -> None:
        self.record = record

    @property
    def done(self) -> bool:
        """Whether its offset may be committed."""
        return self.acknowledged and self.verdict in _DONE


_DONE = frozenset({Verdict.OK, Verdict.SKIPPED, Verdict.DEAD_LETTER})


def shown(error: ChoparError) -> str:
    """The text of an error of ours as operators may see it: on one line, short, without what may be an identifier."""
    return mask(" ".join(str(error).split()))[:_LONGEST_REASON]


class Failures:
    """The records that failed and are not done with yet, by partition and offset.

    Args:
        clock: Unix milliseconds.
        tries: how often a record on which our own code fails is tried.
    """

    def __init__(self, clock: Callable[[], int], tries: int) -> None:
        self._clock = clock
        self._tries = tries
        self._by_place: dict[TopicPartition, dict[int, Failure]] = {}

    def at(self, partition: TopicPartition) -> Mapping[int, Failure] | None:
        """What is remembered of a partition, by offset; mostly nothing."""
        return self._by_place.get(partition)

    def of(self, record: Record) -> Failure | None:
        """What is remembered of a record."""
        by_offset = self._by_place.get(record.topic_partition)
        return by_offset.get(record.offset) if by_offset else None

    def note(self, record: Record, error: Exception | SystemExit) -> tuple[Failure, Verdict, str]:
        """Count a failure and judge it.

        The text of an error goes nowhere, as it may hold what must not be shown; but for that of a dependency which
        does not answer: operators have to know why a partition waits.
        """
        now = self._clock()
        by_offset = self._by_place.setdefault(record.topic_partition, {})
        failure = by_offset.setdefault(record.offset, Failure(0, now, now))
        failure.attempts += 1
        failure.last_failed_ms = now
        if isinstance(error, ChoparError):
            if error.retriable:
                failure.reason = shown(error)
                return failure, Verdict.RETRY, error.code
            failure.given_up = error.code
            return failure, Verdict.DEAD_LETTER, error.code
        if failure.attempts < self._tries:
            return failure, Verdict.RETRY, HandlerFailedError.code
        failure.given_up = HandlerFailedError.code
        return failure, Verdict.DEAD_LETTER, HandlerFailedError.code

    def give_up(self, record: Record, code: str) -> Failure:
        """Make a record a dead letter for a reason that was not found by handling it."""
        failure, _, _ = self.note(record, HandlerFailedError())
        failure.given_up = code
        failure.holds = False
        return failure

    def forget_before(self, partition: TopicPartition, offset: int) -> None:
        """Offsets below this one are committed."""
        by_offset = self._by_place.get(partition)
        if by_offset:
            for done in [known for known in by_offset if known < offset]:
                del by_offset[done]
