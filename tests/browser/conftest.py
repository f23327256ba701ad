"""Tests in a real browser.

Where there is none they are deselected, and the run says so; with CHOPAR_TEST_REQUIRE=browser they fail.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import chromium
from tests.browser.chromium import Browser, Page
from tests.browser.serving import served

HERE = Path(__file__).parent
ABSENT = "no Chromium on the path (Debian and Ubuntu: apt install chromium)"

_deselected: list[int] = []


def is_required() -> bool:
    """Whether the absence of a browser is a failure."""
    return "browser" in os.environ.get("CHOPAR_TEST_REQUIRE", "").split(",")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without a browser take these tests out, unless they are required."""
    if chromium.found() is not None or is_required():
        return
    ours = [item for item in items if item.path.is_relative_to(HERE)]
    if ours:
        _deselected.append(len(ours))
        config.hook.pytest_deselected(items=ours)
        items[:] = [item for item in items if item not in ours]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what did not run."""
    if _deselected:
        terminalreporter.write_line(f"not run: {sum(_deselected)} tests in a browser: {ABSENT}", yellow=True)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all."""
    program = chromium.found()
    assert program is not None, f"CHOPAR_TEST_REQUIRE=browser: {ABSENT}"
    with chromium.running(program, tmp_path_factory.mktemp("chromium")) as started:
        yield started


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An empty page."""
    browser.events.clear()
    made = browser.page()
    yield made
    made.close()


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the gateway's listener is, with the committed lists in force."""
    with served(tmp_path_factory.mktemp("gateway")) as found:
        yield found
