"""Which entries on a paper were considered for a question: the one that decided, those that nearly did, and why not.

For `chopar prohibited explain`. What is answered is the resolver's; this module repeats none of its decisions but the
tests of a single entry, and says which of them failed. Pure.
"""

from dataclasses import dataclass
from enum import StrEnum

from chopar.identifiers import AgencyId, ProcedureId
from gateway.list_version import ListVersion
from gateway.may_they_ask import Answered
from gateway.prohibited_list import BarStanding, ProhibitedEntry


class Why(StrEnum):
    """Why an entry did not bind; `binds` where it did."""

    BINDS = "binds"
    OTHER_REQUESTER = "other_requester"
    OTHER_PROCEDURE = "other_procedure"
    OTHER_SUBJECT = "other_subject"
    NOT_YET = "not_yet"
    CONDITION_IS_NO = "condition_is_no"
    START_NOT_ESTABLISHED = "start_not_established"
    CONDITION_UNSAID = "condition_unsaid"


_STANDINGS = {
    BarStanding.NOT_YET: Why.NOT_YET,
    BarStanding.CONDITION_IS_NO: Why.CONDITION_IS_NO,
    BarStanding.START_NOT_ESTABLISHED: Why.START_NOT_ESTABLISHED,
    BarStanding.CONDITION_UNSAID: Why.CONDITION_UNSAID,
}


@dataclass(frozen=True, slots=True)
class Considered:
    """An entry on the paper, and every test of it that failed.

    Args:
        entry: the entry.
        why: what kept it from binding; `binds` alone where nothing did.
        decided: whether the answer rests on it.
    """

    entry: ProhibitedEntry
    why: tuple[Why, ...]
    decided: bool

    @property
    def nearly(self) -> bool:
        """Whether one thing alone kept it from binding."""
        return not self.decided and len(self.why) == 1 and self.why != (Why.BINDS,)


def considered(answered: Answered, lists: ListVersion) -> tuple[Considered, ...]:
    """The entries on the paper of a question: what decided, what binds as well, then those that failed fewest tests.

    Args:
        answered: the question and its answer.
        lists: by which it was answered.
    """
    question = answered.question
    procedure = lists.procedures.get(ProcedureId(question.procedure))
    requester = AgencyId(question.requester)
    if procedure is None or requester not in lists.agencies:
        return ()
    groups = lists.groups_of(requester, question.on)
    kind = question.about or answered.kind
    circumstances = {**question.circumstances, **procedure.implies}
    rule = answered.document.rule

    def failed(entry: ProhibitedEntry) -> tuple[Why, ...]:
        found = []
        if requester not in entry.barred_agencies and entry.barred_groups.isdisjoint(groups):
            found.append(Why.OTHER_REQUESTER)
        if not (procedure.public_service if entry.every_public_service else entry.scope in procedure.scopes):
            found.append(Why.OTHER_PROCEDURE)
        if kind not in entry.from_whom:
            found.append(Why.OTHER_SUBJECT)
        standing = entry.standing(question.on, circumstances)
        if standing is not BarStanding.BINDS:
            found.append(_STANDINGS[standing])
        return tuple(found) or (Why.BINDS,)

    made = [
        Considered(entry, failed(entry), decided=rule is not None and rule.entry == entry.id)
        for entry in lists.entries_of.get(answered.document.document_type, ())
    ]
    return tuple(sorted(made, key=lambda one: (not one.decided, one.why != (Why.BINDS,), len(one.why))))
