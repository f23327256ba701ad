"""How a database of ours is opened, a service's register or an inbox: SQLite or PostgreSQL, one set of statements.

No parameter of a statement and no password of an address reaches an error or a log. What lies in the database is its
owner's.
"""

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Table, event
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from chopar.errors import ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql

_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg"}
# Longer than any write of ours holds the lock; shorter than the time-out of a statement.
_SQLITE_BUSY_MILLISECONDS = 5000
_CONNECT_TIMEOUT_SECONDS = 5
_AGAIN_SECONDS = 0.02


def database_address(url: str, what: str) -> URL:
    """Check an address, and fill its driver in.

    Args:
        url: as SQLAlchemy has it.
        what: lies there, for the message.

    Raises:
        ConfigurationError: it is neither SQLite's nor PostgreSQL's. It is not repeated: it may hold a password.
    """
    try:
        address = make_url(url)
    except ArgumentError:
        address = None
    if address is None or address.get_backend_name() not in _DRIVERS:
        raise ConfigurationError(f"the address of {what} must begin with sqlite+aiosqlite:/// or postgresql+psycopg://")
    return address.set(drivername=_DRIVERS[address.get_backend_name()])


@lru_cache(maxsize=64)
def adding_new(table: Table, dialect: str) -> "sqlite.Insert | postgresql.Insert":
    """An insert that passes over rows whose key is there: the same text in both databases, kept apart by SQLAlchemy.

    Args:
        table: into which; ours, so that those remembered here are few.
        dialect: `sqlite` or `postgresql`.
    """
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql  # four megabytes that nobody on SQLite needs

        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


def open_engine(address: URL, **options: Any) -> AsyncEngine:
    """An engine on a checked address; nothing is connected yet. `options` are SQLAlchemy's own."""
    if address.get_backend_name() == "postgresql":
        connect_args = {"connect_timeout": _CONNECT_TIMEOUT_SECONDS}
        return create_async_engine(address, hide_parameters=True, connect_args=connect_args, **options)
    # At DEBUG it writes every statement with its parameters, which SQLAlchemy cannot hide.
    logging.getLogger("aiosqlite").setLevel(logging.INFO)
    engine = create_async_engine(address, hide_parameters=True, **options)
    event.listen(engine.sync_engine, "connect", _set_up_sqlite)
    event.listen(engine.sync_engine, "invalidate", _roll_back)
    return engine


def _roll_back(connection: Any, *_: object) -> None:
    """End the transaction of a connection that is given up in the middle of a statement, as by a cancellation.

    SQLite closes a connection only when its last statement is finished, and one that was cancelled is held by its
    traceback: the transaction would stay open, and with it the lock.
    """
    with contextlib.suppress(RuntimeError):  # no loop: the garbage collector gives it up, and the statement too
        task = asyncio.get_running_loop().create_task(connection.driver_connection.rollback())
        task.add_done_callback(lambda done: done.cancelled() or done.exception())


def _set_up_sqlite(connection: Any, _: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={_SQLITE_BUSY_MILLISECONDS}")
    write_ahead(lambda: cursor.execute("PRAGMA journal_mode=WAL"), _SQLITE_BUSY_MILLISECONDS / 1000)
    # FULL: what was committed survives the machine's death.
    for pragma in ("synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def write_ahead(ask: Callable[[], object], seconds: float) -> None:
    """Have a SQLite file write ahead (readers do not wait for a writer), which it keeps.

    SQLite itself waits for no lock here, so two that make a file at once would meet.

    Args:
        ask: sends the pragma.
        seconds: how long to try; then what SQLite said is raised.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            ask()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_AGAIN_SECONDS)
        else:
            return
