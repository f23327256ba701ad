"""An agency's process that dies while the next holder is asked, for `test_durable_requester_killed.py`.

As `durable_process`, but the first holder has no record of anybody, and the second has of all.
"""

import sys
from collections.abc import Awaitable, Callable, Sequence

from chopar.messages.demand import Demand
from tests.contract.durable_process import Process, live
from tests.next_holders import find, find_nothing, resolve

STEPS = (
    "in passed",
    "passed before commit",  # the next demand is not kept
    "passed after commit",  # kept, not sent
    "passed before offsets",
    "followed before commit",  # sent, which is not noted
    "followed after commit",
    "in completed",
    "received before commit",
    "received after commit",
)


class FollowingProcess(Process):
    """The agency, and two holders."""

    def answers(self, demand: Demand) -> Sequence[Callable[[Demand], Awaitable[object]]]:
        """The gateway and the holder that was asked, each twice."""

        async def resolved(demand: Demand) -> None:
            await resolve(self, demand, holders=2)

        async def answered(demand: Demand) -> None:
            await (find_nothing if demand.follows is None else find)(self, demand, demand.documents[0].type)

        return resolved, resolved, answered, answered


if __name__ == "__main__":
    live(FollowingProcess, *sys.argv[1:])
