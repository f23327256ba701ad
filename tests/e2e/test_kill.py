"""What a running stack survives: kill -9 of each process and of the supervisor, and being stopped. Nothing is lost."""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from chopar.avro import SchemaFiles
from chopar.broker.processes import is_alive
from chopar.bus.port import Outgoing, Record, Sent, TopicPartition, partition_of
from chopar.errors import UnavailableError
from chopar.messages.demand import Demand, DemandedDocument, Subject
from chopar.requester.requester import Requester
from chopar.schema_registry import Encoder, HttpSchemaRegistry
from chopar.topics import DEMAND_RESOLVED, DEMAND_SUBMITTED, EVIDENCE_PROVIDED, PARTITIONS
from tests.e2e.stack_fixture import DEADLINE_SECONDS, Cli, Done, RunningStack

pytestmark = pytest.mark.broker

HET: Any = "electricity-het"

_PAUSE_SECONDS = 0.03
"""Between demands: a stream, not a load test."""

_acknowledged: set[str] = set()
"""Of all tests here: what is still there after the last of them."""


class Stream:
    """Demands, one after another; knows which of them the broker acknowledged."""

    def __init__(self, stack: RunningStack, pinfl: str) -> None:
        self.acknowledged: set[bytes] = set()
        self._bus = stack.bus()
        self._registry = HttpSchemaRegistry(stack.address("registry"))
        self._encoder = Encoder(SchemaFiles.shipped(), self._registry)
        self._composer = Requester(HET, self._bus, self._registry)
        self._subject = Subject(kind="person", id=pinfl)

    @contextlib.asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """Send while the context is open."""
        await self._encoder.prepare(Demand)
        await self._registry.aclose()  # ids are known now: what is sent later needs no registry
        running = asyncio.create_task(self._run())
        try:
            yield
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running

    async def more(self, count: int) -> None:
        """Wait until that many more were acknowledged."""
        due = len(self.acknowledged) + count
        await eventually(lambda: len(self.acknowledged) >= due, "no demand is acknowledged any more")

    async def _run(self) -> None:
        while True:
            producer = self._bus.producer("stream")
            try:
                await producer.start()
                while await self._sent(producer):
                    await asyncio.sleep(_PAUSE_SECONDS)
            except UnavailableError:
                await asyncio.sleep(_PAUSE_SECONDS)  # the broker is away; the next producer may find it
            finally:
                await producer.stop()

    async def _sent(self, producer: Any) -> bool:
        demand = self._composer.compose(
            procedure="electricity-supply-contract",
            subject=self._subject,
            documents=[DemandedDocument(type="tax-debt-certificate")],
        )
        key = str(demand.demand_id).encode()
        record = Outgoing(DEMAND_SUBMITTED.of(HET), partition_of(key, PARTITIONS), key, self._encoder.encode(demand))
        [result] = await producer.send([record])
        if isinstance(result, Sent):
            self.acknowledged.add(key)
        return isinstance(result, Sent)


async def eventually(condition: Any, words: str) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():
            await asyncio.sleep(0.02)


async def all_answered(stack: RunningStack, keys: set[bytes]) -> list[Record]:
    """Read the answers until each of the demands has both: the resolution and the document."""
    topics = [DEMAND_RESOLVED.of(HET), EVIDENCE_PROVIDED.of(HET)]
    places = [TopicPartition(topic, number) for topic in topics for number in range(PARTITIONS)]
    reader = stack.bus().reader(dict.fromkeys(places))
    await reader.start()
    found: list[Record] = []
    open_ = {(topic, key) for topic in topics for key in keys}
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while open_:
                for records in (await reader.fetch(1000, 0.2)).values():
                    found += records
                    open_ -= {(record.topic, record.key or b"") for record in records}
    except TimeoutError:
        pytest.fail(f"{len(open_)} answers to acknowledged demands are missing")
    finally:
        await reader.stop()
    return found


