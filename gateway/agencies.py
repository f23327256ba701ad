"""Agencies, groups and their dated members, procedures and who conducts them.

Who is bound or entitled is said elsewhere in terms of these; on what legal basis a procedure runs is `legal_basis`'s.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from chopar.errors import IdentifierError
from chopar.identifiers import AgencyId, ProcedureId, SubjectKind, agency_id
from gateway.lists.reading import Table
from gateway.lists.vocabulary import Basis


class AgencyKind(StrEnum):
    """What an agency is in the exchange."""

    REGISTRY = "registry"
    COMMUNAL = "communal"
    TELECOM = "telecom"
    FRONT_OFFICE = "front-office"
    PLATFORM = "platform"
    GROUP_REPRESENTATIVE = "group-representative"


@dataclass(frozen=True, slots=True)
class Agency:
    """A body that asks or holds; a group-representative stands for a kind of requester and has no connection."""

    id: AgencyId
    name_en: str
    name_uz: str
    name_ru: str
    kind: AgencyKind
    registers: tuple[str, ...]
    special_register: bool
    information_systems: str
    basis: Basis
    note: str
    sources: tuple[str, ...]

    @classmethod
    def read(cls, table: Table) -> "Agency":
        """Read an entry of the agencies' file.

        Raises:
            LawUnreadableError: it says less, more or other than an agency.
        """
        text = table.text("id")
        try:
            checked = agency_id(text)
        except IdentifierError as error:
            raise table.fault(f"id: {error}") from error
        return cls(
            id=checked,
            name_en=table.text("name_en"),
            name_uz=table.optional_text("name_uz"),
            name_ru=table.optional_text("name_ru"),
            kind=table.word("kind", AgencyKind),
            registers=table.texts("registers"),
            special_register=table.flag("special_register"),
            information_systems=table.optional_text("information_systems"),
            basis=table.word("basis", Basis),
            note=table.optional_text("note"),
            sources=table.texts("sources"),
        )

    @property
    def is_connected_kind(self) -> bool:
        """Whether it is a body that can send demands, and not one that stands for many."""
        return self.kind is not AgencyKind.GROUP_REPRESENTATIVE


@dataclass(frozen=True, slots=True)
class Membership:
    """An agency's membership of a group, from one day to another; the last day counts."""

    group: str
    agency: AgencyId
    member_from: date | None
    member_until: date | None
    basis: Basis
    note: str
    sources: tuple[str, ...]

    @classmethod
    def read(cls, table: Table) -> "Membership":
        """Read an entry of the groups' file.

        Raises:
            LawUnreadableError: it says less, more or other than a membership.
        """
        entry = cls(
            group=table.text("group"),
            agency=AgencyId(table.text("agency")),
            member_from=table.day("member_from"),
            member_until=table.day("member_until"),
            basis=table.word("basis", Basis),
            note=table.optional_text("note"),
            sources=table.texts("sources"),
        )
        if entry.member_from and entry.member_until and entry.member_until < entry.member_from:
            raise table.fault("member_until lies before member_from")
        return entry

    def holds_on(self, day: date) -> bool:
        """Whether the agency is a member that day."""
        return within(day, self.member_from, self.member_until)


@dataclass(frozen=True, slots=True)
class Procedure:
    """One procedure: whom it is about, who conducts it, which scopes of the list cover it."""

    id: ProcedureId
    name_en: str
    name_uz: str
    name_ru: str
    subjects: tuple[SubjectKind, ...]
    conducted_by_agencies: frozenset[AgencyId]
    conducted_by_groups: frozenset[str]
    public_service: bool
    scopes: frozenset[str]
    implies: Mapping[str, bool]
    data_from: frozenset[AgencyId]

    @classmethod
    def read(cls, table: Table) -> "Procedure":
        """Take a procedure's keys from an entry of the regulations' file (the rest is its legal basis).

        Raises:
            LawUnreadableError: a key is missing or wrong.
        """
        entry = cls(
            id=ProcedureId(table.text("id")),
            name_en=table.text("name_en"),
            name_uz=table.optional_text("name_uz"),
            name_ru=table.optional_text("name_ru"),
            subjects=table.words("subjects", SubjectKind),
            conducted_by_agencies=frozenset(AgencyId(text) for text in table.texts("conducted_by_agencies")),
            conducted_by_groups=frozenset(table.texts("conducted_by_groups")),
            public_service=table.flag("public_service"),
            scopes=frozenset(table.texts("scopes")),
            implies=table.flags("implies"),
            data_from=frozenset(AgencyId(text) for text in table.texts("data_from")),
        )
        if not entry.subjects or SubjectKind.OBJECT in entry.subjects:
            raise table.fault("subjects: persons, businesses or both are due")
        if not (entry.conducted_by_agencies or entry.conducted_by_groups):
            raise table.fault("nobody conducts it")
        return entry

    def conducted_by(self, agency: AgencyId, groups: frozenset[str]) -> bool:
        """Whether it is that agency's procedure, itself or through the groups it is a member of that day."""
        return agency in self.conducted_by_agencies or not groups.isdisjoint(self.conducted_by_groups)


def within(day: date, first: date | None, last: date | None) -> bool:
    """Whether a day lies between two days, both included; an absent one leaves that side open."""
    return (first is None or day >= first) and (last is None or day <= last)
