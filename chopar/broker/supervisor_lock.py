"""The lock that a supervisor holds as long as it lives, and its pid and start time in it.

stack.json is a file that anybody can damage or delete while the stack runs; the lock then still says whom to ask.
"""

import contextlib
import fcntl
import json
import os

from chopar.broker.processes import ProcessIdentity, identity_of, is_alive
from chopar.broker.stack import Home
from chopar.errors import ConfigurationError


class SupervisorLock:
    """Held by one process for a home; use it as a context.

    Args:
        home: whose supervisor this is.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._descriptor = -1

    def __enter__(self) -> "SupervisorLock":
        """Take the lock.

        Raises:
            ConfigurationError: another supervisor has it; names its pid, where that is known.
        """
        descriptor = _open(self._home)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            other = supervisor_of(self._home)
            who = f" (pid {other.pid}): `chopar down` stops it" if other else ""
            raise ConfigurationError(f"Another supervisor runs for {self._home.folder}{who}.") from error
        self._descriptor = descriptor
        self.sign()
        return self

    def __exit__(self, *_: object) -> None:
        """Let it go; the file stays, and names a process that is no more."""
        os.close(self._descriptor)
        self._descriptor = -1

    def sign(self) -> None:
        """Write into the lock who we are now: after a fork that is somebody else."""
        me = identity_of(os.getpid())
        if me is None:
            return
        with contextlib.suppress(OSError):  # a full disk: stack.json says it too
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, json.dumps({"pid": me.pid, "started": me.started}).encode() + b"\n", 0)

    @property
    def deleted(self) -> bool:
        """Whether the file that we hold is nowhere any more; one that was moved with its folder is still somewhere."""
        return os.fstat(self._descriptor).st_nlink == 0

    def keep(self) -> None:
        """Take it anew if its file was deleted or written over, so that nobody else takes us for gone.

        Raises:
            OSError: it cannot be written.
        """
        try:
            found = os.stat(self._home.supervisor_lock).st_ino
        except FileNotFoundError:
            descriptor = _open(self._home)
            with contextlib.suppress(OSError):  # somebody is looking at it this moment; the next try has it
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.close(self._descriptor)
            self._descriptor = descriptor
            self.sign()
            return
        if found == os.fstat(self._descriptor).st_ino and supervisor_of(self._home) is None:
            self.sign()


def supervisor_of(home: Home) -> ProcessIdentity | None:
    """Give the supervisor that lives and has signed the lock of this home; None if none has."""
    try:
        signed = json.loads(home.supervisor_lock.read_text("utf-8"))
        identity = ProcessIdentity(int(signed["pid"]), str(signed["started"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return identity if is_alive(identity) else None


def _open(home: Home) -> int:
    return os.open(home.supervisor_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
