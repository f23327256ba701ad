"""What is said of the entries on a paper is what the resolver made of them: nobody else repeats its tests."""

import itertools
from datetime import date

import pytest

from chopar.identifiers import SubjectKind
from chopar.messages.demand import FetchMode, PersonMayBeAsked
from gateway.bundle import list_files
from gateway.considered import Why, considered
from gateway.list_version import ListVersion
from gateway.may_they_ask import Question, answered
from tests.standing import LISTS

SHIPPED = ListVersion.from_files(list_files(LISTS))
ON = date(2026, 7, 1)


@pytest.mark.parametrize("said", [None, True, False])
@pytest.mark.parametrize("about", [None, SubjectKind.BUSINESS])
def test_the_entries_that_bind_are_those_of_the_answer(about: SubjectKind | None, said: bool | None) -> None:
    bound = 0
    for procedure, (paper, entries) in itertools.product(SHIPPED.procedures.values(), SHIPPED.entries_of.items()):
        conditions = {entry.condition for entry in entries if entry.condition}
        circumstances = {} if said is None else dict.fromkeys(conditions, said)
        requester = min(procedure.conducted_by_agencies, default="electricity-het")
        question = Question(requester, procedure.id, paper, ON, about=about, circumstances=circumstances)
        answer = answered(question, SHIPPED, FetchMode.INFERRED)
        if answer.resolution.refused:
            continue
        binding = {one.entry.id for one in considered(answer, SHIPPED) if one.why == (Why.BINDS,)}
        rule = answer.document.rule
        barred = answer.document.outcome.value in ("fetch", "gap", "not_needed", "replaced")
        if binding:
            bound += 1
            assert answer.document.person_may_be_asked is PersonMayBeAsked.NO
            assert rule is not None
            assert {rule.entry, *rule.also_binding} == binding
        else:
            assert rule is None or rule.entry is None or not barred
    assert bound > 50
