"""What all tests share: one real Kafka for each process that runs them, said in the first lines of the run.

`make test` runs one process a core and one more, as tests of real processes mostly wait. The tests of a file stay
together, and those that share the running stack too.
"""

import gc
import os
from collections.abc import Callable, Generator, Iterator
from itertools import count

import pytest
import structlog
from hypothesis import HealthCheck, settings
from xdist.remote import Producer

from chopar.bus.port import Bus
from tests.browser import chromium
from tests.kafka_fixture import Provider, broker_provider
from tests.notes import NOTE
from tests.work_units import UnitScheduling, in_order

# Until all tests are collected nothing becomes garbage, and looking for it takes a quarter of that time.
gc.disable()

# What is tried must hold; how long a busy machine takes for it says nothing.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

_provider: list[Provider] = []
_numbers = count(1)


def provider() -> Provider:
    """Where this session's broker comes from; chosen once."""
    if not _provider:
        _provider.append(broker_provider(os.environ))
    return _provider[0]


def pytest_report_header() -> list[str]:
    """Say which broker the run uses, and why, and whether there is a browser."""
    browser = chromium.found()
    shown = f"browser: {browser}" if browser else "browser: no Chromium, so the tests in a browser are left out"
    return [f"kafka: {provider().name} ({provider().why})", shown]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, if several processes share the run."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items[:] = in_order(items)


def pytest_collection_finish() -> None:
    """Let the search for garbage pass over the tests themselves and all that they import.

    With thousands of tests it takes a fifth of a second each time, and many tests start it, as a killed process would.
    """
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None]:
    """Pass over what a file has left as well, once its garbage is gone: caches, which later files would search."""
    yield
    if nextitem is None or nextitem.path != item.path:
        gc.collect()
        gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> UnitScheduling | None:
    """Keep together what one process has to run: a file; all that asks the running stack, which is started once."""
    return UnitScheduling(config, log) if config.getvalue("dist") == "loadgroup" else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what tests noted."""
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            for name, value in report.user_properties:
                if name == NOTE:
                    terminalreporter.write_line(str(value))


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
