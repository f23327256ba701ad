"""Small look-ups in SQLite at once: the same rows as by SQLAlchemy, and the usual way where that cannot be."""

import sqlite3
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import Column, Date, Integer, MetaData, String, Table, bindparam, insert, select

from chopar.errors import RegisterUnavailableError
from chopar.migrations import Migrations
from chopar.provider.few_rows import FewRows
from chopar.provider.register import RegisterDatabase

METADATA = MetaData()
PERSON = Table(
    "person",
    METADATA,
    Column("name", String(20), primary_key=True),
    Column("born_on", Date),
    Column("children", Integer, nullable=False),
)
NAMED = (
    select(PERSON.c.name, PERSON.c.born_on, PERSON.c.children)
    .where(PERSON.c.name.in_(bindparam("names", expanding=True)), PERSON.c.children >= bindparam("least"))
    .order_by(PERSON.c.name)
    .limit(20)
)
BORN = select(PERSON.c.name).where(PERSON.c.born_on == bindparam("day"))
PEOPLE = [{"name": f"name-{n:02d}", "born_on": date(1990, 1, 1 + n) if n else None, "children": n} for n in range(12)]
NAMES = [person["name"] for person in PEOPLE]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "it's 100 % ours.db"


@pytest.fixture
async def database(file: Path) -> AsyncIterator[RegisterDatabase]:
    made = RegisterDatabase(f"sqlite:///{file}", Migrations(file.parent, METADATA, "the register"))
    async with made.writing() as connection:
        await connection.run_sync(METADATA.create_all)
        await connection.execute(insert(PERSON), PEOPLE)
    yield made
    await made.close()


@pytest.mark.parametrize("names", [NAMES[:1], NAMES[:3], NAMES[2:10], NAMES, [], ["nobody"], [NAMES[5], NAMES[1]]])
async def test_rows_are_those_of_sqlalchemy(database: RegisterDatabase, names: list[str]) -> None:
    parameters = {"names": names, "least": 0}
    async with database.reading() as connection:
        usual = [tuple(row) for row in await connection.execute(NAMED, parameters)]
    assert [tuple(row) for row in await database.rows(NAMED, parameters)] == usual
    assert len(usual) == len(set(names) & set(NAMES))


async def test_few_are_found_at_once_and_what_changed_is_seen(database: RegisterDatabase, file: Path) -> None:
    few = FewRows(file)
    assert few.find(NAMED, {"names": NAMES[:2], "least": 1}) == [("name-01", date(1990, 1, 2), 1)]
    async with database.writing() as connection:
        await connection.execute(insert(PERSON), [{"name": "new", "born_on": None, "children": 7}])
        assert few.find(NAMED, {"names": ["new"], "least": 0}) == []  # not committed yet, and nobody waits
    assert few.find(NAMED, {"names": ["new"], "least": 0}) == [("new", None, 7)]
    few.close()
    assert few.find(NAMED, {"names": ["new"], "least": 0}) == [("new", None, 7)]
    few.close()


async def test_the_usual_way_for_many_for_none_and_for_what_is_converted(
    database: RegisterDatabase, file: Path
) -> None:
    few = FewRows(file)
    assert few.find(NAMED, {"names": NAMES[:9], "least": 0}) is None
    assert few.find(NAMED, {"names": [], "least": 0}) is None
    assert few.find(BORN, {"day": date(1990, 1, 4)}) is None
    assert [tuple(row) for row in await database.rows(BORN, {"day": date(1990, 1, 4)})] == [("name-03",)]
    few.close()


async def test_a_file_that_is_locked_or_gone_is_left_to_the_usual_way(database: RegisterDatabase, file: Path) -> None:
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("PRAGMA locking_mode=EXCLUSIVE")
    await database.close()
    holder.execute("PRAGMA journal_mode=DELETE")
    holder.execute("BEGIN EXCLUSIVE")
    few = FewRows(file)
    assert few.find(NAMED, {"names": NAMES[:1], "least": 0}) is None
    holder.execute("ROLLBACK")
    holder.close()
    assert few.find(NAMED, {"names": NAMES[:1], "least": 0}) == [("name-00", None, 0)]
    few.close()
    missing = FewRows(file.with_name("missing.db"))
    assert missing.find(NAMED, {"names": NAMES[:1], "least": 0}) is None
    assert not file.with_name("missing.db").exists()


async def test_a_statement_that_does_not_fit_says_what_the_usual_way_says(file: Path) -> None:
    database = RegisterDatabase(f"sqlite:///{file}", Migrations(file.parent, METADATA, "the register"))
    file.touch()
    with pytest.raises(RegisterUnavailableError, match="the register does not answer"):
        await database.rows(NAMED, {"names": NAMES[:1], "least": 0})
    await database.close()
