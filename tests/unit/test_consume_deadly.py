"""A record that kills its process: found by the notes on disk, and given up after three deaths.

The processes are real and have the in-memory bus, fed anew in each life: on a broker each life would first wait until
the session of the one before has expired.
"""

import asyncio
import json
import signal
import sys
import zlib
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from chopar.bus.consume import ConsumeLoop, ConsumeMetrics, ConsumeSettings
from chopar.bus.failures import Failures
from chopar.bus.memory import MemoryBus
from chopar.bus.port import Outgoing, Record, TopicPartition
from chopar.bus.trial import Trial
from chopar.bus.tried import Tried
from chopar.messages.operations import ReplayAction
from chopar.topics import TopicLayout
from tests.full_disk import full_disk
from tests.unit.deadly_process import Deadly
from tests.unit.test_replay import GROUP, Relay, Stage
from tests.unit.test_replay import record as replayed

CHECKOUT = Path(__file__).parents[2]
LIVES = 12
PLACE = TopicPartition("in", 0)


async def life(notes: Path) -> tuple[int, str, str]:
    """One life of the process: how it ended, what it printed, what it logged."""
    command = [sys.executable, "-m", "tests.unit.deadly_process", str(notes)]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=CHECKOUT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_a_record_that_kills_its_process_three_times_is_given_up(tmp_path: Path) -> None:
    """Two of them, among records that are innocent; those are all handled, and none of them is given up."""
    deaths = 0
    while True:
        ended, out, err = await life(tmp_path)
        if ended == 0:
            break
        assert ended == -signal.SIGKILL, err
        deaths += 1
        assert deaths < LIVES, err
    found = json.loads(out)
    assert found["letters"] == {"2": ["killed_its_process", 3], "4": ["killed_its_process", 3]}
    assert found["handled"] == ["a", "b", "c", "d"]
    # The first death is of all that were handled together; after it each of the two dies alone, to its third time.
    assert deaths == 5
    assert err.count("record.killed_its_process") >= 1
    assert "kills" not in err, "no value in the log"
    assert list(tmp_path.glob("*.suspects")) == [], "nobody is suspected any more"


def record(offset: int) -> Record:
    return Record("in", 0, offset, 0, b"k", b"v")


def notes(folder: Path, group: str = "group") -> Tried:
    made = Tried(folder, group, lambda: 7)
    made.open()
    return made


def died_of(tried: Tried, *offsets: int, place: TopicPartition = PLACE) -> None:
    """As if the process had died in there: the note stays."""
    noted = tried.noted({place: [record(offset) for offset in offsets]})
    noted.__enter__()
    tried.close()
    noted.__exit__(None, None, None)  # the file is closed: nothing is written


async def test_a_suspect_is_not_made_ready_together_with_others(tmp_path: Path) -> None:
    died_of(notes(tmp_path), 0)
    relay, settings = Relay(), ConsumeSettings()
    trial = Trial(relay, Failures(lambda: 0, settings.handler_tries), notes(tmp_path), settings)
    batch = {PLACE: [record(0)], TopicPartition("in", 1): [record(5)._replace(partition=1)]}
    wary = await trial.gate(batch)
    assert wary == {PLACE}
    assert [one.partition for one in relay.readied] == [1]
    await trial.run(batch, wary)
    assert [one.partition for one in relay.readied] == [1, 0]


async def test_a_dead_letter_that_kills_who_replays_it_is_given_up_too(tmp_path: Path) -> None:
    stage, relay = Stage(), Relay()
    deadly, harmless = await stage.bury(replayed(7), replayed(8))
    for _ in range(3):
        died_of(notes(tmp_path, GROUP), 0, place=TopicPartition("in.dlq", 0))
    died_of(notes(tmp_path, GROUP), 1, place=TopicPartition("in.dlq", 0))
    async with stage.running(relay, notes=tmp_path):
        await stage.decide(ReplayAction.REPLAY, deadly, harmless)
        ended = await stage.until_ended(2)
    assert {(one.offset, one.outcome.value, one.code) for one in ended} == {
        (0, "failed", "killed_its_process"),
        (1, "handled", None),
    }
    assert [record.offset for record in relay.handled] == [8]
    assert [record.offset for record in relay.readied] == [8], "a handler may do all of it there already"
    assert list(tmp_path.glob("*.suspects")) == []


def test_who_ends_in_order_leaves_no_suspicion(tmp_path: Path) -> None:
    first = notes(tmp_path)
    with first.noted({PLACE: [record(1), record(2)]}):
        pass
    first.close()
    assert not notes(tmp_path).suspects_in(PLACE, [record(1), record(2)])


def test_deaths_are_counted_by_record_and_forgotten_when_it_is_done(tmp_path: Path) -> None:
    died_of(notes(tmp_path), 5, 6, 7)
    second = notes(tmp_path)
    assert [getattr(second.suspicion(record(offset)), "deaths", 0) for offset in (4, 5, 6, 7, 8)] == [0, 1, 1, 1, 0]
    died_of(second, 6)
    third = notes(tmp_path)
    died_of(third, 6)
    fourth = notes(tmp_path)
    assert [getattr(fourth.suspicion(record(offset)), "deaths", 0) for offset in (5, 6, 7)] == [1, 3, 1]
    fourth.forget_before(PLACE, 7)
    assert fourth.suspicion(record(6)) is None or fourth.suspicion(record(6)).deaths == 1  # type: ignore[union-attr]
    fourth.forget_before(PLACE, 8)
    assert not fourth.suspects_in(PLACE, [record(5), record(8)])


