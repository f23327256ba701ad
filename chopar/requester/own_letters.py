"""Which answers have come and lie among an asker's own dead letters: nobody waits for their holder any more.

What becomes of them is decided by `chopar dead-letter`; this only looks.
"""

from collections.abc import Collection

from chopar.bus.dead_letter import read_dead_letter
from chopar.bus.port import Bus, TopicPartition
from chopar.errors import RecordError, SchemaNotYetKnownError, UnavailableError
from chopar.identifiers import AgencyId
from chopar.messages.dispute import EvidenceCorrected
from chopar.messages.evidence import EvidenceProvided
from chopar.requester.completion import Answered
from chopar.schema_registry import Decoder
from chopar.topics import EVIDENCE_PROVIDED, dead_letter_topic

_MOST_LETTERS = 10_000  # the newest: a list for clerks does not read a day's worth of a broken application
_BATCH = 500
_LISTEN_SECONDS = 0.5
_ANSWERS: tuple[type[Answered], ...] = (EvidenceProvided, EvidenceCorrected)
"""What may be the first answer: a holder's own correction may overtake what it corrects."""


async def answered_in_vain(bus: Bus, decoder: Decoder, agency: AgencyId, demand_ids: Collection[str]) -> set[bytes]:
    """The ids of requests of these demands whose answers are dead letters of the asker.

    Returns:
        Request ids; none where the broker does not answer, as then nobody knows.
    """
    keys = {demand_id.encode() for demand_id in demand_ids}
    place = TopicPartition(dead_letter_topic(EVIDENCE_PROVIDED.of(agency)), 0)
    found: set[bytes] = set()
    if not keys:
        return found
    reader = bus.reader({place: None})
    try:
        await reader.start()
        try:
            end = (await reader.end_offsets([place]))[place]
            first = (await reader.beginning_offsets([place]))[place]
            reader.seek(place, max(first, end - _MOST_LETTERS))
            while reader.position(place) < end:
                for record in (await reader.fetch(_BATCH, _LISTEN_SECONDS)).get(place, ()):
                    try:
                        _, answer = read_dead_letter(record)
                        if answer.key in keys and answer.value is not None:
                            said = await decoder.one_of(answer.value, *_ANSWERS)
                            if isinstance(said, EvidenceProvided) or said.supersedes is None:
                                found.add(said.request_id)
                    except (RecordError, SchemaNotYetKnownError):
                        continue  # its envelope cannot be read: of which request it is, nobody knows
        finally:
            await reader.stop()
    except UnavailableError:
        return found
    return found
