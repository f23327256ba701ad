"""An agency's process that dies while an answer is corrected and stood by, for `test_durable_requester_killed.py`.

As `durable_process`, but the holder corrects its answer in each case, and then stands by the correction.
"""

import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from chopar.identifiers import derived_uuid
from chopar.messages.demand import Demand
from chopar.requester.completion import Delivered, Upheld
from chopar.requester.durable_requester import DurableRequester
from tests.contract.durable_process import Process, live

STEPS = (
    "in corrected",
    "corrected before commit",  # the row of the inbox is written, and nothing is kept
    "corrected after commit",
    "upheld before commit",
)


class CorrectingProcess(Process):
    """The agency, and a holder that was wrong."""

    LAST: ClassVar[str] = "upheld"
    right: bytes
    """Digest of the answer that takes the first one's place."""

    def requester(self) -> DurableRequester:
        requester = super().requester()

        @requester.upheld
        async def upheld(transaction: AsyncConnection, demand: Demand, told: Upheld) -> None:
            await self.note(transaction, demand, "upheld")

        return requester

    def kind_of(self, delivered: Delivered) -> str:
        """What is noted of an answer."""
        return "received" if delivered.supersedes is None else "corrected"

    def answers(self, demand: Demand) -> Sequence[Callable[[Demand], Awaitable[object]]]:
        """The gateway, and the holder: what it says again it says twice, its first answer once more between."""

        async def corrected(demand: Demand) -> None:
            self.right = await self.correct(demand, _id_of("correction", demand), has_debt=False)

        async def upheld(demand: Demand) -> None:
            await self.uphold(demand, _id_of("dispute", demand), self.right)

        return self.resolve, self.provide, corrected, corrected, self.provide, upheld, upheld


def _id_of(what: str, demand: Demand) -> UUID:
    return derived_uuid(what, str(demand.demand_id))


if __name__ == "__main__":
    live(CorrectingProcess, *sys.argv[1:])
