"""A headless Chromium, driven over its own pipe (DevTools protocol): no driver, no further package.

Only what the tests of a page need: open it at a width, run an expression in it, press keys, print it, take a picture.
"""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
DEADLINE_SECONDS = 60.0

# Chromium reads commands on descriptor 3 and writes on 4; who starts it may have others there.
_START = "import os, sys; r, w, *c = sys.argv[1:]; os.dup2(int(r), 3); os.dup2(int(w), 4); os.execvp(c[0], c)"
_OPTIONS = (
    "--headless",
    "--no-sandbox",  # it opens our own pages only, and a sandbox is not to be had as root in a container
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
_KEYS = {"Tab": 9, "Enter": 13, "ArrowDown": 40, "Escape": 27}


def found() -> str | None:
    """Where a Chromium is, if there is one."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Page:
    """One page of a running browser."""

    def __init__(self, browser: "Browser", target: str) -> None:
        self._browser = browser
        self._target = target
        self._session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        """Close it."""
        self._browser.call("Target.closeTarget", targetId=self._target)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command of the protocol, and its result."""
        return self._browser.call(method, self._session, **parameters)

    def size(self, width: int, height: int, *, is_phone: bool = False) -> None:
        """Be so wide and high, in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=is_phone
        )

    def open(self, address: str) -> None:
        """Go there and wait until it is loaded."""
        self.call("Page.navigate", url=address)
        self.until(f"location.href !== 'about:blank' && document.readyState === 'complete' && {json.dumps(address)}")

    def until(self, expression: str) -> Any:
        """Wait until an expression is true."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not (value := self.run(expression)):
            assert time.monotonic() < deadline, f"never true: {expression}"
        return value

    def run(self, expression: str) -> Any:
        """The value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """Press and release a key: a name, or one character."""
        code = _KEYS.get(key, ord(key[0].upper()))
        text = "\r" if key == "Enter" else key if len(key) == 1 else ""
        whole = {"key": key, "windowsVirtualKeyCode": code, "code": key if key in _KEYS else ""}
        down = {"type": "keyDown", "text": text} if text else {"type": "rawKeyDown"}
        self.call("Input.dispatchKeyEvent", **whole, **down)
        self.call("Input.dispatchKeyEvent", **whole, type="keyUp")

    def printed(self) -> bytes:
        """The page as PDF, as a printer would get it."""
        return base64.b64decode(self.call("Page.printToPDF", preferCSSPageSize=True)["data"])

    def picture(self, *, whole: bool = False) -> bytes:
        """What is seen, or the whole length of the page, as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"])


class Browser:
    """A running Chromium; `running` makes one."""

    def __init__(self, read: int, write: int) -> None:
        self._read = read
        self._write = write
        self._buffer = b""
        self._numbers = count(1)
        self.events: list[dict[str, Any]] = []

    def page(self) -> Page:
        """A new, empty page."""
        return Page(self, self.call("Target.createTarget", url="about:blank")["targetId"])

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """A command of the protocol, and its result; events that come meanwhile are kept."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            answer = self._next(deadline)
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def _next(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "the browser does not answer"
            part = os.read(self._read, 1 << 16)
            assert part, "the browser has ended"
            self._buffer += part
        message, self._buffer = self._buffer.split(b"\0", 1)
        answer: dict[str, Any] = json.loads(message)
        return answer


@contextmanager
def running(program: str, folder: Path) -> Iterator[Browser]:
    """A browser with a profile of its own, ended at the end.

    Args:
        program: path of a Chromium.
        folder: for its profile and what it writes.
    """
    commands, answers = os.pipe(), os.pipe()
    ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (commands[0], answers[1])]
    for end in (commands[0], answers[1]):
        os.close(end)
    started = [sys.executable, "-c", _START, *map(str, ends), program, *_OPTIONS, f"--user-data-dir={folder}"]
    with (folder / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            started, pass_fds=ends, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    for end in ends:
        os.close(end)
    browser = Browser(answers[0], commands[1])
    try:
        yield browser
    finally:
        with suppress(AssertionError, OSError):
            browser.call("Browser.close")
        try:
            process.wait(DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for end in (answers[0], commands[1]):
            os.close(end)
