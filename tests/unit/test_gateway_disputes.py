"""A dispute on its way through the gateway: passed on as a function of the log, or refused."""

import hashlib
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest

from chopar.avro import decode_body, encode_body, frame, unframe
from chopar.bus.memory import MemoryBus
from chopar.bus.port import Outgoing, Record, TopicPartition
from chopar.errors import DisputeRefusedError, RecordError
from chopar.identifiers import agency_id
from chopar.messages.demand import Demand
from chopar.messages.dispute import DisputeReason, EvidenceDisputed
from chopar.messages.evidence import EvidenceRequested
from chopar.messages.exchange import ExchangeRecorded
from chopar.messages.law import ListActivated
from chopar.topics import TopicLayout
from gateway.answer import Cause, answer
from gateway.disputes import passed_on
from gateway.law import Law
from gateway.rebuild import rebuild
from gateway.rendering import Renderings
from gateway.standing import Standing
from gateway.store import DAY_MS, First, FirstRecords
from tests.builders import NOW, NOW_MS, PERSON, demand, demand_id
from tests.standing import FILES, IDS, SECRET, activation, bundle, demand_value, standing

HOLDS = standing()
DEMAND = demand(documents=({"type": "tax-debt-certificate"}, {"type": "address-reference-certificate"}))
VALUE = demand_value(DEMAND)
FIRST = First(offset=17, timestamp_ms=NOW_MS + 5, digest=hashlib.sha256(VALUE).digest())
LATER_MS = NOW_MS + DAY_MS


def cause(value: bytes, **changes: Any) -> Cause:
    fields: dict[str, Any] = {
        "topic": "demand.submitted.electricity-het",
        "partition": 3,
        "offset": 17,
        "timestamp_ms": NOW_MS + 5,
        "requester": agency_id("electricity-het"),
        "demand_id": DEMAND.demand_id,
        "value": value,
        "trace": None,
    }
    return Cause(**{**fields, **changes})


ANSWER = answer(cause(VALUE), HOLDS)
[REQUESTED] = ANSWER.after


def request() -> EvidenceRequested:
    return EvidenceRequested.from_avro(
        decode_body(unframe(REQUESTED.value or b"")[1], FILES.parsed(EvidenceRequested.RECORD))
    )


def dispute(**changes: Any) -> EvidenceDisputed:
    fields: dict[str, Any] = {
        "dispute_id": demand_id(9, NOW + timedelta(hours=3)),
        "demand_id": DEMAND.demand_id,
        "requester": "electricity-het",
        "request_id": request().request_id,
        "answer_digest": b"a" * 32,
        "reason": DisputeReason.WRONG_VALUE,
        "fields": ("has_debt",),
        "official": "official-7",
        "disputed_at": NOW + timedelta(hours=3),
        "original": VALUE,
    }
    return EvidenceDisputed.model_validate({**fields, **changes})


def dispute_value(message: EvidenceDisputed) -> bytes:
    return frame(IDS[EvidenceDisputed.RECORD], encode_body(FILES.parsed(EvidenceDisputed.RECORD), message))


def said(message: EvidenceDisputed | bytes, **changes: Any) -> Cause:
    value = message if isinstance(message, bytes) else dispute_value(message)
    return cause(value, **{"offset": 40, "timestamp_ms": LATER_MS, **changes})


def read(sent: Outgoing, model: Any) -> Any:
    schema_id, body = unframe(sent.value or b"")
    assert schema_id == IDS[model.RECORD]
    return model.from_avro(decode_body(body, FILES.parsed(model.RECORD)))


def message_id(sent: Outgoing) -> bytes:
    return dict(sent.headers)["ce_id"]


def test_the_holder_gets_the_request_again_byte_for_byte_and_nothing_else_of_the_demand() -> None:
    outputs = passed_on(said(dispute()), FIRST, lambda _: HOLDS)
    [sent] = outputs.after
    assert sent.topic == REQUESTED.topic == "evidence.requested.tax-committee"
    assert (sent.partition, sent.key) == (3, str(DEMAND.demand_id).encode())
    got = read(sent, EvidenceDisputed)
    assert got == dispute(original=REQUESTED.value)
    assert b"address-reference-certificate" not in (sent.value or b"")


