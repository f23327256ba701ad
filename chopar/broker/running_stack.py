"""The running stack as a reader finds it, also when stack.json was damaged or deleted meanwhile.

The supervisor puts such a file right within a second or so; until then a reader waits, as long as one is alive.
"""

import time
from pathlib import Path

from chopar.broker.stack import Home, Stack, read_stack
from chopar.broker.supervisor_lock import supervisor_of
from chopar.errors import ConfigurationError, UnavailableError

PATIENCE_SECONDS = 5.0  # the supervisor looks every second; a loaded machine is why it is more
_POLL_SECONDS = 0.05


def running_stack(home: Path, patience_seconds: float = PATIENCE_SECONDS) -> Stack | None:
    """Read what is written down about the stack in this home, with the supervisor's help if it is not readable.

    Args:
        home: the folder of its state.
        patience_seconds: how long a living supervisor may take to put the file right.

    Returns:
        The stack, whose supervisor may be dead; None if there is none.

    Raises:
        ConfigurationError: the file is not one of ours, and no supervisor lives that could put it right.
        UnavailableError: a supervisor lives and does not put it right; names its pid.
    """
    place = Home(home)
    deadline = time.monotonic() + patience_seconds
    while True:
        stack: Stack | None = None
        problem: ConfigurationError | None = None
        try:
            stack = read_stack(home)
        except ConfigurationError as error:
            problem = error
        if stack is not None and stack.supervised:
            return stack
        supervisor = supervisor_of(place)
        if supervisor is None or (stack is not None and stack.supervisor == supervisor):
            if problem is not None:
                raise problem
            return stack
        if time.monotonic() > deadline:
            if stack is not None:
                return stack
            raise UnavailableError(
                f"A supervisor (pid {supervisor.pid}) runs in {home}, but its {place.stack_file.name} is missing or "
                f"unreadable and it does not write it anew: `chopar down` stops it and all that it runs. Its log is "
                f"{place.log('supervisor')}; is the disk full?"
            ) from problem
        time.sleep(_POLL_SECONDS)
