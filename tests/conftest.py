"""What all tests share: one real Kafka for the session, said in the first lines of the run."""

import os
from collections.abc import Iterator

import pytest

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
