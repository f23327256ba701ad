"""The gateway's answers again and sooner: demands of one shape are answered in the same words around their own texts.

What is answered is decided and put into messages by `gateway.resolver` and `gateway.answer` alone. This module does
so for a specimen of a shape, cuts the messages' bytes wherever a text, time or digest of the specimen's own stands, and
for the next demand of that shape puts its own there. A shape is all of a demand that the resolver can tell apart, as
long as its identifiers are in order; a demand of which that cannot be said, or for which something was found amiss, is
answered the plain way. So for every demand the bytes are those of `answer`: tests compare the two.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import count
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

from chopar.avro import encode_body, frame, unframe
from chopar.avro.writer import zigzag
from chopar.bus.consume import Outputs
from chopar.bus.port import Outgoing
from chopar.errors import IdentifierError
from chopar.identifiers import (
    AgencyId,
    SubjectKind,
    data_subject,
    parse_demand_id,
    pinfl_check_digit,
    uuid7,
    uuid7_milliseconds,
)
from chopar.messages.demand import MAX_LIFE, ActingAs, Demand, Outcome, Subject
from gateway.answer import (
    AFTER,
    BEFORE,
    Cause,
    Reply,
    answer,
    decided,
    demand_hmac,
    rendered,
    request_id,
    subject_pseudonym,
)
from gateway.reading import LAYOUT, Reading, Shape, layout_of, read
from gateway.resolver import check_parameter
from gateway.standing import Standing
from gateway.tashkent import TASHKENT

MOST_SHAPES = 1024
"""Some hundreds are asked by a country's agencies in a day."""
MOST_DOCUMENTS = 16
"""Of demands with more nothing is remembered, so that what is remembered stays small."""
MOST_TEXTS = 48
"""Of its own, that a demand has of which something is remembered."""
MOST_BYTES = 32 * 1024
"""Of the messages of which something is remembered."""

_DAY_MS = 24 * 60 * 60 * 1000
_TASHKENT_MS = TASHKENT.utcoffset(None) // timedelta(milliseconds=1)
_LIFE_MS = MAX_LIFE // timedelta(milliseconds=1)
_FOURTEEN_DIGITS = re.compile("[0-9]{14}")
_PLAIN_TEXTS = 4  # case, official, subject, reference: of a demand that has no others

_Known: TypeAlias = tuple[str, int, bytes, Shape, tuple[int, ...]]
"""Topic, day, schema, shape, and which of its texts are equal."""
Check: TypeAlias = Callable[[str], Any]
"""Raises IdentifierError for a text that is not in order."""


class Renderings:
    """Answers demands, by what held.

    Args:
        standing: what held at the broker time of all causes that it is given.
        most: so many shapes are remembered; the oldest is forgotten first.
    """

    def __init__(self, standing: Standing, most: int = MOST_SHAPES) -> None:
        self._standing = standing
        self._most = most
        self._frames = frozenset(
            frame(schema_id, b"") for schema_id, schema in standing.accepted.items() if layout_of(schema) == LAYOUT
        )
        self._seen: set[_Known] = set()
        self._known: dict[_Known, Rendering | None] = {}

    def answer(self, cause: Cause) -> Outputs:
        """The messages that answer a demand which nothing was found against before it was read."""
        reading = self._reading(cause)
        if reading is None:
            return answer(cause, self._standing)
        texts = reading.texts
        alike = () if len(texts) == _PLAIN_TEXTS else tuple(map(texts.index, texts))
        day = (cause.timestamp_ms + _TASHKENT_MS) // _DAY_MS
        known = (cause.topic, day, cause.value[:5], reading.shape, alike)
        rendering = self._known.get(known)
        if rendering is None:
            return self._answer_and_note(cause, reading, known)
        return rendering.answer(cause, Reply(cause, reading.demand_id), reading) or answer(cause, self._standing)

    @property
    def remembered(self) -> int:
        """Of how many shapes it is remembered how they are answered."""
        return sum(rendering is not None for rendering in self._known.values())

    def _reading(self, cause: Cause) -> Reading | None:
        """The demand taken apart, if its envelope is in order; what is at fault with another is for `answer` to say."""
        if cause.value[:5] not in self._frames:
            return None
        reading = read(cause.value)
        if reading is None or len(reading.texts) > MOST_TEXTS:
            return None
        if not reading.demand_id.isascii() or parse_demand_id(reading.demand_id.decode()) != cause.demand_id:
            return None  # the key's, and so looked up lately; parsed only from canonical text
        if not cause.timestamp_ms < reading.expires_ms < uuid7_milliseconds(cause.demand_id) + _LIFE_MS:
            return None
        return reading

    def _answer_and_note(self, cause: Cause, reading: Reading, known: _Known) -> Outputs:
        """Answer the plain way; when a shape comes for the second time, remember how, if that can be done."""
        if known in self._known:
            return answer(cause, self._standing)
        decision = decided(cause, self._standing)
        outputs = rendered(cause, self._standing, decision)
        if known not in self._seen:
            if len(self._seen) >= self._most:
                self._seen.clear()
            self._seen.add(known)
        elif decision.demand is not None and _are_in_order(_checks(decision.demand), reading.texts):
            if len(self._known) >= self._most:
                del self._known[next(iter(self._known))]
            self._known[known] = make(cause, decision.demand, outputs, self._standing)
        return outputs


