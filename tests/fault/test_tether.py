"""What a run starts does not outlive it, even if nothing could be tidied up."""

import subprocess
import sys
from pathlib import Path

from chopar.broker.processes import identity_of, wait_gone
from tests.fault.tether import tethered

CHECKOUT = Path(__file__).parents[2]
DEADLINE_SECONDS = 20

PARENT = """
import subprocess, sys
from tests.fault.tether import tethered
child = subprocess.Popen(tethered([sys.executable, "-c", "input()"]), stdin=subprocess.PIPE, start_new_session=True)
print(child.pid, flush=True)
input()
"""


def test_a_child_is_killed_when_its_parent_is() -> None:
    if sys.platform != "linux":
        assert tethered(["/program", "argument"]) == ["/program", "argument"]
        return
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout is not None
        child = identity_of(int(parent.stdout.readline()))
        assert child is not None
        parent.kill()
    assert wait_gone(child, DEADLINE_SECONDS)