def test_processes_of_a_group_keep_their_notes_apart(tmp_path: Path) -> None:
    one, other = notes(tmp_path), notes(tmp_path)
    died_of(one, 1)
    died_of(other, 9)
    both = [notes(tmp_path), notes(tmp_path)]
    assert [[tried.suspicion(record(offset)) is not None for offset in (1, 9)] for tried in both] == [
        [True, False],
        [False, True],
    ]


def test_a_note_that_is_torn_or_a_file_that_is_nonsense_accuses_nobody(tmp_path: Path) -> None:
    died_of(notes(tmp_path), 1)
    path = tmp_path / "group.0"
    path.write_bytes(path.read_bytes().rstrip(b"\0")[:-1])
    path.with_name("group.0.suspects").write_text("[{]", "ascii")
    assert not notes(tmp_path).suspects_in(PLACE, [record(1)])


@pytest.mark.parametrize(
    "suspects",
    ['[{"topic": "in", "partition": 0, "first": "5", "last": 5, "deaths": 1, "since_ms": 1}]', "[" * 100_000],
)
@pytest.mark.parametrize("note", [b"in 0 a b 0 0", b"in 0 5 5 0 ", b"in 0 5 5", b""])
def test_notes_that_others_have_written_accuse_nobody(tmp_path: Path, suspects: str, note: bytes) -> None:
    (tmp_path / "group.0").write_bytes(len(note).to_bytes(4, "big") + zlib.crc32(note).to_bytes(4, "big") + note)
    (tmp_path / "group.0.suspects").write_text(suspects)
    tried = notes(tmp_path)
    assert not tried.suspects_in(PLACE, [record(5)])
    tried.close()


def test_a_folder_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    tried = notes(tmp_path / "file")
    with tried.noted({PLACE: [record(1)]}):
        pass
    assert not tried.suspects_in(PLACE, [record(1)])


def test_deaths_are_counted_although_the_list_of_suspects_finds_no_room(tmp_path: Path) -> None:
    (tmp_path / "group.0.suspects.new").mkdir()
    died_of(notes(tmp_path), 5, 6, 7)
    for deaths in (1, 2, 3):
        tried = notes(tmp_path)
        assert [getattr(tried.suspicion(record(offset)), "deaths", 0) for offset in (6,)] == [deaths]
        died_of(tried, 6)


def test_a_full_disk_is_an_alarm_until_there_is_room_again(tmp_path: Path) -> None:
    now, told = [0], list[bool]()
    tried = Tried(tmp_path, "group", lambda: now[0], told.append)
    with capture_logs() as said:
        with full_disk():
            tried.open()
            for _ in range(3):
                now[0] += 60_000
                with tried.noted({PLACE: [record(1)]}):
                    pass
            assert told == [True]
        now[0] += 60_000
        with tried.noted({PLACE: [record(2)]}):
            pass
    assert told == [True, False]
    assert [(one["event"], one["log_level"]) for one in said] == [
        ("tried.unnoted", "error"),
        ("tried.noted_again", "info"),
    ]
    died_of(tried, 3)
    assert notes(tmp_path).suspicion(record(3)) is not None


def test_a_note_that_was_half_written_accuses_nobody(tmp_path: Path) -> None:
    tried = notes(tmp_path)
    with capture_logs() as said, full_disk(room_bytes=12):
        died_of(tried, 1)
    assert [one["event"] for one in said] == ["tried.unnoted"]
    assert not notes(tmp_path).suspects_in(PLACE, [record(1)])


async def test_a_loop_whose_notes_find_no_room_works_on_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    bus, handler, metrics = MemoryBus(lambda: 0), Deadly(), ConsumeMetrics()
    bus.log.add(TopicLayout("in", 1))
    for value in (b"a", b"b"):
        bus.log.append(Outgoing("in", 0, value, value))
    settings = ConsumeSettings(fetch_timeout_seconds=0.02)
    loop = ConsumeLoop(bus, "g", ["in"], handler, settings=settings, metrics=metrics, notes=tmp_path / "file" / "no")
    running = asyncio.create_task(loop.run())
    async with asyncio.timeout(10):
        while bus.group("g").committed != {PLACE: 2}:
            await bus.changed.wait(0.05)
    loop.stop()
    await running
    assert handler.handled == {"a", "b"}
    assert metrics.registry.get_sample_value("chopar_notes_refused", {"group": "g"}) == 1


async def test_a_life_that_begins_has_the_group_wait_no_longer_for_the_one_that_was_killed(tmp_path: Path) -> None:
    """Here a session never ends: what the dead member holds would be read by nobody."""
    bus, handler = MemoryBus(lambda: 0), Deadly()
    bus.log.add(TopicLayout("in", 2))
    for partition, value in enumerate((b"a", b"b")):
        bus.log.append(Outgoing("in", partition, value, value))

    async def nothing(_: object) -> None:
        """Of a member that is dead."""

    killed = bus.consumer("g", ["in"], assigned=nothing, revoked=nothing)
    await killed.start()
    (tmp_path / "g.0.member").write_text(killed.member)
    loop = ConsumeLoop(bus, "g", ["in"], handler, settings=ConsumeSettings(fetch_timeout_seconds=0.02), notes=tmp_path)
    running = asyncio.create_task(loop.run())
    async with asyncio.timeout(10):
        while sum(bus.group("g").committed.values()) < 2:
            await bus.changed.wait(0.05)
    [member] = bus.members("g")
    assert (tmp_path / "g.0.member").read_text() == member.member
    loop.stop()
    await running
    assert handler.handled == {"a", "b"}
