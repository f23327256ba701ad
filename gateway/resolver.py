"""Demand to resolution: two questions, seven outcomes. Pure, the heart.

A function of the demand, the lists, the day and the fetch mode; no clock, no chance, no setting. It follows DESIGN.md
section 1 by its letters and numbers: A refuses a whole demand, B answers each document by the numbers 1 to 5. Ids,
messages and what came before the demand was read (`expired`, `id_reused`) are left to the gateway's handlers.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date

from chopar.errors import IdentifierError
from chopar.identifiers import AgencyId, DataSubject, PersonId, SubjectKind, data_subject, reject_forbidden
from chopar.messages.demand import MAX_DOCUMENTS, FetchMode, Outcome, PersonMayBeAsked
from gateway.access_ground import AccessGround
from gateway.agencies import Procedure
from gateway.alternatives import Way, others, taken
from gateway.demand import Demand, DocumentDemand, DocumentKey, Subject
from gateway.evidence_directory import Place
from gateway.legal_basis import LegalBasis
from gateway.list_version import NOT_COMPLETE, ListVersion
from gateway.lists.vocabulary import Basis, DateBasis, Disposition
from gateway.prohibited_list import BarStanding, ProhibitedEntry
from gateway.resolution import Code, NextStep, Resolution, ResolvedDocument, Rule

__all__ = [
    "SECOND_PERSON",
    "Code",
    "NextStep",
    "Resolution",
    "ResolvedDocument",
    "Rule",
    "resolve",
]

SECOND_PERSON = "second_person"
"""The one parameter that is an identifier: the PINFL of another person, checked like the subject's."""

_NO, _YES, _OPEN = PersonMayBeAsked.NO, PersonMayBeAsked.YES, PersonMayBeAsked.UNDETERMINED
_REFUSED_STEPS = {
    Code.LEGAL_BASIS_NOT_IN_FORCE: NextStep.ASK_LAWYER,
    Code.MISSING_PARAMETER: NextStep.GIVE_PARAMETER,
    Code.NOT_IN_PROCEDURE: NextStep.LEAVE_OUT_DOCUMENT,
    Code.ALREADY_ASKED: NextStep.KEEP_LAST_ANSWER,
}
_WITHHELD = {Code.HOLDER_NOT_CONNECTED, Code.GROUND_NOT_VERIFIED}


def resolve(
    demand: Demand, lists: ListVersion, on: date, fetch_mode: FetchMode, *, rehearsal: bool = False
) -> Resolution:
    """Answer a demand.

    Args:
        demand: who asks for what, about whom.
        lists: the list version that holds.
        on: the day in Tashkent on which the broker received it; in a rehearsal any day.
        fetch_mode: which access grounds are open.
        rehearsal: whether nothing will be sent; then those who stand for a kind of requester may ask as well.

    Returns:
        One outcome for each distinct document demanded, in their order, and after them one for each document that
        replaces one of them and was not demanded itself.
    """
    documents = tuple({document.key: document for document in demand.documents}.values())
    if len(documents) > MAX_DOCUMENTS:
        return _refused(documents[:MAX_DOCUMENTS], Code.TOO_MANY_DOCUMENTS, lists, on, fetch_mode, None)
    groups = lists.groups_of(demand.requester, on)
    code = _refusal_before_subject(demand, lists, groups, on, rehearsal=rehearsal)
    basis = lists.legal_bases[demand.procedure] if code is None else None
    if code is None and basis is not None:
        code = _refusal_of_subject(demand, lists.procedures[demand.procedure], basis, on)
    if code is not None or basis is None:
        start = basis.start_basis if basis else None
        return _refused(documents, code or Code.UNKNOWN_PROCEDURE, lists, on, fetch_mode, start)
    inquiry = _Inquiry(demand, lists, basis, groups, on, fetch_mode)
    resolved = inquiry.answer(documents)
    if len(resolved) > MAX_DOCUMENTS:
        return _refused(documents, Code.TOO_MANY_DOCUMENTS, lists, on, fetch_mode, basis.start_basis)
    return Resolution(resolved, None, lists.digest, on, fetch_mode, basis.start_basis)


def _refused(
    documents: Iterable[DocumentDemand],
    code: Code,
    lists: ListVersion,
    on: date,
    fetch_mode: FetchMode,
    start: Basis | None,
) -> Resolution:
    return Resolution(
        tuple(_refused_document(document, code) for document in documents), code, lists.digest, on, fetch_mode, start
    )


