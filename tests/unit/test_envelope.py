"""Headers are CloudEvents in binary mode, carry the trace on, and depend on nothing but the cause."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from chopar.avro import SchemaFiles
from chopar.envelope import Origin, cloudevent_time, headers, outgoing, traceparent
from chopar.identifiers import derived_uuid
from chopar.messages.evidence import EvidenceProvided
from chopar.provider.answer_messages import padding_length
from tests.builders import NOW_MS, demand_id

FILES = SchemaFiles.shipped()
MESSAGE = derived_uuid("m")
ORIGIN = Origin(source="/gateway", time_ms=NOW_MS + 7, correlation_id=demand_id(), causation="t/1/2")


def test_headers_of_a_message() -> None:
    found = dict(headers(MESSAGE, "chopar.demand.Demand", ORIGIN))
    assert found == {
        "ce_specversion": b"1.0",
        "ce_id": str(MESSAGE).encode(),
        "ce_source": b"/gateway",
        "ce_type": b"chopar.demand.Demand",
        "ce_time": b"2026-11-26T07:30:00.007Z",
        "ce_correlationid": str(demand_id()).encode(),
        "ce_causationid": b"t/1/2",
        "content-type": b"application/avro",
        "traceparent": b"00-%b-%b-01" % (demand_id().hex.encode(), MESSAGE.hex[16:].encode()),
    }


def test_a_valid_trace_is_carried_on_and_an_invalid_one_replaced() -> None:
    trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert traceparent(trace, demand_id(), MESSAGE)[3:35] == b"0af7651916cd43dd8448eb211c80319c"
    for wrong in (None, b"", b"x", b"00-" + b"0" * 32 + b"-b7ad6b7169203331-01", trace + b"0", trace.upper()):
        assert traceparent(wrong, demand_id(), MESSAGE)[3:35] == demand_id().hex.encode()


def test_the_key_is_the_demand_id_as_text_and_the_partition_is_copied() -> None:
    sent = outgoing("topic", 4, b"value", MESSAGE, "r", ORIGIN)
    assert (sent.topic, sent.partition, sent.value) == ("topic", 4, b"value")
    assert sent.key is not None
    assert UUID(sent.key.decode()) == demand_id()


def test_times_before_a_second_has_passed() -> None:
    assert cloudevent_time(0) == "1970-01-01T00:00:00.000Z"


@pytest.mark.parametrize("size", range(1, 2600))
def test_padding_fills_whole_blocks(size: int) -> None:
    zeros = padding_length(size)
    whole = size + (1 if zeros < 64 else 2) + zeros
    assert whole % 512 == 0
    assert whole >= 1024
    assert whole - size <= 1024 + 2


def test_padding_is_the_last_field_of_an_answer() -> None:
    assert FILES.parsed(EvidenceProvided.RECORD)["fields"][-1]["name"] == "padding"


@pytest.mark.parametrize("timestamp_ms", [1, 999, 1000, 1_700_000_000_001, NOW_MS, 4_102_444_799_999])
def test_a_time_is_exact_to_the_millisecond(timestamp_ms: int) -> None:
    read = datetime.fromisoformat(cloudevent_time(timestamp_ms))
    assert (read - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1) == timestamp_ms
