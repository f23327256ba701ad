"""A paper that several holders may prove: the first connected is asked, the others named, who was asked passed over."""

from collections.abc import Iterable
from datetime import date

import pytest

from chopar.errors import LawIncompleteError, LawUnreadableError
from chopar.identifiers import AgencyId, DocumentType, EvidenceType, ProcedureId, SubjectKind
from chopar.messages.demand import FetchMode
from gateway.demand import Demand, DocumentDemand, Subject
from gateway.flaw import Level
from gateway.lint import lint
from gateway.list_version import DIRECTORY, GROUNDS, PROHIBITED, ListVersion
from gateway.resolution import ResolvedDocument
from gateway.resolver import resolve
from tests.alternative_lists import FIRST, ORDER, PAPER, SECOND, THIRD, version_of, with_alternatives, written
from tests.edited_lists import Files, edited, put, tables
from tests.oracle.asking import IDENTIFIERS
from tests.standing import standing

TODAY = date(2026, 11, 26)
Place = tuple[str, str]


def answered(
    files: Files, *, asked: Iterable[Place] = (), requester: str = "electricity-het", on: date = TODAY, **also: object
) -> ResolvedDocument:
    mode = FetchMode(str(also.pop("mode", "inferred")))
    demand = Demand(
        requester=AgencyId(requester),
        procedure=ProcedureId("electricity-supply-contract"),
        subject=Subject(SubjectKind.PERSON, IDENTIFIERS["person"]),
        documents=(DocumentDemand(DocumentType(PAPER)),),
        asked=frozenset((AgencyId(who), EvidenceType(what)) for who, what in asked),
    )
    [document] = resolve(demand, version_of(files), on, mode).documents
    return document


def place(document: ResolvedDocument) -> Place:
    assert document.provider is not None
    assert document.evidence_type is not None
    return document.provider, document.evidence_type


def named(document: ResolvedDocument) -> dict[Place, str]:
    return {(one.provider, one.evidence_type): one.code.value for one in document.alternatives}


def test_the_first_of_the_order_is_asked_and_the_others_are_named_in_it() -> None:
    for order in (ORDER, (THIRD, FIRST, SECOND)):
        document = answered(with_alternatives(order))
        assert (document.outcome, document.code, place(document)) == ("fetch", "ground", order[0])
        assert list(named(document).items()) == [(order[1], "ground"), (order[2], "ground")]


def test_the_first_that_is_connected_is_asked() -> None:
    document = answered(with_alternatives(connected=[THIRD]))
    assert (document.outcome, place(document)) == ("fetch", THIRD)
    assert named(document) == {FIRST: "holder_not_connected", SECOND: "holder_not_connected"}


def test_where_none_is_connected_the_gap_names_the_first_and_tells_of_the_others() -> None:
    document = answered(with_alternatives(connected=[]))
    assert (document.outcome, document.code, place(document)) == ("gap", "holder_not_connected", FIRST)
    assert named(document) == {SECOND: "holder_not_connected", THIRD: "holder_not_connected"}


def test_an_order_opens_nothing_to_whom_no_ground_does() -> None:
    document = answered(with_alternatives((SECOND, FIRST, THIRD), grounds_for=[THIRD]))
    assert place(document) == FIRST
    assert named(document) == {SECOND: "no_ground_to_know", THIRD: "ground"}
    nobody = edited(with_alternatives(), GROUNDS, "ground", {"id": "ground-invented-0"}, until=date(2026, 11, 25))
    for asked in ([], [SECOND]):  # that it was asked makes it nobody who may be asked
        assert named(answered(nobody, asked=asked)) == {SECOND: "no_ground_to_know", THIRD: "ground"}


def test_an_order_does_not_open_what_the_fetch_mode_keeps_closed() -> None:
    document = answered(with_alternatives(), mode="verified")
    assert (document.outcome, document.code) == ("gap", "ground_not_verified")
    read = with_alternatives(
        ground={"act": "an act", "text_read": "official", "verified_by": "n", "verified_on": TODAY, "text_ref": "r"}
    )
    document = answered(read, mode="verified")
    assert place(document) == SECOND
    assert named(document) == {FIRST: "ground_not_verified", THIRD: "ground"}


