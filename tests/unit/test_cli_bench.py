"""`chopar bench` on the bus in memory: what it prints, that it takes its topics away, that it tells what was lost."""

import asyncio
import io
import json
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest
from typer.main import get_command

from chopar.bus.consume import Outputs
from chopar.bus.memory import MemoryBus, SendFault
from chopar.bus.port import Outgoing
from chopar.cli import bench as noun
from chopar.cli import bench_run
from chopar.cli.bench_run import Plan, measured, percentiles
from chopar.cli.output import Format, Output
from chopar.cli.session import Session
from chopar.errors import BrokerUnavailableError, DeliveryError
from chopar.topics import TopicLayout

SHORT = Plan(seconds=0.2, size_bytes=100, partitions=2, hops=2, rate=200.0)
PARTS = ["send", "read", "echo over 2 hops at saturation", "echo over 2 hops at 200/s", "echo over 2 hops at 20/s"]


def memory() -> MemoryBus:
    return MemoryBus(lambda: time.time_ns() // 1_000_000)


@dataclass(frozen=True, slots=True)
class Here(Session):
    """A session whose Kafka is in this process."""

    memory: MemoryBus = field(default_factory=memory)

    def bus(self) -> Any:
        """The bus in memory."""
        return self.memory

    def run(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Run to the end; logs stay as they are."""
        import asyncio

        return asyncio.run(work())


def call(here: Here, *arguments: str) -> int:
    command = get_command(noun.app)
    code: int = command.main(args=[*arguments], prog_name="chopar bench", standalone_mode=False, obj=here)
    return code


def in_json(**more: Any) -> tuple[Here, io.StringIO]:
    out = io.StringIO()
    return Here(Output(Format.JSON, out, io.StringIO()), **more), out


def test_every_part_is_measured_and_the_topics_are_gone() -> None:
    here, out = in_json()
    here.memory.log.add(TopicLayout("somebody.elses", 1))
    assert call(here, "--seconds", "0.2", "--hops", "2", "--rate", "200", "--partitions", "2") == 0
    found = json.loads(out.getvalue())
    assert [part["part"] for part in found["parts"]] == PARTS
    assert all(part["messages"] > 0 for part in found["parts"])
    assert all(part["latency_ms"] for part in found["parts"][2:])
    assert (found["lost"], found["doubled"]) == (0, 0)
    assert list(here.memory.log.layouts) == ["somebody.elses"]


def test_as_text_it_is_a_table() -> None:
    out = io.StringIO()
    assert call(Here(Output(Format.TEXT, out, io.StringIO())), "--seconds", "0.2", "--hops", "1") == 0
    assert "echo over 1 hops at saturation" in out.getvalue()
    assert "idle too" in out.getvalue(), "at a low rate most of the CPU is no message's"


async def test_only_its_own_topics_are_written_and_no_demand_is_among_them() -> None:
    bus = memory()
    written: set[str] = set()

    def noted(record: Outgoing) -> None:
        written.add(record.topic)
        assert not (record.value or b"").strip(b"\0")

    bus.faults.send = noted
    found = await measured(bus, SHORT)
    assert {topic.partition(found["topics"])[0] for topic in written} == {""}
    assert found["topics"].startswith("bench.")


async def test_an_echo_that_is_lost_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_run, "_LATE_SECONDS", 0.3)
    handle, swallowed = bench_run._Pass.handle, iter([True])

    def once(self: Any, record: Any) -> Any:
        return Outputs() if next(swallowed, False) else handle(self, record)

    monkeypatch.setattr(bench_run._Pass, "handle", once)
    found = await measured(memory(), SHORT)
    assert found["lost"] == 1


def test_a_lost_echo_is_the_answer_no(monkeypatch: pytest.MonkeyPatch) -> None:
    async def lossy(*_: Any) -> dict[str, Any]:
        return {"parts": [], "lost": 1, "doubled": 0}

    monkeypatch.setattr(bench_run, "measured", lossy)
    assert call(in_json()[0]) == 1


async def test_what_was_made_is_deleted_when_the_broker_refuses_what_is_sent() -> None:
    bus = memory()
    bus.faults.send = lambda record: SendFault.NOT_WRITTEN
    with pytest.raises(DeliveryError):
        await measured(bus, SHORT)
    assert not bus.log.layouts


@pytest.mark.parametrize("part", ["making", "sending", "reading", "saturation", "at 200/s", "at 20/s"])
async def test_whenever_it_is_broken_off_what_was_made_is_deleted(part: str) -> None:
    bus, began = memory(), asyncio.Event()
    plan = Plan(seconds=0.2, size_bytes=9, partitions=1, hops=1, rate=200.0)

    def step(words: str) -> None:
        if part in words:
            began.set()

    running = asyncio.create_task(measured(bus, plan, step))
    async with asyncio.timeout(20):
        await began.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert not bus.log.layouts
    assert not any(group.members for group in bus.groups.values())


async def test_a_broker_that_is_away_is_said_at_once() -> None:
    bus = memory()
    bus.faults.down = True
    with pytest.raises(BrokerUnavailableError):
        await measured(bus, SHORT)


def test_a_percentile_of_nothing_is_nothing() -> None:
    assert percentiles([]) == {}
