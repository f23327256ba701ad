"""The embedded Kafka itself: kill -9 and back in seconds with what was acknowledged, under the supervisor."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from chopar.broker.jars import ensure_jars, jar_cache
from chopar.broker.java import find_java
from chopar.broker.kafka_node import KafkaNode, kafka_answers, new_cluster_id
from chopar.broker.local_stack import start, stop
from chopar.broker.processes import is_alive, wait_gone
from chopar.broker.stack import ProcessStatus, Stack, read_stack
from chopar.errors import ConfigurationError
from tests.kafka_fixture import broker_provider, free_ports, run_node

pytestmark = pytest.mark.broker

PLAN = """
[[start]]
name = "broker"
kind = "broker"
port_offset = 0
"""
BACK_SECONDS = 30  # 3-6 s when quiet; the machine may be busy


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    home = tmp_path / "home"
    yield home
    stop(home)


def broker_of(home: Path) -> ProcessStatus:
    stack = read_stack(home)
    assert stack is not None
    process = stack.process("broker")
    assert process is not None
    return process


def up(home: Path, base: int) -> Stack:
    plan = home.parent / "plan.toml"
    plan.write_text(PLAN)
    return start(home, plan, base, environ=os.environ)


async def write(bootstrap: str, values: list[bytes]) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True) as producer:
        for value in values:
            await producer.send_and_wait("kept", value)


async def read(bootstrap: str) -> list[bytes]:
    partition = TopicPartition("kept", 0)
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap) as consumer:
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        consumer.seek(partition, 0)
        values: list[bytes] = []
        while await consumer.position(partition) < end:
            values += [record.value for record in (await consumer.getmany(timeout_ms=500)).get(partition, [])]
        return values


async def test_kill_9_and_back_with_all_that_was_acknowledged(home: Path) -> None:
    base = free_ports(12)[0]
    stack = up(home, base)
    bootstrap = stack.addresses["bootstrap"]
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic("kept", 1, 1)])
    await admin.close()
    values = [str(number).encode() for number in range(100)]
    await write(bootstrap, values)
    identity = (home / "kafka" / "data" / "meta.properties").read_text()

    before = broker_of(home)
    assert before.pid is not None
    os.kill(before.pid, signal.SIGKILL)
    killed_at = time.monotonic()
    while (now := broker_of(home)).pid in (None, before.pid) or not now.ready:
        assert time.monotonic() - killed_at < BACK_SECONDS
        time.sleep(0.02)
    assert kafka_answers(bootstrap)
    assert now.restarts == 1
    assert (home / "kafka" / "data" / "meta.properties").read_text() == identity
    assert await read(bootstrap) == values

    stop(home)
    assert not kafka_answers(bootstrap)
    assert not (now.identity and is_alive(now.identity))
    moved = up(home, base + 10)
    assert moved.addresses["bootstrap"] != bootstrap
    assert await read(moved.addresses["bootstrap"]) == values, "the data is kept over a stop, on other ports too"


def test_a_broker_outlives_its_supervisor_and_is_adopted(home: Path) -> None:
    base = free_ports(2)[0]
    first = up(home, base)
    os.kill(first.supervisor_pid, signal.SIGKILL)
    assert wait_gone(first.supervisor, 10)  # a signal is on its way for a moment
    second = up(home, base)
    assert second.supervisor != first.supervisor
    assert broker_of(home).identity == next(process.identity for process in first.processes)


def test_a_jar_with_a_byte_too_many_is_refused_and_nothing_started(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = ensure_jars(jar_cache(os.environ))
    cache = jar_cache({"XDG_CACHE_HOME": str(tmp_path / "cache")})
    cache.mkdir(parents=True)
    for jar in good:
        (cache / jar.name).symlink_to(jar)
    (cache / good[3].name).unlink()
    (cache / good[3].name).write_bytes(good[3].read_bytes() + b"x")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(ConfigurationError, match=good[3].name):
        up(home, free_ports(2)[0])
    assert read_stack(home) is None


def test_formatting_is_done_once_and_not_by_halves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    port, controller_port = free_ports(2)
    node = KafkaNode(tmp_path / "Ўзбек o‘ʻ", port, controller_port)
    java, class_path = find_java(os.environ), ensure_jars(jar_cache(os.environ))
    with pytest.raises(ConfigurationError, match="format tool ended with"):
        node.format(java, (), new_cluster_id())
    assert not node.formatted
    cluster = new_cluster_id()
    node.format(java, class_path, cluster)
    assert f"cluster.id={cluster}" in (node.data / "meta.properties").read_text()
    node.format(java, class_path, new_cluster_id())
    assert f"cluster.id={cluster}" in (node.data / "meta.properties").read_text()
    assert "data.formatting" not in node.properties.read_text()
    with run_node(node, java, class_path):
        assert kafka_answers(node.address)


async def test_the_sessions_broker_is_one_of_ours_and_ends() -> None:
    provider = broker_provider(os.environ | {"CHOPAR_TEST_BROKER": "local"})
    with provider.broker() as bootstrap:
        assert kafka_answers(bootstrap)
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        assert await admin.list_topics() == []
        await admin.close()
    assert not kafka_answers(bootstrap)
