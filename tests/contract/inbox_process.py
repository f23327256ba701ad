"""A process that acts through an inbox, for `test_inbox.py`: `python -m tests.contract.inbox_process URL STEP`.

STEP `all`: acts on twenty effects, each of two times, and prints how often it did; others: dies by SIGKILL there.
"""

import asyncio
import os
import signal
import sys
from functools import partial

from sqlalchemy.ext.asyncio import AsyncConnection

from chopar.bus.inbox import Inbox
from tests.contract.inbox_effects import effect, enter

COMPETED_FOR = 20


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def _act_on_all(inbox: Inbox) -> None:
    acted = 0
    for number in [*range(COMPETED_FOR), *range(COMPETED_FOR)]:
        async with inbox.batch() as batch:
            acted += await batch.act(effect(number), partial(enter, number=number))
    sys.stdout.write(f"{acted}\n")


async def _die_at(inbox: Inbox, step: str) -> None:
    async def callback(connection: AsyncConnection) -> None:
        if step == "before the effect":
            _die()
        await enter(connection, 1)
        if step == "after the effect":
            _die()

    async with inbox.batch() as batch:
        await batch.act(effect(0), lambda connection: enter(connection, 0))
        await batch.act(effect(1), callback)
        if step == "before the commit":
            _die()
    if step == "after the commit":
        _die()


async def _main(url: str, step: str) -> None:
    inbox = Inbox(url)
    if step == "all":
        await _act_on_all(inbox)
    else:
        await _die_at(inbox, step)
    await inbox.close()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2]))