def test_a_holder_that_needs_a_parameter_is_passed_over_and_said_to_need_it() -> None:
    document = answered(with_alternatives((SECOND, FIRST, THIRD), ground={"parameters": ["plate"]}))
    assert place(document) == FIRST
    assert named(document) == {SECOND: "missing_parameter", THIRD: "missing_parameter"}


def test_who_was_asked_is_passed_over() -> None:
    files = with_alternatives()
    assert place(answered(files, asked=[FIRST])) == SECOND
    third = answered(files, asked=[FIRST, SECOND])
    assert place(third) == THIRD
    assert named(third) == {FIRST: "already_asked", SECOND: "already_asked"}
    assert place(answered(files, asked=[SECOND])) == FIRST


def test_when_nobody_is_left_that_is_said_and_the_person_is_not_asked() -> None:
    document = answered(with_alternatives(), asked=ORDER)
    assert (document.outcome, document.code) == ("refused", "already_asked")
    assert (document.person_may_be_asked, document.next_step) == ("no", "keep_last_answer")
    assert document.rule is not None
    assert document.rule.entry == "tax-debt-certificate-communal"
    assert named(document) == {SECOND: "already_asked", THIRD: "already_asked"}


def test_when_those_who_are_left_are_not_connected_it_is_a_gap_of_theirs() -> None:
    document = answered(with_alternatives(connected=[FIRST]), asked=[FIRST])
    assert (document.outcome, document.code, place(document)) == ("gap", "holder_not_connected", SECOND)


def test_without_an_order_nothing_is_named_and_the_grounds_keep_their_own_order() -> None:
    document = answered(with_alternatives(()))
    assert (place(document), document.alternatives) == (FIRST, ())
    # A list may have lost its order since the first demand: who was asked is passed over all the same.
    assert place(answered(with_alternatives(()), asked=[FIRST])) == SECOND
    assert answered(with_alternatives(()), asked=ORDER).code == "already_asked"


def test_who_was_asked_and_is_not_known_says_nothing() -> None:
    files = with_alternatives()
    assert answered(files, asked=[("nobody", "tax-debt"), ("tax-committee", "x")]) == answered(files)


def not_barred(files: Files) -> Files:
    """The same before the bar: nothing may be fetched but by grounds of their own."""
    kept = [one for one in tables(files, PROHIBITED, "entry") if one["document_type"] != PAPER]
    kept_grounds = [
        one
        for one in tables(files, GROUNDS, "ground")
        if one.get("made_from")
        not in {one["id"] for one in tables(files, PROHIBITED, "entry") if one["document_type"] == PAPER}
    ]
    files = put(files, PROHIBITED, "entry", kept)
    coverages = [{**one, "entries": []} if "entries" in one else one for one in tables(files, PROHIBITED, "coverage")]
    return put(put(files, PROHIBITED, "coverage", coverages), GROUNDS, "ground", kept_grounds)


def test_grounds_of_their_own_follow_the_order_too_where_nothing_is_barred() -> None:
    files = not_barred(with_alternatives((THIRD, SECOND)))
    document = answered(files)
    assert (document.outcome, place(document), named(document)) == ("fetch", THIRD, {SECOND: "ground"})
    assert place(answered(files, asked=[THIRD])) == SECOND


def test_whether_the_person_may_be_asked_is_not_touched_by_who_was_asked() -> None:
    for files in (with_alternatives(), not_barred(with_alternatives((THIRD, SECOND)))):
        first = answered(files)
        for asked in ([FIRST], [SECOND, THIRD], ORDER):
            assert answered(files, asked=asked).person_may_be_asked is first.person_may_be_asked


