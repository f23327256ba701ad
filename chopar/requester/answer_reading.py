"""What a durable asker reads: records as they come, and again the demands and resolutions that it has kept.

What is done with them is `answers`'.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

from chopar.bus.port import Record, TopicPartition
from chopar.errors import RecordError, StoreUnavailableError, UnavailableError
from chopar.messages.demand import Demand, DemandResolved
from chopar.messages.dispute import EvidenceUpheld
from chopar.messages.evidence import EvidenceUnavailable
from chopar.requester.answer_turn import Outcomes, Read
from chopar.requester.completion import SAID
from chopar.schema_registry import Decoder

_MOST_KEPT = 2000
"""Demands and resolutions whose decoded form is at hand: an answer follows within moments as a rule."""

_M = TypeVar("_M", Demand, DemandResolved)


class Reading:
    """Decodes.

    Args:
        resolved_topic: where the agency's resolutions lie; all else that comes is what holders say.
        decoder: of everything.
    """

    def __init__(self, resolved_topic: str, decoder: Decoder) -> None:
        self._resolved_topic = resolved_topic
        self._decoder = decoder
        self._known: dict[bytes, Any] = {}

    async def records(self, records: Sequence[Record], outcomes: Outcomes) -> list[Read]:
        """Decode records. Behind one that cannot be read yet nothing of its partition is taken.

        Args:
            records: as they lie.
            outcomes: is told of those that cannot be read, or not yet.
        """
        read: list[Read] = []
        waiting: set[TopicPartition] = set()
        for record in records:
            if record.value is None or record.topic_partition in waiting:
                continue
            try:
                if record.topic == self._resolved_topic:
                    read.append(Read(record, await self._decoder.message(record.value, DemandResolved)))
                else:
                    read.append(await self._said(record, record.value))
            except UnavailableError as error:
                waiting.add(record.topic_partition)
                outcomes[record.topic, record.partition, record.offset] = error
            except RecordError as error:
                outcomes[record.topic, record.partition, record.offset] = error
        return read

    async def _said(self, record: Record, value: bytes) -> Read:
        provided = await self._decoder.one_of(value, *SAID)
        if isinstance(provided, EvidenceUpheld):
            return Read(record, provided)
        try:
            name, datum = await self._decoder.datum(provided.body)
            if name == EvidenceUnavailable.RECORD:
                return Read(record, provided, (None, EvidenceUnavailable.from_avro(datum)))
        except RecordError as error:
            return Read(record, provided, error)
        return Read(record, provided, (datum, None))

    async def kept(self, value: bytes, model: type[_M]) -> _M:
        """A demand or a resolution that was read before, from its bytes.

        Raises:
            UnavailableError: the registry does not answer, or it cannot be read any more.
        """
        found: _M | None = self._known.get(value)
        if found is None:
            while len(self._known) >= _MOST_KEPT:
                del self._known[next(iter(self._known))]
            try:
                found = self._known[value] = await self._decoder.message(value, model)
            except RecordError as error:  # we could read it when it was kept
                raise StoreUnavailableError(f"a {model.__name__} that is kept cannot be read ({error.code})") from None
        return found
