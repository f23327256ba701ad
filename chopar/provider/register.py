"""A provider's register in a database: SQLite as embedded default, PostgreSQL in production, one set of statements.

Brings the tables to the revision of the code, bounds the time of whatever is asked, and says nothing but
RegisterUnavailableError if the database does not answer: locked, full, away, or of another shape than the code. No
identifier reaches a log or an error: SQLAlchemy hides parameters, aiosqlite is kept from logging them, and the
driver's own words, which may quote a row, are not repeated. Tables and statements are left to the service.
"""

import argparse
import asyncio
import errno
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, ClassVar

import structlog
from sqlalchemy import Column, Insert, Integer, MetaData, Select, String, Table, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from chopar.database import adding_new, database_address, open_engine
from chopar.errors import ConfigurationError, RegisterUnavailableError
from chopar.migrations import Migrations, bring_up_to_date
from chopar.provider.few_rows import FewRows


def seeding_table(metadata: MetaData) -> Table:
    """The table in which a register keeps by which recipes it was filled with synthetic entries."""
    return Table(
        "seeding",
        metadata,
        Column("recipe", String(200), primary_key=True),
        Column("added", Integer, nullable=False),
    )


_log = structlog.get_logger()

_SEEDING = seeding_table(MetaData())


class RegisterDatabase:
    """A register's connections. Nothing is opened before the first use.

    Args:
        url: `sqlite+aiosqlite:///FILE` (the folder must exist) or `postgresql+psycopg://...`; the driver may be left
            out.
        migrations: of the service.
        timeout_seconds: within which a look-up or change must be done.

    Raises:
        ConfigurationError: the address is of another kind.
    """

    def __init__(self, url: str, migrations: Migrations, *, timeout_seconds: float = 10.0) -> None:
        self._address = database_address(url, migrations.what)
        self._migrations = migrations
        self.writer = open_engine(self._address)
        # Look-ups are single statements. Without a transaction round them two round trips (to the server, or to
        # aiosqlite's thread) are saved; an engine of its own, as switching a connection costs as much again.
        self.reader = open_engine(self._address, isolation_level="AUTOCOMMIT", skip_autocommit_rollback=True)
        self._few = _few_rows(self._address)
        self._timeout_seconds = timeout_seconds

    def adding_new(self, table: Table) -> Insert:
        """An insert that passes over rows whose key is there."""
        return adding_new(table, self._address.get_backend_name())

    async def prepare(self, *, migrate: bool = True) -> None:
        """Bring the tables to the revision of the code; raises what `bring_up_to_date` does."""
        await bring_up_to_date(self._address, self._migrations, automatic=migrate)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection for look-ups, each a statement of its own.

        Raises:
            RegisterUnavailableError: retriable; the register does not answer in time.
        """
        async with self.answering(), self.reader.connect() as connection:
            yield connection

    async def rows(self, statement: Select[Any], parameters: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        """The rows of one look-up; of a few keys in SQLite at once, without leaving the thread.

        Args:
            statement: of the service, made once.
            parameters: a list for what is expanding.

        Raises:
            RegisterUnavailableError: retriable; the register does not answer in time.
        """
        if self._few is not None:
            found = self._few.find(statement, parameters)
            if found is not None:
                return found
        async with self.reading() as connection:
            rows: Sequence[Sequence[Any]] = (await connection.execute(statement, parameters)).all()
            return rows

    @asynccontextmanager
    async def writing(self, *, bulk: bool = False) -> AsyncIterator[AsyncConnection]:
        """A transaction: all that is done in it is kept, or nothing.

        Args:
            bulk: it may take as long as it takes.

        Raises:
            RegisterUnavailableError: retriable; the register does not answer in time. Nothing was changed.
        """
        async with self.answering(bulk=bulk), self.writer.begin() as connection:
            yield connection

    async def seeded(self, recipe: str) -> bool:
        """Whether the register was filled by this recipe.

        Raises:
            RegisterUnavailableError: retriable; the register does not answer in time.
        """
        async with self.reading() as connection:
            found = await connection.execute(select(_SEEDING.c.added).where(_SEEDING.c.recipe == recipe))
            return found.first() is not None

    async def mark_seeded(self, connection: AsyncConnection, recipe: str, added: int) -> None:
        """Note, in the transaction that added them, that the register was filled by this recipe."""
        await connection.execute(self.adding_new(_SEEDING), {"recipe": recipe, "added": added})

    async def warn_if_empty(self, without: frozenset[str]) -> None:
        """Say in the log that the register holds nobody: each answer will be `no_record`, as if it had been looked for.

        Args:
            without: tables that say nothing of anybody.

        Raises:
            RegisterUnavailableError: retriable; the register does not answer in time.
        """
        async with self.reading() as connection:
            for name, table in self._migrations.metadata.tables.items():
                if name not in without and (await connection.execute(select(table).limit(1))).first() is not None:
                    return
        reason = f"{self._migrations.what} holds no entry, so everybody is answered no_record: is its address right?"
        _log.warning("register.empty", reason=f"{reason} --seed fills it with synthetic entries")

    async def backup(self, file: Path) -> None:
        """Copy a SQLite register, as it is at one moment, while others read and write it.

        Args:
            file: what to make; whole, on disk and readable by its owner alone, or not there.

        Raises:
            ConfigurationError: there is no register, the file exists or cannot be made, or it is PostgreSQL's, which
                has `pg_dump`.
            RegisterUnavailableError: retriable; the register does not answer.
        """
        if self._address.get_backend_name() == "postgresql":
            raise ConfigurationError(f"{self._migrations.what} lies in PostgreSQL: back it up with pg_dump")
        if not _is_there(self._address):
            raise ConfigurationError(f"{self._migrations.what} is not where its address says: there is nothing to copy")
        with _unfinished(file) as unfinished:
            async with self.answering(bulk=True), self.reader.connect() as connection:
                await connection.exec_driver_sql("VACUUM INTO ?", (str(unfinished),))

    async def close(self) -> None:
        """Close all connections."""
        if self._few is not None:
            self._few.close()
        await self.writer.dispose()
        await self.reader.dispose()

    @asynccontextmanager
    async def answering(self, *, bulk: bool = False) -> AsyncIterator[None]:
        """Bound the time and translate what the database says into RegisterUnavailableError."""
        try:
            async with asyncio.timeout(None if bulk else self._timeout_seconds):
                yield
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            # The kind of error alone, and its chain cut: PostgreSQL's detail quotes the row, identifier and all.
            told = getattr(error, "orig", None) or error
            cause = getattr(told, "sqlite_errorname", None) or type(told).__name__
            raise RegisterUnavailableError(f"{self._migrations.what} does not answer ({cause})") from None


class RegisterStore:
    """What every register in a database has beside its tables and statements. Nothing is opened before the first call.

    Args:
        url: `sqlite+aiosqlite:///FILE` (the folder must exist) or `postgresql+psycopg://...`; the driver may be left
            out.
        timeout_seconds: within which a look-up or change must be done.

    Raises:
        ConfigurationError: the address is of another kind.
    """

    MIGRATIONS: ClassVar[Migrations]

    WITHOUT_ENTRIES: ClassVar[frozenset[str]] = frozenset({_SEEDING.name})
    """Tables that have rows although the register holds nobody."""

    def __init__(self, url: str, *, timeout_seconds: float = 10.0) -> None:
        self._database = RegisterDatabase(url, self.MIGRATIONS, timeout_seconds=timeout_seconds)

    async def create_schema(self, *, migrate: bool = True) -> None:
        """Bring the tables to this version's revision; raises what `chopar.migrations.bring_up_to_date` does."""
        await self._database.prepare(migrate=migrate)

    async def seeded(self, recipe: str) -> bool:
        """As `RegisterDatabase.seeded` says."""
        return await self._database.seeded(recipe)

    async def warn_if_empty(self) -> None:
        """As `RegisterDatabase.warn_if_empty` says."""
        await self._database.warn_if_empty(self.WITHOUT_ENTRIES)

    async def backup(self, file: Path) -> None:
        """As `RegisterDatabase.backup` says."""
        await self._database.backup(file)

    async def close(self) -> None:
        """Close all connections."""
        await self._database.close()


