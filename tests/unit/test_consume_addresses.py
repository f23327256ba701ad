"""Loopback, and what a failed start says."""

import socket
import time

import pytest

from chopar.bus.kafka import KafkaBus, KafkaClientSettings, record_code_is_native
from chopar.bus.loopback import is_loopback, require_loopback
from chopar.errors import BrokerUnavailableError, ConfigurationError

QUICK = KafkaClientSettings(start_deadline_seconds=0.3, request_timeout_seconds=0.3, close_deadline_seconds=0.5)


@pytest.mark.parametrize(
    "address", ["127.0.0.1:9092", "127.8.0.1:1", "localhost:9092", "LOCALHOST:1", "[::1]:9092", "::1", "127.0.0.1"]
)
def test_loopback(address: str) -> None:
    assert is_loopback(address)
    require_loopback([address], insecure=False)


@pytest.mark.parametrize(
    "address",
    ["0.0.0.0:9092", "10.0.0.1:9092", "kafka:9092", "127.0.0.1.example:9092", "[::]:9092", "localhost.x:1", ""],
)
def test_not_loopback(address: str) -> None:
    assert not is_loopback(address)
    with pytest.raises(ConfigurationError, match="--insecure"):
        require_loopback(["127.0.0.1:1", address], insecure=False)
    require_loopback([address], insecure=True)


def test_a_bus_refuses_a_broker_that_is_not_loopback() -> None:
    with pytest.raises(ConfigurationError, match=r"10\.1\.2\.3"):
        KafkaBus("127.0.0.1:9092,10.1.2.3:9092")
    KafkaBus("10.1.2.3:9092", insecure=True)


async def test_no_broker_says_that_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    bus = KafkaBus(f"127.0.0.1:{port}", settings=QUICK)
    began = time.monotonic()
    for client in (bus.producer("p"), bus.reader({}), bus.admin(), bus.fenced_producer("f")):
        with pytest.raises(BrokerUnavailableError, match="nothing listens on this port"):
            await client.start()
        await client.stop()
    assert time.monotonic() - began < 10


async def test_something_else_on_the_port_is_told_apart() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        bus = KafkaBus(f"127.0.0.1:{deaf.getsockname()[1]}", settings=QUICK)
        producer = bus.producer("p")
        with pytest.raises(BrokerUnavailableError, match="something listens there"):
            await producer.start()
        await producer.stop()


def test_aiokafkas_compiled_record_code_is_active() -> None:
    assert record_code_is_native()
