"""While lists are read that come into force, the gateway's event loop goes on: it answers, and waits for them alone."""

import asyncio
import threading
from datetime import timedelta
from pathlib import Path, PosixPath

import httpx2
from prometheus_client import CollectorRegistry

from chopar.bus.memory import MemoryBus
from chopar.bus.port import Record, TopicPartition
from gateway.bundle import install
from gateway.handlers import GatewayHandler
from gateway.law_reader import LawReader
from gateway.list_version import AGENCIES
from tests.builders import NOW, NOW_MS, demand, demand_id
from tests.edited_lists import edited
from tests.public_site import law_reader, site
from tests.standing import FILES, activation, bundle, demand_value

TOPIC = "demand.submitted.electricity-het"
DEADLINE_SECONDS = 30


class SlowFolder(PosixPath):
    """A list directory on a disk that gives nothing until it is let, and fails where nobody can let it."""

    def begin(self) -> "SlowFolder":
        self.asked, self.let, self.count = threading.Event(), threading.Event(), 0
        return self

    def __truediv__(self, key: object) -> Path:  # type: ignore[override]
        self.count += 1
        self.asked.set()
        assert self.let.wait(DEADLINE_SECONDS), "the event loop stands still while lists are read"
        return Path(self) / str(key)


def demanded(number: int) -> Record:
    at = NOW + timedelta(days=number)
    one = demand(demand_id=demand_id(1, at), expires_at=at + timedelta(days=7))
    return Record(TOPIC, 0, number, round(at.timestamp() * 1000), str(one.demand_id).encode(), demand_value(one), ())


async def test_the_loop_goes_on_while_what_comes_into_force_is_read(tmp_path: Path) -> None:
    law_reader(tmp_path)  # puts the first lists and the secret there
    newer = edited(bundle(), AGENCIES, "agency", {"id": "employer"}, name_en="Another name")
    install(newer, tmp_path / "lists")
    folder = SlowFolder(tmp_path / "lists").begin()
    reader = LawReader(MemoryBus(lambda: NOW_MS), FILES, home=tmp_path, lists_folder=folder, instance="test")
    reader.law.read(0, NOW_MS, activation(bundle()))
    handler = GatewayHandler(MemoryBus(lambda: NOW_MS), reader, CollectorRegistry())
    await handler.assigned({TopicPartition(TOPIC, 0): 0})
    folder.let.set()
    await handler.ready_for([demanded(0)])
    folder.let.clear()
    folder.asked.clear()
    reader.law.read(1, NOW_MS + 1, activation(newer, effective_at=NOW + timedelta(hours=1)))
    reader.law.read(2, NOW_MS + 90_000_000, None)  # a mark: the newer ones hold
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(site(reader, tmp_path)), base_url="http://x") as web:
        waiting = [asyncio.create_task(handler.ready_for([demanded(1)])) for _ in range(2)]
        rehearsed = asyncio.create_task(web.get("/v1/requesters/employer"))
        assert await asyncio.to_thread(folder.asked.wait, DEADLINE_SECONDS)
        assert (await web.get("/live")).status_code == 200
        handler.seen(demanded(0))
        assert handler.handle(demanded(0)).after, "by the lists that held when it was taken"
        assert not any(task.done() for task in (*waiting, rehearsed))
        folder.let.set()
        await asyncio.gather(*waiting)
        assert (await rehearsed).json()["name"] == "Another name"
    assert folder.count == 2, "each version was read once, whoever needed it"
