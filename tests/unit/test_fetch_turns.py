"""A fetch goes out when more is wanted; nothing else waits for that."""

import asyncio
from typing import Any

from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.metadata import MetadataRequest

from chopar.bus.kafka.fetch_turns import FetchTurns


async def test_a_fetch_waits_until_more_is_wanted() -> None:
    sent: list[tuple[Any, Any, dict[str, Any]]] = []

    async def send(node_id: Any, request: Any, **options: Any) -> str:
        sent.append((node_id, request, options))
        return "answer"

    turns = FetchTurns(send)
    fetch, other = FetchRequest(500, 1, 10_000, 0, []), MetadataRequest([])
    assert await turns.send(1, fetch) == "answer"
    turns.hold()
    held = [asyncio.create_task(turns.send(node, fetch)) for node in (1, 2)]
    await asyncio.sleep(0)  # both have come as far as they can
    assert await turns.send(1, other, group="g") == "answer"
    assert sent == [(1, fetch, {}), (1, other, {"group": "g"})]
    turns.want()
    await asyncio.gather(*held)
    assert sent[2:] == [(1, fetch, {}), (2, fetch, {})]
