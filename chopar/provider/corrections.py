"""A holder has found its register wrong: everybody who was told is told again, though nobody has disputed anything.

    async with Corrections(handler, bus, decoder, clock) as corrections:
        await corrections.correct(lambda request: subject_of(request) == person, correction_id)

Who was told what about whom is kept nowhere but in the requests themselves, on the holder's own topic, for as long as
anything may be released because of them. So they are read again, and those that are concerned are answered as the
register is now. The answer supersedes whatever was said before; who was told the same already takes no notice.
"""

import contextlib
import secrets
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import UUID

import structlog

from chopar.bus.between import between
from chopar.bus.port import Bus, Outgoing, Record, TopicPartition
from chopar.errors import (
    ChoparError,
    ConfigurationError,
    DeliveryError,
    IdentifierError,
    NoSuchTopicError,
    RecordError,
    StopError,
    UnavailableError,
)
from chopar.identifiers import BusinessId, PersonId, uuid7
from chopar.messages.demand import MAX_LIFE
from chopar.messages.evidence import EvidenceRequested
from chopar.provider.provider import ProviderHandler
from chopar.schema_registry import Decoder
from chopar.topics import PARTITIONS

Concerns = Callable[[EvidenceRequested], bool]
"""Whether a request is about what was wrong."""

_CLOCKS_APART = timedelta(hours=1)

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class CorrectionSent:
    """What was done: requests that were looked at, those answered again, and those that failed.

    An answer that is what it was counts too: what was said before is kept nowhere here, and its asker notices nothing.
    """

    read: int
    corrected: int
    failed: int = 0


def read_identifiers(file: Path) -> frozenset[str]:
    """Identifiers from a file, one a line; `-` reads them from the standard input.

    Raises:
        ConfigurationError: it cannot be read, is empty, or a line is neither PINFL nor STIR; says which.
    """
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text("utf-8")
        text = text.removeprefix("\ufeff")  # some editors write it: nobody of the first line would be told
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"--correct: {file} cannot be read ({type(error).__name__})") from None
    found = {number: line.strip() for number, line in enumerate(text.splitlines(), 1) if line.strip()}
    if not found:
        raise ConfigurationError("--correct: no identifier is named; one a line is due")
    for number, line in found.items():
        if not _names_somebody(line):
            raise ConfigurationError(f"--correct: line {number} is no PINFL or STIR; nobody was answered again")
    return frozenset(found.values())


def _names_somebody(text: str) -> bool:
    for kind in (PersonId, BusinessId):
        try:
            kind(text)
        except IdentifierError:
            continue
        return True
    return False


class Corrections:
    """Corrects what a provider has said.

    Args:
        handler: of the provider, whose encoder is prepared.
        bus: where its requests lie.
        decoder: for them.
        clock: aware UTC time.
    """

    def __init__(self, handler: ProviderHandler, bus: Bus, decoder: Decoder, clock: Callable[[], datetime]) -> None:
        self._handler = handler
        self._bus = bus
        self._decoder = decoder
        self._clock = clock
        self._producer = bus.producer(f"corrections.{handler.agency}")

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            BrokerUnavailableError: no broker answers.
        """
        await self._producer.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._producer.stop()

    async def correct_all(self, identifiers: Collection[str]) -> CorrectionSent:
        """Answer again all requests that name one of these: as their subject, or as a parameter.

        Raises:
            UnavailableError: as of `correct`. Who was told before is told no news by another call.
        """
        wanted = frozenset(identifiers)
        correction_id = uuid7(self._clock(), secrets.randbits(74))
        sent = await self.correct(
            lambda asked: asked.subject.id in wanted or not wanted.isdisjoint(asked.parameters.values()), correction_id
        )
        told = {"read": sent.read, "answered_again": sent.corrected, "failed": sent.failed}
        _log.info("answers.corrected", correction_id=str(correction_id), **told)
        return sent

    async def correct(self, concerns: Concerns, correction_id: UUID) -> CorrectionSent:
        """Answer again, as the register is now, all requests that are concerned and have not expired.

        Call it when the register is put right. What it raises leaves some told and others not: call it again with the
        same id, then nobody is told twice. A request on which the agency's function fails is written down, and counted:
        it keeps nobody else from being told.

        Args:
            concerns: whether a request is about what was wrong.
            correction_id: a fresh UUIDv7 for each thing that is put right.

        Raises:
            UnavailableError: register, schema registry or broker do not answer.
        """
        topic = self._handler.topic
        places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        since = self._clock() - MAX_LIFE - _CLOCKS_APART
        admin = self._bus.admin()
        await admin.start()
        try:
            start = await admin.offsets_at(places, round(since.timestamp() * 1000))
            ends = await admin.end_offsets(places)
        finally:
            with contextlib.suppress(UnavailableError):
                await admin.stop()
        read = failed = 0
        done: set[bytes] = set()
        async with contextlib.aclosing(between(self._bus, start, ends)) as records:
            async for record in records:
                read += 1
                failed += not await self._corrected(record, concerns, correction_id, done)
        return CorrectionSent(read, len(done), failed)

    async def _corrected(self, record: Record, concerns: Concerns, correction_id: UUID, done: set[bytes]) -> bool:
        """Answer a request again, if it is concerned; False if our own code fails on it."""
        try:
            await self._correct_one(record, concerns, correction_id, done)
        except Exception as error:  # the agency's, mostly; those behind it have to be told all the same
            if isinstance(error, (UnavailableError, StopError)) and not isinstance(error, NoSuchTopicError):
                raise
            place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
            _log.error("correction.failed", **place, error=type(error).__name__)
            return False
        return True

    async def _correct_one(self, record: Record, concerns: Concerns, correction_id: UUID, done: set[bytes]) -> None:
        try:
            request = await self._decoder.message(record.value or b"", EvidenceRequested)
        except RecordError:  # a dispute, or a dead letter of the provider's
            return
        if request.request_id in done or not concerns(request):
            return
        outputs = await self._handler.corrected(request, record.partition, correction_id)
        await self._send(outputs.before)  # no record, no document
        await self._send(outputs.after)
        if outputs.after:
            done.add(request.request_id)

    async def _send(self, messages: Sequence[Outgoing]) -> None:
        for sent in await self._producer.send(messages) if messages else ():
            if isinstance(sent, (RecordError, NoSuchTopicError)):
                raise sent  # too large, or to an agency that is gone: no second try helps
            if isinstance(sent, ChoparError):
                raise DeliveryError(
                    "the broker did not acknowledge a correction; correct again by the same id"
                ) from sent
