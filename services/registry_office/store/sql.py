"""The register in a database: SQLite as embedded default, PostgreSQL in production, one set of statements.

A look-up is one statement whoever is asked about, known or not; connections, time-outs, revisions and errors are
`chopar.provider.register`'s. Rules are left to the model.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Select,
    and_,
    bindparam,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    union,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from chopar.errors import InvalidEntryError
from chopar.identifiers import PersonId
from chopar.provider.register import RegisterStore
from services.registry_office.model.acts import PARENTS, Act, ActKind, Role
from services.registry_office.model.book import GENERATIONS, OF_OTHERS, Book, Entry, PersonFile, person_file
from services.registry_office.model.names import search_digest
from services.registry_office.model.register import NameFound, name_found
from services.registry_office.store.tables import (
    ACT,
    ACT_PERSON,
    ENTRY_COLUMNS,
    JOURNAL,
    LEDGER,
    MIGRATIONS,
    act_row,
    entries_of,
    journal_row,
    participant_of,
    person_rows,
)

_MOST_ROWS = 400
"""Of one INSERT: some databases take no more than 32,766 parameters."""

_ENTRIES = select(*ENTRY_COLUMNS).join(ACT_PERSON, ACT_PERSON.c.act == ACT.c.number)


def _files() -> Select[Any]:
    """All rows of the files of people by their numbers, as `Book.file_of` has it."""
    asked = (
        select(ACT_PERSON.c.pinfl.label("asked"), ACT_PERSON.c.person, literal(0).label("up"))
        .where(ACT_PERSON.c.pinfl.in_(bindparam("numbers", expanding=True)))
        .distinct()
        .cte("ancestor", recursive=True)
    )
    child, parent = ACT_PERSON.alias("child"), ACT_PERSON.alias("parent")
    ancestor = asked.union(
        select(asked.c.asked, parent.c.person, asked.c.up + 1)
        .join(child, and_(child.c.person == asked.c.person, child.c.role == Role.CHILD.value))
        .join(parent, and_(parent.c.act == child.c.act, parent.c.role.in_([role.value for role in PARENTS])))
        .where(asked.c.up < GENERATIONS - 1, parent.c.person.is_not(None))
    )
    mine, named, theirs = ACT_PERSON.alias("mine"), ACT_PERSON.alias("named"), ACT_PERSON.alias("theirs")
    is_own: ColumnElement[bool] = and_(mine.c.person == ancestor.c.person, ancestor.c.up == 0)
    of_others = [role.value for role in OF_OTHERS]
    own_and_origin = select(ancestor.c.asked, mine.c.act).join(
        mine, and_(mine.c.person == ancestor.c.person, or_(ancestor.c.up == 0, mine.c.role == Role.CHILD.value))
    )
    others = (
        select(ancestor.c.asked, theirs.c.act)
        .join(mine, is_own)
        .join(named, named.c.act == mine.c.act)
        .join(theirs, and_(theirs.c.person == named.c.person, theirs.c.role.in_(of_others)))
    )
    wanted = union(own_and_origin, others).subquery("wanted")
    # Outer joins, though nothing can be missing: they keep SQLite from reading the people of all acts first.
    return select(wanted.c.asked, *ENTRY_COLUMNS).select_from(
        wanted.outerjoin(ACT, ACT.c.number == wanted.c.act).outerjoin(ACT_PERSON, ACT_PERSON.c.act == ACT.c.number)
    )


_FILES = _files()
_CONCERNED = (
    select(ACT_PERSON.c.person)
    .where(
        or_(
            ACT_PERSON.c.pinfl.in_(bindparam("numbers", expanding=True)),
            ACT_PERSON.c.act.in_(bindparam("acts", expanding=True)),
        )
    )
    .scalar_subquery()
)
# All that an act can touch or contradict: the acts that it names, and all of those who are in it or in them.
_TOUCHED = _ENTRIES.where(
    ACT.c.number.in_(
        select(ACT_PERSON.c.act).where(
            or_(ACT_PERSON.c.person.in_(_CONCERNED), ACT_PERSON.c.act.in_(bindparam("acts", expanding=True)))
        )
    )
)
_TAKE_SERIALS = (
    update(LEDGER)
    .values(last_serial=LEDGER.c.last_serial + bindparam("count"))
    .where(LEDGER.c.ledger == 1)
    .returning(LEDGER.c.last_serial)
)
_DIGEST: BindParameter[str] = bindparam("digest")
_NAMED = select(*ACT_PERSON.c).where(
    or_(ACT_PERSON.c.name_digest == _DIGEST, ACT_PERSON.c.name_after_digest == _DIGEST)
)
_ONCE = (
    select(ACT_PERSON.c.person, ACT_PERSON.c.role, ACT_PERSON.c.act)
    .join(ACT, ACT.c.number == ACT_PERSON.c.act)
    .where(
        ACT.c.kind.in_([ActKind.BIRTH.value, ActKind.DEATH.value]),
        ACT_PERSON.c.role.in_([Role.CHILD.value, Role.DECEASED.value]),
        ACT.c.superseded_by.is_(None),
        ACT_PERSON.c.person.is_not(None),
    )
    .subquery()
)
_TWICE = select(_ONCE.c.person, _ONCE.c.role).group_by(_ONCE.c.person, _ONCE.c.role).having(func.count() > 1).subquery()
_CONTRADICTIONS = select(_ONCE).join(_TWICE, and_(_ONCE.c.person == _TWICE.c.person, _ONCE.c.role == _TWICE.c.role))


class SqlCivilStore(RegisterStore):
    """The register in a database."""

    MIGRATIONS = MIGRATIONS
    WITHOUT_ENTRIES = RegisterStore.WITHOUT_ENTRIES | {LEDGER.name}

    async def files_of(self, persons: Collection[PersonId]) -> Mapping[PersonId, PersonFile]:
        """As `CivilStore` says."""
        by_text = {person.text: person for person in persons}
        async with self._database.reading() as connection:
            rows = (await connection.execute(_FILES, {"numbers": list(by_text)})).mappings().all()
        entries = entries_of(rows)
        keys: dict[str, str] = {}
        numbers: dict[str, set[str]] = {}
        for row in rows:
            if row["pinfl"] == row["asked"]:
                keys[row["asked"]] = row["person"]
            numbers.setdefault(row["asked"], set()).add(row["number"])
        return {
            by_text[asked]: person_file(keys[asked], (entries[number] for number in found))
            for asked, found in numbers.items()
        }

    async def record(self, act: Act) -> None:
        """As `CivilStore` says."""
        async with self._database.writing() as connection:
            added, _ = await self._into_journal(connection, [act])
            if not added:
                raise InvalidEntryError("the register has an act of this number")
            await _take_in(connection, act)

    async def seed(self, acts: Iterable[Act], recipe: str | None = None) -> int:
        """As `CivilStore` says; one transaction, so a process that dies in it leaves nothing half done.

        Acts that are there already are left out before the others are looked at, so a seed never undoes what was
        recorded since.
        """
        given = list(acts)
        async with self._database.writing(bulk=True) as connection:
            added, was_empty = await self._into_journal(connection, given)
            new = [act for act in given if act.number in added]
            entries = await _fill(connection, new) if was_empty else 0
            for act in [] if was_empty else new:
                entries += await _take_in(connection, act)
            if recipe is not None:
                await self._database.mark_seeded(connection, recipe, entries)
        return entries

    async def named(self, name: str) -> tuple[NameFound, ...]:
        """As `CivilStore` says."""
        async with self._database.reading() as connection:
            rows = (await connection.execute(_NAMED, {"digest": search_digest(name)})).mappings().all()
        found = [name_found(row["act"], participant_of(row), row["person"]) for row in rows]
        return tuple(sorted(found, key=lambda hit: (hit.act_number, hit.role)))

    async def contradictions(self) -> tuple[tuple[str, ...], ...]:
        """As `CivilStore` says."""
        async with self._database.reading() as connection:
            rows = (await connection.execute(_CONTRADICTIONS)).all()
        acts: dict[tuple[str, str], list[str]] = {}
        for person, role, number in rows:
            acts.setdefault((person, role), []).append(number)
        return tuple(sorted(tuple(sorted(numbers)) for numbers in acts.values()))

    async def _into_journal(self, connection: AsyncConnection, acts: Sequence[Act]) -> tuple[frozenset[str], bool]:
        """Add acts to the journal; the numbers of those that are new, and whether it was empty.

        Whoever is past this has the ledger's lock, so acts go in one after another.
        """
        last = (await connection.execute(_TAKE_SERIALS, {"count": len(acts)})).scalar_one()
        rows = [journal_row(last - len(acts) + place, act) for place, act in enumerate(acts, start=1)]
        add = self._database.adding_new(JOURNAL).returning(JOURNAL.c.number)
        added: set[str] = set()
        for start in range(0, len(rows), _MOST_ROWS):
            added |= set((await connection.execute(add, rows[start : start + _MOST_ROWS])).scalars())
        return frozenset(added), last == len(acts)


async def _take_in(connection: AsyncConnection, act: Act) -> int:
    """Record an act beside all that it can touch; gives how many entries it added."""
    acts = [number for number in (act.concerns, act.supersedes, act.number) if number is not None]
    people = [one.pinfl.text for one in act.participants if one.pinfl is not None]
    rows = (await connection.execute(_TOUCHED, {"numbers": people, "acts": acts})).mappings().all()
    book = Book(entries_of(rows).values())
    before = dict(book.entries)
    book.record(act)
    await _change(connection, before, book.entries)
    return len(book.entries) - len(before)


async def _fill(connection: AsyncConnection, acts: Iterable[Act]) -> int:
    """Record acts in an empty register, all at once; gives how many entries there are."""
    book = Book()
    for act in acts:
        book.record(act)
    await _change(connection, {}, book.entries)
    return len(book.entries)


async def _change(connection: AsyncConnection, before: Mapping[str, Entry], after: Mapping[str, Entry]) -> None:
    """Write what has changed; an entry that changed is written anew."""
    gone = [number for number, entry in before.items() if after.get(number) != entry]
    put = [entry for number, entry in after.items() if before.get(number) != entry]
    if gone:
        await connection.execute(delete(ACT_PERSON).where(ACT_PERSON.c.act.in_(gone)))
        await connection.execute(delete(ACT).where(ACT.c.number.in_(gone)))
    for start in range(0, len(put), _MOST_ROWS):
        some = put[start : start + _MOST_ROWS]
        await connection.execute(insert(ACT), [act_row(entry) for entry in some])
        await connection.execute(insert(ACT_PERSON), [row for entry in some for row in person_rows(entry)])
