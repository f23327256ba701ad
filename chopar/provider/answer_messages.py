"""The two messages of a provider's answer as bytes: the record of the access, and the answer, padded.

No model is made for them: what is an answer's own is put beside what follows from who asks, for what and by which
ground, which is encoded once (a test compares the bytes with those of the models). What the answer says, and how the
two travel, is left to `provider`.
"""

from functools import lru_cache
from typing import NamedTuple

from chopar.avro.writer import Writer, zigzag
from chopar.errors import ConfigurationError
from chopar.identifiers import AgencyId, agency_id
from chopar.messages.evidence import EvidenceProvided, EvidenceRequested
from chopar.messages.exchange import ExchangeRecorded, told, told_code
from chopar.schema_registry import Encoder
from chopar.topics import EVIDENCE_PROVIDED

_BLOCK = 512
_SMALLEST = 1024
"""Every answer is padded to a multiple of 512 bytes, and to two blocks at least: a hit and a `no_record` of an ordinary
register are then of one size."""

_MOST_ALIKE = 4096
_ID_LENGTH = zigzag(36)


class _Alike(NamedTuple):
    """What many answers have in common, as Avro writes it, and the topic that they go to."""

    topic: str
    requester: bytes
    evidence_type: bytes
    procedure: bytes
    access_ground: bytes
    fields: bytes
    final: bytes


class _Said:
    """All that the two messages say, but for what a provider always says."""

    __slots__ = (
        "access_ground", "answer_digest", "body", "case_id", "demand_id", "evidence_type", "fields", "final", "nonce",
        "official", "procedure", "request_hash", "request_id", "requester",
    )  # fmt: skip

    def __init__(self, alike: _Alike) -> None:
        _, self.requester, self.evidence_type, self.procedure, self.access_ground, self.fields, self.final = alike
        self.demand_id = self.request_id = self.request_hash = self.answer_digest = self.nonce = self.body = b""
        self.case_id = self.official = ""


class AnswerMessages:
    """Makes the values of both messages.

    Args:
        encoder: prepared for both before the first answer.
        agency: who answers.
    """

    def __init__(self, encoder: Encoder, agency: AgencyId) -> None:
        self._encoder = encoder
        self._agency = agency
        self._writers: tuple[Writer, Writer] | None = None
        self._alike: dict[tuple[object, ...], _Alike] = {}

    def values(
        self,
        request: EvidenceRequested,
        *,
        final: bool,
        demand_id: bytes,
        request_hash: bytes,
        answer_digest: bytes,
        nonce: bytes,
        body: bytes,
    ) -> tuple[bytes, str, bytes]:
        """The value of the record; the topic of the answer, and its value.

        Args:
            request: that is answered.
            final: whether no other answer follows.
            demand_id: its 36 characters.
            request_hash: of the request's id.
            answer_digest: of nonce and body.
            nonce: of the answer.
            body: the framed evidence.

        Raises:
            TooLargeError: see `chopar.avro.encode_body`.
            ConfigurationError: a record was not prepared, or has types that no encoder is made for.
        """
        record, provide = self._writers or self._make()
        alike = self._alike_of(request, final)
        said = _Said(alike)
        said.demand_id = _ID_LENGTH + demand_id
        said.request_id = request.request_id
        said.request_hash = request_hash
        said.case_id = told(request.case_id)
        said.official = told(request.official)
        said.answer_digest = answer_digest
        said.nonce = nonce
        said.body = body
        recorded = self._encoder.bounded(record(said), ExchangeRecorded.__name__)
        provided = self._encoder.bounded(provide(said), EvidenceProvided.__name__)
        return recorded, alike.topic, padded(provided)

    def _alike_of(self, request: EvidenceRequested, final: bool) -> _Alike:
        key = (
            request.requester,
            request.evidence_type,
            request.procedure,
            request.access_ground,
            request.fields,
            final,
        )
        alike = self._alike.get(key)
        if alike is None:
            if len(self._alike) >= _MOST_ALIKE:
                self._alike.clear()
            fields = sorted(request.fields)
            listed = zigzag(len(fields)) + b"".join(map(_text, fields)) if fields else b""
            alike = self._alike[key] = _Alike(
                topic=EVIDENCE_PROVIDED.of(agency_id(request.requester)),
                requester=_text(request.requester),
                evidence_type=_text(request.evidence_type),
                procedure=_text(told_code(request.procedure)),
                access_ground=_text(request.access_ground),
                fields=listed + b"\x00",
                final=b"\x01" if final else b"\x00",
            )
        return alike

    def _make(self) -> tuple[Writer, Writer]:
        common = ("requester", "demand_id")
        record = self._encoder.writer(
            ExchangeRecorded,
            same={
                "recorded_by": self._agency,
                "resolution": None,
                "dispute": None,
                "access.provider": self._agency,
                "access.because": "requested",
                "access.correction_id": None,
            },
            encoded=(*common, *(f"access.{name}" for name in _Alike._fields)),
            flat=("access",),
        )
        provide = self._encoder.writer(
            EvidenceProvided,
            same={"provider": self._agency, "padding": b""},
            encoded=(*common, "evidence_type", "final"),
        )
        if record is None or provide is None:
            raise ConfigurationError("the records of an exchange have types that no encoder is made for")
        self._writers = record, provide
        return self._writers


def _text(text: str) -> bytes:
    value = text.encode()
    return zigzag(len(value)) + value


def padded(value: bytes) -> bytes:
    """An EvidenceProvided without padding, padded.

    `padding` is the last field of the record (a test holds it there), so it is put on without encoding again.
    """
    bare = len(value) - 1  # without the one byte of an empty padding's length
    return value[:bare] + _padding(bare)


def padded_like(value: bytes, other: bytes) -> bytes:
    """Another record whose last field is an empty padding, padded to the size of a longer one.

    In the rare case that no number of zeros gives that size, to the next whole number of blocks.
    """
    bare, target = len(value) - 1, len(other)
    while True:
        for prefix in (1, 2, 3):
            zeros = target - bare - prefix
            if zeros >= 0 and len(zigzag(zeros)) == prefix:
                return value[:bare] + zigzag(zeros) + bytes(zeros)
        target += _BLOCK


@lru_cache(maxsize=_BLOCK)
def _padding(size_bytes: int) -> bytes:
    zeros = padding_length(size_bytes)
    return zigzag(zeros) + bytes(zeros)


def padding_length(size_bytes: int) -> int:
    """How many zeros, with the Avro length before them, fill `size_bytes` to the next whole number of blocks."""
    target = max(_SMALLEST, -(-(size_bytes + 1) // _BLOCK) * _BLOCK)
    while True:
        for prefix in (1, 2):  # bytes of the zigzag length: 1 up to 63 zeros, 2 up to 8191
            zeros = target - size_bytes - prefix
            if zeros >= 0 and (1 if zeros < 64 else 2) == prefix:
                return zeros
        target += _BLOCK
