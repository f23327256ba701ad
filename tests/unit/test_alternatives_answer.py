"""What the gateway says of alternatives in its messages, to whom, and that without them it says what it always said."""

import hashlib
import json
from io import BytesIO
from typing import Any

import fastavro
import pytest

from chopar.avro import decode_body, encode_body, frame, parse_schema, unframe
from chopar.messages.demand import Demand, DemandResolved, FetchMode
from chopar.messages.evidence import EvidenceRequested
from chopar.messages.exchange import ExchangeRecorded
from chopar.messages.law import AcceptedSchema
from chopar.messages.record import Message
from gateway.answer import answer
from gateway.changed_law import Change, replay
from gateway.list_version import DIRECTORY, GROUNDS, ListVersion
from gateway.rendering import Renderings
from gateway.standing import Standing
from tests.alternative_lists import FIRST, ORDER, SECOND, THIRD, with_alternatives
from tests.builders import demand, demand_id
from tests.standing import FILES, IDS, RECORDS, SECRET, activation, bundle, standing
from tests.unit.test_gateway_answer import cause, read, requests, resolved

INVENTED = with_alternatives()
HOLDS = standing({name: INVENTED[name] for name in (DIRECTORY, GROUNDS)})


def following(*asked: tuple[str, str], **changes: Any) -> Demand:
    names = tuple({"provider": who, "evidence_type": what} for who, what in asked)
    return demand(follows={"demand_id": demand_id(7), "asked": names}, **changes)


def recorded(asked: Demand, holds: Standing = HOLDS) -> ExchangeRecorded:
    [found] = [one for one in map(read, answer(cause(asked), holds).before) if isinstance(one, ExchangeRecorded)]
    return found


def test_the_answer_names_the_others_in_their_order() -> None:
    [document] = resolved(answer(cause(demand()), HOLDS)).documents
    assert (document.provider, document.evidence_type) == FIRST
    assert [(one.provider, one.evidence_type, one.code) for one in document.alternatives] == [
        (*SECOND, "ground"),
        (*THIRD, "ground"),
    ]


def test_a_demand_that_follows_is_fetched_from_the_next_who_learns_nothing_of_the_first() -> None:
    outputs = answer(cause(following(FIRST)), HOLDS)
    [document] = resolved(outputs).documents
    [request] = requests(outputs)
    assert (document.provider, request.provider) == (SECOND[0], SECOND[0])
    assert request.evidence_type == SECOND[1]
    assert {sent.topic for sent in outputs.after} == {f"evidence.requested.{SECOND[0]}"}
    # That another holder had no record of a person is nobody's business but the asker's.
    [sent] = outputs.after
    assert FIRST[0].encode() not in (sent.value or b"")
    assert str(demand_id(7)).encode() not in (sent.value or b"")


def test_the_record_says_whom_the_demand_follows_and_who_was_passed_over() -> None:
    entry = recorded(following(FIRST, SECOND)).resolution
    assert entry is not None
    assert entry.follows is not None
    assert entry.follows.demand_id == demand_id(7)
    assert [(one.provider, one.evidence_type) for one in entry.follows.asked] == [FIRST, SECOND]
    first = recorded(demand()).resolution
    assert first is not None
    assert first.follows is None


def test_the_number_of_a_person_in_the_place_of_a_holder_is_not_recorded() -> None:
    entry = recorded(following(("30101900010018", "tax-debt"))).resolution
    assert entry is not None
    assert entry.follows is not None
    assert entry.follows.asked[0].provider == "…"


@pytest.mark.parametrize("asked", [(), ORDER * 6])
def test_a_demand_that_names_nobody_or_too_many_is_unreadable(asked: Any) -> None:
    names = [{"provider": who, "evidence_type": what} for who, what in asked]
    datum = {**demand().to_avro(), "follows": {"demand_id": demand_id(7), "asked": names}}
    body = BytesIO()
    fastavro.schemaless_writer(body, FILES.parsed(Demand.RECORD), datum)  # the model would not let it be built
    sent = cause(demand(), value=frame(IDS[Demand.RECORD], body.getvalue()))
    assert resolved(answer(sent, HOLDS)).refused == "unreadable"


