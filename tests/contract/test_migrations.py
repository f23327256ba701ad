"""Databases are brought to the revision of the code: whole or not at all, by one process at a time, and never back."""

import asyncio
import importlib
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Engine, Integer, MetaData, Table, create_engine, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from chopar.database import database_address, open_engine
from chopar.errors import ConfigurationError, RegisterRevisionError, RegisterUnavailableError
from chopar.migrations import Migrations, bring_up_to_date, differences
from services.tax.store import MIGRATIONS as TAX

pytest_plugins = ["tests.postgres_fixture"]

SERVICES = sorted(folder.parent.name for folder in Path("services").glob("*/migrations"))
HEAD = """
import os, signal
import sqlalchemy as sa
from alembic import op
revision = "{number:04}"
down_revision = {before}
def upgrade():
"""
FIRST = 'op.create_table("first", sa.Column("number", sa.Integer, primary_key=True))'
SECOND = """
op.create_table("second", sa.Column("number", sa.Integer, primary_key=True))
op.execute("INSERT INTO second VALUES (1)")
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> URL:
    url = f"sqlite:///{tmp_path}/it.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    return database_address(url, "the database")


@pytest.fixture
def engine(address: URL) -> Iterator[Engine]:
    """To look at the database, and to hold it, from outside."""
    drivers = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}
    engine = create_engine(address.set(drivername=drivers[address.get_backend_name()]))
    yield engine
    engine.dispose()


@pytest.fixture
def scripts(tmp_path: Path) -> Callable[..., Migrations]:
    """Revisions from the bodies of their `upgrade`."""

    def write(*bodies: str) -> Migrations:
        folder = tmp_path / "scripts"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for number, body in enumerate(bodies, 1):
            before = "None" if number == 1 else f'"{number - 1:04}"'
            head = HEAD.format(number=number, before=before)
            (folder / f"r{number:04}_x.py").write_text(head + textwrap.indent(body, "    "), "utf-8")
        metadata = MetaData()
        for table in ("first", "second")[: len(bodies)]:
            Table(table, metadata, Column("number", Integer, primary_key=True))
        return Migrations(folder, metadata, "the test's register")

    return write


def migrations_of(service: str) -> Migrations:
    folder = Path("services", service, "store")
    name = f"services.{service}.store.tables" if folder.is_dir() else f"services.{service}.store"
    migrations: Migrations = importlib.import_module(name).MIGRATIONS
    return migrations


def tables(engine: Engine) -> set[str]:
    with engine.connect() as connection:
        return set(inspect(connection).get_table_names())


def revision(engine: Engine) -> str:
    with engine.connect() as connection:
        return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())


@pytest.mark.parametrize("service", SERVICES)
async def test_migrated_tables_are_those_that_the_code_says(service: str, address: URL, engine: Engine) -> None:
    migrations = migrations_of(service)
    assert await bring_up_to_date(address, migrations) == migrations.revisions[-1] == revision(engine)
    assert await differences(address, migrations) == []
    with engine.connect() as connection:
        found = inspect(connection)
        for name, table in migrations.metadata.tables.items():
            assert found.get_pk_constraint(name)["constrained_columns"] == [c.name for c in table.primary_key]
            named = {constraint.name for constraint in table.constraints if constraint.name is not None}
            assert {check["name"] for check in found.get_check_constraints(name)} >= named
    assert await bring_up_to_date(address, migrations) == migrations.revisions[-1]


@pytest.mark.parametrize(("first", "second"), [("tax", "benefits"), ("registry_office", "tax"), ("utilities", "tax")])
async def test_two_services_share_no_version_table(address: URL, engine: Engine, first: str, second: str) -> None:
    """All number from 0001: the second would take the first's revision for its own, and find no table later."""
    await bring_up_to_date(address, migrations_of(first))
    before = tables(engine)
    with pytest.raises(RegisterRevisionError, match="is it another service's"):
        await bring_up_to_date(address, migrations_of(second))
    assert tables(engine) == before
    assert await differences(address, migrations_of(first)) == []


async def test_two_services_live_in_one_postgresql_database_in_schemas_of_their_own(postgres_url: str) -> None:
    at = database_address(postgres_url, "the database")
    engine = create_engine(at.set(drivername="postgresql+psycopg"))
    for service in ("tax", "benefits"):
        with engine.begin() as connection:
            connection.execute(text(f"CREATE SCHEMA {service}"))
        own = at.update_query_dict({"options": f"-csearch_path={service}"})
        migrations = migrations_of(service)
        for _ in range(2):
            assert await bring_up_to_date(own, migrations) == migrations.revisions[-1]
        assert await differences(own, migrations) == []
    with engine.connect() as connection:
        found = inspect(connection)
        assert {"alembic_version", "seeding"} <= set(found.get_table_names("tax")) & set(
            found.get_table_names("benefits")
        )
        assert found.get_table_names("public") == []
    engine.dispose()


