"""Requests and answers are byte for byte and value for value what aiokafka makes of them."""

from io import BytesIO
from typing import Any

import pytest
from aiokafka.errors import CorruptRecordException
from aiokafka.protocol.fetch import FetchRequest, FetchRequest_v11, FetchResponse_v11
from aiokafka.protocol.produce import ProduceRequest, ProduceRequest_v7, ProduceResponse_v7
from hypothesis import given
from hypothesis import strategies as st

from chopar.bus.kafka.frames import FetchRequestQuick, FetchResponseQuick, Produce, quick

NOW = {0: (3, 13), 1: (4, 17)}
OLD = {1: (0, 7)}

names = st.text(max_size=30)
shorts, numbers, longs = (st.integers(-(2**bits), 2**bits - 1) for bits in (15, 31, 63))


def by_topic(partition: Any) -> Any:
    return st.lists(st.tuples(names, st.lists(partition, max_size=3)), max_size=3)


def encoded(request: Any, versions: Any) -> bytes:
    prepared = request.prepare(versions)
    header: bytes = prepared.build_request_header(correlation_id=7, client_id="asker").encode()
    return header + bytes(prepared.encode())


@given(shorts, numbers, by_topic(st.tuples(numbers, st.binary(max_size=50) | st.builds(bytearray))))
def test_a_produce_request_has_the_bytes_of_aiokafkas(acks: int, timeout: int, topics: Any) -> None:
    named = dict(topics)
    theirs = ProduceRequest(None, acks, timeout, list(named.items()))
    assert type(theirs.prepare(NOW)) is ProduceRequest_v7, "aiokafka speaks another version: this is of no use any more"
    assert encoded(Produce(acks, timeout, named), NOW) == encoded(theirs, NOW)


@given(numbers, by_topic(st.tuples(numbers, shorts, longs, longs, longs)))
def test_an_answer_to_produce_is_what_aiokafka_reads(throttled: int, topics: Any) -> None:
    frame = b"\0\0\0\x09" + ProduceResponse_v7(topics, throttled).encode()
    request = Produce(-1, 1000, {})
    data = BytesIO(frame)
    assert request.parse_response_header(data).correlation_id == 9
    assert request.RESPONSE_TYPE.decode(data) == ProduceResponse_v7.decode(frame[4:])


fetched = st.tuples(
    numbers,
    shorts,
    longs,
    longs,
    longs,
    st.none() | st.lists(st.tuples(longs, longs), max_size=3),
    numbers,
    st.none() | st.binary(max_size=80),
)


@given(numbers, shorts, numbers, by_topic(fetched))
def test_an_answer_to_fetch_is_what_aiokafka_reads(throttled: int, error: int, session: int, topics: Any) -> None:
    frame = b"\0\0\0\x09" + FetchResponse_v11(throttled, error, session, topics).encode()
    request = quick(FetchRequest(500, 1, 1000, 0, [])).prepare(NOW)
    data = BytesIO(frame)
    assert request.parse_response_header(data).correlation_id == 9
    found = request.RESPONSE_TYPE.decode(data)
    assert found == FetchResponse_v11.decode(frame[4:])
    assert found.API_VERSION == 11


def test_a_fetch_of_another_version_is_aiokafkas_own() -> None:
    fetch = FetchRequest(500, 1, 1000, 0, [])
    assert type(fetch.prepare(NOW)) is FetchRequest_v11, "aiokafka speaks another version: this is of no use any more"
    assert type(quick(fetch).prepare(NOW)) is FetchRequestQuick
    assert fetch.prepare(OLD).API_VERSION == 7


def test_an_answer_that_is_cut_is_refused() -> None:
    frame = FetchResponse_v11(0, 0, 1, [("topic", [(1, 0, 5, 5, 0, [], -1, b"records")])]).encode()
    with pytest.raises(CorruptRecordException):
        FetchResponseQuick.decode(BytesIO(frame[:-1]))
