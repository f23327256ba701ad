"""Administrative regulations: what a procedure rests on, since when, which documents it names, who may act in it.

No demand without one. Whom a procedure is about and who conducts it stands in `agencies`.
"""

from dataclasses import dataclass
from datetime import date

from chopar.identifiers import DataSubject, DocumentType, PersonId, ProcedureId
from chopar.messages.demand import ActingAs
from gateway.agencies import within
from gateway.lists.reading import Table
from gateway.lists.vocabulary import Basis


@dataclass(frozen=True, slots=True)
class LegalBasis:
    """The regulation of one procedure.

    `changed_on` is the day on which the number of documents changed, never the start of the legal basis.
    """

    procedure: ProcedureId
    act: str
    act_from: date | None
    act_until: date | None
    documents_named: frozenset[DocumentType]
    documents_named_basis: Basis
    changed_on: date | None
    acting_for_person: frozenset[ActingAs]
    acting_for_business: frozenset[ActingAs]
    acting_basis: Basis
    parent_acts_below_years: int
    documents_before: str
    count_before: str
    documents_after: str
    count_after: str
    service_standard: str
    confidence: Basis
    note: str
    sources: tuple[str, ...]

    @classmethod
    def read(cls, table: Table, procedure: ProcedureId) -> "LegalBasis":
        """Take a legal basis's keys from an entry of the regulations' file.

        Raises:
            LawUnreadableError: a key is missing or wrong.
        """
        entry = cls(
            procedure=procedure,
            act=table.text("legal_basis"),
            act_from=table.day("legal_basis_from"),
            act_until=table.day("legal_basis_until"),
            documents_named=frozenset(DocumentType(text) for text in table.texts("documents_named")),
            documents_named_basis=table.word("documents_named_basis", Basis),
            changed_on=table.day("changed_on"),
            acting_for_person=frozenset(table.words("acting_for_person", ActingAs)),
            acting_for_business=frozenset(table.words("acting_for_business", ActingAs)),
            acting_basis=table.word("acting_basis", Basis),
            parent_acts_below_years=table.number("parent_acts_below_years"),
            documents_before=table.optional_text("documents_before"),
            count_before=table.optional_text("count_before"),
            documents_after=table.optional_text("documents_after"),
            count_after=table.optional_text("count_after"),
            service_standard=table.optional_text("service_standard"),
            confidence=table.word("confidence", Basis),
            note=table.optional_text("note"),
            sources=table.texts("sources"),
        )
        if entry.act_from and entry.act_until and entry.act_until < entry.act_from:
            raise table.fault("legal_basis_until lies before legal_basis_from")
        return entry

    @property
    def start_basis(self) -> Basis:
        """Whether a source states since when it is in force; without a day it counts as in force, by our reading."""
        return Basis.STATED if self.act_from else Basis.INFERRED

    def in_force_on(self, day: date) -> bool:
        """Whether the regulation is in force that day; the last day counts."""
        return within(day, self.act_from, self.act_until)

    def lets_act(self, acting_as: ActingAs, subject: DataSubject, applicant: DataSubject | None, on: date) -> bool:
        """Whether somebody may act for the subject in that capacity.

        Oneself and the agency of its own motion: no other applicant than the subject. A parent, guardian or
        representative: somebody else, who is named; a parent and a guardian are persons, and a parent acts for a
        minor only.

        Args:
            acting_as: the capacity.
            subject: whom the procedure is about.
            applicant: who applied; None: the subject.
            on: the day, for the subject's age.
        """
        for_person = isinstance(subject, PersonId)
        if acting_as not in (self.acting_for_person if for_person else self.acting_for_business):
            return False
        somebody_else = applicant is not None and applicant != subject
        if acting_as in (ActingAs.SELF, ActingAs.EX_OFFICIO):
            return not somebody_else
        if not somebody_else:
            return False
        if acting_as is ActingAs.REPRESENTATIVE:
            return True
        if not (isinstance(applicant, PersonId) and isinstance(subject, PersonId)):
            return False
        return acting_as is ActingAs.GUARDIAN or _age(subject.born_on, on) < self.parent_acts_below_years

    def still_names(self, document_type: DocumentType, on: date, bar_to_come_or_off: bool) -> bool:
        """Whether the regulation names a document that day.

        Args:
            document_type: the document.
            on: the day.
            bar_to_come_or_off: an entry of the prohibited list for it has a date still to come, or a condition that
                is no: only such documents are named from the day of the change on.
        """
        if document_type not in self.documents_named:
            return False
        return self.changed_on is None or on < self.changed_on or bar_to_come_or_off


def _age(born_on: date, on: date) -> int:
    return on.year - born_on.year - ((on.month, on.day) < (born_on.month, born_on.day))