async def test_a_register_that_lost_a_table_is_not_taken_for_whole(address: URL, engine: Engine) -> None:
    await bring_up_to_date(address, TAX)
    lost = "seeding"
    with engine.begin() as connection:
        connection.execute(text(f"DROP TABLE {lost}"))
    with pytest.raises(RegisterRevisionError, match=f"has no table {lost}"):
        await bring_up_to_date(address, TAX)


@pytest.mark.parametrize("service", SERVICES)
def test_the_scripts_are_one_line_and_numbered_as_their_files(service: str) -> None:
    migrations = migrations_of(service)
    directory = ScriptDirectory(migrations.folder, version_locations=[migrations.folder])
    line = [script.revision for script in directory.walk_revisions()]
    assert tuple(reversed(line)) == migrations.revisions
    assert directory.get_heads() == [migrations.revisions[-1]]


async def test_a_difference_is_seen(address: URL, scripts: Callable[..., Migrations]) -> None:
    migrations = scripts(FIRST, 'op.create_table("second", sa.Column("other", sa.Integer, primary_key=True))')
    await bring_up_to_date(address, migrations)
    found = await differences(address, migrations)
    assert any("add_column" in one and "number" in one for one in found)


async def test_a_register_without_a_revision_is_adopted_with_all_that_it_holds(address: URL, engine: Engine) -> None:
    TAX.metadata.create_all(engine, [TAX.metadata.tables["taxpayer"], TAX.metadata.tables["tax_debt"]])
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO taxpayer VALUES ('301234567', 'business', '2020-02-29')"))
    with pytest.raises(ConfigurationError, match="--migrate"):
        await bring_up_to_date(address, TAX, automatic=False)
    assert "alembic_version" not in tables(engine)
    await bring_up_to_date(address, TAX)
    assert revision(engine) == TAX.revisions[-1]
    assert await differences(address, TAX) == []
    with engine.connect() as connection:
        assert connection.execute(text("SELECT identifier FROM taxpayer")).scalars().all() == ["301234567"]


@pytest.mark.parametrize("foreign", ["CREATE TABLE taxpayer (name TEXT)", "CREATE TABLE tax_debt (tax TEXT)"])
async def test_tables_of_something_else_are_left_alone(address: URL, engine: Engine, foreign: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(foreign))
    before = tables(engine)
    with pytest.raises(RegisterRevisionError, match="something else"):
        await bring_up_to_date(address, TAX)
    assert tables(engine) == before


