"""What may not be demanded: from whom, by whom, since when.

An entry bars asking; it gives nobody a right to know (`access_ground`). Which of several entries decides, and what then
happens, is the resolver's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import Enum, auto

from chopar.identifiers import AgencyId, DocumentType, SubjectKind
from gateway.agencies import Procedure
from gateway.lists.reading import Table, Verification
from gateway.lists.vocabulary import Basis, DataClass, DateBasis, Disposition, TextRead

_OPENING = tuple(Disposition)  # in the order of what opens least


class BarStanding(Enum):
    """How an entry stands towards a demand on a day."""

    NOT_YET = auto()
    CONDITION_IS_NO = auto()
    START_NOT_ESTABLISHED = auto()
    CONDITION_UNSAID = auto()
    BINDS = auto()


@dataclass(frozen=True, slots=True)
class DocumentKind:
    """A kind of document that the lists know, with its names."""

    id: DocumentType
    name_en: str
    name_uz: str
    name_ru: str

    @classmethod
    def read(cls, table: Table) -> "DocumentKind":
        """Read an entry of the documents' file.

        Raises:
            LawUnreadableError: it says less, more or other than that.
        """
        return cls(
            id=DocumentType(table.text("id")),
            name_en=table.text("name_en"),
            name_uz=table.optional_text("name_uz"),
            name_ru=table.optional_text("name_ru"),
        )


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of an announced list is known here."""

    id: str
    known: int
    total: int
    basis: Basis
    note: str
    sources: tuple[str, ...]

    @classmethod
    def read(cls, table: Table) -> "Coverage":
        """Read a coverage entry.

        Raises:
            LawUnreadableError: it says less, more or other than that.
        """
        entry = cls(
            id=table.text("id"),
            known=table.number("known"),
            total=table.number("total"),
            basis=table.word("basis", Basis),
            note=table.optional_text("note"),
            sources=table.texts("sources"),
        )
        if entry.known > entry.total:
            raise table.fault("more is known than there is")
        return entry

    def __str__(self) -> str:
        return f"knows {self.known} of {self.total}"


@dataclass(frozen=True, slots=True)
class ProhibitedEntry:
    """One prohibition: a document type, who may not ask for it, from whom, where, since when, and what instead."""

    id: str
    document_type: DocumentType
    name_en: str
    name_uz: str
    name_ru: str
    names_in_source: str
    barred_agencies: frozenset[AgencyId]
    barred_groups: frozenset[str]
    from_whom: tuple[SubjectKind, ...]
    scope: str
    every_public_service: bool
    in_force_from: date | None
    in_force_basis: DateBasis
    condition: str
    act: str
    disposition: Disposition
    disposition_basis: Basis
    replaced_by: DocumentType | None
    replacement_note: str
    data_class: DataClass
    about: tuple[SubjectKind, ...]
    parameters: tuple[str, ...]
    holder: AgencyId | None
    holder_basis: Basis | None
    reason_code: str
    answer_data: str
    text_read: TextRead
    confidence: Basis
    coverage: str
    verified: Verification | None
    note: str
    sources: tuple[str, ...]
    source: str = field(repr=False)
    """The sources in one line; ` | ` separates."""
    order: tuple[int, bool, bool, date, str] = field(repr=False)

    @classmethod
    def read(cls, table: Table) -> "ProhibitedEntry":
        """Read an entry of the prohibited list's file.

        Raises:
            LawUnreadableError: it says less, more or other than a prohibition.
        """
        holder, holder_basis = table.optional_text("holder"), None
        if holder:
            holder_basis = table.word("holder_basis", Basis)
        name, in_force_from = table.text("id"), table.day("in_force_from")
        every_public_service, sources = table.flag("every_public_service"), table.texts("sources")
        disposition, confidence = table.word("disposition", Disposition), table.word("confidence", Basis)
        entry = cls(
            id=name,
            document_type=DocumentType(table.text("document_type")),
            name_en=table.text("name_en"),
            name_uz=table.optional_text("name_uz"),
            name_ru=table.optional_text("name_ru"),
            names_in_source=table.optional_text("names_in_source"),
            barred_agencies=frozenset(AgencyId(text) for text in table.texts("barred_agencies")),
            barred_groups=frozenset(table.texts("barred_groups")),
            from_whom=table.words("from_whom", SubjectKind),
            scope=table.optional_text("scope"),
            every_public_service=every_public_service,
            in_force_from=in_force_from,
            in_force_basis=table.word("in_force_basis", DateBasis),
            condition=table.optional_text("condition"),
            act=table.text("act"),
            disposition=disposition,
            disposition_basis=table.word("disposition_basis", Basis),
            replaced_by=DocumentType(table.optional_text("replaced_by")) or None,
            replacement_note=table.optional_text("replacement_note"),
            data_class=table.word("data_class", DataClass),
            about=table.words("about", SubjectKind),
            parameters=table.texts("parameters"),
            holder=AgencyId(holder) if holder else None,
            holder_basis=holder_basis,
            reason_code=table.optional_text("reason_code"),
            answer_data=table.optional_text("answer_data"),
            text_read=table.word("text_read", TextRead),
            confidence=confidence,
            coverage=table.optional_text("coverage"),
            verified=Verification.read(table),
            note=table.optional_text("note"),
            sources=sources,
            source=" | ".join(sources),
            order=(
                _OPENING.index(disposition),
                every_public_service,
                confidence is Basis.INFERRED,
                in_force_from or date.min,
                name,
            ),
        )
        entry._check(table)
        return entry

    def _check(self, table: Table) -> None:
        if not (self.barred_agencies or self.barred_groups):
            raise table.fault("it binds nobody")
        if not self.from_whom or SubjectKind.OBJECT in self.from_whom or not self.about:
            raise table.fault("from_whom and about: whom it protects and what it is about are due")
        if bool(self.scope) is self.every_public_service:
            raise table.fault("either a scope or every_public_service is due")
        if self.in_force_from is None and self.in_force_basis is not DateBasis.UNKNOWN:
            raise table.fault("in_force_basis speaks of a day that is not given")
        if self.disposition is Disposition.FETCH and self.holder is None:
            raise table.fault("it fetches from no holder")
        if self.replaced_by and self.disposition is not Disposition.REPLACED:
            raise table.fault("replaced_by stands in an entry that replaces nothing")

    def concerns(self, requester: AgencyId, groups: frozenset[str], kind: SubjectKind, procedure: Procedure) -> bool:
        """Whether the entry speaks to this requester, of this kind of subject, in this procedure (on whatever day).

        Args:
            requester: who asks.
            groups: the groups it is a member of that day.
            kind: what is asked: the subject, or the party that the document is about.
            procedure: what for.
        """
        if kind not in self.from_whom:
            return False
        if not (procedure.public_service if self.every_public_service else self.scope in procedure.scopes):
            return False
        return requester in self.barred_agencies or not self.barred_groups.isdisjoint(groups)

    def standing(self, on: date, circumstances: Mapping[str, bool]) -> BarStanding:
        """How the entry stands that day; the first of five that holds. With no date at all it binds.

        Args:
            on: the day.
            circumstances: yes and no by code, with what the procedure implies; one that is absent is unsaid.
        """
        before = self.in_force_from is not None and on < self.in_force_from
        if before and self.in_force_basis.is_first_day:
            return BarStanding.NOT_YET
        condition = circumstances.get(self.condition) if self.condition else True
        if condition is False:
            return BarStanding.CONDITION_IS_NO
        if before:
            return BarStanding.START_NOT_ESTABLISHED
        return BarStanding.BINDS if condition else BarStanding.CONDITION_UNSAID
