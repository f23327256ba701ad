"""What a record takes on the log, as it is reckoned before it is sent: never less than Kafka's own format says."""

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from hypothesis import example, given
from hypothesis import strategies as st

from chopar.bus.port import Outgoing, size_bytes

HEADERS = st.lists(st.tuples(st.text(st.characters(max_codepoint=127), max_size=80), st.binary(max_size=200)))
TOO_MUCH = 19  # of a record's lengths, where all of them are short


def written(record: Outgoing) -> int:
    """The bytes of a batch with this record alone."""
    batch = DefaultRecordBatchBuilder(
        magic=2, compression_type=0, is_transactional=0, producer_id=1, producer_epoch=1, base_sequence=1, batch_size=1
    )
    assert batch.append(0, 1, record.key, record.value, list(record.headers)) is not None
    return len(batch.build())


@given(st.none() | st.binary(max_size=300), st.none() | st.binary(max_size=300), HEADERS.map(tuple))
@example(None, None, ())
@example(b"k" * 100, b"v" * 9000, (("h" * 100, b"w" * 8000),) * 3)
def test_is_at_least_what_the_format_takes_and_hardly_more(
    key: bytes | None, value: bytes | None, headers: tuple[tuple[str, bytes], ...]
) -> None:
    record = Outgoing("topic", 0, key, value, headers)
    assert written(record) <= size_bytes(record) <= written(record) + TOO_MUCH + 2 * len(headers)


@pytest.mark.parametrize("large", [20_000, 1_000_000])
def test_holds_for_large_values_with_the_headers_that_we_write(large: int) -> None:
    record = Outgoing("topic", 0, b"k" * 36, b"v" * large, (("ce_id", b"x" * 36), ("traceparent", b"t" * 55)))
    assert written(record) <= size_bytes(record)
