"""What all tests share: one real Kafka for the session, said in the first lines of the run."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from chopar.bus.port import Bus
from tests.kafka_fixture import Provider, broker_provider

_provider: list[Provider] = []


def provider() -> Provider:
    """Where this session's broker comes from; chosen once."""
    if not _provider:
        _provider.append(broker_provider(os.environ))
    return _provider[0]


def pytest_report_header() -> str:
    """Say which broker the run uses, and why."""
    return f"kafka: {provider().name} ({provider().why})"


@pytest.fixture(scope="session")
def bootstrap() -> Iterator[str]:
    """The address of a real Kafka, started when the first test needs it. Topics are the tests' own: name them apart."""
    with provider().broker() as address:
        yield address


@pytest.fixture
def fresh_kafka(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Bus]:
    """Makes a bus on a Kafka of the test's own: for tests that need the topics by their real names."""

    def start() -> Bus:
        from chopar.bus.kafka import KafkaBus

        stack = ExitStack()
        request.addfinalizer(stack.close)
        return KafkaBus(stack.enter_context(provider().broker()))

    return start
