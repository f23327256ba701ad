"""Handling a batch with a note of it on disk; where a record may have killed a process, one record at a time."""

from collections.abc import Collection, Mapping, Sequence

import structlog

from chopar.bus.consume_settings import ConsumeSettings
from chopar.bus.failures import Failures, Handled
from chopar.bus.handler import Handler
from chopar.bus.handling import Handling
from chopar.bus.port import Record, TopicPartition
from chopar.bus.tried import Tried
from chopar.errors import KilledItsProcessError, UnavailableError

_log = structlog.get_logger()


class Trial:
    """Handles batches.

    Args:
        handler: is asked for each record.
        failures: of the loop; who is given up is noted there.
        tried: the notes on disk.
        settings: how much at once, and how many deaths are too many.
    """

    def __init__(self, handler: Handler, failures: Failures, tried: Tried, settings: ConsumeSettings) -> None:
        self._handler = handler
        self._failures = failures
        self._tried = tried
        self._settings = settings

    async def gate(self, batch: Mapping[TopicPartition, Sequence[Record]]) -> frozenset[TopicPartition]:
        """Wait until a batch may begin, with a note of it: a handler may work it off already here.

        Returns:
            The partitions with suspects, which `run` is to handle one record at a time, each with its own wait.

        Raises:
            UnavailableError: from the handler; not now.
        """
        wary = frozenset(place for place, records in batch.items() if self._tried.suspects_in(place, records))
        harmless = {place: records for place, records in batch.items() if place not in wary}
        if harmless:
            with self._tried.noted(harmless):
                await self._handler.ready_for([record for records in harmless.values() for record in records])
        return wary

    async def run(
        self, batch: Mapping[TopicPartition, Sequence[Record]], wary: Collection[TopicPartition] = ()
    ) -> dict[TopicPartition, list[Handled]]:
        """Handle a batch, those of `wary` one at a time; gives and raises what `Handling.run` does."""
        harmless = {place: records for place, records in batch.items() if place not in wary}
        with self._tried.noted(harmless):
            handling = Handling(self._handler, self._failures, self._settings.max_concurrency)
            handled = await handling.run(harmless)
        for place in batch:
            if place in wary:
                handled[place] = await self._warily(place, batch[place])
        return handled

    async def _warily(self, partition: TopicPartition, records: Sequence[Record]) -> list[Handled]:
        """Handle records one at a time, each noted; give up what has killed too often."""
        handled: list[Handled] = []
        for record in records:
            suspect = self._tried.suspicion(record)
            given_up = suspect is not None and suspect.deaths >= self._settings.deaths
            if suspect is not None and given_up:
                self._give_up(record, suspect.deaths, suspect.since_ms)
            one = {partition: [record]}
            with self._tried.noted(one):
                if not given_up:
                    try:
                        await self._handler.ready_for([record])
                    except UnavailableError as error:
                        return [*handled, self._not_now(record, error)]
                handling = Handling(self._handler, self._failures, 1)
                handled += (await handling.run(one))[partition]
            if handling.halted:
                break
        return handled

    def _not_now(self, record: Record, error: UnavailableError) -> Handled:
        one = Handled(record)
        failure, one.verdict, one.code = self._failures.note(record, error)
        one.attempt = failure.attempts
        return one

    def _give_up(self, record: Record, deaths: int, since_ms: int) -> None:
        known = self._failures.of(record)
        if known is not None and known.given_up is not None:
            return
        failure = self._failures.give_up(record, KilledItsProcessError.code)
        failure.attempts, failure.first_failed_ms = deaths, since_ms
        _log.error(
            "record.killed_its_process",
            **record.log_context(),
            partition=record.partition,
            offset=record.offset,
            times=deaths,
            reason="processes died while they handled it; it is a dead letter now and goes unanswered until a replay",
        )
