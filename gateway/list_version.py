"""One bundle of everything that the resolver reads, by its digest; cross-checked and indexed when it is loaded.

The bundle is seven TOML files and, under `schemas/`, texts that travel with them and are no business of this module
(they count in the digest). Which version holds at a broker time is said by `law.activated`, not here. Only `load`
touches a disk.
"""

import hashlib
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TypeVar
from weakref import WeakValueDictionary

from chopar.errors import LawUnreadableError
from chopar.identifiers import AgencyId, DocumentType, EvidenceType, ProcedureId
from chopar.near import did_you_mean
from gateway.access_ground import AccessGround
from gateway.agencies import Agency, Membership, Procedure
from gateway.evidence_directory import Alternatives, DirectoryEntry
from gateway.legal_basis import LegalBasis
from gateway.lists.reading import ListFile, Table, called
from gateway.naming import Called, Naming, NamingKey
from gateway.prohibited_list import Coverage, DocumentKind, ProhibitedEntry

AGENCIES, GROUPS, REGULATIONS = "agencies.toml", "groups.toml", "regulations.toml"
DOCUMENTS, PROHIBITED, GROUNDS, DIRECTORY = "documents.toml", "prohibited.toml", "grounds.toml", "directory.toml"
FILES = (AGENCIES, GROUPS, REGULATIONS, DOCUMENTS, PROHIBITED, GROUNDS, DIRECTORY)
"""The files of a bundle, all of them due."""

SCHEMAS = "schemas/"
NOT_COMPLETE = "not complete"
"""The coverage of an entry that belongs to no announced list of known length."""

_NAMINGS = {Called.GROUP: GROUPS, Called.SCOPE: REGULATIONS, Called.EVIDENCE_TYPE: DIRECTORY}

_Entry = TypeVar("_Entry")
_Key = TypeVar("_Key", bound=Hashable)


def bundle_digest(files: Mapping[str, bytes]) -> str:
    """SHA-256 (hex) over the files in the order of their names, each name and content preceded by its length.

    Args:
        files: content by name; folders in names are separated by `/`.
    """
    digest = hashlib.sha256()
    for name in sorted(files):
        for part in (name.encode(), files[name]):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True, weakref_slot=True)
class ListVersion:
    """Everything that the resolver reads, in one version.

    The first fields are the lists as they were written; those from `entries_of` on are prepared for the resolver.
    """

    digest: str
    agencies: Mapping[AgencyId, Agency]
    memberships: tuple[Membership, ...]
    procedures: Mapping[ProcedureId, Procedure]
    legal_bases: Mapping[ProcedureId, LegalBasis]
    documents: Mapping[DocumentType, DocumentKind]
    coverages: Mapping[str, Coverage]
    prohibited: Mapping[str, ProhibitedEntry]
    grounds: Mapping[str, AccessGround]
    directory: Mapping[tuple[AgencyId, EvidenceType], DirectoryEntry]
    alternatives: Mapping[DocumentType, Alternatives]
    namings: Mapping[NamingKey, Naming]
    entries_of: Mapping[DocumentType, tuple[ProhibitedEntry, ...]] = field(repr=False)
    """Entries by document type, each list in the order in which they decide."""
    grounds_for: Mapping[str, tuple[AccessGround, ...]] = field(repr=False)
    """Grounds by the entry that they serve: those made from it, then those of their own for its document."""
    own_grounds_of: Mapping[DocumentType, tuple[AccessGround, ...]] = field(repr=False)
    """Grounds that were made from no entry, by document type."""
    _memberships_of: Mapping[AgencyId, tuple[Membership, ...]] = field(repr=False)
    _undated_groups: Mapping[AgencyId, frozenset[str]] = field(repr=False)
    _coverage_texts: Mapping[str, str] = field(repr=False)

    @classmethod
    def load(cls, directory: Path) -> "ListVersion":
        """Read a bundle from a folder: its TOML files, and what lies under `schemas/`.

        Raises:
            LawUnreadableError: a file is missing, cannot be read, or says what cannot be understood.
        """
        paths = [*directory.glob("*.toml"), *(path for path in directory.glob(f"{SCHEMAS}**/*") if path.is_file())]
        try:
            return cls.from_files({path.relative_to(directory).as_posix(): path.read_bytes() for path in paths})
        except OSError as error:
            raise LawUnreadableError(f"the lists cannot be read from disk: {error.strerror}") from error

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> "ListVersion":
        """Read a bundle; what somebody still holds of the same lists is not read again.

        Args:
            files: content by name.

        Raises:
            LawUnreadableError: names the file and the entry that cannot be understood.
        """
        missing = [name for name in FILES if name not in files]
        unknown = [name for name in sorted(files) if name not in FILES and not name.startswith(SCHEMAS)]
        if missing or unknown:
            raise LawUnreadableError(
                f"a bundle of lists holds {', '.join(FILES)}; missing: {', '.join(missing) or 'none'}, "
                f"unknown: {', '.join(unknown) or 'none'}"
            )
        digest, said = bundle_digest(files), bundle_digest({name: files[name] for name in FILES})
        known = _held.get(said)
        if known is not None:
            return known if known.digest == digest else replace(known, digest=digest)
        return _held.setdefault(said, cls._from_files(files, digest))

    @classmethod
    def _from_files(cls, files: Mapping[str, bytes], digest: str) -> "ListVersion":
        read = {name: ListFile(name, files[name]) for name in FILES}
        procedures: dict[ProcedureId, Procedure] = {}
        legal_bases: dict[ProcedureId, LegalBasis] = {}
        for table in read[REGULATIONS].tables("procedure"):
            procedure = Procedure.read(table)
            _add(procedures, procedure.id, procedure, table)
            legal_bases[procedure.id] = LegalBasis.read(table, procedure.id)
        lists = _indexed(
            digest=digest,
            agencies=_by_key(read[AGENCIES].tables("agency"), Agency.read, lambda entry: entry.id),
            memberships=tuple(Membership.read(table) for table in read[GROUPS].tables("member", "group")),
            procedures=procedures,
            legal_bases=legal_bases,
            documents=_by_key(read[DOCUMENTS].tables("document"), DocumentKind.read, lambda entry: entry.id),
            coverages=_by_key(read[PROHIBITED].tables("coverage"), Coverage.read, lambda entry: entry.id),
            prohibited=_by_key(read[PROHIBITED].tables("entry"), ProhibitedEntry.read, lambda entry: entry.id),
            grounds=_by_key(read[GROUNDS].tables("ground"), AccessGround.read, lambda entry: entry.id),
            directory=_by_key(
                read[DIRECTORY].tables("holding", "provider"),
                DirectoryEntry.read,
                lambda entry: (entry.provider, entry.evidence_type),
            ),
            alternatives=_by_key(
                read[DIRECTORY].tables("alternatives", "document_type"),
                Alternatives.read,
                lambda entry: entry.document_type,
            ),
            namings=_by_key(
                (table for what in Called for table in read[_NAMINGS[what]].tables(what)),
                lambda table: Naming.read(table, Called(table.array)),
                lambda entry: entry.key,
            ),
        )
        for file in read.values():
            file.finish()
        _check_references(lists)
        return lists

    def groups_of(self, agency: AgencyId, on: date) -> frozenset[str]:
        """The groups that an agency is a member of that day."""
        undated = self._undated_groups.get(agency)
        if undated is not None:
            return undated
        return frozenset(entry.group for entry in self._memberships_of.get(agency, ()) if entry.holds_on(on))

    def coverage_of(self, entry: ProhibitedEntry) -> str:
        """How complete the list that an entry belongs to is known here: "knows 6 of 32", else "not complete"."""
        return self._coverage_texts.get(entry.coverage, NOT_COMPLETE)


