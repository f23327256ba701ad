"""An agency that answers: a function for each evidence type; the library does the rest.

    provider = Provider("some-agency", register="name of the register")

    @provider.answers("some-evidence")
    async def some_evidence(request: EvidenceRequested, register: Register) -> SomeEvidence | NoRecord: ...

An agency that looks up many as cheaply as one has a function for all requests that come together (`answers_together`).

The library reads requests, cuts what the function returns to the fields that the access ground lets through, has the
access recorded before the answer is released, and derives every id, so that a repeated request gets the same answer
under the same id. What the register holds, and what a field means, is the agency's.
"""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID
from weakref import WeakKeyDictionary

import structlog
from prometheus_client import CollectorRegistry, Counter

from chopar.bus.consume import Outputs
from chopar.bus.port import Record, TopicPartition
from chopar.envelope import Origin, outgoing
from chopar.errors import ChoparError, ConfigurationError, StopError, WrongRecordError
from chopar.identifiers import AgencyId, DataSubject, Derivation, SubjectKind, agency_id, data_subject
from chopar.messages.dispute import EvidenceDisputed
from chopar.messages.evidence import (
    Evidence,
    EvidenceProvided,
    EvidenceRequested,
    EvidenceUnavailable,
    UnavailableCode,
)
from chopar.messages.exchange import ExchangeRecorded
from chopar.provider.answer_messages import AnswerMessages
from chopar.provider.answered_together import Gathering, Turn
from chopar.provider.evidence_body import EvidenceBodies
from chopar.provider.reviews import RECORDS as REVIEW_RECORDS
from chopar.provider.reviews import Review, ReviewMessages
from chopar.schema_registry import Decoder, Encoder
from chopar.topics import EVIDENCE_REQUESTED, EXCHANGE_RECORDED

RECORDS = (ExchangeRecorded, EvidenceProvided, EvidenceUnavailable, *REVIEW_RECORDS)
"""What every provider writes, beside its evidence."""

_MOST_REASONS = 1024  # different ones, of a batch
_MOST_TOGETHER = 500  # far below every database's limit of parameters

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class NoRecord:
    """The register does not know this person or entry. `coverage` says what the register covers; it is no fact."""

    coverage: str | None = None


@dataclass(frozen=True, slots=True)
class AmbiguousSubject:
    """Several entries match."""


@dataclass(frozen=True, slots=True)
class NotEntitled:
    """The register's own rules do not allow this answer."""


@dataclass(frozen=True, slots=True)
class Deferred:
    """The answer is promised for later; the one result that is not final."""

    promised_at: datetime


@dataclass(frozen=True, slots=True)
class ProviderError:
    """This request can never be answered. A passing failure raises `UnavailableError` instead."""


Unavailable: TypeAlias = NoRecord | AmbiguousSubject | NotEntitled | Deferred | ProviderError
Answer: TypeAlias = Evidence | Unavailable
AnswerFunction: TypeAlias = Callable[[EvidenceRequested, Any], Awaitable[Answer]]
ReviewFunction: TypeAlias = Callable[[EvidenceDisputed, EvidenceRequested, Any], Awaitable[Answer]]
AnswersFunction: TypeAlias = Callable[[Sequence[EvidenceRequested], Any], Awaitable[Sequence[Answer]]]

_CODES: dict[type, UnavailableCode] = {
    NoRecord: UnavailableCode.NO_RECORD,
    AmbiguousSubject: UnavailableCode.AMBIGUOUS_SUBJECT,
    NotEntitled: UnavailableCode.NOT_ENTITLED,
    Deferred: UnavailableCode.DEFERRED,
    ProviderError: UnavailableCode.PROVIDER_ERROR,
}


_RECORDED = EXCHANGE_RECORDED.of()
_RECORD, _ANSWER = ExchangeRecorded.RECORD, EvidenceProvided.RECORD
_Asked: TypeAlias = tuple[Record, EvidenceRequested]
_KINDS = {kind.value: kind for kind in SubjectKind}


def subject_of(request: EvidenceRequested) -> DataSubject:
    """Whom the evidence is about, as an identifier.

    Raises:
        IdentifierError: the gateway lets none through that is not one.
    """
    subject = request.subject
    return data_subject(_KINDS[subject.kind], subject.id)


