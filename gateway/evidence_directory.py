"""The evidence directory: which provider holds which evidence type, whether it is connected, and by when it promises.

Where a document may be proved by several of these, it names them in order. Who may ask is said by `access_ground`: an
order opens nothing.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from chopar.identifiers import AgencyId, DocumentType, EvidenceType
from chopar.messages.demand import MAX_ASKED
from gateway.lists.reading import Table
from gateway.lists.vocabulary import Basis

_BETWEEN = "/"
_FEWEST = 2


class Place(NamedTuple):
    """A holder, and what it is asked for; written `holder/evidence-type`."""

    holder: AgencyId
    evidence_type: EvidenceType

    def __str__(self) -> str:
        return f"{self.holder}{_BETWEEN}{self.evidence_type}"


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """A provider's holding of an evidence type.

    Args:
        provider: who holds it.
        evidence_type: what it answers.
        connected: whether it answers on the bus.
        due: its promise, from the broker time of the demand; late is information, never an outcome.
        basis: whether a source states the promise.
        note: doubts.
    """

    provider: AgencyId
    evidence_type: EvidenceType
    connected: bool
    due: timedelta
    basis: Basis
    note: str

    @classmethod
    def read(cls, table: Table) -> "DirectoryEntry":
        """Read an entry of the directory's file.

        Raises:
            LawUnreadableError: it says less, more or other than a holding.
        """
        entry = cls(
            provider=AgencyId(table.text("provider")),
            evidence_type=EvidenceType(table.text("evidence_type")),
            connected=table.flag("connected"),
            due=timedelta(hours=table.number("due_hours")),
            basis=table.word("basis", Basis),
            note=table.optional_text("note"),
        )
        if not entry.due:
            raise table.fault("due_hours: an hour or more is due")
        return entry


@dataclass(frozen=True, slots=True)
class Alternatives:
    """By what a document may be proved, in the order in which it is asked for.

    Args:
        document_type: the document.
        in_order: the places, the first one first.
        basis: whether a source states the order.
        note: doubts.
        sources: where it was read.
    """

    document_type: DocumentType
    in_order: tuple[Place, ...]
    basis: Basis
    note: str
    sources: tuple[str, ...]

    @classmethod
    def read(cls, table: Table) -> "Alternatives":
        """Read an order of the directory's file.

        Raises:
            LawUnreadableError: it says less, more or other than an order of two or more.
        """
        written = table.texts("in_order")
        places = [text.split(_BETWEEN) for text in written]
        if not _FEWEST <= len(places) <= MAX_ASKED:
            raise table.fault(f"in_order: {_FEWEST} or more are due, {MAX_ASKED} at most")
        if any(len(place) != len(Place._fields) or not all(place) for place in places):
            raise table.fault(f"in_order: each is written holder{_BETWEEN}evidence-type")
        return cls(
            document_type=DocumentType(table.text("document_type")),
            in_order=tuple(Place(AgencyId(holder), EvidenceType(evidence_type)) for holder, evidence_type in places),
            basis=table.word("basis", Basis),
            note=table.optional_text("note"),
            sources=table.texts("sources"),
        )
