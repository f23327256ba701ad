"""What the consume loop asks of a handler, and what a handler gives back.

How a handler is called stands in `handling.py`; what becomes of its outputs, in `release.py`.
"""

from collections.abc import Awaitable, Mapping, Sequence
from typing import NamedTuple, Protocol

from chopar.bus.port import Outgoing, Record, TopicPartition


class Outputs(NamedTuple):
    """What a record leads to. `after` is released when all of `before` is acknowledged: no record, no document."""

    before: Sequence[Outgoing] = ()
    after: Sequence[Outgoing] = ()


NO_OUTPUTS = Outputs()


class Handler(Protocol):
    """What a process does with its records. It must give the same outputs if a record is handled again."""

    async def assigned(self, partitions: Mapping[TopicPartition, int]) -> None:
        """These partitions are ours now, each from this offset; no record of them comes before this returns."""

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """These are ours no longer."""

    async def ready_for(self, records: Sequence[Record]) -> None:
        """A gate before a batch; may wait for seconds.

        Raises:
            UnavailableError: not now; the batch is read again after a while.
        """

    def handle(self, record: Record) -> Outputs | Awaitable[Outputs]:
        """Handle one record; its value is never None.

        Raises:
            UnavailableError: (and whatever is `retriable`) its partition pauses, and the record is read again.
            ChoparError: (another one, above all RecordError) it becomes a dead letter at once.
            StopError: the process must not go on.
        """


class Watcher(Protocol):
    """What a handler has beside `Handler` if it folds a state from its log: it sees what it is not asked to handle.

    A record that was given up, a tombstone, one that another life of the session has answered: each is part of the log,
    so a fold must not depend on which of them are handled.
    """

    def seen(self, record: Record) -> None:
        """Take note of a record, in offset order within its partition, before any of its batch is handled.

        A record that is read again is seen again. It does not wait, and it does not fail: whatever it raises ends the
        run.
        """


class Resting(Protocol):
    """What a handler has beside `Handler` if it has something to do when a batch is done, on nobody's way."""

    def rest(self) -> None:
        """All that a batch led to is sent. It does not wait, and it does not fail."""


class Independent(Protocol):
    """What a handler has beside `Handler` if what it says to a record depends on no other record.

    Then those of one key, too, are handled beside each other: many records of one key cost others nothing. What they
    lead to is sent in the order of the records, as always.
    """

    independent: bool