class Provider:
    """An agency that answers.

    Args:
        agency: its id.
        register: name of its register, as answers carry it.
        at_once: how many requests may wait for the register at the same time; what suits a service that is asked for
            each of them by default. With a register that gathers look-ups (`lookups`) a whole batch, so that it
            becomes one look-up. Requests that are answered together wait as one.
    """

    def __init__(self, agency: str, *, register: str, at_once: int = 64) -> None:
        self.agency: AgencyId = agency_id(agency)
        self.register = register
        self.at_once = at_once
        self._functions: dict[str, AnswerFunction] = {}
        self._together: dict[str, AnswersFunction] = {}
        self._reviews: dict[str, ReviewFunction] = {}

    def answers(self, evidence_type: str) -> Callable[[AnswerFunction], AnswerFunction]:
        """Make a function the one that answers an evidence type.

        Raises:
            ConfigurationError: another one does already.
        """

        def keep(function: AnswerFunction) -> AnswerFunction:
            self._require_unanswered(evidence_type)
            self._functions[evidence_type] = function
            return function

        return keep

    def answers_together(self, evidence_type: str) -> Callable[[AnswersFunction], AnswersFunction]:
        """Make a function the one that answers an evidence type, for all requests that come together.

        It is given up to 500 requests and gives as many answers, in their order. Whatever it raises that is not
        retriable is not the fault of all: they are then given to it one by one.

        Raises:
            ConfigurationError: another one does already.
        """

        def keep(function: AnswersFunction) -> AnswersFunction:
            self._require_unanswered(evidence_type)
            self._together[evidence_type] = function
            return function

        return keep

    def reviews(self, evidence_type: str) -> Callable[[ReviewFunction], ReviewFunction]:
        """Make a function the one that looks again when an answer is disputed.

        It is given the dispute and the request, and answers the request as the register is now. Without one the
        function that answers the evidence type is asked again. `Deferred` says that somebody has to look: nothing is
        sent then, and if the answer was wrong the holder corrects it later (`corrections`).

        Raises:
            ConfigurationError: another one does already.
        """

        def keep(function: ReviewFunction) -> ReviewFunction:
            if evidence_type in self._reviews:
                raise ConfigurationError(f"{evidence_type}: two functions review it")
            self._reviews[evidence_type] = function
            return function

        return keep

    def _require_unanswered(self, evidence_type: str) -> None:
        if self.knows(evidence_type):
            raise ConfigurationError(f"{evidence_type}: two functions answer it")

    @property
    def evidence_types(self) -> tuple[str, ...]:
        """What it answers, sorted."""
        return tuple(sorted({*self._functions, *self._together}))

    def knows(self, evidence_type: str) -> bool:
        """Whether it answers an evidence type."""
        return evidence_type in self._functions or evidence_type in self._together

    def answers_it_together(self, evidence_type: str) -> bool:
        """Whether what answers an evidence type is a function for many requests."""
        return evidence_type in self._together

    @property
    def topic(self) -> str:
        """Where its requests arrive."""
        return EVIDENCE_REQUESTED.of(self.agency)

    @property
    def group(self) -> str:
        """Its consumer group."""
        return f"provider.{self.agency}"

    async def answer(self, request: EvidenceRequested, register: Any) -> Answer:
        """What the agency's function says to a request; `ProviderError` for an evidence type without a function."""
        function = self._functions.get(request.evidence_type)
        if function is not None:
            return await function(request, register)
        if request.evidence_type in self._together:
            [answer] = await self.answer_together([request], register)
            return answer
        return ProviderError()

    async def review(self, dispute: EvidenceDisputed, request: EvidenceRequested, register: Any) -> Answer:
        """What the agency says to a request whose answer is disputed."""
        function = self._reviews.get(request.evidence_type)
        if function is not None:
            return await function(dispute, request, register)
        return await self.answer(request, register)

    async def answer_together(self, requests: Sequence[EvidenceRequested], register: Any) -> Sequence[Answer]:
        """What the agency's function for many says to requests for one evidence type, in their order.

        Raises:
            ConfigurationError: it gives more or fewer answers than requests.
        """
        evidence_type = requests[0].evidence_type
        answers = await self._together[evidence_type](requests, register)
        if len(answers) != len(requests):
            raise ConfigurationError(f"{evidence_type}: {len(answers)} answers to {len(requests)} requests")
        return answers


_COUNTERS: WeakKeyDictionary[CollectorRegistry, Counter] = WeakKeyDictionary()


def _counter(metrics: CollectorRegistry) -> Counter:
    """The counter of a process; one, however many agencies it serves."""
    if metrics not in _COUNTERS:
        labels = ["provider", "evidence_type", "outcome"]
        _COUNTERS[metrics] = Counter(
            "chopar_evidence_requests", "Requests by what became of them", labels, registry=metrics
        )
    return _COUNTERS[metrics]


