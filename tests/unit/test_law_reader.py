"""What a gateway reads and writes on `law.activated`: its marks, and what of it that it cannot understand or lacks."""

import asyncio
import shutil
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from chopar.avro import decode_body, encode_body, frame, unframe
from chopar.bus.memory import MemoryBus
from chopar.bus.port import Outgoing
from chopar.errors import ConfigurationError, LawUnreadableError, NotFoundError, StopError
from chopar.identifiers import PersonId
from chopar.messages.demand import FetchMode
from chopar.messages.law import ListActivated, ListMark
from chopar.schema_registry import InMemorySchemaRegistry
from chopar.secret_files import secret_path
from chopar.topics import TopicLayout
from gateway.activation import pass_over, read_law
from gateway.law import activation_key
from gateway.law_reader import PARTITION, LawReader
from gateway.standing import RULES_NUMBER
from tests.builders import NOW, NOW_MS, PERSON
from tests.simulation.virtual_time import run_virtually
from tests.standing import FILES, IDS, activation, bundle
from tests.world import World, world

HET = "electricity-het"
RESOLVED = f"demand.resolved.{HET}"
LEAD_SECONDS = 60


def law_bus(clock: Callable[[], int]) -> MemoryBus:
    """A bus with the topic, on which one activation lies."""
    bus = MemoryBus(clock)
    bus.log.add(TopicLayout(PARTITION.topic, 1))
    message = activation(bundle(), lead_seconds=LEAD_SECONDS)
    value = frame(IDS[ListActivated.RECORD], encode_body(FILES.parsed(ListActivated.RECORD), message))
    bus.log.append(Outgoing(*PARTITION, activation_key(message), value))
    return bus


def reader_of(bus: MemoryBus) -> LawReader:
    nowhere = Path("/nowhere")
    return LawReader(bus, FILES, home=nowhere, lists_folder=nowhere, instance="one")


def test_a_mark_is_appended_every_sixth_of_the_lead_and_all_of_them_have_one_key() -> None:
    """Half the lead is what a demand's law waits for at most: several marks come within it, though one is lost."""

    async def run() -> MemoryBus:
        now = asyncio.get_running_loop().time
        bus = law_bus(lambda: NOW_MS + round(now() * 1000))
        reader = reader_of(bus)
        tasks = [asyncio.create_task(reader.follow()), asyncio.create_task(reader.mark())]
        await asyncio.sleep(LEAD_SECONDS + 1)  # virtual
        for task in tasks:
            task.cancel()
        assert reader.law.is_known_at(NOW_MS + (LEAD_SECONDS + 1) * 1000)
        return bus

    marks = run_virtually(run()).records(PARTITION.topic)[1:]
    times = [mark.timestamp_ms - NOW_MS for mark in marks]
    assert [round(time_ms / 1000) for time_ms in times] == [0, 10, 20, 30, 40, 50, 60]
    assert {mark.key for mark in marks} == {b"mark"}
    read = [decode_body(unframe(mark.value or b"")[1], FILES.parsed(ListMark.RECORD)) for mark in marks]
    assert {ListMark.from_avro(one).instance for one in read} == {"one"}


@pytest.mark.parametrize("value", [b"", b"nonsense", frame(IDS[ListMark.RECORD], b"\x06abc"), frame(1, b"")])
async def test_a_record_that_cannot_be_understood_stops_whoever_follows_the_law(value: bytes) -> None:
    bus = law_bus(lambda: NOW_MS)
    bus.log.append(Outgoing(*PARTITION, b"no mark", value))
    bus.log.append(Outgoing(*PARTITION, b"mark", b"whatever a mark says"))
    reader = reader_of(bus)
    with pytest.raises(LawUnreadableError, match="offset 1") as raised:
        await asyncio.wait_for(reader.follow(), 10)
    assert isinstance(raised.value, StopError), "the process must not go on"
    assert reader.law.newest() is not None
    with pytest.raises(LawUnreadableError, match="offset 1"):  # nor does it get past it by beginning anew
        await asyncio.wait_for(reader.follow(), 10)