_held: WeakValueDictionary[str, ListVersion] = WeakValueDictionary()
"""The versions that are in use, by the digest of their lists alone: a change of fetch mode, secret or schemas brings
another bundle with the same lists."""


def _add(entries: dict[_Key, _Entry], key: _Key, entry: _Entry, table: Table) -> None:
    if key in entries:
        raise table.fault("it stands there twice")
    entries[key] = entry


def _by_key(
    tables: Iterable[Table], read: Callable[[Table], _Entry], key: Callable[[_Entry], _Key]
) -> dict[_Key, _Entry]:
    entries: dict[_Key, _Entry] = {}
    for table in tables:
        entry = read(table)
        _add(entries, key(entry), entry, table)
    return entries


def connected_agencies(directory: Path) -> list[AgencyId]:
    """The agencies of a folder of lists that have topics: all but those that stand for a kind of body.

    Reads their file alone: what all lists say takes a megabyte, and who has topics is asked before anything is known.

    Raises:
        LawUnreadableError: the file is missing, cannot be read, or says what cannot be understood.
    """
    try:
        content = (directory / AGENCIES).read_bytes()
    except OSError as error:
        raise LawUnreadableError(f"the lists cannot be read from disk: {error.strerror}") from error
    agencies = _by_key(ListFile(AGENCIES, content).tables("agency"), Agency.read, lambda entry: entry.id)
    return sorted(agency.id for agency in agencies.values() if agency.is_connected_kind)


