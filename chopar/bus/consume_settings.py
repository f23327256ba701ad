"""How a consume loop behaves: sizes, delays, bounds, each with the reason for its value."""

from dataclasses import dataclass

EARLY_SECONDS = 0.001
"""A timer that rings so little before its time has rung: what is left may be too small to change a sum of floats."""


@dataclass(frozen=True, slots=True)
class ConsumeSettings:
    """How a loop behaves. Defaults suit every process of ours."""

    max_records: int = 500
    """A batch at most: measured, more cost no less."""

    max_concurrency: int = 512
    """Handlings that wait for something at once: more than a batch has, so that its look-ups are one."""

    fetch_timeout_seconds: float = 0.5
    """How long one fetch waits; `stop` is noticed after it."""

    commit_interval_seconds: float = 0.1
    """What is done is committed so long after it, with all that was done meanwhile; a crash repeats as much."""

    retry_first_seconds: float = 0.2
    retry_most_seconds: float = 10.0
    """A partition that waits for a dependency is tried again after the first, then after twice that, up to the most."""

    handler_tries: int = 3
    """How often a record on which our own code fails is tried."""

    deaths: int = 3
    """How many processes may die of a record before it is given up."""

    unknown_topic_seconds: float = 10.0
    """How long a topic that an answer goes to may be missing: one just made is known to all brokers within seconds."""

    restarts: int = 3
    """Failures of the bus in a row, without progress, after which the run ends."""

    forgiven_seconds: float = 300.0
    """So long without a failure is progress too: a process that has nothing to do commits nothing for weeks."""

    revoke_timeout_seconds: float = 4.0
    """How long a revoke waits for the batch in flight and its commit: under the session time-out of 6 s."""

    close_timeout_seconds: float = 10.0
    """For leaving the group and disconnecting."""

    alarm_age_seconds: float = 60.0
    """Records that are handled so long after the broker took them are a lag that somebody has to know of."""

    def delay(self, times: int, jitter: float) -> float:
        """How long to wait before trying again, seconds.

        Args:
            times: how often it was tried in vain, from 1.
            jitter: a number from 0 to 1.
        """
        longest = min(self.retry_most_seconds, self.retry_first_seconds * 2.0 ** (times - 1))
        return longest * (0.5 + 0.5 * jitter)
