"""Topics are made and deleted alike on both buses."""

import asyncio
import time

from tests.contract.bus_rig import DEADLINE_SECONDS, Rig, layout, unique


async def test_a_deleted_topic_is_gone_and_a_name_without_topic_is_left_out(rig: Rig) -> None:
    gone, kept = unique("gone"), unique("kept")
    admin = rig.bus.admin()
    await admin.start()
    try:
        await admin.create([layout(gone), layout(kept)])
        await admin.delete([gone, unique("never-made")])
        deadline = time.monotonic() + DEADLINE_SECONDS
        while gone in await admin.partitions():  # a broker says so a moment later
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        assert kept in await admin.partitions()
        await admin.create([layout(gone, partitions=3)])
        assert (await admin.partitions())[gone] == 3
        await admin.delete([gone, kept])
    finally:
        await admin.stop()