def _refused_document(document: DocumentDemand, code: Code, rule: Rule | None = None) -> ResolvedDocument:
    return ResolvedDocument(
        document.document_type,
        document.about,
        document.parameters,
        Outcome.REFUSED,
        code,
        _NO,
        _REFUSED_STEPS.get(code, NextStep.CORRECT_DEMAND),
        rule,
    )


def _refusal_before_subject(
    demand: Demand, lists: ListVersion, groups: frozenset[str], on: date, *, rehearsal: bool
) -> Code | None:
    """A, up to the legal basis: the first failure, or None."""
    requester = lists.agencies.get(demand.requester)
    if requester is None:
        return Code.UNKNOWN_REQUESTER
    if not rehearsal and not requester.is_connected_kind:
        return Code.REQUESTER_HAS_NO_CONNECTION
    procedure = lists.procedures.get(demand.procedure)
    if procedure is None:
        return Code.UNKNOWN_PROCEDURE
    if not procedure.conducted_by(demand.requester, groups):
        return Code.PROCEDURE_NOT_YOURS
    return None


def _refusal_of_subject(demand: Demand, procedure: Procedure, basis: LegalBasis, on: date) -> Code | None:
    """A, from the legal basis on: the first failure, or None."""
    if not basis.in_force_on(on):
        return Code.LEGAL_BASIS_NOT_IN_FORCE
    if demand.subject.kind not in procedure.subjects:
        return Code.WRONG_SUBJECT
    applicant: DataSubject | None = None
    try:
        subject = data_subject(demand.subject.kind, demand.subject.text)
        for party in demand.parties:
            data_subject(party.kind, party.text)
        if demand.applicant is not None:
            applicant = data_subject(demand.applicant.kind, demand.applicant.text)
        for document in demand.documents:
            for name, value in document.parameters.items():
                check_parameter(name, value)
    except IdentifierError as error:
        return Code(error.code)
    if not basis.lets_act(demand.acting_as, subject, applicant, on):
        return Code.NOT_ENTITLED_TO_ACT
    return None


def check_parameter(name: str, value: str) -> None:
    """Raise IdentifierError for what no parameter may hold; a blank one is missing, which is another answer."""
    reject_forbidden(value)
    if name == SECOND_PERSON and value.strip():
        PersonId(value)