class ProviderHandler:
    """What the consume loop calls for each request of one agency.

    Args:
        provider: the agency.
        register: given to its functions.
        encoder: prepared for `RECORDS` and the evidence records.
        decoder: for requests.
        secret: of the provider; makes the nonces.
        clock: aware UTC time. Only whether a request has expired depends on it.
        metrics: where its counter is kept.
    """

    def __init__(
        self,
        provider: Provider,
        register: Any,
        *,
        encoder: Encoder,
        decoder: Decoder,
        secret: bytes,
        clock: Callable[[], datetime],
        metrics: CollectorRegistry,
    ) -> None:
        self._provider = provider
        self._register = register
        self._encoder = encoder
        self._decoder = decoder
        self._secret = secret
        self._clock = clock
        self._source = f"/agencies/{provider.agency}"
        self._counter = _counter(metrics)
        self._counters: dict[tuple[str, str], Counter] = {}
        self._bodies = EvidenceBodies(encoder)
        self._messages = AnswerMessages(encoder, provider.agency)
        self._review_messages = ReviewMessages(encoder, provider.agency)
        self._reasons: dict[tuple[Unavailable, datetime], bytes] = {}
        self._gathering: Gathering[_Asked, Outputs] = Gathering(self._answer_all)

    @property
    def agency(self) -> AgencyId:
        """Who answers."""
        return self._provider.agency

    @property
    def topic(self) -> str:
        """Where its requests arrive."""
        return self._provider.topic

    independent = True
    """An answer depends on its request and the register alone: those of one demand are answered beside each other."""

    async def assigned(self, partitions: Mapping[TopicPartition, int]) -> None:
        """Nothing is kept per partition."""

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """Nothing is kept per partition."""

    async def ready_for(self, records: Sequence[Record]) -> None:
        """Nothing to wait for."""

    def handle(self, record: Record) -> Awaitable[Outputs]:
        """Answer one request, or look again because of a dispute.

        Raises:
            RecordError: it is neither to this agency, or cannot be read.
            UnavailableError: the register or the schema registry does not answer; it is read again.
        """
        try:
            request = self._decoder.message_now(record.value or b"", EvidenceRequested)
        except WrongRecordError:
            return self._read_and_review(record)
        if request is None:
            return self._read_and_answer(record)
        return self._begin(record, request)

    async def _read_and_answer(self, record: Record) -> Outputs:
        try:
            request = await self._decoder.message(record.value or b"", EvidenceRequested)
        except WrongRecordError:
            return await self._read_and_review(record)
        return await self._begin(record, request)

    async def _read_and_review(self, record: Record) -> Outputs:
        dispute = await self._decoder.message(record.value or b"", EvidenceDisputed)
        request = await self._decoder.message(dispute.original, EvidenceRequested)
        if request.provider != self._provider.agency or request.request_id != dispute.request_id:
            raise WrongRecordError("a dispute of a request to another provider, or of another request")
        return await self._review(record, dispute, request)

    async def _review(self, record: Record, dispute: EvidenceDisputed, request: EvidenceRequested) -> Outputs:
        if self._clock() < request.expires_at:
            answer = await self._provider.review(dispute, request, self._register)
            if isinstance(answer, Deferred):
                _log.warning("review.deferred", evidence_type=self._count(request, "review_deferred"))
                return Outputs()
            if self._clock() < request.expires_at:
                review = self._found(request, answer, dispute.dispute_id, dispute.answer_digest)
                self._count(request, "upheld" if review.upheld else "corrected")
                origin = self._origin(request, record.header("ce_id"), record.header("traceparent"))
                return self._review_messages.outputs(review, record.partition, origin)
        return self._expired(request)

    def _found(self, request: EvidenceRequested, answer: Answer, correction_id: UUID, disputed: bytes | None) -> Review:
        return Review(request, correction_id, disputed, self._nonce(request), self._body(request, answer))

    async def corrected(self, request: EvidenceRequested, partition: int, correction_id: UUID) -> Outputs:
        """The answer to a request as the register is now, in the place of what was answered before.

        Nothing if the request has expired, or its answer is deferred.

        Args:
            request: that was answered.
            partition: where it lies.
            correction_id: of this correction, the same for all who are told of it.

        Raises:
            UnavailableError: the register does not answer.
        """
        if self._clock() < request.expires_at:
            answer = await self._provider.answer(request, self._register)
            if not isinstance(answer, Deferred) and self._clock() < request.expires_at:
                self._count(request, "corrected")
                origin = self._origin(request, str(correction_id).encode(), None)
                review = self._found(request, answer, correction_id, None)
                return self._review_messages.outputs(review, partition, origin)
        return Outputs()

    def _begin(self, record: Record, request: EvidenceRequested) -> Awaitable[Outputs]:
        if request.provider != self._provider.agency:
            raise WrongRecordError("a request to another provider")
        if self._provider.answers_it_together(request.evidence_type):
            return self._gathering.join((record, request))
        return self._answer(record, request)

    async def _answer(self, record: Record, request: EvidenceRequested) -> Outputs:
        # Nothing is read or released after expiry; the asker knows by the same time that it is undelivered. Reading may
        # take its time, so the clock is asked before and after it.
        if self._clock() < request.expires_at:
            answer = await self._provider.answer(request, self._register)
            if self._clock() < request.expires_at:
                outputs = self._outputs(record, request, answer)
                self._count(request, "answered")
                return outputs
        return self._expired(request)

    async def _answer_all(self, turns: Sequence[Turn[_Asked, Outputs]]) -> None:
        """As `_answer`, all who have come together."""
        now = self._clock()
        by_type: dict[str, list[Turn[_Asked, Outputs]]] = {}
        for turn in turns:
            request = turn.asked[1]
            if now < request.expires_at:
                by_type.setdefault(request.evidence_type, []).append(turn)
            else:
                turn.told = self._expired(request)
        for alike in by_type.values():
            for start in range(0, len(alike), _MOST_TOGETHER):
                await self._answer_alike(alike[start : start + _MOST_TOGETHER])

    async def _answer_alike(self, turns: Sequence[Turn[_Asked, Outputs]]) -> None:
        """Requests for one evidence type."""
        try:
            answers = await self._provider.answer_together([turn.asked[1] for turn in turns], self._register)
        except StopError:
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001  the loop counts and judges it, by record
            if len(turns) == 1 or (isinstance(error, ChoparError) and error.retriable):
                for turn in turns:
                    turn.error = error
            else:
                for turn in turns:
                    await self._answer_alike([turn])
            return
        now, answered = self._clock(), 0
        for turn, answer in zip(turns, answers, strict=True):
            record, request = turn.asked
            try:
                if now < request.expires_at:
                    turn.told = self._outputs(record, request, answer)
                    answered += 1
                else:
                    turn.told = self._expired(request)
            except (Exception, SystemExit) as error:  # noqa: BLE001  the same
                turn.error = error
        if answered:
            self._count(turns[0].asked[1], "answered", answered)

    def _expired(self, request: EvidenceRequested) -> Outputs:
        evidence_type = self._count(request, "expired")
        _log.warning("evidence.expired", evidence_type=evidence_type)
        return Outputs()

    def _count(self, request: EvidenceRequested, outcome: str, number: int = 1) -> str:
        """Count a request, or several for one evidence type.

        Returns:
            The evidence type, as labels and logs may have it: no sender's own text.
        """
        named = request.evidence_type
        evidence_type = named if self._provider.knows(named) else "unknown"
        counter = self._counters.get((evidence_type, outcome))
        if counter is None:
            counter = self._counter.labels(self._provider.agency, evidence_type, outcome)
            self._counters[evidence_type, outcome] = counter
        counter.inc(number)
        return evidence_type

    def _outputs(self, record: Record, request: EvidenceRequested, answer: Answer) -> Outputs:
        body = self._body(request, answer)
        nonce = self._nonce(request)
        digest = hashlib.sha256(nonce + body).digest()
        request_hash = hashlib.sha256(request.request_id).digest()
        origin = self._origin(request, record.header("ce_id"), record.header("traceparent"))
        recorded, topic, provided = self._messages.values(
            request,
            final=not isinstance(answer, Deferred),
            demand_id=origin.key,
            request_hash=request_hash,
            answer_digest=digest,
            nonce=nonce,
            body=body,
        )
        partition, message_id = record.partition, Derivation(request_hash, digest).text
        before = outgoing(_RECORDED, partition, recorded, message_id(_RECORD), _RECORD, origin)
        after = outgoing(topic, partition, provided, message_id(_ANSWER), _ANSWER, origin)
        return Outputs(before=(before,), after=(after,))

    def _nonce(self, request: EvidenceRequested) -> bytes:
        return hmac.digest(self._secret, request.request_id, "sha256")

    def _origin(self, request: EvidenceRequested, cause: bytes | None, trace: bytes | None) -> Origin:
        time_ms = int(request.as_of.timestamp() * 1000)
        return Origin(
            self._source, time_ms, request.demand_id, (cause or b"").decode("ascii", "replace") or None, trace
        )

    def _body(self, request: EvidenceRequested, answer: Answer) -> bytes:
        if isinstance(answer, Evidence):
            return self._bodies.value(answer, request.fields, request.as_of)
        key = (answer, request.as_of)
        body = self._reasons.get(key)
        if body is None:
            if len(self._reasons) >= _MOST_REASONS:
                self._reasons.clear()
            body = self._reasons[key] = self._encoder.encode(
                EvidenceUnavailable(
                    code=_CODES[type(answer)],
                    register_coverage=answer.coverage if isinstance(answer, NoRecord) else None,
                    promised_at=answer.promised_at if isinstance(answer, Deferred) else None,
                    source_register=self._provider.register,
                    as_of=request.as_of,
                )
            )
        return body
