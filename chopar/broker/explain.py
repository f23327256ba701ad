"""Why a process of the stack is not ready, in words: what its /ready says, or the last lines of its log."""

import contextlib
import http.client
import json

from chopar.broker.stack import ProcessStatus

LOG_LINES = 6  # of a process's last words, in an error message
_SECONDS = 2.0
_MOST_BYTES = 64 * 1024


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


def last_words(process: ProcessStatus) -> str:
    """Say how a process ended, and why: the reason that our own processes log when they stop, else the last lines."""
    how = process.problem or ("ended" if process.exit is None else f"ended with {process.exit}")
    lines: list[str] = []
    with contextlib.suppress(OSError), open(process.log, "rb") as file:
        file.seek(max(0, file.seek(0, 2) - 8192))
        lines = file.read().decode("utf-8", "replace").splitlines()[-LOG_LINES:]
    reason = _reason(lines[-1]) if lines else ""
    words = "".join(f"\n  | {line}" for line in ([reason] if reason else lines))
    return f"{process.name} does not come up: {how}, {process.restarts} restarts. Its log is {process.log}{words}"


def _reason(line: str) -> str:
    """What stands as "reason" in a line of our own log; empty if it is none."""
    try:
        return str(json.loads(line)["reason"])
    except (ValueError, KeyError, TypeError):
        return ""