def test_it_is_recorded_before_and_the_record_says_nothing_of_the_person() -> None:
    [recorded] = passed_on(said(dispute()), FIRST, lambda _: HOLDS).before
    assert recorded.topic == "exchange.recorded"
    message = read(recorded, ExchangeRecorded)
    assert (message.resolution, message.access) == (None, None)
    assert message.dispute is not None
    assert message.dispute.request_hash == hashlib.sha256(request().request_id).digest()
    assert message.dispute.provider == "tax-committee"
    assert b"wrong_value" not in (recorded.value or b""), "a reason may say what was answered"
    assert PERSON.encode() not in (recorded.value or b"")
    for sent in (*passed_on(said(dispute()), FIRST, lambda _: HOLDS).after, recorded):
        told = b" ".join(value for _, value in sent.headers)
        assert PERSON.encode() not in told
        assert request().request_id not in told


def test_the_same_dispute_again_is_the_same_messages_wherever_and_whenever_it_lies() -> None:
    first = passed_on(said(dispute()), FIRST, lambda _: HOLDS)
    assert passed_on(said(dispute(), offset=99, timestamp_ms=LATER_MS + DAY_MS), FIRST, lambda _: HOLDS) == first
    other = passed_on(said(dispute(reason=DisputeReason.OUT_OF_DATE)), FIRST, lambda _: HOLDS)
    assert {message_id(sent) for sent in (*first.before, *first.after)}.isdisjoint(
        message_id(sent) for sent in (*other.before, *other.after)
    )


def test_messages_with_one_id_are_equal_also_when_another_list_version_holds() -> None:
    ids = {**IDS, ExchangeRecorded.RECORD: 77}
    other = standing_by(ids)
    before, after = (
        passed_on(said(dispute()), FIRST, lambda _: HOLDS),
        passed_on(said(dispute()), FIRST, lambda at_ms: HOLDS if at_ms == FIRST.timestamp_ms else other),
    )
    values = {message_id(sent): sent.value for sent in (*before.before, *before.after)}
    for sent in (*after.before, *after.after):
        assert values.setdefault(message_id(sent), sent.value) == sent.value
    assert before.before != after.before
    assert before.after == after.after


def standing_by(ids: dict[str, int]) -> Standing:
    files = bundle()
    return Standing(activation(files, ids), files, SECRET)


def test_the_request_is_that_of_the_time_of_the_demand_whatever_holds_now() -> None:
    empty = standing(fetch_mode="verified")
    assert not answer(cause(VALUE), empty).after
    [sent] = passed_on(said(dispute()), FIRST, lambda at_ms: HOLDS if at_ms == FIRST.timestamp_ms else empty).after
    assert read(sent, EvidenceDisputed).original == REQUESTED.value
    with pytest.raises(DisputeRefusedError):
        passed_on(said(dispute()), FIRST, lambda at_ms: empty if at_ms == FIRST.timestamp_ms else HOLDS)


def test_a_remembered_shape_gives_the_request_that_is_disputed() -> None:
    renderings = Renderings(HOLDS)
    for number in range(2):
        other = demand(
            demand_id=demand_id(20 + number),
            documents=({"type": "tax-debt-certificate"}, {"type": "address-reference-certificate"}),
        )
        renderings.answer(cause(demand_value(other), demand_id=other.demand_id))
    assert renderings.remembered == 1
    assert renderings.answer(cause(VALUE)) == ANSWER


REFUSED: dict[str, tuple[EvidenceDisputed, First | None, dict[str, Any]]] = {
    "another requester than the topic's": (dispute(requester="justice-notary"), FIRST, {}),
    "a topic of another agency": (dispute(), FIRST, {"requester": agency_id("justice-notary")}),
    "another demand than the key's": (dispute(), FIRST, {"demand_id": demand_id(5)}),
    "no demand of that id": (dispute(), None, {}),
    "a demand that lies behind it": (dispute(), FIRST._replace(offset=41), {}),
    "other bytes than the first record's": (dispute(original=demand_value(demand(case_id="other"))), FIRST, {}),
    "a request id that was never made": (dispute(request_id=b"r" * 32), FIRST, {}),
    "a demand that has expired": (dispute(), FIRST, {"timestamp_ms": NOW_MS + 7 * DAY_MS}),
    "fields that were not let through": (dispute(fields=("debts.amount_tiyin",)), FIRST, {}),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str) -> None:
    message, first, changes = REFUSED[case]
    with pytest.raises(DisputeRefusedError) as caught:
        passed_on(said(message, **changes), first, lambda _: HOLDS)
    assert PERSON not in str(caught.value)
    assert not caught.value.retriable


