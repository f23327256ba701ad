"""The register in memory, for tests and first tries."""

from collections.abc import Collection, Iterable, Mapping

from chopar.errors import InvalidEntryError
from chopar.identifiers import PersonId
from services.registry_office.model.acts import Act, ActKind, Role
from services.registry_office.model.book import Book, PersonFile
from services.registry_office.model.names import search_key
from services.registry_office.model.register import NameFound, name_found


class DictCivilStore:
    """A book and a journal."""

    def __init__(self) -> None:
        self._book = Book()
        self._journal: dict[str, Act] = {}
        self._seeded: set[str] = set()

    async def files_of(self, persons: Collection[PersonId]) -> Mapping[PersonId, PersonFile]:
        """As `CivilStore` says."""
        files = {person: self._book.file_of(person.text) for person in persons}
        return {person: file for person, file in files.items() if file is not None}

    async def record(self, act: Act) -> None:
        """As `CivilStore` says."""
        if act.number in self._journal:
            raise InvalidEntryError("the register has an act of this number")
        self._book.record(act)
        self._journal[act.number] = act

    async def seeded(self, recipe: str) -> bool:
        """As `CivilStore` says."""
        return recipe in self._seeded

    async def seed(self, acts: Iterable[Act], recipe: str | None = None) -> int:
        """As `CivilStore` says."""
        before = len(self._book.entries)
        book = Book(self._book.entries.values())
        new = {act.number: act for act in acts if act.number not in self._journal}
        for act in new.values():
            book.record(act)
        self._book, self._journal = book, {**self._journal, **new}
        if recipe is not None:
            self._seeded.add(recipe)
        return len(book.entries) - before

    async def named(self, name: str) -> tuple[NameFound, ...]:
        """As `CivilStore` says."""
        key = search_key(name)
        found = [
            name_found(entry.act.number, one, person)
            for entry in self._book.entries.values()
            for one, person in entry.named(*Role)
            if key in {search_key(written.whole) for written in (one.name, one.name_after) if written is not None}
        ]
        return tuple(sorted(found, key=lambda hit: (hit.act_number, hit.role)))

    async def contradictions(self) -> tuple[tuple[str, ...], ...]:
        """As `CivilStore` says."""
        acts: dict[tuple[str, str], list[str]] = {}
        for entry in self._book.entries.values():
            for one, person in entry.named(Role.CHILD, Role.DECEASED):
                once = entry.act.kind in (ActKind.BIRTH, ActKind.DEATH) and entry.superseded_by is None
                if person is not None and once:
                    acts.setdefault((person, one.role.value), []).append(entry.act.number)
        return tuple(sorted(tuple(sorted(numbers)) for numbers in acts.values() if len(numbers) > 1))

    async def close(self) -> None:
        """Nothing is held."""
