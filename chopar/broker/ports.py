"""Which port is whose. One base moves them all; each entry of the plan names its distance from it.

    base            gateway            18080
    base + 1        schema registry    18081
    base + 20 ...   services           18100 and up
    base + 1012     Kafka              19092   (its controller: one more, 19093)

`CHOPAR_PORT_BASE` sets the base; the distances are data (deploy/local.toml).
"""

import contextlib
import os
import socket
from collections.abc import Mapping
from pathlib import Path

from chopar.errors import ConfigurationError

HOST = "127.0.0.1"
DEFAULT_PORT_BASE = 18080
HIGHEST_PORT = 65535
_LISTENING = "0A"  # the state column of /proc/net/tcp


def port_base(environ: Mapping[str, str]) -> int:
    """Give the base that CHOPAR_PORT_BASE names, else the default.

    Raises:
        ConfigurationError: it is not a number, or a port below 1024 (those are not for everyone).
    """
    text = environ.get("CHOPAR_PORT_BASE", "").strip()
    if not text:
        return DEFAULT_PORT_BASE
    if not text.isascii() or not text.isdigit() or not 1024 <= int(text) <= HIGHEST_PORT:
        raise ConfigurationError(
            f"CHOPAR_PORT_BASE is {text!r}: give a port from 1024 up, such as {DEFAULT_PORT_BASE} "
            f"(Kafka is 1012 above it)."
        )
    return int(text)


def port_at(base: int, offset: int) -> int:
    """Give the port at this distance from the base.

    Raises:
        ConfigurationError: there is no such port.
    """
    port = base + offset
    if not 0 < port <= HIGHEST_PORT:
        raise ConfigurationError(
            f"The port base {base} leaves no room: {offset} above it is {port}, and ports end at {HIGHEST_PORT}. "
            f"Set CHOPAR_PORT_BASE lower."
        )
    return port


def require_free(port: int, what_for: str) -> None:
    """Refuse to start on a port that somebody listens on.

    Raises:
        ConfigurationError: names the port, what it is for, who holds it (where /proc tells) and how to move.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free for a listener
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError as error:
            holder = listener_of(port)
            who = f" by {holder}" if holder else ""
            raise ConfigurationError(
                f"Port {port}, wanted for {what_for}, is taken{who} ({os.strerror(error.errno or 0)}). Stop what holds "
                f"it, or move the whole stack: CHOPAR_PORT_BASE={DEFAULT_PORT_BASE + 2000} (any free base)."
            ) from error


def listener_of(port: int) -> str | None:
    """Say which process listens on a port, as "pid 123 (java)"; None where the system does not tell."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/net/{table}").read_text("ascii").splitlines()[1:]:
                columns = line.split()
                if columns[3] == _LISTENING and int(columns[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{columns[9]}]")
    if not inodes:
        return None
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and _holds(process, inodes):
            name = ""
            with contextlib.suppress(OSError):
                name = (process / "comm").read_text("utf-8", "replace").strip()
            return f"pid {process.name} ({name})"
    return None


def _holds(process: Path, inodes: set[str]) -> bool:
    with contextlib.suppress(OSError):  # another user's, or gone meanwhile
        for descriptor in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                if os.readlink(descriptor) in inodes:
                    return True
    return False
