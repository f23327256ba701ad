"""A demand like one that was composed before is made without checking all of it again: the very same demand."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopar.avro import SchemaFiles
from chopar.bus.memory import MemoryBus
from chopar.errors import UndecodableError
from chopar.messages.demand import ActingAs, Demand, DemandedDocument, Ground, Party, Subject
from chopar.requester.demand_sender import DemandSender
from chopar.schema_registry import InMemorySchemaRegistry
from tests.builders import NOW, PERSON

SUBJECT = Subject(kind="person", id=PERSON)
PAPER = DemandedDocument(type="paper-a")


def sender(now: datetime = NOW) -> DemandSender:
    bus = MemoryBus(lambda: 0)
    return DemandSender(
        "electricity-het", bus, InMemorySchemaRegistry(), clock=lambda: now, random_bits=lambda bits: (1 << bits) - 5
    )


def composed(of: DemandSender, **changes: Any) -> Demand:
    return of.compose(**{"procedure": "a-procedure", "subject": SUBJECT, "documents": [PAPER], **changes})


CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "procedure": st.sampled_from(["a-procedure", "another"]),
        "official": st.sampled_from(["unnamed", "official-7"]),
        "subject": st.sampled_from([SUBJECT, Subject(kind="business", id="123456789")]),
        "case_id": st.sampled_from(["case-1", "x" * 400]),
        "acting_as": st.sampled_from(ActingAs),
        "circumstances": st.dictionaries(st.sampled_from(["a", "b"]), st.booleans()),
        "documents": st.lists(
            st.sampled_from(
                [PAPER, DemandedDocument(type="b", about="x"), DemandedDocument(type="c", parameters={"p": "v"})]
            ),
            min_size=1,
        ),
        "parties": st.sampled_from([(), (Party(role="x", kind="person", id=PERSON),)]),
        "applicant": st.sampled_from([None, SUBJECT]),
        "ground": st.sampled_from([None, Ground(kind="consent", reference="said so")]),
        "life": st.sampled_from([timedelta(days=3, microseconds=1234), timedelta(days=30), timedelta(0)]),
    },
)


@given(st.lists(CHANGES, min_size=1, max_size=8), st.integers(0, 999_999))
def test_is_what_it_would_be_if_it_were_the_first(asked: list[Mapping[str, Any]], microsecond: int) -> None:
    now = NOW.replace(microsecond=microsecond)
    always = sender(now)
    for changes in [*asked, *asked]:
        demand, first = composed(always, **changes), composed(sender(now), **changes)
        assert demand == first
        assert demand.model_dump() == first.model_dump()
        assert demand.model_fields_set == first.model_fields_set
        assert [*demand.__dict__] == [*first.__dict__]
        assert Demand.from_avro(demand.to_avro()) == first


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"case_id": "x" * 401}, "case_id"),
        ({"case_id": 5}, "case_id"),
        ({"official": ""}, "official"),
        ({"procedure": "x" * 121}, "procedure"),
        ({"subject": {"kind": "robot", "id": "1"}}, "subject"),
        ({"documents": []}, "documents"),
        ({"life": timedelta(days=31)}, "the record"),
        ({"circumstances": {"x": "no"}}, "circumstances"),
    ],
)
def test_what_is_not_valid_is_refused_after_others_too(changes: dict[str, Any], place: str) -> None:
    of = sender()
    composed(of)
    with pytest.raises(UndecodableError, match=place):
        composed(of, **changes)
    with pytest.raises(UndecodableError, match=place):
        composed(sender(), **changes)


def test_a_clock_of_another_zone_is_as_it_was() -> None:
    of = sender(NOW.astimezone(timezone(timedelta(hours=5))))
    assert composed(of) == composed(of)
    assert composed(of).expires_at.astimezone(UTC) == NOW + timedelta(days=7)


def test_each_has_its_own_id_and_dict() -> None:
    numbers = iter(range(3))
    of = DemandSender(
        "electricity-het",
        MemoryBus(lambda: 0),
        InMemorySchemaRegistry(),
        files=SchemaFiles.shipped(),
        clock=lambda: NOW,
        random_bits=lambda _: next(numbers),
    )
    made = [composed(of, circumstances={"a": True}) for _ in range(3)]
    assert len({id(one.circumstances) for one in made}) == 3
    assert len({one.demand_id for one in made}) == len({one.case_id for one in made}) == 3