class _Inquiry:
    """B, for the documents of one demand that was taken."""

    __slots__ = (
        "basis",
        "circumstances",
        "demand",
        "groups",
        "lists",
        "mode",
        "on",
        "procedure",
        "requester",
        "roles",
    )

    def __init__(
        self,
        demand: Demand,
        lists: ListVersion,
        basis: LegalBasis,
        groups: frozenset[str],
        on: date,
        mode: FetchMode,
    ) -> None:
        self.demand = demand
        self.lists = lists
        self.basis = basis
        self.groups = groups
        self.on = on
        self.mode = mode
        self.requester: AgencyId = demand.requester
        self.procedure = lists.procedures[demand.procedure]
        implied = self.procedure.implies
        self.circumstances: Mapping[str, bool] = (
            {**demand.circumstances, **implied} if implied else demand.circumstances
        )
        self.roles: dict[str, Subject | None] = {}
        for party in demand.parties:
            # A role that two parties have names neither of them.
            self.roles[party.role] = None if party.role in self.roles else Subject(party.kind, party.text)

    def answer(self, documents: tuple[DocumentDemand, ...]) -> tuple[ResolvedDocument, ...]:
        """The documents in their order, then what replaces them; each distinct document once."""
        resolved = [self._document(document) for document in documents]
        if not any(document.replaced_by for document in resolved):
            return tuple(resolved)
        seen: set[DocumentKey] = {document.key for document in documents}
        for document in resolved:  # grows while it is walked
            if document.replaced_by is None:
                continue
            further = DocumentDemand(document.replaced_by, document.about, document.parameters)
            if further.key not in seen:
                seen.add(further.key)
                resolved.append(replace(self._document(further), replaces=document.document_type))
        return tuple(resolved)

    def _document(self, document: DocumentDemand) -> ResolvedDocument:
        if document.document_type not in self.lists.documents:
            return _refused_document(document, Code.UNKNOWN_DOCUMENT)
        subject: Subject | None = self.demand.subject
        if document.about is not None:
            subject = self.roles.get(document.about)
        if subject is None:
            return _refused_document(document, Code.UNKNOWN_ROLE)

        # 1: how the entries that concern this requester, subject and procedure stand; they come in the order of 3.
        binding: list[ProhibitedEntry] = []
        undetermined: list[tuple[ProhibitedEntry, Code]] = []
        bar_to_come_or_off = False
        for entry in self.lists.entries_of.get(document.document_type, ()):
            if not entry.concerns(self.requester, self.groups, subject.kind, self.procedure):
                continue
            standing = entry.standing(self.on, self.circumstances)
            if standing is BarStanding.BINDS:
                binding.append(entry)
            elif standing is BarStanding.START_NOT_ESTABLISHED:
                undetermined.append((entry, Code.START_NOT_ESTABLISHED))
            elif standing is BarStanding.CONDITION_UNSAID:
                undetermined.append((entry, Code.CONDITION_UNSAID))
            else:
                bar_to_come_or_off = True
        if binding:
            return self._barred(document, subject, binding)
        return self._not_barred(document, subject, undetermined, bar_to_come_or_off)

    def _barred(self, document: DocumentDemand, subject: Subject, binding: list[ProhibitedEntry]) -> ResolvedDocument:
        """4: what happens instead of asking."""
        entry = binding[0]
        disposition = entry.disposition
        if disposition is Disposition.ABOLISHED:
            return self._outcome(document, Outcome.NOT_NEEDED, Code.ABOLISHED, NextStep.GO_ON_WITHOUT, entry, binding)
        if disposition is Disposition.NOT_NEEDED:
            code = Code.NO_GROUND_TO_KNOW
            return self._outcome(document, Outcome.NOT_NEEDED, code, NextStep.GO_ON_WITHOUT, entry, binding)
        if entry.holder == self.requester:
            step = NextStep.LOOK_IN_OWN_REGISTER
            return self._outcome(document, Outcome.REPLACED, Code.OWN_REGISTER, step, entry, binding)
        if disposition is Disposition.REPLACED:
            step = NextStep.SEE_REPLACEMENT if entry.replaced_by else NextStep.GO_ON_WITH_REPLACEMENT
            replaced = self._outcome(document, Outcome.REPLACED, Code.REPLACED_BY, step, entry, binding)
            return replace(replaced, replaced_by=entry.replaced_by) if entry.replaced_by else replaced
        ways = [way for each in binding for way in self._ways_by_entry(document, subject, each)]
        way = taken(ways, self._in_order(document))
        rule = self._rule(way.entry or entry, binding, way.ground)
        return self._by_way(document, subject, way, ways, rule, _NO)

    def _in_order(self, document: DocumentDemand) -> tuple[Place, ...]:
        """By what the document may be proved, if the directory says so."""
        alternatives = self.lists.alternatives.get(document.document_type)
        return alternatives.in_order if alternatives is not None else ()

    def _ways_by_entry(self, document: DocumentDemand, subject: Subject, entry: ProhibitedEntry) -> list[Way]:
        """All ways to the data by an entry that fetches, one at least."""
        grounds = self.lists.grounds_for[entry.id]
        if subject.kind not in entry.about and SubjectKind.OBJECT not in entry.about:
            places: list[Place | None] = [Place(ground.holder, ground.evidence_type) for ground in grounds]
            return [Way(entry, place, Code.NOT_ABOUT_SUBJECT) for place in places or [None]]
        ways = [self._way_by_ground(document, subject, ground, entry) for ground in grounds]
        return ways or [Way(entry, None, Code.NO_GROUND_TO_KNOW)]

    def _way_by_ground(
        self, document: DocumentDemand, subject: Subject, ground: AccessGround, entry: ProhibitedEntry | None
    ) -> Way:
        """How far a ground leads: to the first of the tests that fails, or to a fetch."""
        place = Place(ground.holder, ground.evidence_type)
        if not (
            ground.in_force_for(self.requester, self.groups, self.procedure.id, self.on)
            and ground.is_about(subject.kind)
            and ground.meets(self.circumstances)
            and ground.holder != self.requester  # nobody fetches from itself
        ):
            return Way(entry, place, Code.NO_GROUND_TO_KNOW)
        if place in self.demand.asked:
            return Way(entry, place, Code.ALREADY_ASKED, ground)
        if ground.lacks(document.parameters):
            return Way(entry, place, Code.MISSING_PARAMETER, ground)
        if not ground.opened_by(self.mode):
            return Way(entry, place, Code.GROUND_NOT_VERIFIED, ground)
        holding = self.lists.directory.get(place)
        if holding is None or not holding.connected:
            return Way(entry, place, Code.HOLDER_NOT_CONNECTED, ground)
        return Way(entry, place, Code.GROUND, ground, holding)

    def _not_barred(
        self,
        document: DocumentDemand,
        subject: Subject,
        undetermined: list[tuple[ProhibitedEntry, Code]],
        bar_to_come_or_off: bool,
    ) -> ResolvedDocument:
        """2 where no bar binds, then 5."""
        named = self.basis.still_names(document.document_type, self.on, bar_to_come_or_off)
        asked = _OPEN if undetermined else _YES if named else _NO
        grounds = self.lists.own_grounds_of.get(document.document_type, ())
        none_left = False
        if grounds:
            ways = [self._way_by_ground(document, subject, ground, None) for ground in grounds]
            way = taken(ways, self._in_order(document))
            none_left = way.code is Code.ALREADY_ASKED
            if way.code is Code.GROUND and way.ground is not None:
                return self._by_way(document, subject, way, ways, _ground_rule(way.ground), asked)
        if undetermined:
            entry, code = undetermined[0]
            step = NextStep.SAY_CIRCUMSTANCE if code is Code.CONDITION_UNSAID else NextStep.ASK_LAWYER
            others = [other for other, _ in undetermined]
            return self._outcome(document, Outcome.UNDETERMINED, code, step, entry, others, asked)
        if named:
            return ResolvedDocument(
                document.document_type,
                document.about,
                document.parameters,
                Outcome.MAY_BE_ASKED,
                Code.NAMED,
                asked,
                NextStep.MAY_ASK_PERSON,
                named_basis=self.basis.documents_named_basis,
            )
        return _refused_document(document, Code.ALREADY_ASKED if none_left else Code.NOT_IN_PROCEDURE)

    def _outcome(
        self,
        document: DocumentDemand,
        outcome: Outcome,
        code: Code,
        step: NextStep,
        entry: ProhibitedEntry,
        entries: list[ProhibitedEntry],
        asked: PersonMayBeAsked = _NO,
    ) -> ResolvedDocument:
        rule = self._rule(entry, entries, None)
        return ResolvedDocument(
            document.document_type, document.about, document.parameters, outcome, code, asked, step, rule
        )

    def _by_way(
        self,
        document: DocumentDemand,
        subject: Subject,
        way: Way,
        ways: list[Way],
        rule: Rule,
        asked: PersonMayBeAsked,
    ) -> ResolvedDocument:
        """The outcome of the way that is taken (fetch, gap, not needed or refused), with the others beside it."""
        code, ground = way.code, way.ground
        if ground is None:
            outcome, step = Outcome.NOT_NEEDED, NextStep.GO_ON_WITHOUT
            return ResolvedDocument(
                document.document_type, document.about, document.parameters, outcome, code, asked, step, rule
            )
        alternatives = others(ways, self._in_order(document), way)
        if code is Code.MISSING_PARAMETER or code is Code.ALREADY_ASKED:
            return replace(_refused_document(document, code, rule), alternatives=alternatives)
        withheld = code in _WITHHELD
        return ResolvedDocument(
            document.document_type,
            document.about,
            document.parameters,
            Outcome.GAP if withheld else Outcome.FETCH,
            code,
            asked,
            NextStep.REQUEST_BY_OFFICIAL_LETTER if withheld else NextStep.WAIT_FOR_EVIDENCE,
            rule,
            provider=ground.holder,
            evidence_type=ground.evidence_type,
            fields=ground.fields,
            ground_id=ground.id,
            due=way.holding.due if way.holding else None,
            subject=None if withheld else subject,
            alternatives=alternatives,
        )

    def _rule(self, entry: ProhibitedEntry, entries: list[ProhibitedEntry], ground: AccessGround | None) -> Rule:
        return Rule(
            entry.id,
            tuple([other.id for other in entries if other is not entry]) if len(entries) > 1 else (),
            entry.act,
            entry.source,
            entry.in_force_from,
            entry.in_force_basis,
            entry.confidence,
            entry.disposition_basis,
            entry.text_read,
            self.lists.coverage_of(entry),
            ground,
        )


def _ground_rule(ground: AccessGround) -> Rule:
    """What a ground of its own shows where no entry decided."""
    return Rule(
        ground.id,
        (),
        ground.act,
        " | ".join(ground.sources),
        ground.in_force_from,
        DateBasis.IN_FORCE if ground.in_force_from else DateBasis.UNKNOWN,
        ground.basis,
        ground.basis,
        ground.text_read,
        NOT_COMPLETE,
        ground,
    )
