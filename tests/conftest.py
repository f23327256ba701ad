"""What all tests share: one real Kafka for the session, said in the first lines of the run."""

import os
from collections.abc import Callable, Iterator
from itertools import count

import pytest
import structlog

from chopar.bus.port import Bus
from tests.kafka_fixture import Provider, broker_provider

_provider: list[Provider] = []
_numbers = count(1)


def provider() -> Provider:
    """Where this session's broker comes from; chosen once."""
    if not _provider:
        _provider.append(broker_provider(os.environ))
    return _provider[0]


def pytest_report_header() -> str:
    """Say which broker the run uses, and why."""
    return f"kafka: {provider().name} ({provider().why})"


@pytest.fixture(autouse=True)
def _logging_as_it_is_at_first() -> None:
    """What an earlier test, or the program in it, set up for its logs does not reach this one."""
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def bootstrap() -> Iterator[str]:
    """The address of a real Kafka, started when the first test needs it. Topics are the tests' own: name them apart."""
    with provider().broker() as address:
        yield address


@pytest.fixture
def kafka(request: pytest.FixtureRequest) -> Callable[[], Bus]:
    """Makes a bus on the session's Kafka, with topics and groups of the test's own under their real names."""

    def make() -> Bus:
        from chopar.bus.kafka import KafkaBus
        from chopar.bus.prefixed import PrefixedBus

        return PrefixedBus(KafkaBus(request.getfixturevalue("bootstrap")), f"t{next(_numbers)}-{os.getpid()}.")

    return make
