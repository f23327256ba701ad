"""The schema registry as a process on a real Kafka: killed, paused, two at once; ids stay what they are."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from chopar.avro import SchemaFiles
from chopar.broker.jars import ensure_jars, jar_cache
from chopar.broker.java import find_java
from chopar.broker.kafka_node import KafkaNode, new_cluster_id
from chopar.errors import ConfigurationError, IncompatibleSchemaError, SchemaRegistryUnavailableError
from chopar.schema_registry import HttpSchemaRegistry
from tests.kafka_fixture import free_ports, run_node

pytestmark = pytest.mark.broker

READY_SECONDS = 30  # under 2 when quiet; the machine may be busy
BACK_SECONDS = 60
POLL_SECONDS = 0.05


def text(name: str) -> str:
    return json.dumps({"type": "record", "name": f"R{name}", "fields": []})


def fresh() -> str:
    """A subject that no other test uses: the topic has one name, and the broker is the session's."""
    return uuid.uuid4().hex


@dataclass
class Process:
    """A registry process."""

    url: str
    popen: subprocess.Popen[bytes]

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.popen.pid, number)

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait()

    async def ready(self) -> None:
        async with httpx2.AsyncClient(base_url=self.url) as client, asyncio.timeout(READY_SECONDS):
            while True:
                with contextlib.suppress(httpx2.HTTPError):
                    if (await client.get("/ready")).status_code == 200:
                        return
                assert self.popen.poll() is None, "the process ended"
                await asyncio.sleep(POLL_SECONDS)

    async def metric(self, name: str) -> float:
        async with httpx2.AsyncClient(base_url=self.url) as client:
            lines = (await client.get("/metrics")).text.splitlines()
        return float(next(line.split()[-1] for line in lines if line.startswith(f"{name} ")))


@contextlib.asynccontextmanager
async def running(bootstrap: str, log: Path, port: int | None = None) -> AsyncIterator[Process]:
    """A registry that is ready; stopped at the end, if it was not killed."""
    port = port or free_ports(1)[0]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CHOPAR_")}
    environment |= {
        "CHOPAR_SCHEMA_REGISTRY_KAFKA__BOOTSTRAP": bootstrap,
        "CHOPAR_SCHEMA_REGISTRY_HTTP__ADDRESS": f"127.0.0.1:{port}",
    }
    with log.open("ab") as out:
        popen = subprocess.Popen(
            [sys.executable, "-m", "services.schema_registry"], env=environment, stdout=out, stderr=subprocess.STDOUT
        )
    process = Process(f"http://127.0.0.1:{port}", popen)
    try:
        await process.ready()
        yield process
        if popen.poll() is None:
            popen.terminate()
            assert popen.wait(10) == 0, "SIGTERM is the usual end"
    finally:
        process.kill()


@contextlib.asynccontextmanager
async def client(process: Process) -> AsyncIterator[HttpSchemaRegistry]:
    """A client with an empty cache."""
    made = HttpSchemaRegistry(process.url, timeout_seconds=30)
    try:
        yield made
    finally:
        await made.aclose()


async def test_killed_and_with_an_empty_cache_the_same_ids_come_back(bootstrap: str, tmp_path: Path) -> None:
    names = [fresh() for _ in range(5)]
    async with running(bootstrap, tmp_path / "log") as first, client(first) as registry:
        ids = {name: await registry.register(name, text(name)) for name in names}
        assert len(set(ids.values())) == len(names)
        first.kill()
    async with running(bootstrap, tmp_path / "log") as second, client(second) as registry:
        assert {name: await registry.id_of(name, text(name)) for name in names} == ids
    async with running(bootstrap, tmp_path / "log") as third, client(third) as registry:
        assert {await registry.text_of(ids[name]) for name in names} == {text(name) for name in names}
        assert {name: await registry.register(name, text(name)) for name in names} == ids
        new = fresh()
        assert await registry.register(new, text(new)) > max(ids.values())
    assert "Traceback" not in (tmp_path / "log").read_text("utf-8")


async def test_killed_during_writes_no_id_is_lost_or_given_twice(bootstrap: str, tmp_path: Path) -> None:
    acknowledged: dict[str, int] = {}
    port = free_ports(1)[0]
    done = asyncio.Event()

    async def write() -> None:
        registry = HttpSchemaRegistry(f"http://127.0.0.1:{port}", timeout_seconds=10)
        while not done.is_set():
            name = fresh()
            with contextlib.suppress(SchemaRegistryUnavailableError):
                acknowledged[name] = await registry.register(name, text(name))
            await asyncio.sleep(0)
        await registry.aclose()

    writers = [asyncio.create_task(write()) for _ in range(4)]
    for round_number in range(4):
        async with running(bootstrap, tmp_path / "log", port) as process, asyncio.timeout(READY_SECONDS):
            while len(acknowledged) < (round_number + 1) * 10:
                assert not any(task.done() for task in writers)
                await asyncio.sleep(POLL_SECONDS)
            process.kill()
    done.set()
    await asyncio.gather(*writers)
    assert len(set(acknowledged.values())) == len(acknowledged) >= 40
    async with running(bootstrap, tmp_path / "log", port) as process, client(process) as registry:
        assert {name: await registry.id_of(name, text(name)) for name in acknowledged} == acknowledged
        assert await process.metric("chopar_schema_registry_refused_records") == 0


