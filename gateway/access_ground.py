"""Access grounds: who may know what, by which act, from when to when.

A ground is an entry of its own. Most were made from a row of the prohibited list (`made_from`), and then serve that
row alone; one without is a ground of its own. Whether its holder is connected is `evidence_directory`'s to say.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from chopar.identifiers import AgencyId, DocumentType, EvidenceType, ProcedureId, SubjectKind
from chopar.messages.demand import FetchMode
from gateway.agencies import within
from gateway.lists.reading import Table, Verification
from gateway.lists.vocabulary import Basis, DataClass, TextRead


@dataclass(frozen=True, slots=True)
class AccessGround:
    """What gives requesters, in procedures, the fields of an evidence type."""

    id: str
    requester_agencies: frozenset[AgencyId]
    requester_groups: frozenset[str]
    procedures: frozenset[ProcedureId]
    about: tuple[SubjectKind, ...]
    condition: str
    document_type: DocumentType
    evidence_type: EvidenceType
    holder: AgencyId
    parameters: tuple[str, ...]
    fields: tuple[str, ...]
    data_class: DataClass
    act: str
    text_read: TextRead
    basis: Basis
    in_force_from: date | None
    in_force_until: date | None
    made_from: str
    verified: Verification | None
    note: str
    sources: tuple[str, ...]

    @classmethod
    def read(cls, table: Table) -> "AccessGround":
        """Read an entry of the grounds' file.

        Raises:
            LawUnreadableError: it says less, more or other than an access ground, or opens what needs a named act.
        """
        entry = cls(
            id=table.text("id"),
            requester_agencies=frozenset(AgencyId(text) for text in table.texts("requester_agencies")),
            requester_groups=frozenset(table.texts("requester_groups")),
            procedures=frozenset(ProcedureId(text) for text in table.texts("procedures")),
            about=table.words("about", SubjectKind),
            condition=table.optional_text("condition"),
            document_type=DocumentType(table.text("document_type")),
            evidence_type=EvidenceType(table.text("evidence_type")),
            holder=AgencyId(table.text("holder")),
            parameters=table.texts("parameters"),
            fields=table.texts("fields"),
            data_class=table.word("data_class", DataClass),
            act=table.optional_text("act"),
            text_read=table.word("text_read", TextRead),
            basis=table.word("basis", Basis),
            in_force_from=table.day("from"),
            in_force_until=table.day("until"),
            made_from=table.optional_text("made_from"),
            verified=Verification.read(table),
            note=table.optional_text("note"),
            sources=table.texts("sources"),
        )
        if not (entry.requester_agencies or entry.requester_groups) or not entry.procedures:
            raise table.fault("it entitles nobody, or in no procedure")
        if not entry.fields or not entry.about:
            raise table.fault("fields and about are due")
        if any(field.count(".") > 1 or not all(field.split(".")) for field in entry.fields):
            raise table.fault("fields: a name, or two with one dot between; deeper than that nothing is cut")
        if entry.in_force_from and entry.in_force_until and entry.in_force_until < entry.in_force_from:
            raise table.fault("until lies before from")
        if not entry.act and (entry.basis is Basis.STATED or entry.text_read is not TextRead.NONE):
            raise table.fault("it names no act, so nothing is stated and nothing was read")
        if not entry.act and entry.data_class is not DataClass.ORDINARY:
            raise table.fault(f"{entry.data_class} data need a named act")
        return entry

    def in_force_for(self, requester: AgencyId, groups: frozenset[str], procedure: ProcedureId, on: date) -> bool:
        """Whether the ground gives this requester the data in this procedure that day; the last day counts."""
        return (
            procedure in self.procedures
            and (requester in self.requester_agencies or not self.requester_groups.isdisjoint(groups))
            and within(on, self.in_force_from, self.in_force_until)
        )

    def is_about(self, kind: SubjectKind) -> bool:
        """Whether the data are about this kind of subject; an object is named by parameters, so it always is."""
        return kind in self.about or SubjectKind.OBJECT in self.about

    def meets(self, circumstances: Mapping[str, bool]) -> bool:
        """Whether its condition is said to hold; unsaid is not enough to know."""
        return not self.condition or circumstances.get(self.condition) is True

    def lacks(self, parameters: Mapping[str, str]) -> bool:
        """Whether a parameter that the holder needs is missing or blank."""
        return any(not parameters.get(name, "").strip() for name in self.parameters)

    def opened_by(self, mode: FetchMode) -> bool:
        """Whether the fetch mode opens it: `verified` only grounds whose act was read as published."""
        return mode is FetchMode.INFERRED or self.text_read is TextRead.OFFICIAL
