"""The disk under an asker's database is full for a while: nothing is half done, and nothing is done twice."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.durable_rig import DEADLINE_SECONDS, DurableRig
from tests.full_disk import full_disk

PAGE_BYTES = 4096 + 24  # of SQLite, in its write-ahead log


@pytest.mark.parametrize("pages", [0, 1, 2, 5])
async def test_what_the_disk_did_not_take_is_acted_on_once_when_there_is_room(pages: int, tmp_path: Path) -> None:
    """Room for some pages more: it is full before a transaction, in the middle of one, or at its end."""
    rig = DurableRig(tmp_path)
    await rig.start()
    async with rig.running() as requester:
        demands = [await rig.ask(requester, case_id=f"case {number}") for number in range(8)]
        for demand in demands:
            await rig.resolve(demand)
        await rig.until_done(*(f"case {number} resolved" for number in range(8)))
        await rig.read()
        log = tmp_path / "agency.db-wal"
        with capture_logs() as logs, full_disk(log.stat().st_size + pages * PAGE_BYTES):
            async with asyncio.timeout(DEADLINE_SECONDS):
                while "store_unavailable" not in requester.missing():
                    for demand in demands:  # some of them again and again
                        await rig.provide(demand)
                    await asyncio.sleep(0.01)
        assert [entry for entry in logs if entry["event"] == "partition.paused"]
        for demand in demands:
            await rig.provide(demand)
        await rig.read()
    said = ("resolved", "received paper-a True", "completed")
    assert sorted(await rig.done()) == sorted(f"case {number} {what}" for number in range(8) for what in said)
    assert rig.letters() == []
    await rig.close()
