"""Tests in a real browser.

Where there is none they are deselected, and the run says so; with CHOPAR_TEST_REQUIRE=browser they fail.
"""

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from tests.browser import chromium
from tests.browser.chromium import Browser, Page
from tests.public_site import law_reader, site

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
    """The gateway's listener on a port of its own, with the committed lists in force."""
    home = tmp_path_factory.mktemp("gateway")
    app = site(law_reader(home), home)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="listener")
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
