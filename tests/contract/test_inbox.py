"""The inbox on SQLite and on a real PostgreSQL: acted on once, whatever is delivered and whoever dies."""

import asyncio
import contextlib
import logging
import sqlite3
import subprocess
import sys
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError, PendingRollbackError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from structlog.testing import capture_logs

from chopar.bus.inbox import Effect, EffectKey, Inbox
from chopar.errors import ConfigurationError, StoreUnavailableError
from tests.builders import PERSON, demand_id
from tests.contract.inbox_effects import DONE, METADATA, effect, enter
from tests.contract.inbox_process import COMPETED_FOR

pytest_plugins = ["tests.postgres_fixture"]

DEADLINE_SECONDS = 60


class World:
    """An inbox, and the application's table in the same database."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.inbox = Inbox(url)
        self._engine = create_async_engine(url)

    async def create(self) -> None:
        await self.inbox.create_schema()
        async with self._engine.begin() as connection:
            await connection.run_sync(METADATA.create_all)

    async def done(self) -> list[int]:
        """What the application did."""
        async with self._engine.connect() as connection:
            return sorted((await connection.execute(select(DONE.c.number))).scalars())

    async def rows(self) -> list[tuple[object, ...]]:
        """What the inbox remembers."""
        async with self._engine.connect() as connection:
            return [tuple(row) for row in await connection.exec_driver_sql("SELECT * FROM chopar_inbox")]

    async def act(self, *effects: Effect, inbox: Inbox | None = None) -> list[bool]:
        async with (inbox or self.inbox).batch() as batch:
            return [await batch.act(one, enter) for one in effects]

    def counted(self, outcome: str) -> float:
        found = self.inbox.metrics.registry.get_sample_value("chopar_inbox_effects_total", {"outcome": outcome})
        return found or 0.0

    def process(self, step: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "tests.contract.inbox_process", self.url, step]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    async def close(self) -> None:
        await self.inbox.close()
        await self._engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    else:
        url = f"sqlite+aiosqlite:///{tmp_path}/agency.db"
    made = World(url)
    await made.create()
    yield made
    await made.close()


async def test_what_is_delivered_again_is_not_acted_on_again(world: World) -> None:
    assert await world.act(effect(1), effect(1), effect(2)) == [True, False, True]
    assert await world.act(effect(1), effect(2)) == [False, False]
    assert await world.done() == [0, 0]
    assert len(await world.rows()) == 2
    assert (world.counted("acted"), world.counted("repeated")) == (2, 3)


async def test_another_inbox_finds_what_the_first_remembered(world: World) -> None:
    await world.act(effect())
    later = Inbox(world.url)
    await later.create_schema()
    assert await world.act(effect(), inbox=later) == [False]
    await later.close()


async def test_each_part_of_the_key_makes_an_effect_of_its_own(world: World) -> None:
    parts: dict[str, Any] = {
        "requester": "electricity-het",
        "demand_id": demand_id(),
        "document_type": "paper",
        "parameters": {"flat": "7", "house": "1"},
    }
    others: list[dict[str, Any]] = [
        {},
        {"requester": "gas-hududgaz"},
        {"demand_id": demand_id(2)},
        {"document_type": "another"},
        {"about": "spouse"},
        {"parameters": {"flat": "1", "house": "7"}},
        {"parameters": {"flat": '7","house":"1'}},
        {"parameters": {"flat": "7", "house": "\ud800\x00"}},
        {"correction": b"corrected"},
    ]
    keys = [EffectKey.of(**{**parts, **other}) for other in others]
    effects = [Effect(key, bytes(32), "tax-committee") for key in keys]
    assert await world.act(*effects) == [True] * len(keys)
    turned = EffectKey.of(**{**parts, "parameters": {"house": "1", "flat": "7"}})
    assert await world.act(Effect(turned, bytes(32), "tax-committee")) == [False]


async def test_a_correction_is_acted_on_once_and_so_is_the_next(world: World) -> None:
    first, second = effect(correction=b"answer"), effect(correction=b"correction", content=b"owes")
    assert await world.act(effect(), first, first, second, second) == [True, True, False, True, False]
    assert len(await world.done()) == 3


async def test_two_batches_at_the_same_time_act_once(world: World) -> None:
    others = [Inbox(world.url) for _ in range(3)]
    numbers = range(5)
    took = await asyncio.gather(*(world.act(*map(effect, numbers), inbox=one) for one in (world.inbox, *others)))
    assert sorted(map(sum, took)) == [0, 0, 0, 5]
    assert len(await world.done()) == 5
    for one in others:
        await one.close()


async def test_who_waited_for_a_batch_that_fails_acts_instead(world: World) -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def failing(connection: AsyncConnection) -> None:
        await enter(connection)
        entered.set()
        await go_on.wait()
        raise KeyError

    async def first() -> None:
        async with world.inbox.batch() as batch:
            await batch.act(effect(), failing)

    one = asyncio.create_task(first())
    async with asyncio.timeout(DEADLINE_SECONDS):
        await entered.wait()
    two = asyncio.create_task(world.act(effect()))
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(KeyError):
        await one
    assert await two == [True]
    assert len(await world.done()) == len(await world.rows()) == 1


async def test_two_processes_act_once_on_what_both_are_given(world: World) -> None:
    processes = [world.process("all") for _ in range(2)]
    told = [process.communicate(timeout=DEADLINE_SECONDS)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sum(map(int, told)) == COMPETED_FOR
    assert await world.done() == list(range(COMPETED_FOR))
    assert len(await world.rows()) == COMPETED_FOR


@pytest.mark.parametrize("step", ["before the effect", "after the effect", "before the commit", "after the commit"])
async def test_a_killed_process_leaves_all_of_a_batch_or_nothing(world: World, step: str) -> None:
    process = world.process(step)
    process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == -9
    stayed = step == "after the commit"
    assert await world.done() == ([0, 1] if stayed else [])
    assert len(await world.rows()) == (2 if stayed else 0)
    async with world.inbox.batch() as batch:
        took = [
            await batch.act(effect(0), lambda connection: enter(connection, 0)),
            await batch.act(effect(1), lambda connection: enter(connection, 1)),
        ]
    assert took == [not stayed] * 2
    assert await world.done() == [0, 1]


async def test_a_callback_that_raises_undoes_itself_alone(world: World) -> None:
    async def failing(connection: AsyncConnection) -> None:
        await enter(connection, 2)
        raise KeyError("a flaw of the application")

    async with world.inbox.batch() as batch:
        assert await batch.act(effect(1), lambda connection: enter(connection, 1))
        with pytest.raises(KeyError, match="a flaw of the application"):
            await batch.act(effect(2), failing)
        assert await batch.act(effect(3), lambda connection: enter(connection, 3))
    assert await world.done() == [1, 3]
    assert len(await world.rows()) == 2
    assert world.counted("acted") == 2
    assert await world.act(effect(2)) == [True]


async def test_a_statement_that_the_database_refuses_is_the_callbacks_own_error(world: World) -> None:
    async def refused(connection: AsyncConnection) -> None:
        await enter(connection, 2)
        await connection.execute(insert(DONE), {"number": None})

    async with world.inbox.batch() as batch:
        with pytest.raises(IntegrityError):
            await batch.act(effect(2), refused)
        assert await batch.act(effect(3), lambda connection: enter(connection, 3))
    assert await world.done() == [3]


@pytest.mark.parametrize("alone", [True, False])
async def test_a_callback_that_hides_a_refused_statement_is_told(world: World, alone: bool) -> None:
    """SQLite goes on behind such a statement. PostgreSQL does not, and that is no database that is away."""
    takes = world.url.startswith("sqlite")
    lost = not takes and not alone

    async def hides(connection: AsyncConnection) -> None:
        with contextlib.suppress(IntegrityError):
            await connection.execute(insert(DONE), [{"number": None}])

    async def acted() -> None:
        async with world.inbox.batch() as batch:
            with contextlib.nullcontext() if takes else pytest.raises(PendingRollbackError):
                await batch.act(effect(1), hides, alone=alone)
            assert batch.lost is lost
            await batch.act(effect(2), enter, alone=alone)

    with pytest.raises(StoreUnavailableError) if lost else contextlib.nullcontext():
        await acted()
    assert await world.done() == ([] if lost else [0])
    assert len(await world.rows()) == (2 if takes else 0 if lost else 1)


async def test_what_raises_in_a_batch_undoes_all_of_it(world: World) -> None:
    async def fail_after_one() -> None:
        async with world.inbox.batch() as batch:
            await batch.act(effect(1), enter)
            raise KeyError

    with pytest.raises(KeyError):
        await fail_after_one()
    assert (await world.done(), await world.rows()) == ([], [])
    assert world.counted("acted") == 0
    assert await world.act(effect(1)) == [True]


async def test_a_callback_that_is_cancelled_leaves_nothing(world: World) -> None:
    async def slow(connection: AsyncConnection) -> None:
        await enter(connection, 1)
        await asyncio.Event().wait()

    async with world.inbox.batch() as batch:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await batch.act(effect(1), slow)
        assert await batch.act(effect(2), lambda connection: enter(connection, 2))
    assert await world.done() == [2]


async def test_callbacks_of_a_batch_run_one_after_another(world: World) -> None:
    running: list[int] = []
    most = 0

    async def callback(connection: AsyncConnection) -> None:
        nonlocal most
        running.append(1)
        most = max(most, len(running))
        await enter(connection)
        await asyncio.sleep(0)
        running.pop()

    async with world.inbox.batch() as batch:
        took = await asyncio.gather(*(batch.act(effect(number % 10), callback) for number in range(30)))
    assert sum(took) == len(await world.done()) == 10
    assert most == 1


async def test_other_content_is_counted_and_from_another_provider_it_is_an_alarm(world: World) -> None:
    await world.act(effect())
    with capture_logs() as logs:
        assert await world.act(effect(content=b"owes")) == [False]
        assert logs == []
        assert await world.act(effect(content=b"owes", provider="cadastre")) == [False]
    assert len(await world.done()) == 1
    assert [world.counted(outcome) for outcome in ("repeated", "other_content", "contradicted")] == [0, 1, 1]
    [alarm] = logs
    assert (alarm["event"], alarm["log_level"]) == ("inbox.contradicted", "error")
    assert (alarm["first_provider"], alarm["provider"]) == ("tax-committee", "cadastre")


async def test_a_callback_that_commits_is_told_and_its_effect_stays_with_its_row(world: World) -> None:
    async def committing(connection: AsyncConnection) -> None:
        await enter(connection)
        await connection.commit()

    with pytest.raises(StoreUnavailableError):
        async with world.inbox.batch() as batch:
            await batch.act(effect(), committing)
    assert len(await world.done()) == len(await world.rows()) == 1
    assert await world.act(effect()) == [False]


async def test_a_thousand_effects_are_one_transaction(world: World) -> None:
    async with world.inbox.batch() as batch:
        for number in range(1000):
            await batch.act(effect(number), enter)
        assert (await world.done(), await world.rows()) == ([], [])
    assert len(await world.done()) == len(await world.rows()) == 1000
    assert not any(await world.act(*map(effect, range(1000))))


async def test_nothing_personal_is_kept_or_said(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    key = EffectKey.of("electricity-het", demand_id(), "kinship-certificate", "spouse", {"relative": PERSON})
    content = PERSON.encode().ljust(32)
    await world.act(Effect(key, content, "tax-committee"))
    # PostgreSQL's detail reads "Failing row contains (...)".
    broken = Effect(key=EffectKey("x", demand_id(), PERSON, b"d" * 32), content=content, provider=None)  # type: ignore[arg-type]
    with pytest.raises(StoreUnavailableError) as raised:
        await world.act(broken)
    told = "".join(traceback.format_exception(raised.value)) + caplog.text + repr(key) + repr(await world.rows())
    assert PERSON not in told
    assert "IntegrityError" in told or "NotNullViolation" in told


async def test_a_batch_that_was_lost_cannot_be_committed(world: World) -> None:
    broken = Effect(effect(2).key, bytes(32), None)  # type: ignore[arg-type]

    async def go_on_after_a_failure() -> None:
        async with world.inbox.batch() as batch:
            await batch.act(effect(1), enter)
            with pytest.raises(StoreUnavailableError):
                await batch.act(broken, enter)

    with pytest.raises(StoreUnavailableError, match="was lost"):
        await go_on_after_a_failure()
    assert await world.done() == []
    assert await world.act(effect(1)) == [True]


async def test_an_inbox_without_its_table_is_unavailable_until_it_has_it(tmp_path: Path) -> None:
    inbox = Inbox(f"sqlite:///{tmp_path}/agency.db")
    with pytest.raises(StoreUnavailableError) as raised:
        async with inbox.batch() as batch:
            await batch.act(effect(), lambda connection: connection.exec_driver_sql("SELECT 1"))
    assert raised.value.retriable
    await inbox.create_schema()
    async with inbox.batch() as batch:
        assert await batch.act(effect(), lambda connection: connection.exec_driver_sql("SELECT 1"))
    await inbox.close()


async def test_sqlite_is_durable_and_readers_read_while_a_batch_is_open(tmp_path: Path) -> None:
    file = tmp_path / "agency.db"
    inbox = Inbox(f"sqlite:///{file}")
    await inbox.create_schema()
    pragmas = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    found = {}

    async def callback(connection: AsyncConnection) -> None:
        for name in pragmas:
            found[name] = (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar_one()

    async with inbox.batch() as batch:
        await batch.act(effect(), callback)
        reader = sqlite3.connect(file)
        assert reader.execute("SELECT count(*) FROM chopar_inbox").fetchone() == (0,)
        reader.close()
    assert found == pragmas
    await inbox.close()


async def test_a_server_that_went_away_loses_the_batch_and_the_next_one_acts(postgres_url: str) -> None:
    world = World(postgres_url)
    await world.create()

    async def cut_off(connection: AsyncConnection) -> None:
        await enter(connection)
        with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        await enter(connection)

    with pytest.raises(StoreUnavailableError):
        async with world.inbox.batch() as batch:
            await batch.act(effect(), cut_off)
    await world.close()
    again = World(postgres_url)
    assert await again.done() == []
    assert await again.act(effect()) == [True]
    await again.close()


async def test_a_broken_deadlock_is_tried_again(postgres_url: str) -> None:
    world = World(postgres_url)
    await world.create()
    both = asyncio.Barrier(2)

    async def crosswise(one: int, other: int) -> list[bool]:
        async with world.inbox.batch() as batch:
            first = await batch.act(effect(one), enter)
            async with asyncio.timeout(DEADLINE_SECONDS):
                await both.wait()
            return [first, await batch.act(effect(other), enter)]

    ends = await asyncio.gather(crosswise(1, 2), crosswise(2, 1), return_exceptions=True)
    assert [end for end in ends if isinstance(end, list)] == [[True, True]]
    [failed] = [end for end in ends if not isinstance(end, list)]
    assert isinstance(failed, StoreUnavailableError)
    assert await world.act(effect(1), effect(2)) == [False, False]
    assert len(await world.done()) == 2
    await world.close()


@pytest.mark.parametrize(
    "url", ["", "mysql://user:hunter2@db/x", "not an address", "sqlite://", "sqlite:///:memory:", "sqlite+aiosqlite://"]
)
def test_an_address_of_another_kind_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Inbox(url)
    assert "hunter2" not in "".join(traceback.format_exception(raised.value))


async def test_effects_that_are_not_alone_are_acted_on_once_and_go_with_the_batch_if_one_fails(world: World) -> None:
    async def failing(connection: AsyncConnection) -> None:
        await enter(connection, 2)
        raise KeyError("a flaw of the application")

    async def act() -> None:
        async with world.inbox.batch() as batch:
            assert await batch.act(effect(1), enter, alone=False)
            with pytest.raises(KeyError, match="a flaw of the application"):
                await batch.act(effect(2), failing, alone=False)
            assert batch.lost

    with pytest.raises(StoreUnavailableError):
        await act()
    assert (await world.done(), await world.rows()) == ([], [])
    async with world.inbox.batch() as batch:
        took = [await batch.act(effect(number), enter, alone=False) for number in (1, 2, 1)]
    assert took == [True, True, False]
    assert len(await world.done()) == 2
    assert (world.counted("acted"), world.counted("repeated")) == (2, 1)


async def test_batches_that_are_cancelled_anywhere_leave_no_lock_behind(world: World) -> None:
    loop = asyncio.get_running_loop()
    kept: list[object] = []  # a traceback holds the statement that was cancelled
    for number in range(120):
        task = asyncio.create_task(world.act(*(effect(number * 3 + more) for more in range(3))))
        until = loop.time() + number * 0.0001
        while loop.time() < until:
            await asyncio.sleep(0)  # a little further each time
        task.cancel()
        kept += await asyncio.gather(task, return_exceptions=True)
        await world.act(effect(-1))  # raises, where the lock is never given back
    assert any(isinstance(one, asyncio.CancelledError) for one in kept)
