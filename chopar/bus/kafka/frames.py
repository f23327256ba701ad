"""The two requests that are on the way of every record, put into bytes and taken out of them in one go.

aiokafka encodes and decodes by walking over a schema, with a call or more for each number: 15 to 30 µs a request where
it is warm, some 100 where a process has slept since the last. A lone demand has five produce requests and four fetches
one after the other. Here the same is done for the one version that aiokafka speaks with a broker of today; with another
version its own classes are used. The upstream cure is the same.
"""

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from struct import Struct
from typing import Any, NamedTuple

from aiokafka.errors import CorruptRecordException
from aiokafka.protocol.fetch import FetchRequest, FetchRequest_v11, FetchResponse_v11
from aiokafka.protocol.produce import ProduceRequest_v7, ProduceResponse_v7

PRODUCE_VERSION = ProduceRequest_v7.API_VERSION

_SHORT, _NUMBER, _TWO = Struct(">h"), Struct(">i"), Struct(">ii")
_HEADER = Struct(">hhi")
_PRODUCED = Struct(">ihqqq")
_ANSWER, _FETCHED, _ABORTED = Struct(">ihi"), Struct(">ihqqq"), Struct(">qq")


class _Header(NamedTuple):
    """Of an answer."""

    correlation_id: int


class _Encoded(bytes):
    """Something that is encoded already."""

    def encode(self) -> bytes:
        return self


def _header(_: Any, data: BytesIO) -> _Header:
    return _Header(*_NUMBER.unpack(data.read(4)))


def _text(text: str) -> bytes:
    encoded = text.encode()
    return _SHORT.pack(len(encoded)) + encoded


def _topics(buffer: bytes, at: int, partition: Callable[[bytes, int], tuple[Any, int]]) -> tuple[Any, int]:
    """An array of topics, each with an array of partitions, and where it ends."""
    topics = []
    (count,) = _NUMBER.unpack_from(buffer, at)
    at += 4
    for _ in range(count):
        (size,) = _SHORT.unpack_from(buffer, at)
        name = buffer[at + 2 : at + 2 + size].decode()
        at += 2 + size
        (each,) = _NUMBER.unpack_from(buffer, at)
        at += 4
        partitions = []
        for _ in range(each):
            one, at = partition(buffer, at)
            partitions.append(one)
        topics.append((name, partitions))
    return topics, at


def _produced(buffer: bytes, at: int) -> tuple[Any, int]:
    return _PRODUCED.unpack_from(buffer, at), at + _PRODUCED.size


def _fetched(buffer: bytes, at: int) -> tuple[Any, int]:
    head = _FETCHED.unpack_from(buffer, at)
    (count,) = _NUMBER.unpack_from(buffer, at + _FETCHED.size)
    at += _FETCHED.size + 4
    aborted = None
    if count >= 0:
        aborted = [_ABORTED.unpack_from(buffer, at + number * _ABORTED.size) for number in range(count)]
        at += count * _ABORTED.size
    replica, size = _TWO.unpack_from(buffer, at)
    at += _TWO.size
    if size < 0:
        return (*head, aborted, replica, None), at
    records = buffer[at : at + size]
    if len(records) < size:
        raise CorruptRecordException("the answer to a fetch is cut")
    return (*head, aborted, replica, records), at + size


class ProduceResponseQuick(ProduceResponse_v7):  # type: ignore[misc]
    """An answer to `Produce`."""

    @classmethod
    def decode(cls, data: BytesIO) -> Any:
        """Take it out of what comes behind its header."""
        buffer = data.getvalue()
        topics, at = _topics(buffer, data.tell(), _produced)
        made = cls.__new__(cls)
        made.__dict__.update(topics=topics, throttle_time_ms=_NUMBER.unpack_from(buffer, at)[0])
        return made


class Produce:
    """A request of records for the partitions that one broker leads, as aiokafka's connections want one.

    Args:
        acks: how many brokers have to have it; -1: all that are in sync.
        timeout_ms: how long the broker may wait for them.
        topics: the partitions and their records, by topic.
    """

    API_KEY = ProduceRequest_v7.API_KEY
    RESPONSE_TYPE = ProduceResponseQuick
    parse_response_header = _header

    def __init__(self, acks: int, timeout_ms: int, topics: Mapping[str, Sequence[tuple[int, Any]]]) -> None:
        self._acks = acks
        self._timeout_ms = timeout_ms
        self._topics = topics

    def prepare(self, versions: Any) -> "Produce":
        """As aiokafka asks for the one that fits; which versions the broker speaks was looked at before."""
        return self

    def build_request_header(self, correlation_id: int, client_id: str) -> _Encoded:
        """What stands before it."""
        return _Encoded(_HEADER.pack(self.API_KEY, PRODUCE_VERSION, correlation_id) + _text(client_id))

    def encode(self) -> bytes:
        """Put it into bytes; it is part of no transaction."""
        parts = [b"\xff\xff", _SHORT.pack(self._acks), _TWO.pack(self._timeout_ms, len(self._topics))]
        for topic, partitions in self._topics.items():
            parts += (_text(topic), _NUMBER.pack(len(partitions)))
            for partition, records in partitions:
                parts += (_TWO.pack(partition, len(records)), records)
        return b"".join(parts)


class FetchResponseQuick(FetchResponse_v11):  # type: ignore[misc]
    """An answer to `FetchRequestQuick`."""

    @classmethod
    def decode(cls, data: BytesIO) -> Any:
        """Take it out of what comes behind its header."""
        buffer, at = data.getvalue(), data.tell()
        throttle_time_ms, error_code, session_id = _ANSWER.unpack_from(buffer, at)
        topics, _ = _topics(buffer, at + _ANSWER.size, _fetched)
        made = cls.__new__(cls)
        made.__dict__.update(
            throttle_time_ms=throttle_time_ms, error_code=error_code, session_id=session_id, topics=topics
        )
        return made


class FetchRequestQuick(FetchRequest_v11):  # type: ignore[misc]
    """A fetch whose answer is decoded quickly; it goes out when nothing waits for it."""

    RESPONSE_TYPE = FetchResponseQuick
    parse_response_header = _header


_FETCH = tuple(FetchRequestQuick if one is FetchRequest_v11 else one for one in FetchRequest._CLASSES)


def quick(fetch: Any) -> Any:
    """Have a fetch of aiokafka's become one whose answer is decoded quickly, if the broker speaks that version."""
    fetch._CLASSES = _FETCH
    return fetch