def _told(text: str) -> None:
    """What an asker says in its own words; out of a record the number of a person is taken, if one stands in it."""
    if not text or (len(text) >= 14 and _FOURTEEN_DIGITS.search(text)):
        raise IdentifierError


def _checks(demand: Demand) -> tuple[Check, ...]:
    """For each of a demand's own texts, in the order in which they are read, when it is in order."""

    def subject(name: str) -> Check:
        kind = SubjectKind(name)
        return lambda text: data_subject(kind, text)

    def parameter(name: str) -> Check:
        def check(text: str) -> None:
            check_parameter(name, text)
            if not text.strip():
                raise IdentifierError  # it counts as missing

        return check

    return (
        _told,
        _told,
        subject(demand.subject.kind),
        *(subject(party.kind) for party in demand.parties),
        *((subject(demand.applicant.kind),) if demand.applicant else ()),
        _told,
        *(parameter(name) for document in demand.documents for name in document.parameters),
    )


def _are_in_order(checks: Sequence[Check], texts: Sequence[bytes]) -> list[str] | None:
    """The texts, if they are in order and as many as is due."""
    if len(texts) != len(checks):
        return None  # a map names something twice
    try:
        given = [text.decode() for text in texts]
        for check, text in zip(checks, given, strict=True):
            check(text)
    except (IdentifierError, UnicodeDecodeError):
        return None
    return given


_number = lru_cache(maxsize=1024)(zigzag)  # the records of a batch came within a few milliseconds


class _Fetched(NamedTuple):
    """A document that is fetched: what its request id is made of, and which of the demand's texts it is given."""

    document_type: str
    about: str | None
    parameters: tuple[tuple[str, int], ...]


class _Cut(NamedTuple):
    """A message's bytes, cut where the demand's own stand: every second part is one of the values."""

    topic: str
    record: str
    number: int
    parts: list[bytes]
    places: Callable[[Sequence[bytes]], tuple[bytes, ...]]

    def filled(self, values: Sequence[bytes]) -> bytes:
        parts = self.parts.copy()
        parts[1::2] = self.places(values)
        return b"".join(parts)


class Rendering(NamedTuple):
    """How demands of one shape are answered.

    Args:
        secret: of the gateway.
        checks: when each of a demand's own texts is in order.
        requester: who asks.
        subject_kind: of the demand.
        dues_ms: the different promises of the holders that are asked.
        fetched: the documents that are fetched.
        before: the record and the answer.
        after: the requests.
    """

    secret: bytes
    checks: tuple[Check, ...]
    requester: AgencyId
    subject_kind: str
    dues_ms: tuple[int, ...]
    fetched: tuple[_Fetched, ...]
    before: tuple[_Cut, ...]
    after: tuple[_Cut, ...]

    def answer(self, cause: Cause, reply: Reply, reading: Reading) -> Outputs | None:
        """The answer to a demand of this shape; None if one of its texts is not in order.

        Args:
            cause: of the demand.
            reply: to the cause.
            reading: the demand.
        """
        texts = _are_in_order(self.checks, reading.texts)
        if texts is None:
            return None
        values = self.values(cause, reading, texts)
        return Outputs(
            tuple([reply.message(cut.topic, cut.record, cut.number, cut.filled(values)) for cut in self.before]),
            tuple([reply.message(cut.topic, cut.record, cut.number, cut.filled(values)) for cut in self.after]),
        )

    def values(self, cause: Cause, reading: Reading, texts: Sequence[str]) -> list[bytes]:
        """All that is a demand's own in the messages that answer it, as it stands in them."""
        digest = hashlib.sha256(cause.value).digest()
        requests = [
            request_id(
                self.secret,
                self.requester,
                cause.demand_id,
                digest,
                document.document_type,
                document.about,
                {name: texts[place] for name, place in document.parameters} if document.parameters else {},
            )
            for document in self.fetched
        ]
        received_ms, expires_ms = cause.timestamp_ms, reading.expires_ms
        return [
            reading.demand_id,
            digest,
            demand_hmac(self.secret, cause.value),
            subject_pseudonym(self.secret, self.subject_kind, reading.texts[2]),
            _number(received_ms),
            reading.expires_at,
            *[_number(min(received_ms + due_ms, expires_ms)) for due_ms in self.dues_ms],
            *requests,
            *[hashlib.sha256(request).digest() for request in requests],
            *reading.fields,
        ]