def test_what_is_remembered_says_the_same() -> None:
    renderings = Renderings(HOLDS)
    for number in range(4):
        one = cause(demand(demand_id=demand_id(number + 1), case_id=f"case {number}"))
        assert renderings.answer(one) == answer(one, HOLDS)
    assert renderings.remembered == 1
    for asked in ([FIRST], [FIRST, SECOND], list(ORDER)):
        one = cause(following(*asked))
        assert renderings.answer(one) == renderings.answer(one) == answer(one, HOLDS)
    assert renderings.remembered == 1


def test_a_record_is_resolved_again_with_those_passed_over() -> None:
    version = ListVersion.from_files(INVENTED)
    records = [recorded(demand()), recorded(following(FIRST, demand_id=demand_id(2)))]
    assert replay(records, version, FetchMode.INFERRED).changes == {}
    less = ListVersion.from_files(with_alternatives(connected=[FIRST]))
    found = replay(records, less, FetchMode.INFERRED)
    paper = ("electricity-het", "electricity-supply-contract", "tax-debt-certificate")
    assert found.changes == {Change(*paper, "fetch / ground", "gap / holder_not_connected"): 1}


def before(record: str) -> str:
    """A record's schema as it was before there were alternatives."""
    added = {"Demand": ["follows"], "ResolvedDocument": ["alternatives"], "ResolutionEntry": ["follows"]}

    def cut(part: Any) -> Any:
        if isinstance(part, list):
            return [cut(one) for one in part]
        if not isinstance(part, dict):
            return part
        made = {key: cut(value) for key, value in part.items()}
        if "fields" in made:
            made["fields"] = [one for one in made["fields"] if one["name"] not in added.get(made["name"], [])]
        return made

    return json.dumps(cut(json.loads(FILES.texts[record])))


def as_before() -> tuple[Standing, dict[str, Any]]:
    """What was activated before there were alternatives."""
    texts = {record: before(record) for record in RECORDS}
    files = bundle() | {f"schemas/{record}.avsc": text.encode() for record, text in texts.items()}
    schemas = tuple(
        AcceptedSchema(record=record, sha256=hashlib.sha256(text.encode()).digest(), id=IDS[record])
        for record, text in texts.items()
    )
    return Standing(activation(files, schemas=schemas, rules_number=1), files, SECRET), {
        record: parse_schema(text) for record, text in texts.items()
    }


def test_what_was_activated_before_is_answered_in_the_bytes_of_before() -> None:
    old, parsed = as_before()
    today = standing()
    sent = cause(demand())
    value = _written(parsed[Demand.RECORD], demand())
    was, now = answer(cause(demand(), value=value), old), answer(sent, today)
    models: tuple[type[Message], ...] = (ExchangeRecorded, DemandResolved, EvidenceRequested)
    for model, one in zip(models, (*was.before, *was.after), strict=True):
        _, body = unframe(one.value or b"")
        message = model.from_avro(decode_body(body, parsed[model.RECORD]))  # whole, with nothing behind it
        assert _written(parsed[model.RECORD], message) == one.value
    # The outcome is that of today's rules, by lists that name no alternatives.
    then, since = (
        _documents(outputs.before[1].value, schema)
        for outputs, schema in ((was, parsed[DemandResolved.RECORD]), (now, FILES.parsed(DemandResolved.RECORD)))
    )
    assert then == since


def _documents(value: bytes | None, schema: Any) -> list[Any]:
    found = DemandResolved.from_avro(decode_body(unframe(value or b"")[1], schema))
    return [document.model_copy(update={"request_id": None}) for document in found.documents]


def _written(schema: Any, message: Any) -> bytes:
    return frame(IDS[message.RECORD], encode_body(schema, message))
