"""Which activation holds when, whatever order, lateness and clocks the records have."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from chopar.messages.demand import FetchMode
from chopar.messages.law import ListActivated
from gateway.law import Law, activation_key

LEAD = 60


def activation(name: str, effective_s: int, lead: int = LEAD) -> ListActivated:
    return ListActivated(
        list_digest=name,
        fetch_mode=FetchMode.VERIFIED,
        secret_version=1,
        secret_check=b"",
        rules_number=1,
        schemas=(),
        effective_at=datetime.fromtimestamp(effective_s, UTC),
        lead_seconds=lead,
        activated_by="test",
    )


def held(law: Law, at_s: float) -> str | None:
    found = law.held_at(int(at_s * 1000))
    return found.message.list_digest if found else None


def test_the_first_holds_from_the_beginning_of_time_whatever_it_says() -> None:
    law = Law()
    assert held(law, 0) is None
    law.read(0, 1000_000, activation("first", 5000))
    assert held(law, 0) == "first"
    assert held(law, 9000) == "first"


def test_a_later_one_holds_from_its_effective_time() -> None:
    law = Law()
    law.read(0, 1000_000, activation("first", 0))
    law.read(1, 1000_000, activation("second", 1060))
    assert held(law, 1059.999) == "first"
    assert held(law, 1060) == "second"


def test_one_that_was_taken_less_than_the_lead_before_does_not_count() -> None:
    law = Law()
    law.read(0, 1000_000, activation("first", 0))
    law.read(1, 1000_001, activation("late", 1060))
    assert held(law, 5000) == "first"
    assert [a.message.list_digest for a in law.counted()] == ["first"]


def test_the_first_ones_lead_binds_all_later_ones() -> None:
    law = Law()
    law.read(0, 1000_000, activation("first", 0, lead=60))
    law.read(1, 1000_000, activation("hasty", 1010, lead=1))
    assert held(law, 5000) == "first"
    assert law.lead_ms == 60_000


def test_of_two_with_one_effective_time_the_higher_offset_holds() -> None:
    law = Law()
    law.read(0, 0, activation("first", 0))
    law.read(1, 1000_000, activation("a", 2000))
    law.read(2, 1000_000, activation("b", 2000))
    law.read(3, 1000_000, activation("earlier", 1500))
    assert held(law, 2000) == "b"
    assert held(law, 1999) == "earlier"
    newest = law.newest()
    assert newest is not None
    assert newest.message.list_digest == "b"


def test_what_is_to_come_is_what_will_hold_for_a_while_in_its_order() -> None:
    law = Law()
    law.read(0, 0, activation("first", 5000))
    for offset, (name, at) in enumerate([("later", 3000), ("outdone", 2000), ("b", 2000), ("a", 1500)], start=1):
        law.read(offset, 1000_000, activation(name, at))
    names = {at: [one.message.list_digest for one in law.to_come(at * 1000)] for at in (0, 1500, 2000, 3000)}
    assert names == {0: ["a", "b", "later"], 1500: ["b", "later"], 2000: ["later"], 3000: []}
    assert Law().to_come(0) == ()


def test_it_is_settled_only_once_a_stamp_half_the_lead_before_was_read() -> None:
    law = Law()
    law.read(0, 1000_000, activation("first", 0))
    assert law.is_known_at(1030_000)
    assert not law.is_known_at(1030_001)
    law.read(1, 1010_000, None)
    assert law.is_known_at(1040_000)
    assert not Law().is_known_at(0)


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 400)), max_size=12), st.integers(0, 500), st.data())
def test_what_is_settled_stays_settled(rows: list[tuple[int, int]], at_s: int, data: st.DataObject) -> None:
    """Stamps step back by less than half the lead: once a time is settled, no later record changes what holds at it."""
    stamp, records = 0, [(0, activation("first", 0))]
    for index, (step, ahead) in enumerate(rows):
        stamp += step
        jitter = data.draw(st.integers(0, LEAD // 2 - 1))
        records.append((max(0, stamp - jitter), activation(str(index), stamp + ahead)))
    law, settled = Law(), None
    for offset, (taken_s, message) in enumerate(records):
        law.read(offset, taken_s * 1000, message)
        if settled is not None:
            assert held(law, at_s) == settled
        elif law.is_known_at(at_s * 1000):
            settled = held(law, at_s)


def test_every_activation_has_a_key_of_its_own() -> None:
    keys = {activation_key(activation(name, at)) for name in "ab" for at in (1, 2)}
    assert len(keys) == 4