def codes(files: Files) -> set[tuple[Level, str, str]]:
    return {(flaw.level, flaw.code, flaw.entry) for flaw in lint(version_of(files), TODAY)}


def test_lint_refuses_an_order_of_holders_of_sensitive_data() -> None:
    special = {"act": "an act", "text_read": "press", "data_class": "special"}
    flaw = (Level.ERROR, "sensitive_alternatives", PAPER)
    assert flaw in codes(with_alternatives(ground=special))
    assert flaw not in codes(with_alternatives((), ground=special))
    assert flaw not in codes(with_alternatives())


def test_lint_finds_a_circle_and_an_alternative_that_nobody_may_ask() -> None:
    sound = codes(with_alternatives())
    assert not {code for _, code, about in sound if about == PAPER}
    circle = codes(with_alternatives((FIRST, SECOND, FIRST)))
    assert circle - sound == {(Level.ERROR, "circular_alternative", PAPER)}
    idle = codes(with_alternatives(grounds_for=[SECOND]))
    assert idle - sound == {(Level.WARNING, "alternative_without_ground", PAPER)}


def test_lint_misses_the_source_of_an_order_that_is_called_stated() -> None:
    files = edited(with_alternatives(), DIRECTORY, "alternatives", {"document_type": PAPER}, basis="stated")
    assert (Level.ERROR, "missing_source", PAPER) in codes(files)


def test_a_circle_that_was_not_linted_still_comes_to_an_end() -> None:
    files = with_alternatives((FIRST, SECOND, FIRST, SECOND))
    assert place(answered(files)) == FIRST
    assert named(answered(files)) == {SECOND: "ground"}
    assert place(answered(files, asked=[FIRST])) == SECOND
    assert place(answered(files, asked=[FIRST, SECOND])) == THIRD  # it has a ground, and no place in the order


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"in_order": [written(FIRST)]}, "2 or more"),
        ({"in_order": []}, "2 or more"),
        ({"in_order": None}, "2 or more"),
        ({"in_order": [written(FIRST)] * 17}, "16 at most"),
        ({"in_order": ["tax-committee", written(SECOND)]}, "holder/evidence-type"),
        ({"in_order": ["tax-committee/", written(SECOND)]}, "holder/evidence-type"),
        ({"in_order": ["a/b/c", written(SECOND)]}, "holder/evidence-type"),
        ({"in_order": ["tax-committee/no-such-type", written(SECOND)]}, "unknown holding"),
        ({"in_order": ["nobody/tax-debt", written(SECOND)]}, "unknown holding"),
        ({"in_order": "tax-committee/tax-debt"}, "list of texts"),
        ({"document_type": "no-such-paper"}, "unknown document type"),
        ({"document_type": None}, "document_type is missing"),
        ({"basis": "perhaps"}, "basis"),
        ({"untill": "2027"}, "unknown keys: untill"),
    ],
)
def test_an_order_that_cannot_be_understood_is_refused_with_its_place(changes: dict[str, object], said: str) -> None:
    files = edited(with_alternatives(), DIRECTORY, "alternatives", {"document_type": PAPER}, **changes)
    with pytest.raises(LawUnreadableError) as caught:
        ListVersion.from_files(files)
    assert "directory.toml" in str(caught.value)
    assert said in str(caught.value)


def test_two_orders_for_one_paper_are_refused() -> None:
    files = with_alternatives()
    files = put(files, DIRECTORY, "alternatives", tables(files, DIRECTORY, "alternatives") * 2)
    with pytest.raises(LawUnreadableError, match="stands there twice"):
        ListVersion.from_files(files)


def test_rules_that_know_no_alternatives_do_not_go_with_lists_that_name_some() -> None:
    changes = {DIRECTORY: with_alternatives()[DIRECTORY], GROUNDS: with_alternatives()[GROUNDS]}
    assert standing(changes).lists.alternatives
    with pytest.raises(LawIncompleteError, match="activate again"):
        standing(changes, rules_number=1)
    assert standing(rules_number=1).rules_number == 1
