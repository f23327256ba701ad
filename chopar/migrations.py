"""Brings a service's database to the revision that its code was written for, with Alembic, at start.

A service ships its revisions as `migrations/rNNNN_what.py` (Alembic scripts, one after the other, numbered) and says
what the tables look like after the newest; nobody needs an `alembic.ini`. All that is missing runs in one transaction
under a lock of the database, on SQLite too, so a process that dies in it leaves nothing half done and two that start
at once do not meet. A database that is newer than the code is left alone.

Alembic itself is loaded only where there is something to do. What the tables hold is left to the services.
"""

import asyncio
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Connection, Engine, MetaData, NullPool, create_engine, event, inspect, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from chopar.database import write_ahead
from chopar.errors import ConfigurationError, RegisterRevisionError, RegisterUnavailableError

VERSION_TABLE = "alembic_version"
_IN_EVERY_REGISTER = frozenset({"seeding"})

_SCRIPT = re.compile(r"r(\d{4})_\w+\.py")
# Whoever waits for the lock waits for another process's migration: longer than a statement, shorter than an operator.
_LOCK_SECONDS = 60
# Any number will do, as long as every process of ours takes the same: advisory locks are a database's own.
_ADVISORY_LOCK = 0x43686F7061720001
_SYNCHRONOUS_DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}

# `alembic.op`, which scripts use, is one for the whole process.
_one_at_a_time = threading.Lock()
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Migrations:
    """The revisions of one kind of database.

    Attributes:
        folder: holds the scripts, `rNNNN_what.py` with `revision = "NNNN"`, each naming the one before it as
            `down_revision`.
        metadata: the tables after the newest.
        what: lies in the database, for messages: "the tax register".
    """

    folder: Path
    metadata: MetaData
    what: str

    @property
    def revisions(self) -> tuple[str, ...]:
        """Their numbers, oldest first.

        Raises:
            ConfigurationError: the folder holds none: the service was shipped without.
        """
        found = sorted(match[1] for path in self.folder.glob("r*.py") if (match := _SCRIPT.fullmatch(path.name)))
        if not found:
            raise ConfigurationError(f"{self.what}: no migrations in {self.folder}; was it shipped without them?")
        return tuple(found)


async def bring_up_to_date(
    address: URL, migrations: Migrations, *, automatic: bool = True, lock_seconds: float = _LOCK_SECONDS
) -> str:
    """Run what is missing; does nothing to a database that is at its newest revision.

    A database without a revision of its own whose tables are those of the first one is adopted as that.

    Args:
        address: of the database, as `database_address` gives it.
        migrations: of the service.
        automatic: whether an older database may be changed; an empty one is filled either way.
        lock_seconds: how long to wait for another process that migrates.

    Returns:
        The revision that it is at now.

    Raises:
        ConfigurationError: it is older, and `automatic` is off.
        RegisterRevisionError: it is newer than the code, holds tables that are not those of the first revision, or a
            migration failed; nothing was changed.
        RegisterUnavailableError: retriable; it does not answer, is locked, or cannot be written. Nothing was changed.
    """
    return await asyncio.to_thread(_bring_up_to_date, address, migrations, automatic, lock_seconds)


async def differences(address: URL, migrations: Migrations) -> Sequence[str]:
    """Where a database differs from what the code says of its tables; for tests of a service.

    Raises:
        RegisterUnavailableError: retriable; the database does not answer.
    """
    return await asyncio.to_thread(_differences, address, migrations)


def _bring_up_to_date(address: URL, migrations: Migrations, automatic: bool, lock_seconds: float) -> str:
    newest = migrations.revisions[-1]
    with _engine(address, migrations.what, lock_seconds) as engine:
        with engine.connect() as connection:  # without the lock, which a writer may hold
            if _standing(connection, migrations) == newest:
                return newest
        with _one_at_a_time, engine.connect().execution_options(locks=True) as connection, connection.begin():
            if connection.dialect.name == "postgresql":
                connection.execute(text(f"SET LOCAL lock_timeout = {int(lock_seconds * 1000)}"))
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
            before = _standing(connection, migrations)
            if before == newest:
                return newest
            adopted = before is None and _adoptable(connection, migrations)
            if not automatic and (before or adopted):
                raise ConfigurationError(
                    f"{migrations.what} is of revision {before or migrations.revisions[0]} and this version needs "
                    f"{newest}, but it may not migrate by itself: make a backup and run it once with --migrate"
                )
            _upgrade(connection, migrations, adopted)
    _log.info("register.migrated", before=before, adopted=adopted, revision=newest)
    return newest


