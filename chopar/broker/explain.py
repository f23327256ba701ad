"""Why a process of the stack is not ready, or was started again, in words: by its /ready, or by its log."""

import contextlib
import http.client
import json
from datetime import datetime, timedelta

from chopar.broker.stack import ProcessStatus

LOG_LINES = 6  # of a process's last words, in an error message
_SECONDS = 2.0
_MOST_BYTES = 64 * 1024
LATELY = timedelta(minutes=5)
"""A process that ended in this time may well end again; the longest back-off is ten seconds."""


def what_is_missing(process: ProcessStatus) -> str:
    """Ask a process that runs and is not ready what it waits for, and give it as "name: reason; ..."; empty if unsaid.

    Blocks for two seconds at most.
    """
    if process.kind != "process" or process.address is None or process.pid is None:
        return ""
    connection = http.client.HTTPConnection(process.address, timeout=_SECONDS)
    try:
        connection.request("GET", "/ready")
        missing = json.loads(connection.getresponse().read(_MOST_BYTES))["missing"]
        return "; ".join(f"{name}: {reason}" for name, reason in missing.items())
    except ConnectionRefusedError:
        return f"nothing listens at {process.address} yet"
    except TimeoutError:
        return f"{process.address} does not answer within {_SECONDS:.0f} s"
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError):
        return ""
    finally:
        connection.close()


def restarted_lately(process: ProcessStatus, now: datetime) -> bool:
    """Whether it ended and was started again: what is ready now may be between two ends of a crash loop."""
    if process.kind == "task" or not process.restarts or process.since is None:
        return False
    return now - datetime.fromisoformat(process.since) < LATELY


def last_error(process: ProcessStatus, now: datetime) -> str:
    """The newest error in a process's log, as "code: reason", if it is of late; empty if there is none."""
    with contextlib.suppress(OSError):
        for line in reversed(_end_of(process.log, _MOST_BYTES)):
            with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):  # not a line of ours
                said = json.loads(line)
                if said["level"] == "error" and now - datetime.fromisoformat(said["timestamp"]) < LATELY:
                    return ": ".join(str(said[key]) for key in ("code", "reason") if key in said) or str(said["event"])
    return ""


def how_it_ended(process: ProcessStatus, now: datetime) -> str:
    """What is known of a process that was started again lately: how often, how the last one ended, by which error."""
    how = "" if process.exit is None else f" with {process.exit}"
    error = last_error(process, now)
    last = f"; its last error is {error}" if error else ""
    again = " and was started again" if process.runs else ""
    return f"it ended{how}{again} (restarts in all: {process.restarts}){last}"


def last_words(process: ProcessStatus) -> str:
    """Say how a process ended, and why: the reason that our own processes log when they stop, else the last lines."""
    how = process.problem or ("ended" if process.exit is None else f"ended with {process.exit}")
    lines: list[str] = []
    with contextlib.suppress(OSError):
        lines = _end_of(process.log, 8192)[-LOG_LINES:]
    reason = _reason(lines[-1]) if lines else ""
    words = "".join(f"\n  | {line}" for line in ([reason] if reason else lines))
    return f"{process.name} does not come up: {how}, {process.restarts} restarts. Its log is {process.log}{words}"


def _end_of(log: str, size: int) -> list[str]:
    with open(log, "rb") as file:
        file.seek(max(0, file.seek(0, 2) - size))
        return file.read().decode("utf-8", "replace").splitlines()


def _reason(line: str) -> str:
    """What stands as "reason" in a line of our own log; empty if it is none."""
    try:
        return str(json.loads(line)["reason"])
    except (ValueError, KeyError, TypeError):
        return ""