async def schema_ids(stack: RunningStack) -> dict[str, Any]:
    """Every subject with the ids of its versions."""
    async with httpx2.AsyncClient(base_url=stack.address("registry")) as client:
        rows = (await client.get("/schemas")).json()
    return {f"{row['subject']} {row['version']}": (row["id"], row["schema"]) for row in rows}


def caches(home: Path) -> list[Path]:
    """What processes keep on disk of the schema registry."""
    return [path for path in home.glob("*/cache") if path.is_dir()]


def restarts(cli: Cli) -> dict[str, int]:
    """How often each process was started again, as `chopar status` counts."""
    processes = cli("status", "--format", "json").data["processes"]
    return {process["name"]: process["restarts"] for process in processes}


@pytest.mark.parametrize("names", [("schema-registry", "gateway", "tax"), ("broker",)], ids=lambda names: names[0])
async def test_killed_processes_come_back_and_nothing_acknowledged_is_lost(
    stack: RunningStack, cli: Cli, pinfl: str, names: tuple[str, ...]
) -> None:
    """Each is killed and is back before the next one is, while demands go on."""
    before, ids = restarts(cli), await schema_ids(stack)
    for cache in caches(cli.home):
        shutil.rmtree(cache)
    stream = Stream(stack, pinfl)
    async with stream.flowing():
        await stream.more(20)
        for name in names:
            killed = stack.pid(name)
            os.kill(killed, signal.SIGKILL)
            if name != "broker":
                await stream.more(20)
            await asyncio.to_thread(stack.back_after, name, killed)
        await stream.more(20)
    _acknowledged.update(key.decode() for key in stream.acknowledged)
    answers = await all_answered(stack, stream.acknowledged)
    by_id: dict[tuple[str, bytes | None], set[Any]] = {}
    for record in answers:
        by_id.setdefault((record.topic, record.header("ce_id")), set()).add((record.key, record.value))
    assert all(len(copies) == 1 for copies in by_id.values()), "one id, two messages"
    assert await schema_ids(stack) == ids
    after = restarts(cli)
    assert all(after[name] > before[name] for name in names)
    assert cli.demand(pinfl).code == 0


def test_after_all_that_up_finds_everything_running(stack: RunningStack, cli: Cli) -> None:
    assert cli("up", "--no-demands").code == 0
    assert _acknowledged <= listed(cli)


def listed(cli: Cli) -> set[str]:
    """The ids of all demands that `demand list` knows."""
    rows: Done = cli("demand", "list", "--limit", "10000", "--format", "json")
    assert rows.code == 0, rows.err
    return {row["demand_id"] for row in rows.data}


def test_when_the_supervisor_is_killed_its_children_run_on_and_up_takes_them_over(
    stack: RunningStack, cli: Cli, pinfl: str
) -> None:
    before = stack.written
    os.kill(before.supervisor_pid, signal.SIGKILL)
    created = cli.demand(pinfl)
    assert created.code == 0, created.err
    status = cli("status", "--format", "json")
    assert (status.code, status.data["ready"], status.data["supervisor_pid"]) == (1, False, None)
    assert "chopar up" in status.err
    again = cli("up", "--no-demands")
    assert again.code == 0, again.err
    after = stack.written
    assert after.supervisor_pid != before.supervisor_pid
    assert [process.identity for process in after.processes] == [process.identity for process in before.processes]
    assert cli("status", "--format", "json").data["ready"] is True
    _acknowledged.add(created.data["demand_id"])


async def test_down_ends_everything_and_up_goes_on_with_its_data(stack: RunningStack, cli: Cli, pinfl: str) -> None:
    running = [process.identity for process in stack.written.processes if process.identity]
    ids = await schema_ids(stack)
    assert cli("down").code == 0
    assert not [identity for identity in running if is_alive(identity)]
    status = cli("status")
    assert status.code == 3
    assert "chopar up" in status.sentence
    again = cli("up", "--no-demands")
    assert again.code == 0, again.err
    assert await schema_ids(stack) == ids
    assert _acknowledged <= listed(cli)
    assert cli.demand(pinfl).code == 0