async def test_tables_beside_ours_do_not_matter(address: URL, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE inbox (number INTEGER)"))
    await bring_up_to_date(address, TAX, automatic=False)
    assert tables(engine) >= {"inbox", "taxpayer", "tax_debt"}


async def test_an_older_register_waits_for_leave(
    address: URL, engine: Engine, scripts: Callable[..., Migrations]
) -> None:
    await bring_up_to_date(address, scripts(FIRST), automatic=False)
    newer = scripts(FIRST, SECOND)
    with pytest.raises(ConfigurationError, match=r"revision 0001 and this version needs 0002.*--migrate"):
        await bring_up_to_date(address, newer, automatic=False)
    assert revision(engine) == "0001"
    assert await bring_up_to_date(address, newer) == "0002" == revision(engine)
    assert await bring_up_to_date(address, newer, automatic=False) == "0002"


async def test_a_newer_register_is_left_alone(address: URL, engine: Engine, scripts: Callable[..., Migrations]) -> None:
    await bring_up_to_date(address, scripts(FIRST, SECOND))
    with pytest.raises(RegisterRevisionError, match=r"revision 0002.*up to 0001"):
        await bring_up_to_date(address, scripts(FIRST))
    assert revision(engine) == "0002"


@pytest.mark.parametrize(
    "broken", ["op.execute('INSERT INTO nothing VALUES (1)')", "op.execute('INSERT INTO second VALUES (1)')"]
)
async def test_a_migration_that_fails_leaves_nothing(
    address: URL, engine: Engine, scripts: Callable[..., Migrations], broken: str
) -> None:
    with pytest.raises(RegisterRevisionError, match="nothing was changed") as raised:
        await bring_up_to_date(address, scripts(FIRST, SECOND + broken))
    assert "INSERT" not in str(raised.value)
    assert tables(engine) == set()
    await bring_up_to_date(address, scripts(FIRST))
    with pytest.raises(RegisterRevisionError):
        await bring_up_to_date(address, scripts(FIRST, SECOND + broken))
    assert tables(engine) == {"alembic_version", "first"}
    assert revision(engine) == "0001"


def _process(address: URL, migrations: Migrations) -> subprocess.Popen[str]:
    program = """
import asyncio, sys
from pathlib import Path
from sqlalchemy import MetaData
from sqlalchemy.engine import make_url
from chopar.migrations import Migrations, bring_up_to_date
print("begins", flush=True)
asyncio.run(bring_up_to_date(make_url(sys.argv[1]), Migrations(Path(sys.argv[2]), MetaData(), "it")))
"""
    shown = address.render_as_string(hide_password=False)
    arguments = [sys.executable, "-c", program, shown, str(migrations.folder)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


async def test_a_process_killed_in_the_middle_leaves_nothing(
    address: URL, engine: Engine, scripts: Callable[..., Migrations]
) -> None:
    await bring_up_to_date(address, scripts(FIRST))
    with _process(address, scripts(FIRST, SECOND + "os.kill(os.getpid(), signal.SIGKILL)")) as killed:
        killed.communicate(timeout=60)
    assert killed.returncode == -9
    assert tables(engine) == {"alembic_version", "first"}
    assert await bring_up_to_date(address, scripts(FIRST, SECOND)) == "0002"
    with engine.connect() as connection:
        assert connection.execute(text("SELECT number FROM second")).scalars().all() == [1]


def _hold(engine: Engine) -> Callable[[], None]:
    """Take the lock that migrations take; gives what lets go of it."""
    connection = engine.connect()
    if engine.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": 0x43686F7061720001})
    else:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    def let_go() -> None:
        connection.rollback()
        connection.close()

    return let_go


def test_two_that_start_at_once_run_each_revision_once(
    address: URL, engine: Engine, scripts: Callable[..., Migrations]
) -> None:
    migrations = scripts(FIRST, SECOND)
    with engine.begin() as connection:  # SQLite then writes ahead, so that the two can look while it is held
        connection.execute(text("CREATE TABLE beside (number INTEGER)"))
    let_go = _hold(engine)
    processes = [_process(address, migrations) for _ in range(2)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "begins\n"
    let_go()
    for process in processes:
        with process:
            process.communicate(timeout=60)
    assert [process.returncode for process in processes] == [0, 0]
    with engine.connect() as connection:
        assert connection.execute(text("SELECT number FROM second")).scalars().all() == [1]
    assert revision(engine) == "0002"


async def test_many_in_one_process_do_not_meet(tmp_path: Path, scripts: Callable[..., Migrations]) -> None:
    migrations = scripts(FIRST, SECOND)
    addresses = [database_address(f"sqlite:///{tmp_path}/{number % 4}.db", "it") for number in range(8)]
    assert await asyncio.gather(*(bring_up_to_date(one, migrations) for one in addresses)) == ["0002"] * 8


async def test_who_waits_too_long_for_the_lock_says_so(address: URL, engine: Engine) -> None:
    let_go = _hold(engine)
    try:
        with pytest.raises(RegisterUnavailableError, match="the tax register does not answer") as raised:
            await bring_up_to_date(address, TAX, lock_seconds=0.2)
        assert raised.value.retriable
    finally:
        let_go()
    assert await bring_up_to_date(address, TAX, lock_seconds=5) == TAX.revisions[-1]


async def test_references_to_nothing_are_not_kept(tmp_path: Path, scripts: Callable[..., Migrations]) -> None:
    reference = 'op.create_table("second", sa.Column("number", sa.Integer, sa.ForeignKey("first.number")))'
    address = database_address(f"sqlite:///{tmp_path}/it.db", "it")
    with pytest.raises(RegisterRevisionError, match="references to nothing"):
        await bring_up_to_date(address, scripts(FIRST, f'{reference}\nop.execute("INSERT INTO second VALUES (7)")'))
    await bring_up_to_date(address, scripts(FIRST, reference))


@pytest.mark.parametrize("url", ["sqlite:////nowhere/at/all/it.db", "postgresql://127.0.0.1:9/it"])
async def test_a_database_that_is_not_there_is_unavailable(url: str) -> None:
    with pytest.raises(RegisterUnavailableError):
        await bring_up_to_date(database_address(url, "it"), TAX)


async def test_a_service_shipped_without_scripts_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="shipped without"):
        await bring_up_to_date(database_address("sqlite://", "it"), Migrations(tmp_path, MetaData(), "it"))


async def test_many_who_open_one_new_sqlite_file_at_once_all_get_in(tmp_path: Path) -> None:
    engines = [open_engine(make_url(f"sqlite+aiosqlite:///{tmp_path / 'new.db'}")) for _ in range(12)]

    async def ask(engine: AsyncEngine) -> str:
        async with engine.connect() as connection:
            return str((await connection.execute(text("PRAGMA journal_mode"))).scalar_one())

    try:
        assert await asyncio.gather(*(ask(engine) for engine in engines)) == ["wal"] * len(engines)
    finally:
        for engine in engines:
            await engine.dispose()
