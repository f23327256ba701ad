"""Each entry, ground and membership by itself: what it does is written down, and without it a test that names it fails.

The lists without it are made from those that were read, so all of this takes seconds.
"""

from dataclasses import astuple, fields
from datetime import date

import pytest

from chopar.identifiers import AgencyId
from gateway.list_version import ListVersion, _indexed
from tests.oracle.asking import PARAMETERS, ask, in_words, lists
from tests.oracle.pinned import TODAY, Pinned, made, read
from tests.oracle.plain_reading import Law, cells

LAW = Law()
# The same data for the same requesters by two entries: the second ground is of use where the first is missing.
SECOND_TO = {"ground-labour-book-copy": "ground-labour-book"}
PINNED = read()
WORLD = lists(all_connected=True)
MADE_OF = [
    one.name for one in fields(ListVersion) if not one.name.startswith(("_", "entries_of", "grounds_for", "own_"))
]


def answer(pinned: Pinned, version: ListVersion) -> tuple[str, ...]:
    """What the resolver says, in the words of the file."""
    found = in_words(
        ask(
            requester=pinned.requester,
            procedure=pinned.procedure,
            documents=[pinned.document],
            day=pinned.day,
            kind=pinned.subject,
            party=pinned.party or None,
            circumstances={pinned.circumstance: "yes"} if pinned.circumstance else {},
            given=PARAMETERS,
            version=version,
        ).documents[0]
    )
    return found.outcome, found.code, found.asked, found.entry or "", "; ".join(found.also_binding)


def expected(pinned: Pinned) -> tuple[str, ...]:
    return pinned.outcome, pinned.code, pinned.asked, pinned.entry, pinned.also_binding


def changed(**parts: object) -> ListVersion:
    """The lists with something else in the place of a part."""
    whole = {name: getattr(WORLD, name) for name in MADE_OF}
    return _indexed(**{**whole, **parts})


@pytest.mark.parametrize("pinned", PINNED, ids=[f"{one.row}-{one.when}" for one in PINNED])
def test_an_entry_does_what_is_written_down(pinned: Pinned) -> None:
    assert answer(pinned, WORLD) == expected(pinned)


def test_what_is_written_down_is_what_the_facts_give_for_each_entry() -> None:
    by_the_facts = list(made())
    assert {one.row for one in by_the_facts} == {one.row for one in PINNED}  # says which is missing
    assert by_the_facts == PINNED
    whens: dict[str, set[str]] = {}
    for one in PINNED:
        whens.setdefault(one.row, set()).add(one.when)
    assert set(whens) == set(WORLD.prohibited)
    for name, entry in WORLD.prohibited.items():
        assert whens[name] - {"today"} == {"on", "stranger", *(["before"] if entry.in_force_from else [])}


def test_an_entry_is_named_on_its_day_and_by_none_whom_it_does_not_bind() -> None:
    for one in PINNED:
        if one.when == "on":
            assert one.names
        if one.when == "stranger":
            assert not one.names
        if one.when == "before" and one.names:
            assert one.asked != "yes"
            assert WORLD.prohibited[one.row].in_force_basis.value not in ("in_force", "act_date")


@pytest.mark.parametrize("name", WORLD.prohibited)
def test_without_an_entry_an_answer_that_names_it_is_another_one(name: str) -> None:
    without = {key: entry for key, entry in WORLD.prohibited.items() if key != name}
    grounds = {key: ground for key, ground in WORLD.grounds.items() if ground.made_from != name}
    fewer = changed(prohibited=without, grounds=grounds)
    failing = [one for one in PINNED if answer(one, fewer) != expected(one)]
    assert name in {one.row for one in failing if one.names}


@pytest.mark.parametrize("name", WORLD.grounds)
def test_without_a_ground_nothing_is_fetched_where_it_was(name: str) -> None:
    taken_out = {name, SECOND_TO.get(name)}
    fewer = changed(grounds={key: ground for key, ground in WORLD.grounds.items() if key not in taken_out})
    failing = [one for one in PINNED if answer(one, fewer) != expected(one)]
    assert WORLD.grounds[name].made_from in {one.row for one in failing}
    for one in failing:
        outcome, _, asked, entry, _ = answer(one, fewer)
        assert (one.outcome, asked) == ("fetch", one.asked)  # what may be asked does not hang on a ground
        assert outcome == "not_needed" or entry != one.entry  # none, or another entry's


def is_spoken_to(group: str, agency: str) -> bool:
    """Whether an entry or a procedure speaks to the agency as a member of the group today, by the facts."""
    conducted = [what for what in LAW.procedures if LAW.conducts(agency, what, TODAY)]
    by_group = any(f"group:{group}" in cells(LAW.procedures[what]["conducted_by"]) for what in conducted)
    rows = [row for row in LAW.rows if group in cells(row["who_may_not_demand"])]
    return by_group or any(LAW.in_scope(row, what) for row in rows for what in conducted)


def asked_by(agency: AgencyId, version: ListVersion) -> list[tuple[object, ...]]:
    """All that an agency is answered today in what it conducts by the lists as they are."""
    groups = WORLD.groups_of(agency, date.fromisoformat(TODAY))
    found = []
    for procedure in WORLD.procedures.values():
        if not procedure.conducted_by(agency, groups):
            continue
        for kind in procedure.subjects:
            documents = ask(
                requester=agency, procedure=procedure.id, documents=WORLD.documents, day=TODAY, kind=kind.value,
                given=PARAMETERS, version=version,
            ).documents  # fmt: skip
            found += [(procedure.id, kind.value, one.document_type, *astuple(in_words(one))) for one in documents]
    return found


@pytest.mark.parametrize(
    "place", range(len(WORLD.memberships)), ids=[f"{m.group}-{m.agency}" for m in WORLD.memberships]
)
def test_without_a_member_of_a_group_its_agency_is_answered_otherwise(place: int) -> None:
    membership = WORLD.memberships[place]
    fewer = changed(memberships=WORLD.memberships[:place] + WORLD.memberships[place + 1 :])
    is_same = asked_by(membership.agency, fewer) == asked_by(membership.agency, WORLD)
    assert is_same is not is_spoken_to(membership.group, membership.agency)
