"""What the gateway holds by its configuration, its lists and the demands it is given: the "stated state" of P4.

The table in `docs/operations.md` says the same for people, with bounds for any load; here it is computed for that of
the bench: one agency's partitions with demands waiting, of one shape. Nothing here looks at a process: what was
measured is not known to it. Code, interpreter and clients are no state: an idle aiokafka process stands for them.
"""

import gc
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from chopar.bus.consume import ConsumeSettings
from chopar.bus.kafka import KafkaClientSettings
from chopar.topics import PARTITIONS
from gateway.list_version import ListVersion
from gateway.rendering import MOST_BYTES
from gateway.store import CACHE_KIB

LISTS = Path(__file__).parents[2] / "gateway" / "lists"
COPIES = 2
"""Of what is sent: as messages, and in the produce batches that wait for their acknowledgement."""
_NOT_OURS = (type, FunctionType, ModuleType)


def bytes_of(thing: Any) -> int:
    """What an object and all that it holds take in memory; code is not counted."""
    seen: dict[int, Any] = {}
    waiting = [thing]
    while waiting:
        one = waiting.pop()
        if id(one) not in seen and not isinstance(one, _NOT_OURS):
            seen[id(one)] = one
            waiting += gc.get_referents(one)
    return sum(map(sys.getsizeof, seen.values()))


def stated_state(sizes: Mapping[str, Mapping[str, float]], waiting: int = PARTITIONS) -> dict[str, float]:
    """What a gateway holds behind a backlog, MiB, by what it is for.

    Args:
        sizes: mean bytes of an exchange's messages by topic, as `running.sizes_of` gives them.
        waiting: partitions that have demands waiting.
    """
    lists = ListVersion.load(LISTS)
    agencies = sum(agency.is_connected_kind for agency in lists.agencies.values())
    kafka = KafkaClientSettings()
    unread = waiting * kafka.partition_bytes(agencies * PARTITIONS)
    sent = {topic: size["value"] + size["key_and_headers"] for topic, size in sizes.items()}
    demand = sum(size for topic, size in sent.items() if topic.startswith("demand.submitted"))
    answered = ("demand.resolved", "evidence.requested", "exchange.recorded")
    outputs = sum(size for topic, size in sent.items() if topic.startswith(answered))
    found = {
        "lists": bytes_of(lists),
        "unread": unread,
        "an answer to a fetch": 2 * min(kafka.max_fetch_bytes, unread),
        "a batch": ConsumeSettings().max_records * (demand + COPIES * outputs),
        "table": waiting * CACHE_KIB * 1024,
        "shapes": MOST_BYTES,
    }
    return {name: round(size / 2**20, 3) for name, size in found.items()}
