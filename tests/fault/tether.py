"""A child that ends with its parent, whatever ends the parent: nothing that a run started may outlive it."""

import sys
from collections.abc import Sequence

# Asks the kernel (Linux) for SIGKILL when the parent's thread ends, then becomes the program. Run by a bare
# interpreter, since nothing but exec may happen between fork and exec in a process that has threads.
_CODE = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execv(sys.argv[1], sys.argv[1:])"


def tethered(command: Sequence[str]) -> list[str]:
    """The command line that runs a command (its program by its whole path) so."""
    if sys.platform != "linux":
        return list(command)
    return [sys.executable, "-I", "-S", "-c", _CODE, *command]
