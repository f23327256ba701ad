"""What every asker does: compose a demand, encode it, have the broker acknowledge it.

What becomes of it afterwards is followed in memory (`requester`) or in a database (`durable_requester`).
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias
from uuid import UUID

from chopar.avro import SchemaFiles
from chopar.avro.reader import unchecked
from chopar.bus.port import Bus, Outgoing, Sent, partition_of
from chopar.envelope import Origin, outgoing
from chopar.errors import ChoparError, TooLargeError, UnavailableError, UndecodableError
from chopar.identifiers import BusinessId, DataSubject, agency_id, derived_text, uuid7, uuid7_milliseconds
from chopar.messages.demand import MAX_LIFE, ActingAs, Demand, DemandedDocument, Ground, Party, Subject
from chopar.messages.dispute import EvidenceDisputed
from chopar.messages.record import whole_milliseconds
from chopar.schema_registry import Decoder, Encoder, SchemaRegistry
from chopar.topics import DEMAND_SUBMITTED, PARTITIONS

_DEFAULT_LIFE = timedelta(days=7)
_LARGEST_BYTES = 256 * 1024
"""Of a demand: its resolution and requests repeat parts of it, and each has to fit its topic."""

_LONGEST_CASE_ID = 400
_LONGEST_ALIKE = MAX_LIFE - timedelta(seconds=1)
_MOST_ALIKE = 1024

CLOCKS_APART = timedelta(minutes=2)
"""How far our clock may run ahead of the broker's, whose time decides."""


def subject(identifier: DataSubject) -> Subject:
    """An identifier as messages carry it."""
    kind: Literal["person", "business"] = "business" if isinstance(identifier, BusinessId) else "person"
    return Subject(kind=kind, id=identifier.text)


