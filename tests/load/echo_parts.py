"""What the bare echo carries: the topics of an exchange under another prefix, values of the sizes that ours have."""

import json
import os
from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaProducer

PREFIX = "load.echo."
DEMAND, RESOLVED, REQUESTED, RECORDED, PROVIDED = (
    f"{PREFIX}{name}" for name in ("demand", "resolved", "requested", "recorded", "provided")
)
TOPICS = (DEMAND, RESOLVED, REQUESTED, RECORDED, PROVIDED)
GATEWAY_SAYS: tuple[tuple[str, ...], ...] = ((RESOLVED, RECORDED), (REQUESTED,))
TAX_SAYS: tuple[tuple[str, ...], ...] = ((RECORDED,), (PROVIDED,))
"""What is said before, and what after: only the echo that waits minds."""
KEY_BYTES = 36
DEFAULT_SIZES = {DEMAND: 700, RESOLVED: 900, REQUESTED: 900, RECORDED: 700, PROVIDED: 1100}


def values(sizes: str) -> dict[str, bytes]:
    """One value for each topic, half of it random, from `{"topic": bytes}` in JSON."""
    wanted: Mapping[str, int] = {**DEFAULT_SIZES, **json.loads(sizes or "{}")}
    return {topic: os.urandom(size - size // 2) + bytes(size // 2) for topic, size in wanted.items()}


def producer(bootstrap: str) -> AIOKafkaProducer:
    """As ours is set: acknowledged by all, idempotent, nothing waits for more."""
    return AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, linger_ms=0, max_batch_size=262_144
    )


class Batches:
    """Records grouped by topic and partition, each group one `send_batch`."""

    def __init__(self, sender: AIOKafkaProducer) -> None:
        self._sender = sender
        self._open: dict[tuple[str, int], Any] = {}
        self._full: list[tuple[str, int, Any]] = []

    def add(self, topic: str, partition: int, key: bytes, value: bytes) -> None:
        """Add a record."""
        place = topic, partition
        batch = self._open.get(place)
        if batch is None or batch.append(key=key, value=value, timestamp=None) is None:
            if batch is not None:
                self._full.append((*place, batch))
            batch = self._open[place] = self._sender.create_batch()
            batch.append(key=key, value=value, timestamp=None)

    async def send(self) -> list[Any]:
        """Hand all of it over; gives a future for each batch."""
        flying = []
        for topic, partition, batch in (*self._full, *((t, p, b) for (t, p), b in self._open.items())):
            batch.close()
            flying.append(await self._sender.send_batch(batch, topic, partition=partition))
        self._open, self._full = {}, []
        return flying