async def test_a_paused_writer_that_wakes_is_fenced_and_follows(bootstrap: str, tmp_path: Path) -> None:
    names = [fresh() for _ in range(4)]
    async with (
        running(bootstrap, tmp_path / "old") as old,
        client(old) as of_old,
        running(bootstrap, tmp_path / "new") as new,
        client(new) as of_new,
    ):
        ids = [await of_old.register(names[0], text(names[0]))]
        old.signal(signal.SIGSTOP)
        try:
            waiting = asyncio.create_task(of_old.register(names[1], text(names[1])))
            ids.append(await of_new.register(names[2], text(names[2])))
        finally:
            old.signal(signal.SIGCONT)
        with pytest.raises(SchemaRegistryUnavailableError):
            await waiting
        ids.append(await of_new.register(names[3], text(names[3])))
        assert ids == sorted(set(ids))
        async with asyncio.timeout(READY_SECONDS):
            while True:
                with contextlib.suppress(SchemaRegistryUnavailableError):
                    assert await of_old.id_of(names[3], text(names[3])) == ids[2]
                    break
        for process in (old, new):
            assert await process.metric("chopar_schema_registry_refused_records") == 0


async def test_bad_schemas_are_refused_and_nothing_is_written(bootstrap: str, tmp_path: Path) -> None:
    async with running(bootstrap, tmp_path / "log") as process, client(process) as registry:
        name = fresh()
        for bad in ("{", '"money"', "[" * 200_000, json.dumps({"type": "record", "name": "R", "fields": 3})):
            with pytest.raises(ConfigurationError, match="Invalid schema"):
                await registry.register(name, bad)
        async with httpx2.AsyncClient(base_url=process.url) as plain:
            assert (await plain.get(f"/subjects/{name}/versions")).status_code == 404
    assert "Traceback" not in (tmp_path / "log").read_text("utf-8")


def with_field(name: str, kind: str, **more: object) -> str:
    return json.dumps({"type": "record", "name": f"R{name}", "fields": [{"name": "x", "type": kind, **more}]})


async def test_bad_input_08_an_incompatible_schema_is_refused_after_a_restart_and_by_the_next_writer_too(
    bootstrap: str, tmp_path: Path
) -> None:
    name, free = fresh(), fresh()
    async with running(bootstrap, tmp_path / "log") as first, client(first) as registry:
        schema_id = await registry.register(name, with_field(name, "int", default=0))
        await registry.register(free, with_field(free, "int"))
        async with httpx2.AsyncClient(base_url=first.url, timeout=30) as plain:
            answer = await plain.put(f"/config/{free}", json={"compatibility": "NONE"})
            assert answer.status_code == 200
            refused = await plain.post(f"/subjects/{name}/versions", json={"schema": with_field(name, "string")})
            assert (refused.status_code, refused.json()["error_code"]) == (409, 409)
            assert "x is string, but version 1 wrote int" in refused.json()["message"]
        first.kill()
    async with running(bootstrap, tmp_path / "log") as second, running(bootstrap, tmp_path / "other") as third:
        for process in (second, third):  # each takes the pen from the one before
            async with client(process) as registry:
                with pytest.raises(IncompatibleSchemaError, match="x is string, but version 1 wrote int"):
                    await registry.register(name, with_field(name, "string"))
                await registry.register(free, with_field(free, "string" if process is second else "bytes"))
                assert await registry.id_of(name, with_field(name, "int", default=0)) == schema_id
                with pytest.raises(SchemaRegistryUnavailableError, match="not registered"):
                    await registry.id_of(name, with_field(name, "string"))
        async with httpx2.AsyncClient(base_url=third.url, timeout=30) as plain:
            assert (await plain.get(f"/subjects/{name}/versions")).json() == [1]
            assert (await plain.get(f"/subjects/{free}/versions")).json() == [1, 2, 3]
            # What processes look up stays, and nothing goes for good, unless the process was started so.
            shipped = next(iter(SchemaFiles.shipped().texts))
            assert (await plain.delete(f"/subjects/{shipped}")).json()["error_code"] == 42205
            assert (await plain.delete(f"/subjects/{free}")).json() == [1, 2, 3]
            assert (await plain.delete(f"/subjects/{free}?permanent=true")).json()["error_code"] == 42205
            assert (await plain.get(f"/schemas/ids/{schema_id}")).status_code == 200
    for log in ("log", "other"):
        assert "Traceback" not in (tmp_path / log).read_text("utf-8")


async def test_the_broker_is_killed_and_comes_back_reads_go_on_and_writes_again(tmp_path: Path) -> None:
    java, class_path = find_java(os.environ), ensure_jars(jar_cache(os.environ))
    port, controller_port = free_ports(2)
    node = KafkaNode(tmp_path, port, controller_port)
    node.format(java, class_path, new_cluster_id())
    node.write_files()
    names = [fresh() for _ in range(3)]
    with contextlib.ExitStack() as broker:
        identity = broker.enter_context(run_node(node, java, class_path))
        async with running(node.address, tmp_path / "log") as process, client(process) as registry:
            first = await registry.register(names[0], text(names[0]))
            os.kill(identity.pid, signal.SIGKILL)
            with pytest.raises(SchemaRegistryUnavailableError):
                await registry.register(names[1], text(names[1]))
            async with client(process) as other:
                assert await other.text_of(first) == text(names[0])
            broker.close()
            broker.enter_context(run_node(node, java, class_path))
            async with asyncio.timeout(BACK_SECONDS):
                while True:
                    with contextlib.suppress(SchemaRegistryUnavailableError):
                        second = await registry.register(names[2], text(names[2]))
                        break
                    await asyncio.sleep(POLL_SECONDS)
            assert second > first
            assert await process.metric("chopar_schema_registry_refused_records") == 0
    assert "Traceback" not in (tmp_path / "log").read_text("utf-8")