def test_one_that_cannot_be_read_is_a_bad_record() -> None:
    value = dispute_value(dispute())
    for bad in (value[:-3], value + b"x", value[:5], frame(IDS[Demand.RECORD], value[5:])):
        with pytest.raises(RecordError):
            passed_on(said(bad), FIRST, lambda _: HOLDS)


@pytest.mark.parametrize("name", ["has debt", "31012649801148", "a.b.c", "x" * 65, "Палончи", ""])
def test_a_field_is_a_name_and_has_no_room_for_words(name: str) -> None:
    with pytest.raises(ValueError, match="fields"):
        dispute(fields=(name,))


def activated(*records: str, effective_s: float = 0) -> ListActivated:
    whole = activation(bundle())
    return whole.model_copy(
        update={
            "schemas": tuple(one for one in whole.schemas if one.record in records),
            "effective_at": NOW + timedelta(seconds=effective_s),
        }
    )


def test_what_is_a_dispute_is_said_by_the_list_version_of_its_time() -> None:
    value, law = dispute_value(dispute()), Law()
    assert not law.is_dispute(value, LATER_MS)
    law.read(0, NOW_MS, activated(Demand.RECORD))
    assert not law.is_dispute(value, LATER_MS)
    law.read(1, NOW_MS, activated(Demand.RECORD, EvidenceDisputed.RECORD, effective_s=3600))
    assert not law.is_dispute(value, NOW_MS + 3_599_999)
    assert law.is_dispute(value, NOW_MS + 3_600_000)
    assert not law.is_dispute(VALUE, LATER_MS)
    assert not law.is_dispute(None, LATER_MS)
    law.read(2, NOW_MS, activated(Demand.RECORD, effective_s=7200))
    assert law.is_dispute(value, NOW_MS + 3_600_000)
    assert not law.is_dispute(value, LATER_MS)


def records(values: Iterable[bytes]) -> list[Record]:
    key = str(DEMAND.demand_id).encode()
    return [
        Record("demand.submitted.electricity-het", 3, offset, LATER_MS, key, value)
        for offset, value in enumerate(values)
    ]


def test_a_dispute_is_no_first_record_of_its_demand_even_if_it_lies_before_it() -> None:
    disputed = dispute_value(dispute())
    table = FirstRecords(is_dispute=lambda record: record.value == disputed)
    table.open(TopicPartition("demand.submitted.electricity-het", 3))
    log = records([disputed, VALUE, disputed, VALUE])
    for record in log[:1]:
        table.fold(record)
    assert table.first(log[0]) is None
    for record in log[1:]:
        table.fold(record)
    assert {(table.first(record) or FIRST).offset for record in log} == {1}
    table.write()
    assert table.open(TopicPartition("demand.submitted.electricity-het", 3)) is None  # in memory nothing is kept


async def test_a_table_that_is_rebuilt_knows_disputes_by_what_held_at_their_time() -> None:
    place, now = TopicPartition("demand.submitted.electricity-het", 3), [NOW_MS]
    bus = MemoryBus(lambda: now[0])
    await bus.admin().create([TopicLayout(place.topic, 6, {"message.timestamp.type": "LogAppendTime"})])
    producer, key, disputed = bus.producer("test"), str(DEMAND.demand_id).encode(), dispute_value(dispute())
    for value in (disputed, VALUE, disputed):
        await producer.send([Outgoing(*place, key, value)])
        now[0] += 1000
    law, asked = Law(), []

    async def known_at(timestamp_ms: int) -> None:
        asked.append(timestamp_ms)
        if not law.counted():
            law.read(0, NOW_MS, activated(Demand.RECORD, EvidenceDisputed.RECORD))

    table = FirstRecords(is_dispute=lambda record: law.is_dispute(record.value, record.timestamp_ms))
    await rebuild(bus, table, {place: 3}, known_at)
    assert max(asked) == NOW_MS + 2000
    assert table.first(bus.records(*place)[0], DEMAND.demand_id) == First(1, NOW_MS + 1000, FIRST.digest)


def test_a_list_version_without_disputes_still_holds() -> None:
    files = bundle()
    whole = activation(files)
    older = whole.model_copy(
        update={"schemas": tuple(one for one in whole.schemas if one.record != EvidenceDisputed.RECORD)}
    )
    holds = Standing(older, files, SECRET)
    assert answer(cause(VALUE), holds) == ANSWER
    with pytest.raises(RecordError):
        passed_on(said(dispute()), FIRST, lambda _: holds)