def _indexed(
    *,
    digest: str,
    agencies: Mapping[AgencyId, Agency],
    memberships: tuple[Membership, ...],
    procedures: Mapping[ProcedureId, Procedure],
    legal_bases: Mapping[ProcedureId, LegalBasis],
    documents: Mapping[DocumentType, DocumentKind],
    coverages: Mapping[str, Coverage],
    prohibited: Mapping[str, ProhibitedEntry],
    grounds: Mapping[str, AccessGround],
    directory: Mapping[tuple[AgencyId, EvidenceType], DirectoryEntry],
    alternatives: Mapping[DocumentType, Alternatives],
    namings: Mapping[NamingKey, Naming],
) -> ListVersion:
    entries_of = _grouped(sorted(prohibited.values(), key=lambda entry: entry.order), lambda entry: entry.document_type)
    in_order = [grounds[name] for name in sorted(grounds)]
    own = _grouped((ground for ground in in_order if not ground.made_from), lambda ground: ground.document_type)
    made = _grouped((ground for ground in in_order if ground.made_from), lambda ground: ground.made_from)
    memberships_of = _grouped(memberships, lambda entry: entry.agency)
    return ListVersion(
        digest=digest,
        agencies=agencies,
        memberships=memberships,
        procedures=procedures,
        legal_bases=legal_bases,
        documents=documents,
        coverages=coverages,
        prohibited=prohibited,
        grounds=grounds,
        directory=directory,
        alternatives=alternatives,
        namings=namings,
        entries_of=entries_of,
        grounds_for={
            entry.id: made.get(entry.id, ()) + own.get(entry.document_type, ()) for entry in prohibited.values()
        },
        own_grounds_of=own,
        _memberships_of=memberships_of,
        _undated_groups={
            agency: frozenset(entry.group for entry in entries)
            for agency, entries in memberships_of.items()
            if all(entry.member_from is None and entry.member_until is None for entry in entries)
        },
        _coverage_texts={name: str(coverage) for name, coverage in coverages.items()},
    )


def _grouped(entries: Iterable[_Entry], key: Callable[[_Entry], _Key]) -> dict[_Key, tuple[_Entry, ...]]:
    groups: dict[_Key, list[_Entry]] = {}
    for entry in entries:
        groups.setdefault(key(entry), []).append(entry)
    return {name: tuple(group) for name, group in groups.items()}


def _check_references(lists: ListVersion) -> None:
    """Refuse names that no file explains.

    Raises:
        LawUnreadableError: names file, entry and name.
    """
    groups = frozenset(entry.group for entry in lists.memberships)
    types = frozenset(evidence_type for _, evidence_type in lists.directory)
    scopes = frozenset(scope for procedure in lists.procedures.values() for scope in procedure.scopes)

    def known(file: str, entry: str, what: str, names: Iterable[str], among: Collection[str]) -> None:
        strangers = sorted(set(names).difference(among))
        if strangers:
            meant = did_you_mean(strangers[0], among)
            raise LawUnreadableError(f"{file}: {entry}: unknown {what}: {', '.join(map(called, strangers))}{meant}")

    for membership in lists.memberships:
        known(GROUPS, f"member {membership.group}", "agency", [membership.agency], lists.agencies)
    for procedure in lists.procedures.values():
        name = f"procedure {procedure.id}"
        known(REGULATIONS, name, "agency", procedure.conducted_by_agencies | procedure.data_from, lists.agencies)
        known(REGULATIONS, name, "group", procedure.conducted_by_groups, groups)
        known(REGULATIONS, name, "document type", lists.legal_bases[procedure.id].documents_named, lists.documents)
    for entry in lists.prohibited.values():
        name = f"entry {entry.id}"
        known(PROHIBITED, name, "agency", entry.barred_agencies, lists.agencies)
        known(PROHIBITED, name, "agency", [entry.holder] if entry.holder else [], lists.agencies)
        known(PROHIBITED, name, "group", entry.barred_groups, groups)
        known(PROHIBITED, name, "scope", [entry.scope] if entry.scope else [], scopes)
        known(PROHIBITED, name, "document type", [entry.document_type], lists.documents)
        known(PROHIBITED, name, "document type", [entry.replaced_by] if entry.replaced_by else [], lists.documents)
        known(PROHIBITED, name, "coverage", [entry.coverage] if entry.coverage else [], lists.coverages)
    for holding in lists.directory.values():
        known(
            DIRECTORY,
            f"holding {holding.provider} {holding.evidence_type}",
            "agency",
            [holding.provider],
            lists.agencies,
        )
    for order in lists.alternatives.values():
        name = f"alternatives {order.document_type}"
        known(DIRECTORY, name, "document type", [order.document_type], lists.documents)
        held = [" ".join(place) for place in lists.directory]
        known(DIRECTORY, name, "holding", [" ".join(place) for place in order.in_order], held)
    for ground in lists.grounds.values():
        name = f"ground {ground.id}"
        known(GROUNDS, name, "agency", ground.requester_agencies | {ground.holder}, lists.agencies)
        known(GROUNDS, name, "group", ground.requester_groups, groups)
        known(GROUNDS, name, "procedure", ground.procedures, lists.procedures)
        known(GROUNDS, name, "document type", [ground.document_type], lists.documents)
        known(GROUNDS, name, "evidence type", [ground.evidence_type], types)
        if (ground.holder, ground.evidence_type) not in lists.directory:
            raise LawUnreadableError(f"{GROUNDS}: {name}: its holder does not hold {ground.evidence_type}")
        known(GROUNDS, name, "entry", [ground.made_from] if ground.made_from else [], lists.prohibited)
        if ground.made_from and lists.prohibited[ground.made_from].document_type != ground.document_type:
            raise LawUnreadableError(f"{GROUNDS}: {name}: made from an entry about another document type")
