"""What a changed list would have answered: recorded exchanges resolved again, without anybody's number.

`exchange.recorded` keeps what a replay needs and no more: kinds, roles, circumstances, names of parameters. In the
place of identifiers stand made-up ones of the same kind, since what they are decides nothing once they were accepted.
Pure; nothing is sent.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date

from chopar.errors import IdentifierError
from chopar.identifiers import AgencyId, DocumentType, EvidenceType, ProcedureId, SubjectKind, pinfl_check_digit
from chopar.messages.demand import ActingAs, FetchMode
from chopar.messages.exchange import ExchangeRecorded, ResolutionEntry
from gateway.demand import Demand, DocumentDemand, Party, Subject
from gateway.list_version import ListVersion
from gateway.resolution import Code
from gateway.resolver import SECOND_PERSON, resolve
from gateway.tashkent import day_of

_BUSINESS = "301234567"
_OF_IDENTIFIERS = frozenset(
    {
        Code.MALFORMED_IDENTIFIER,
        Code.WRONG_IDENTIFIER_KIND,
        Code.FORBIDDEN_CHARACTERS,
        Code.NOT_ENTITLED_TO_ACT,
        Code.TOO_MANY_DOCUMENTS,
    }
)
"""Refusals that follow from what was not recorded; whatever the list, they stay what they are."""


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """One document whose outcome would be another one."""

    requester: str
    procedure: str
    document_type: str
    before: str
    after: str


@dataclass(slots=True)
class Replay:
    """What came of a replay.

    Attributes:
        exchanges: demands that were resolved again.
        documents: documents among them.
        left_out: demands that cannot be resolved again, by the code that refused them.
        changes: how often each change was found.
    """

    exchanges: int = 0
    documents: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    changes: Counter[Change] = field(default_factory=Counter)


def replay(recorded: Iterable[ExchangeRecorded], lists: ListVersion, fetch_mode: FetchMode) -> Replay:
    """Resolve recorded demands by another list version.

    Args:
        recorded: records of the gateway's; others are passed over, and so is a demand that was seen before.
        lists: the list version to try.
        fetch_mode: which grounds it would open.
    """
    found = Replay()
    seen = set()
    for message in recorded:
        entry = message.resolution
        if entry is None or message.demand_id in seen:
            continue
        seen.add(message.demand_id)
        if entry.procedure is None or entry.subject_kind is None or entry.refused in _OF_IDENTIFIERS:
            found.left_out[entry.refused or "unreadable"] += 1
            continue
        if entry.refused is not None and entry.refused not in tuple(Code):
            found.left_out[entry.refused] += 1  # of the envelope: no list has a part in it
            continue
        on = day_of(entry.received_at)
        found.exchanges += 1
        for change in _changes(message.requester, entry, lists, on, fetch_mode):
            found.documents += 1
            if change is not None:
                found.changes[change] += 1
    return found


def _changes(
    requester: str, entry: ResolutionEntry, lists: ListVersion, on: date, fetch_mode: FetchMode
) -> Iterator[Change | None]:
    try:
        resolution = resolve(_asked_again(requester, entry, on), lists, on, fetch_mode)
    except IdentifierError as error:  # an agency's id or a code of the list as nobody would write it now
        after: dict[tuple[str, str | None, tuple[str, ...]], str] = {}
        otherwise = error.code
    else:
        after = {
            (found.document_type, found.about, tuple(sorted(found.parameters))): f"{found.outcome} / {found.code}"
            for found in resolution.documents
        }
        otherwise = "not answered"
    for document in entry.documents:
        place = (document.document_type, document.about, tuple(sorted(_names(document.parameter_names, document.code))))
        before, now = f"{document.outcome} / {document.code}", after.pop(place, otherwise)
        change = Change(requester, entry.procedure or "", document.document_type, before, now)
        yield change if before != now else None
    for (document_type, _, _), now in after.items():
        yield Change(requester, entry.procedure or "", document_type, "not answered", now)


def _names(names: Iterable[str], code: str) -> tuple[str, ...]:
    # A parameter that was there and counted as missing was blank; it is left out, which is answered the same.
    return () if code == Code.MISSING_PARAMETER else tuple(names)


def _asked_again(requester: str, entry: ResolutionEntry, on: date) -> Demand:
    acting_as = ActingAs(entry.acting_as) if entry.acting_as else ActingAs.SELF
    minor = acting_as is ActingAs.PARENT
    kind = SubjectKind(entry.subject_kind or SubjectKind.PERSON)
    subject = Subject(kind, _person(on.year if minor else on.year - 40, 1) if kind is SubjectKind.PERSON else _BUSINESS)
    somebody_else = acting_as in (ActingAs.PARENT, ActingAs.GUARDIAN, ActingAs.REPRESENTATIVE)
    values = {SECOND_PERSON: _person(on.year - 41, 2)}
    documents = [
        DocumentDemand(
            DocumentType(document.document_type),
            document.about,
            {name: values.get(name, "given") for name in _names(document.parameter_names, document.code)},
        )
        for document in entry.documents
    ]
    return Demand(
        requester=AgencyId(requester),
        procedure=ProcedureId(entry.procedure or ""),
        subject=subject,
        documents=tuple(documents),
        parties=tuple(
            Party(party.role, SubjectKind(party.kind), _party(SubjectKind(party.kind), number, on))
            for number, party in enumerate(entry.parties, start=3)
        ),
        applicant=Subject(SubjectKind.PERSON, _person(on.year - 42, 900)) if somebody_else else None,
        acting_as=acting_as,
        circumstances=dict(entry.circumstances),
        asked=frozenset(
            (AgencyId(one.provider), EvidenceType(one.evidence_type))
            for one in (entry.follows.asked if entry.follows is not None else ())
        ),
    )


def _party(kind: SubjectKind, number: int, on: date) -> str:
    return _person(on.year - 30, number % 900) if kind is SubjectKind.PERSON else _BUSINESS


def _person(year: int, serial: int) -> str:
    """A number of nobody, by the published rules: a person born on the first of January of a year."""
    century = 3 if year < 2000 else 5
    first = f"{century}0101{year % 100:02d}001{serial:03d}"
    return first + str(pinfl_check_digit(first))
