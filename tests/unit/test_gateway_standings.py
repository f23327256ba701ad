"""A gateway that runs for months: of all that ever held it keeps few ready, and reads what it needs again."""

import gc
import weakref
from datetime import timedelta
from pathlib import Path

from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from chopar.bus.memory import MemoryBus
from chopar.bus.port import Record, TopicPartition
from gateway.handlers import GatewayHandler
from gateway.law_reader import MOST_STANDINGS
from tests.builders import NOW, NOW_MS, demand, demand_id
from tests.public_site import law_reader
from tests.standing import activation, bundle, demand_value

TOPIC = "demand.submitted.electricity-het"
ACTIVATIONS = MOST_STANDINGS + 3
DAY = timedelta(days=1)


def demanded(number: int) -> Record:
    """A demand taken on a day of its own."""
    at = NOW + DAY * number
    one = demand(demand_id=demand_id(1, at), expires_at=at + timedelta(days=7))
    return Record(TOPIC, 0, number, round(at.timestamp() * 1000), str(one.demand_id).encode(), demand_value(one), ())


async def test_what_held_long_ago_is_let_go_and_read_again_when_a_demand_needs_it(tmp_path: Path) -> None:
    reader = law_reader(tmp_path)
    for number in range(1, ACTIVATIONS):
        effective_at = NOW + DAY * number
        reader.law.read(number, NOW_MS, activation(bundle(), effective_at=effective_at))
    handler = GatewayHandler(MemoryBus(lambda: NOW_MS), reader, CollectorRegistry())
    await handler.assigned({TopicPartition(TOPIC, 0): 0})
    records = [demanded(number) for number in range(ACTIVATIONS)]
    held, said = [], []
    for record in records:
        handler.seen(record)
        said.append(handler.handle(record))
        held.append(weakref.ref(reader.standing_at(record.timestamp_ms)))
    assert len({id(one()) for one in held if one() is not None}) == MOST_STANDINGS
    gc.collect()
    assert [one() is not None for one in held] == [
        number >= ACTIVATIONS - MOST_STANDINGS for number in range(ACTIVATIONS)
    ]
    assert handler.handle(records[0]) == said[0]
    gc.collect()
    assert sum(one() is not None for one in held) < MOST_STANDINGS


async def test_old_demands_in_turn_have_neither_what_holds_nor_each_other_read_again(tmp_path: Path) -> None:
    """As a month of changed lists leaves them, and somebody who disputes or repeats one of each."""
    reader = law_reader(tmp_path)
    for number in range(1, ACTIVATIONS):
        reader.law.read(number, NOW_MS, activation(bundle(), effective_at=NOW + DAY * number))
    handler = GatewayHandler(MemoryBus(lambda: NOW_MS), reader, CollectorRegistry())
    await handler.assigned({TopicPartition(TOPIC, 0): 0})
    records = [demanded(number) for number in range(ACTIVATIONS)]
    present, old = records[-1], records[: MOST_STANDINGS - 1]
    handler.seen(present)
    handler.handle(present)
    remembered = handler._renderings_by(reader.standing_at(present.timestamp_ms))
    with capture_logs() as logs:
        for record in (*old, *old, *records[:-1]):
            handler.seen(record)
            handler.handle(record)
            handler.handle(present)
    read = [log for log in logs if log["event"] == "law.held"]
    assert len(read) == ACTIVATIONS - 1  # each once, and what holds not at all
    assert handler._renderings_by(reader.standing_at(present.timestamp_ms)) is remembered
