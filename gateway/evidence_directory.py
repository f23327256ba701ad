"""The evidence directory: which provider holds which evidence type, whether it is connected, and by when it promises.

Who may ask it is said by `access_ground`.
"""

from dataclasses import dataclass
from datetime import timedelta

from chopar.identifiers import AgencyId, EvidenceType
from gateway.lists.reading import Table
from gateway.lists.vocabulary import Basis


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
