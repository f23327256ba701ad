"""`demand dispute`: dispute an answer that has come, and wait for what its holder says when it has looked again.

The demand, its resolution and its answers are read from their topics, so it needs no store; an agency's own system uses
`Requester.dispute` or `DurableRequester.dispute`.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal
from uuid import UUID

from chopar.bus.port import Bus, Record, TopicPartition
from chopar.cli.demand_text import evidence_rows
from chopar.cli.demand_trace import records_of
from chopar.cli.exit_codes import ExitCode
from chopar.cli.output import Table
from chopar.cli.session import Session
from chopar.errors import ConfigurationError, NotFoundError, RecordError
from chopar.identifiers import AgencyId
from chopar.messages.dispute import DisputeReason
from chopar.requester.completion import Delivered, Upheld
from chopar.requester.disputes import Objection
from chopar.requester.requester import Exchange, Requester
from chopar.schema_registry import SchemaRegistry
from chopar.texts import Language, Texts
from chopar.topics import DEAD_LETTER_SUFFIX, DEMAND_RESOLVED, DEMAND_SUBMITTED, EVIDENCE_PROVIDED, suffix_of


@dataclass(frozen=True, slots=True)
class Review:
    """What came of a dispute.

    Attributes:
        status: `upheld`, `corrected`, or `waiting` if the holder has said nothing yet.
        said: the correction.
    """

    demand_id: UUID
    dispute_id: UUID
    document_type: str
    status: Literal["upheld", "corrected", "waiting"]
    said: Delivered | None = None

    def exit_code(self) -> ExitCode:
        """0 if the answer was corrected."""
        return ExitCode.DONE if self.status == "corrected" else ExitCode.NO

    def to_json(self) -> dict[str, Any]:
        """As it is printed."""
        said = self.said
        return {
            "demand_id": str(self.demand_id),
            "dispute_id": str(self.dispute_id),
            "document_type": self.document_type,
            "status": self.status,
            "evidence": None if said is None or said.evidence is None else dict(said.evidence),
            "unavailable": None if said is None or said.unavailable is None else said.unavailable.code,
        }

    def to_text(self, texts: Texts, language: Language) -> list[Table | str]:
        """As a sentence, and the evidence where there is some."""
        parts: list[Table | str] = [f"{self.document_type}: {texts.say('review', self.status, language)}"]
        if self.said is not None and self.said.evidence is not None:
            parts.append(Table(("field", "value"), evidence_rows(self.said.evidence)))
        elif self.said is not None and self.said.unavailable is not None:
            parts.append(texts.say("unavailable", self.said.unavailable.code, language))
        return parts


def objection_of(document: str, reason: str, fields: list[str], official: str | None) -> Objection:
    """An objection as it was typed.

    Raises:
        ConfigurationError: the reason is none of ours.
    """
    if reason not in tuple(DisputeReason):
        raise ConfigurationError(f"--reason: one of {', '.join(DisputeReason)} is due")
    document_type, _, about = document.partition("@")
    return Objection(document_type, DisputeReason(reason), tuple(fields), about or None, official)


async def dispute_in(session: Session, demand_id: UUID, objection: Objection, wait_seconds: float) -> Review:
    """Dispute an answer against what a session addresses.

    Raises:
        NotFoundError: no such demand, or no answer to this document.
        UnavailableError: broker or schema registry do not answer.
    """
    registry = session.schema_registry()
    try:
        return await dispute_on(session.bus(), registry, demand_id, objection, wait_seconds)
    finally:
        await registry.aclose()


async def dispute_on(
    bus: Bus, registry: SchemaRegistry, demand_id: UUID, objection: Objection, wait_seconds: float
) -> Review:
    """Dispute an answer to a demand that lies on a bus, and wait for what is said to it.

    Raises:
        ChoparError: as of `dispute_in` and `Requester.dispute`.
    """
    found = await said_of(bus, demand_id)
    refused = NotFoundError("no demand of this id is in Kafka: it was not sent here, or its records have expired")
    tried: set[AgencyId] = set()
    for record in found:
        agency = suffix_of(DEMAND_SUBMITTED, record.topic)
        if agency is None or agency in tried:
            continue
        async with Requester(agency, bus, registry) as requester:
            try:
                exchange = await requester.take_up(record.value or b"", _answers(found, agency))
            except RecordError:  # a dispute of before, or a record that was refused
                continue
            tried.add(agency)
            try:
                return await _dispute(requester, exchange, objection, wait_seconds)
            except NotFoundError as error:  # another agency may have a demand of that id: a holder knows it
                refused = error
    raise refused


async def _dispute(requester: Requester, exchange: Exchange, objection: Objection, wait_seconds: float) -> Review:
    async with exchange:
        dispute_id = await requester.dispute(exchange, objection)
        review = Review(exchange.demand_id, dispute_id, objection.document_type, "waiting")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_seconds):
                async for event in exchange:
                    if isinstance(event, Upheld) and event.dispute_id == dispute_id:
                        return replace(review, status="upheld")
                    if isinstance(event, Delivered) and event.correction_id == dispute_id:
                        return replace(review, status="corrected", said=event)
        return review


async def said_of(bus: Bus, demand_id: UUID) -> list[Record]:
    """What askers and holders have said under a demand's id, in the order of each topic; what is asked stays out."""
    wanted = (DEMAND_SUBMITTED.name, DEMAND_RESOLVED.name, EVIDENCE_PROVIDED.name)

    def places(topics: Mapping[str, int], partition: int) -> list[TopicPartition]:
        names = [name for name in topics if name.startswith(wanted) and not name.endswith(DEAD_LETTER_SUFFIX)]
        return [TopicPartition(name, partition) for name in names]

    found = await records_of(demand_id, bus, places)
    return sorted(found, key=lambda record: (record.topic, record.offset))


def _answers(found: list[Record], requester: AgencyId) -> list[Record]:
    topics = (DEMAND_RESOLVED.of(requester), EVIDENCE_PROVIDED.of(requester))
    return [record for record in found if record.topic in topics]
