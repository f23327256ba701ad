"""The register of civil status acts in a database, its double in memory, and how evidence functions ask both."""

from chopar.identifiers import PersonId
from chopar.provider.lookups import CoalescedLookups
from services.registry_office.model.book import PersonFile
from services.registry_office.model.register import CivilStore
from services.registry_office.store.memory import DictCivilStore
from services.registry_office.store.sql import SqlCivilStore

__all__ = ["CoalescingCivilRegister", "DictCivilStore", "SqlCivilStore"]


class CoalescingCivilRegister:
    """The register as evidence functions ask it: look-ups made at the same time are one statement of the store."""

    def __init__(self, store: CivilStore) -> None:
        self._lookups: CoalescedLookups[PersonId, PersonFile] = CoalescedLookups(store.files_of)

    async def file_of(self, person: PersonId) -> PersonFile | None:
        """As `CivilRegister` says."""
        return await self._lookups.get(person)

    async def close(self) -> None:
        """End what runs; who waits gets RegisterUnavailableError. The store stays open."""
        await self._lookups.close()