def _standing(connection: Connection, migrations: Migrations) -> str | None:
    """The revision that a database is at, None without one."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalars().all()  # noqa: S608  a constant
    if not found:
        return None
    _require_own(connection, migrations, str(found[0]))
    known = migrations.revisions
    unknown = [revision for revision in found if revision not in known]
    if unknown or len(found) > 1:
        raise RegisterRevisionError(
            f"{migrations.what} is of revision {', '.join(sorted(found))}, and this version knows those up to "
            f"{known[-1]}: run the newer version again, or restore the backup that was made before it"
        )
    return str(found[0])


def _require_own(connection: Connection, migrations: Migrations, revision: str) -> None:
    """Refuse a database whose revision is counted, but not of these tables: every service numbers its own from 0001.

    Raises:
        RegisterRevisionError: says which tables are missing, and what to do.
    """
    expected = set(migrations.metadata.tables)
    present = set(inspect(connection).get_table_names())
    missing = sorted(expected - present)
    has_none = not (expected & present) - _IN_EVERY_REGISTER
    if missing and (has_none or revision == migrations.revisions[-1]):
        raise RegisterRevisionError(
            f"the database of {migrations.what} says that it is of revision {revision}, but has no table "
            f"{', '.join(missing)}: is it another service's? Each needs a database, or a PostgreSQL schema, of its own "
            f"(?options=-csearch_path=NAME in its address); a register that lost tables is restored from its backup"
        )


def _adoptable(connection: Connection, migrations: Migrations) -> bool:
    """Whether the tables of the first revision are there, made when nobody counted revisions.

    Raises:
        RegisterRevisionError: some of them are, or they have other columns.
    """
    scratch = create_engine("sqlite://")
    try:
        with scratch.begin() as empty:
            _run(empty, migrations, to=migrations.revisions[0])
            expected = _columns(empty)
    finally:
        scratch.dispose()
    del expected[VERSION_TABLE]
    present = _columns(connection)
    common = expected.keys() & present.keys()
    if common and any(present.get(table) != columns for table, columns in expected.items()):
        raise RegisterRevisionError(
            f"the database of {migrations.what} has no revision, and its tables are not those of the first one: "
            f"is it the database of something else? Nothing was changed"
        )
    return bool(common)


def _columns(connection: Connection) -> dict[str, frozenset[str]]:
    found: Mapping[Any, Any] = inspect(connection).get_multi_columns()
    return {table: frozenset(column["name"] for column in columns) for (_, table), columns in found.items()}


def _upgrade(connection: Connection, migrations: Migrations, adopt: bool) -> None:
    _run(connection, migrations, to=migrations.revisions[-1], adopt=adopt)
    if connection.dialect.name == "sqlite":
        # Foreign keys are off meanwhile, as SQLite wants it where tables are made anew; so all are checked at the end.
        broken = connection.execute(text("PRAGMA foreign_key_check")).first()
        if broken is not None:
            raise RegisterRevisionError(f"a migration of {migrations.what} leaves references to nothing; not kept")


def _run(connection: Connection, migrations: Migrations, *, to: str, adopt: bool = False) -> None:
    """Run all scripts up to one (`adopt`: the first is noted as run), in the transaction that is under way."""
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    scripts = ScriptDirectory(migrations.folder, version_locations=[migrations.folder])

    def steps(present: Any, _: Any) -> Any:
        return scripts._upgrade_revs(to, present)

    context = MigrationContext.configure(connection, opts={"fn": steps, "version_table": VERSION_TABLE})
    try:
        if adopt:
            context.stamp(scripts, migrations.revisions[0])
        with Operations.context(context):
            context.run_migrations()
    except CommandError as error:
        raise ConfigurationError(f"the migrations of {migrations.what} are no line of revisions: {error}") from error


def _differences(address: URL, migrations: Migrations) -> list[str]:
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    with _engine(address, migrations.what, _LOCK_SECONDS) as engine, engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        return [repr(difference) for difference in compare_metadata(context, migrations.metadata)]


@contextmanager
def _engine(address: URL, what: str, lock_seconds: float) -> Iterator[Engine]:
    """An engine for migrations; what the database says is translated, and its own words are not repeated."""
    backend = address.get_backend_name()
    engine = create_engine(
        address.set(drivername=_SYNCHRONOUS_DRIVERS[backend]), poolclass=NullPool, hide_parameters=True
    )
    if backend == "sqlite":
        milliseconds = int(lock_seconds * 1000)

        def set_up(connection: Any, _: object) -> None:
            # None: the driver begins no transactions, so that ours holds what changes tables too.
            connection.isolation_level = None
            for pragma in (f"busy_timeout={milliseconds}", "synchronous=FULL", "foreign_keys=OFF"):
                connection.execute(f"PRAGMA {pragma}").close()
            write_ahead(lambda: connection.execute("PRAGMA journal_mode=WAL").close(), lock_seconds)

        def begin(connection: Connection) -> None:
            locks = connection.get_execution_options().get("locks")
            connection.exec_driver_sql("BEGIN IMMEDIATE" if locks else "BEGIN")

        event.listen(engine, "connect", set_up)
        event.listen(engine, "begin", begin)
    try:
        yield engine
    except (SQLAlchemyError, OSError) as error:
        told = error.orig if isinstance(error, DBAPIError) else error
        cause = type(told).__name__
        wrong_statement = getattr(told, "sqlite_errorname", None) == "SQLITE_ERROR"  # not locked, full or away
        if isinstance(error, (OperationalError, OSError)) and not wrong_statement:
            raise RegisterUnavailableError(f"{what} does not answer ({cause}); nothing was changed") from None
        raise RegisterRevisionError(f"a migration of {what} failed ({cause}); nothing was changed") from None
    finally:
        engine.dispose()