class DemandSender:
    """The part of an asker that sends.

    Args:
        agency: its id; also in the names of its topics.
        bus: where it asks.
        registry: where schema ids come from.
        files: the schemas to write with; those shipped by default.
        clock: aware UTC time, for demand ids and their life.
        random_bits: gives that many random bits, for demand ids.
    """

    def __init__(
        self,
        agency: str,
        bus: Bus,
        registry: SchemaRegistry,
        *,
        files: SchemaFiles | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        random_bits: Callable[[int], int] = lambda bits: int.from_bytes(os.urandom(bits // 8 + 1), "big"),
    ) -> None:
        self.agency = agency_id(agency)
        self._bus = bus
        self._registry = registry
        self._files = files or SchemaFiles.shipped()
        self._encoder = Encoder(self._files, registry)
        self._decoder = Decoder(self._files, registry)
        self._clock = clock
        self._random_bits = random_bits
        self._topic = DEMAND_SUBMITTED.of(self.agency)
        self._producer = bus.producer(f"requester.{agency}")
        self._alike: dict[_Alike, Demand] = {}
        """Demands that were checked, one of those that differ in nothing but what `_as` changes."""

    async def _connect(self) -> None:
        await self._encoder.prepare(Demand)
        await self._producer.start()

    def compose(
        self,
        *,
        procedure: str,
        subject: Subject,
        documents: Iterable[DemandedDocument],
        parties: Iterable[Party] = (),
        circumstances: Mapping[str, bool] | None = None,
        case_id: str | None = None,
        official: str = "unnamed",
        applicant: Subject | None = None,
        acting_as: ActingAs = ActingAs.SELF,
        ground: Ground | None = None,
        life: timedelta = _DEFAULT_LIFE,
    ) -> Demand:
        """A demand with a fresh id. Its documents are answered in the order given.

        Raises:
            UndecodableError: it is not a valid message; the text names the fields.
        """
        if not all(isinstance(said, bool) for said in (circumstances or {}).values()):
            # The text "no" is true in Python, and would be sent as a yes.
            raise UndecodableError("not a valid Demand: circumstances are True or False")
        now, asked = self._clock(), tuple(documents)
        demand_id = uuid7(now, self._random_bits(74))
        case_id = case_id or f"case-{str(demand_id)[-12:]}"
        alike = None
        if not parties and applicant is None and ground is None and life < _LONGEST_ALIKE:
            alike = _alike(procedure, official, acting_as, circumstances, asked)
        if alike is not None and alike in self._alike:
            made = _as(self._alike[alike], demand_id, case_id, subject, asked, now + life)
            if made is not None:
                return made
        demand = Demand.from_avro(
            {
                "demand_id": demand_id,
                "requester": self.agency,
                "procedure": procedure,
                "case_id": case_id,
                "official": official,
                "subject": subject,
                "parties": tuple(parties),
                "applicant": applicant,
                "acting_as": acting_as,
                "ground": ground or {"kind": "law", "reference": procedure},
                "circumstances": {code: "yes" if said else "no" for code, said in (circumstances or {}).items()},
                "documents": asked,
                "expires_at": now + life,
            }
        )
        if alike is not None:
            if len(self._alike) >= _MOST_ALIKE:
                self._alike.clear()
            self._alike[alike] = demand
        return demand

    def _composed(self, about: DataSubject, documents: Sequence[str | DemandedDocument], **more: Any) -> Demand:
        asked = [d if isinstance(d, DemandedDocument) else DemandedDocument(type=d) for d in documents]
        return self.compose(subject=subject(about), documents=asked, **more)

    def _encoded(self, demand: Demand) -> bytes:
        value = self._encoder.encode(demand)
        if len(value) > _LARGEST_BYTES:
            raise TooLargeError(f"the demand has {len(value)} bytes; {_LARGEST_BYTES} at most")
        return value

    async def _deliver(self, demands: Sequence[tuple[UUID, bytes]]) -> list[Sent | ChoparError]:
        """Send demands by their ids and bytes; one entry each, in order, as of `Producer.send`."""
        return await self._producer.send([self._outgoing(demand_id, value) for demand_id, value in demands])

    async def _send_dispute(self, dispute: EvidenceDisputed) -> None:
        """Send a dispute. When this returns the broker has acknowledged it.

        Raises:
            ChoparError: as of `Producer.send`, or the schema registry does not know its record.
        """
        value = await self._encoded_dispute(dispute)
        await self._deliver_dispute(dispute.dispute_id, dispute.demand_id, value)

    async def _encoded_dispute(self, dispute: EvidenceDisputed) -> bytes:
        await self._encoder.prepare(EvidenceDisputed)
        return self._encoder.encode(dispute)

    async def _deliver_dispute(self, dispute_id: UUID, demand_id: UUID, value: bytes) -> None:
        """Send a dispute's bytes: twice is the same message twice. Raises ChoparError, as of `Producer.send`."""
        source, time_ms = f"/agencies/{self.agency}", uuid7_milliseconds(dispute_id)
        origin = Origin(source=source, time_ms=time_ms, correlation_id=demand_id)
        place, message_id = partition_of(origin.key, PARTITIONS), derived_text("dispute", origin.key, value)
        [sent] = await self._producer.send(
            [outgoing(self._topic, place, value, message_id, EvidenceDisputed.RECORD, origin)]
        )
        if isinstance(sent, ChoparError):
            raise sent

    def _outgoing(self, demand_id: UUID, value: bytes) -> Outgoing:
        # The time of its id: a demand that is sent again is the same message, to the byte.
        time_ms = uuid7_milliseconds(demand_id)
        origin = Origin(source=f"/agencies/{self.agency}", time_ms=time_ms, correlation_id=demand_id)
        message_id = derived_text("demand", origin.key, value)
        place = partition_of(origin.key, PARTITIONS)
        return outgoing(self._topic, place, value, message_id, Demand.RECORD, origin)


class LastingSender(DemandSender):
    """One that goes on after a send that failed: an idempotent producer may then fail for good, so another is made.

    Args: as of `DemandSender`.
    """

    _producer_failed = False

    async def _deliver(self, demands: Sequence[tuple[UUID, bytes]]) -> list[Sent | ChoparError]:
        await self._renew_producer()
        results = await super()._deliver(demands)
        if not all(isinstance(result, (Sent, TooLargeError)) for result in results):
            self._producer_failed = True
        return results

    async def _deliver_dispute(self, dispute_id: UUID, demand_id: UUID, value: bytes) -> None:
        await self._renew_producer()
        try:
            await super()._deliver_dispute(dispute_id, demand_id, value)
        except UnavailableError:
            self._producer_failed = True
            raise

    async def _renew_producer(self) -> None:
        if not self._producer_failed:
            return
        self._producer_failed = False
        former, self._producer = self._producer, self._bus.producer(f"requester.{self.agency}")
        try:
            await former.stop()
            await self._producer.start()
        except BaseException:
            self._producer_failed = True
            raise


_Alike: TypeAlias = tuple[str, str, ActingAs, tuple[tuple[str, bool], ...], tuple[tuple[str, str | None], ...]]


def _alike(
    procedure: str,
    official: str,
    acting_as: ActingAs,
    circumstances: Mapping[str, bool] | None,
    documents: tuple[DemandedDocument, ...],
) -> _Alike | None:
    """What demands have in common that are checked once; None if a document has parameters, which are one's own."""
    types: list[tuple[str, str | None]] = []
    for document in documents:
        if document.__class__ is not DemandedDocument or document.parameters:
            return None
        types.append((document.type, document.about))
    return procedure, official, acting_as, tuple((circumstances or {}).items()), tuple(types)


def _as(
    demand: Demand,
    demand_id: UUID,
    case_id: str,
    subject: Subject,
    documents: tuple[DemandedDocument, ...],
    expires_at: datetime,
) -> Demand | None:
    """A demand like one that was checked, as validation would give it; None if what differs has to be looked at.

    A UUIDv7 of ours, a subject that was checked when it was made, a time of ours within the longest life: what is left
    to look at is the length of the case's id.
    """
    if case_id.__class__ is not str or len(case_id) > _LONGEST_CASE_ID:
        return None
    if subject.__class__ is not Subject or expires_at.tzinfo is not UTC:
        return None
    changed = {
        "demand_id": demand_id,
        "case_id": case_id,
        "subject": subject,
        "circumstances": {**demand.circumstances},  # no dict is anybody else's too
        "documents": documents,
        "expires_at": whole_milliseconds(expires_at),
    }
    made: Demand = unchecked(Demand, {**demand.__dict__, **changed}, demand.model_fields_set)
    return made