async def tend(
    store: RegisterStore, arguments: argparse.Namespace, *, migrate: bool, fill: Callable[[], Awaitable[int]]
) -> bool:
    """Do with a register what the options of `chopar.process.register_parser` ask, or else bring it up to date.

    Args:
        store: of the register.
        arguments: the options.
        migrate: whether an older register may be migrated without being asked to.
        fill: adds the synthetic entries; gives how many.

    Returns:
        Whether the process is to go on and serve.

    Raises:
        ConfigurationError, RegisterUnavailableError, RegisterRevisionError: as of the store.
    """
    if arguments.backup:
        await store.backup(arguments.backup)
        return False
    await store.create_schema(migrate=migrate or arguments.migrate)
    if arguments.seed:
        _log.info("register.seeded", added=await fill())
    if arguments.seed or arguments.migrate:
        return False
    await store.warn_if_empty()
    return True


def _few_rows(address: URL) -> FewRows | None:
    """What reads small look-ups at once: of a database in a file of its own."""
    name = address.database or ""
    in_file = address.get_backend_name() == "sqlite" and name and not name.startswith((":", "file:"))
    return FewRows(Path(name)) if in_file else None


def _is_there(address: URL) -> bool:
    """Whether SQLite would open a file, and not make an empty one."""
    name = address.database or ""
    return not name or name.startswith((":", "file:")) or Path(name).exists()


@contextmanager
def _unfinished(file: Path) -> Iterator[Path]:
    """An empty file for its owner alone, beside the one that it becomes if all goes well."""
    if not file.name:
        raise ConfigurationError("the backup cannot be made: the name of a file is due")
    unfinished = file.with_name(f"{file.name}.unfinished")
    try:
        if file.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        unfinished.unlink(missing_ok=True)
        os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError as error:
        raise ConfigurationError(f"the backup {file} cannot be made: {error.strerror}") from error
    try:
        yield unfinished
        _to_disk(unfinished)
        unfinished.rename(file)
        _to_disk(file.parent)
    finally:
        unfinished.unlink(missing_ok=True)


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
