"""An agency's process whose callback dies of one answer, for `test_durable_requester_killed.py`.

`python -m tests.contract.deadly_callback URL JOURNAL NOTES`: one life. It has asked for three cases before, all of
which are answered once; `kills` is the second, and whoever is told of its answer dies. Prints, at its end, the dead
letters.
"""

import asyncio
import json
import sys
from pathlib import Path

from tests.contract.durable_process import ALIVE_SECONDS, Process
from tests.durable_rig import PROVIDED

CASES = ("before", "kills", "after")


async def life(process: Process) -> None:
    """Ask for what was not asked for, and act on what is answered until nothing is left."""
    await process.start()
    process.bus.begin()
    answered = {record.key for partition in range(6) for record in process.bus.records(PROVIDED, partition)}
    async with process.requester() as requester:
        if not answered:
            for case in CASES:
                demand = await process.ask(requester, case_id=case)
                await process.resolve(demand)
                await process.provide(demand)
        running = asyncio.create_task(requester.run())
        async with asyncio.timeout(ALIVE_SECONDS):
            while process.behind():
                await asyncio.sleep(0.01)
        requester.stop()
        await running
    await process.close()


def main(url: str, journal: str, notes: str) -> None:
    """Live, and say what was given up."""
    process = Process(url, Path(journal), "kills received", Path(notes))
    asyncio.run(life(process))
    sys.stdout.write(json.dumps(process.letters()) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
