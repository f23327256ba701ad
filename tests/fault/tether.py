"""A child that ends with its parent, whatever ends the parent: nothing that a run started may outlive it."""

import os
import sys
from collections.abc import Sequence

# Asks the kernel for SIGKILL when the parent ends, looks whether it has ended already, and becomes the program. Run by
# a bare interpreter, since nothing but exec may happen between fork and exec in a process that has threads.
_CODE = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""


def tethered(command: Sequence[str]) -> list[str]:
    """The command line that runs a command (its program by its whole path) so; on other systems than Linux, plainly."""
    if sys.platform != "linux":
        return list(command)
    return [sys.executable, "-I", "-S", "-c", _CODE, str(os.getpid()), *command]