async def test_what_nobody_understands_is_passed_over_once_somebody_says_so() -> None:
    bus = law_bus(lambda: NOW_MS)
    bus.log.append(Outgoing(*PARTITION, b"junk", b"nonsense"))
    other = activation(bundle(), effective_at=NOW + timedelta(hours=1), fetch_mode=FetchMode.VERIFIED)
    value = frame(IDS[ListActivated.RECORD], encode_body(FILES.parsed(ListActivated.RECORD), other))
    bus.log.append(Outgoing(*PARTITION, activation_key(other), value))
    with pytest.raises(LawUnreadableError, match="pass-over 1"):
        await read_law(bus, FILES)
    registry = InMemorySchemaRegistry(time.monotonic)
    for record, text in FILES.texts.items():
        await registry.register(record, text)
    newer = frame(await registry.id_of(ListActivated.RECORD, FILES.texts[ListActivated.RECORD]), b"\xff")
    bus.log.append(Outgoing(*PARTITION, b"newer", newer))
    refused = ((0, ConfigurationError), (2, ConfigurationError), (3, ConfigurationError), (4, NotFoundError))
    for offset, error in refused:
        with pytest.raises(error):
            await pass_over(bus, registry, FILES, offset, by="operator", reason="a test")
    bus.log.append(Outgoing(*PARTITION, b"newer", None))  # by other means, so that the rest can be looked at
    bus.log.append(Outgoing(*PARTITION, b"another", None))  # says nothing about it
    with pytest.raises(LawUnreadableError):
        await read_law(bus, FILES)
    assert await pass_over(bus, registry, FILES, 1, by="operator", reason="it says nothing")
    assert not await pass_over(bus, registry, FILES, 1, by="operator", reason="it says nothing")
    said = bus.records(PARTITION.topic)[-1]
    assert (said.key, said.value) == (b"junk", None)
    assert said.headers == (("passed_over_by", b"operator"), ("reason", b"it says nothing"))

    assert [one.message for one in (await read_law(bus, FILES)).counted()][1:] == [other]
    reader = reader_of(bus)
    following = asyncio.create_task(reader.follow())
    async with asyncio.timeout(10):
        while not reader.at_end or len(reader.law.counted()) < 2:
            await asyncio.sleep(0)
    following.cancel()
    compacted = law_bus(lambda: NOW_MS)
    compacted.log.append(Outgoing(*PARTITION, activation_key(other), value))
    without = (await read_law(compacted, FILES)).counted()
    assert [one.message for one in reader.law.counted()] == [one.message for one in without]


async def test_of_a_mark_only_its_stamp_counts() -> None:
    now_ms = NOW_MS
    bus = law_bus(lambda: now_ms)
    now_ms += 1_000_000
    bus.log.append(Outgoing(*PARTITION, b"mark", b"no schema that anybody knows"))
    reader = reader_of(bus)
    following = asyncio.create_task(reader.follow())
    async with asyncio.timeout(10):
        await reader.known_at(now_ms + LEAD_SECONDS * 500)
    following.cancel()


def secret_away(here: World, _: pytest.MonkeyPatch) -> Callable[[], object]:
    path, kept = secret_path(here.home, "gateway-1"), here.home / "kept"
    path.rename(kept)
    return lambda: kept.rename(path)


def secret_of_another(here: World, _: pytest.MonkeyPatch) -> Callable[[], object]:
    path = secret_path(here.home, "gateway-1")
    secret = path.read_bytes()
    path.write_bytes(bytes(reversed(secret)))
    return lambda: path.write_bytes(secret)


def bundle_away(here: World, _: pytest.MonkeyPatch) -> Callable[[], object]:
    lists, kept = here.home / "lists", here.home / "kept"
    lists.rename(kept)

    def put_back() -> None:
        shutil.rmtree(lists, ignore_errors=True)
        kept.rename(lists)

    return put_back


def bundle_changed(here: World, _: pytest.MonkeyPatch) -> Callable[[], object]:
    [path] = (here.home / "lists").glob("*/prohibited.toml")
    content = path.read_bytes()
    path.write_bytes(content + b"\n# changed\n")
    return lambda: path.write_bytes(content)


def rules_unknown(_: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[], object]:
    """As to a gateway of before."""
    monkeypatch.setattr("gateway.standing.KNOWN_RULES", frozenset({RULES_NUMBER - 1}))
    return monkeypatch.undo


@pytest.mark.parametrize(
    ("take", "said"),
    [
        (secret_away, "is missing"),
        (secret_of_another, "secret 1 is not the one in force"),
        (bundle_away, "not in the gateway's list directory"),
        (bundle_changed, "was changed"),
        (rules_unknown, f"rules {RULES_NUMBER} are in force; this gateway knows [{RULES_NUMBER - 1}]"),
    ],
)
async def test_a_gateway_that_lacks_what_is_in_force_waits_with_an_alarm_and_then_says_what_it_would_have_said(
    take: Callable[[World, pytest.MonkeyPatch], Callable[[], object]],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with world(MemoryBus(lambda: time.time_ns() // 1_000_000), tmp_path) as here:
        await here.prepare(lead_seconds=1)
        put_back = take(here, monkeypatch)
        with capture_logs() as logs:
            here.start_gateway()
            async with here.requester(HET) as requester:
                exchange = await requester.demand(
                    procedure="electricity-supply-contract",
                    subject=PersonId(PERSON),
                    documents=["tax-debt-certificate", "criminal-record-certificate"],
                )
                await here.eventually(lambda: waits_for_law(here))
                assert said in here.missing("gateway")["law_incomplete"]
                assert any(log["event"] == "law.incomplete" and log["log_level"] == "error" for log in logs)
                assert await here.records(RESOLVED) == []
                put_back()
                await here.eventually(lambda: here.records(RESOLVED))
                await exchange.aclose()
        here.start_gateway("undisturbed", group="undisturbed")
        await here.eventually(lambda: answered_twice(here))
        once, again = await here.records(RESOLVED)
        assert (once.value, once.headers) == (again.value, again.headers)
        assert await here.records(f"demand.submitted.{HET}.dlq", 1) == []


async def waits_for_law(here: World) -> bool:
    return "law_incomplete" in here.missing("gateway")


async def answered_twice(here: World) -> bool:
    return len(await here.records(RESOLVED)) == 2