def make(cause: Cause, demand: Demand, said: Outputs, standing: Standing) -> Rendering | None:
    """How demands of the shape of this one are answered; None if that follows from more than their shape.

    Args:
        cause: of the demand.
        demand: as it was read. Its own texts are in order.
        said: how it was answered the plain way.
        standing: what held.
    """
    if demand.acting_as is ActingAs.PARENT or len(demand.documents) > MOST_DOCUMENTS:
        return None  # a parent acts until the subject is of age, which its identifier says
    at_ms = _another_time(cause.timestamp_ms)
    specimen = _specimen(demand, at_ms)
    schema_id, _ = unframe(cause.value)
    value = frame(schema_id, encode_body(standing.accepted[schema_id], specimen))
    asked = cause._replace(demand_id=specimen.demand_id, value=value, timestamp_ms=at_ms)
    decision, reading = decided(asked, standing), read(value)
    if decision.resolution is None or reading is None:
        return None  # something before the law was at fault
    texts = [text.decode() for text in reading.texts]
    found = [document for document in decision.resolution.documents if document.outcome is Outcome.FETCH]
    dues = dict.fromkeys(document.due // timedelta(milliseconds=1) for document in found if document.due is not None)
    rendering = Rendering(
        standing.secret,
        _checks(demand),
        cause.requester,
        demand.subject.kind,
        tuple(dues),
        tuple(
            _Fetched(
                document.document_type,
                document.about,
                tuple((name, texts.index(text)) for name, text in document.parameters.items()),
            )
            for document in found
        ),
        (),
        (),
    )
    values = rendering.values(asked, reading, texts)
    own = len(values) - len(reading.fields)
    outputs = rendered(asked, standing, decision)
    common = b"".join(one.value or b"" for one in (*said.before, *said.after))
    if len(common) > MOST_BYTES or len(set(values[:own])) != own or any(value in common for value in values):
        return None  # what is the specimen's own could not be told from what stands in all, or from each other
    rendering = rendering._replace(
        before=tuple(_cut(one, record, 0, values) for one, record in zip(outputs.before, BEFORE, strict=True)),
        after=tuple(_cut(one, AFTER, number, values) for number, one in enumerate(outputs.after)),
    )
    given = read(cause.value)
    return rendering if given is not None and rendering.answer(cause, Reply(cause), given) == said else None


def _cut(sent: Outgoing, record: str, number: int, values: Sequence[bytes]) -> _Cut:
    """One of the specimen's messages, cut where its own values stand."""
    places: dict[bytes, int] = {}
    for place, value in enumerate(values):
        places.setdefault(value, place)
    parts = re.split(b"(%b)" % b"|".join(map(re.escape, places)), sent.value or b"")
    # Two at least, so that what is taken is a tuple: every message names the demand and a time.
    taken = itemgetter(*[places[part] for part in parts[1::2]])
    return _Cut(sent.topic, record, number, parts, taken)


def _another_time(timestamp_ms: int) -> int:
    """Of the same day in Tashkent."""
    day = (timestamp_ms + _TASHKENT_MS) // _DAY_MS
    early_ms = day * _DAY_MS - _TASHKENT_MS + 12_345_678
    return early_ms if early_ms != timestamp_ms else early_ms + 1


def _specimen(demand: Demand, at_ms: int) -> Demand:
    """A demand of the same shape whose own texts and times occur nowhere else; equal ones stay equal."""
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    numbers = count(1)
    identifiers: dict[str, str] = {}

    def identifier(text: str, kind: str = "person") -> str:
        if text not in identifiers:
            identifiers[text] = _stir(next(numbers)) if kind == "business" else _pinfl(next(numbers))
        return identifiers[text]

    def subject(given: Subject) -> Subject:
        return Subject(kind=given.kind, id=identifier(given.id, given.kind))

    return demand.model_copy(
        update={
            "demand_id": uuid7(at, 0),
            "expires_at": at + MAX_LIFE - timedelta(seconds=1),
            "case_id": "the case of a specimen",
            "official": "the official of a specimen",
            "ground": demand.ground.model_copy(update={"reference": "the reference of a specimen"}),
            "subject": subject(demand.subject),
            "parties": tuple(
                party.model_copy(update={"id": identifier(party.id, party.kind)}) for party in demand.parties
            ),
            "applicant": subject(demand.applicant) if demand.applicant else None,
            # Every parameter may hold the number of a person, and one must.
            "documents": tuple(
                document.model_copy(
                    update={"parameters": {name: identifier(text) for name, text in document.parameters.items()}}
                )
                for document in demand.documents
            ),
        }
    )


def _pinfl(number: int) -> str:
    first = f"6290296{number:03d}001"  # nobody's until 2096
    return first + str(pinfl_check_digit(first))


def _stir(number: int) -> str:
    return str(900_000_000 + number)
