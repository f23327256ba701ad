"""The social register in a database (SQLite as embedded default, PostgreSQL in production), and its double in memory.

One set of statements serves both databases; connections, time-outs, revisions, errors are `chopar.provider.register`'s.
Rules are left to the model, synthetic entries to the seed.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from sqlalchemy import (
    BigInteger,
    BindParameter,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from chopar.identifiers import DataSubject, PersonId
from chopar.migrations import Migrations
from chopar.provider.lookups import CoalescedLookups
from chopar.provider.register import RegisterStore, seeding_table
from services.benefits.model import (
    MOST_TIYIN,
    Assessment,
    Benefit,
    BenefitKind,
    Category,
    SocialFile,
    SocialStore,
)

_METADATA = MetaData()
_ASSESSED = Table(
    "assessed",
    _METADATA,
    Column("identifier", String(14), primary_key=True),
    Column("category", String(32), nullable=True),
    Column("since", Date, nullable=False),
    Column("valid_until", Date, nullable=True),
    CheckConstraint("(category IS NULL) = (valid_until IS NULL)", name="taken_in_until_a_day"),
    CheckConstraint("valid_until IS NULL OR valid_until >= since", name="entry_ends_after_it_began"),
    sqlite_with_rowid=False,
)
_BENEFIT = Table(
    "benefit",
    _METADATA,
    Column("identifier", ForeignKey(_ASSESSED.c.identifier), primary_key=True),
    Column("kind", String(32), primary_key=True),
    Column("since", Date, primary_key=True),
    Column("valid_until", Date, nullable=False),
    Column("monthly_tiyin", BigInteger, nullable=False),
    CheckConstraint(f"monthly_tiyin BETWEEN 1 AND {MOST_TIYIN}", name="benefit_is_an_amount"),
    CheckConstraint("valid_until >= since", name="benefit_ends_after_it_began"),
    sqlite_with_rowid=False,
)
seeding_table(_METADATA)
MIGRATIONS = Migrations(Path(__file__).parent / "migrations", _METADATA, "the social register")

# One statement with a left join: who is unknown, has no benefit or has some costs the same, whatever is asked.
_FILES = (
    select(
        _ASSESSED.c.identifier,
        _ASSESSED.c.category,
        _ASSESSED.c.since,
        _ASSESSED.c.valid_until,
        _BENEFIT.c.kind,
        _BENEFIT.c.monthly_tiyin,
        _BENEFIT.c.since.label("benefit_since"),
        _BENEFIT.c.valid_until.label("benefit_valid_until"),
    )
    .select_from(_ASSESSED.outerjoin(_BENEFIT))
    .where(_ASSESSED.c.identifier.in_(bindparam("identifiers", expanding=True)))
)
_OF_ONE: BindParameter[str] = bindparam("of_identifier", type_=String())
_REASSESS = update(_ASSESSED).where(_ASSESSED.c.identifier == _OF_ONE)
_CLEAR_BENEFITS = delete(_BENEFIT).where(_BENEFIT.c.identifier == _OF_ONE)
_ADD_BENEFITS = insert(_BENEFIT)


class SqlSocialStore(RegisterStore):
    """The register in a database."""

    MIGRATIONS = MIGRATIONS

    async def files_of(self, subjects: Collection[DataSubject]) -> Mapping[DataSubject, SocialFile]:
        """As `SocialStore` says."""
        by_text = {subject.text: subject for subject in subjects if isinstance(subject, PersonId)}
        rows = await self._database.rows(_FILES, {"identifiers": list(by_text)})
        assessments: dict[str, Assessment] = {}
        benefits: dict[str, list[Benefit]] = {}
        for identifier, category, since, valid_until, kind, monthly_tiyin, benefit_since, benefit_until in rows:
            if identifier not in assessments:
                assessments[identifier] = Assessment(category and Category(category), since, valid_until)
            if kind is not None:
                benefit = Benefit(BenefitKind(kind), monthly_tiyin, benefit_since, benefit_until)
                benefits.setdefault(identifier, []).append(benefit)
        return {
            by_text[identifier]: SocialFile(by_text[identifier], assessment, tuple(benefits.get(identifier, ())))
            for identifier, assessment in assessments.items()
        }

    async def seed(self, files: Iterable[SocialFile], recipe: str | None = None) -> int:
        """As `SocialStore` says; one transaction, so a process that dies in it leaves nothing half done."""
        by_text = {file.person.text: file for file in files}
        rows = [_assessed_row(file) for file in by_text.values()]
        add_new_people = self._database.adding_new(_ASSESSED).returning(_ASSESSED.c.identifier)
        async with self._database.writing(bulk=True) as connection:
            added: Sequence[str] = ()
            if rows:
                added = (await connection.execute(add_new_people, rows)).scalars().all()
            benefits = [row for identifier in added for row in _benefit_rows(by_text[identifier])]
            if benefits:
                await connection.execute(_ADD_BENEFITS, benefits)
            if recipe is not None:
                await self._database.mark_seeded(connection, recipe, len(added))
        return len(added)

    async def put(self, file: SocialFile) -> None:
        """As `SocialStore` says; two that do so at the same time leave the file of one of them whole."""
        one = {"of_identifier": file.person.text}
        row = _assessed_row(file)
        async with self._database.writing() as connection:
            await connection.execute(self._database.adding_new(_ASSESSED), row)
            await connection.execute(_REASSESS.values(row), one)  # takes the lock, whoever added the row
            await connection.execute(_CLEAR_BENEFITS, one)
            benefits = _benefit_rows(file)
            if benefits:
                await connection.execute(_ADD_BENEFITS, benefits)


class DictSocialStore:
    """The register in memory, for tests and first tries."""

    def __init__(self) -> None:
        self._files: dict[DataSubject, SocialFile] = {}
        self._recipes: set[str] = set()

    async def files_of(self, subjects: Collection[DataSubject]) -> Mapping[DataSubject, SocialFile]:
        """As `SocialStore` says."""
        return {subject: self._files[subject] for subject in subjects if subject in self._files}

    async def seeded(self, recipe: str) -> bool:
        """As `SocialStore` says."""
        return recipe in self._recipes

    async def seed(self, files: Iterable[SocialFile], recipe: str | None = None) -> int:
        """As `SocialStore` says."""
        before = len(self._files)
        for file in files:
            self._files.setdefault(file.person, file)
        if recipe is not None:
            self._recipes.add(recipe)
        return len(self._files) - before

    async def put(self, file: SocialFile) -> None:
        """As `SocialStore` says."""
        self._files[file.person] = file

    async def close(self) -> None:
        """Nothing is held."""


class CoalescingSocialRegister:
    """The register as evidence functions ask it: look-ups made at the same time are one statement of the store."""

    def __init__(self, store: SocialStore) -> None:
        self._lookups: CoalescedLookups[DataSubject, SocialFile] = CoalescedLookups(store.files_of)

    async def file_of(self, subject: DataSubject) -> SocialFile | None:
        """As `SocialRegister` says."""
        return await self._lookups.get(subject)

    async def close(self) -> None:
        """End what runs; who waits gets RegisterUnavailableError. The store stays open."""
        await self._lookups.close()


def _assessed_row(file: SocialFile) -> dict[str, object]:
    assessment = file.assessment
    return {
        "identifier": file.person.text,
        "category": None if assessment.category is None else assessment.category.value,
        "since": assessment.since,
        "valid_until": assessment.valid_until,
    }


def _benefit_rows(file: SocialFile) -> list[dict[str, object]]:
    return [
        {
            "identifier": file.person.text,
            "kind": benefit.kind.value,
            "since": benefit.since,
            "valid_until": benefit.valid_until,
            "monthly_tiyin": benefit.monthly_tiyin,
        }
        for benefit in file.benefits
    ]
