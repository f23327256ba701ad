"""An agency's process whose `completed` dies of one expired demand, for `test_durable_requester_killed.py`.

`python -m tests.contract.deadly_expiry URL JOURNAL LIFE`: the life of this number, from 1. Three cases are asked for in
the first and answered by nobody; `kills` is the second, and whoever is told of its end dies. Prints, at its end, the
cases that it still waits for, and for which of these it has given up.
"""

import asyncio
import json
import sys
from datetime import timedelta
from pathlib import Path

from tests.builders import NOW
from tests.contract.durable_process import ALIVE_SECONDS, Process

CASES = ("before", "kills", "after")


async def life(process: Process, number: int) -> dict[str, bool]:
    """Ask for what was not asked for, and let it expire."""
    await process.start()
    process.bus.begin()
    async with process.requester() as requester:
        if number == 1:
            for case in CASES:
                await process.ask(requester, case_id=case)
        process.now = NOW + timedelta(days=10, minutes=2 * number)
        running = asyncio.create_task(requester.run())
        async with asyncio.timeout(ALIVE_SECONDS):
            while True:
                left = {one.case_id: one.given_up for one in await requester.waiting()}
                # A demand counts as given up once its third try is noted; that this life has seen it says the gauge.
                if all(left.values()) and process.metrics.get_sample_value("chopar_completions_given_up") == len(left):
                    break
                await asyncio.sleep(0.02)
        requester.stop()
        await running
    await process.close()
    return left


def main(url: str, journal: str, number: str) -> None:
    """Live, and say what is left."""
    process = Process(url, Path(journal), "kills completed")
    sys.stdout.write(json.dumps(asyncio.run(life(process, int(number)))) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
