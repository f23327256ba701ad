"""The table on disk: continued where it ends, thrown away where the log is another one, pruned with the log."""

import hashlib
import random
import sqlite3
from collections.abc import Iterable
from pathlib import Path

import pytest

from chopar.bus.memory import MemoryBus
from chopar.bus.port import Outgoing, TopicPartition
from chopar.errors import FirstRecordsLostError, StoreUnavailableError
from chopar.identifiers import uuid7
from chopar.topics import TopicLayout
from gateway.rebuild import rebuild
from gateway.store import _MOST_WAITING, DAY_MS, First, FirstRecords
from tests.builders import NOW, NOW_MS
from tests.full_disk import full_disk

TOPIC = "demand.submitted.a"
PLACE, OTHER = TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1)


class Log:
    """A topic of two partitions whose broker time the test moves."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS
        self.bus = MemoryBus(lambda: self.now_ms)
        self._number = 0

    async def begin(self) -> "Log":
        admin = self.bus.admin()
        await admin.start()
        await admin.create([TopicLayout(TOPIC, 2, {"message.timestamp.type": "LogAppendTime"})])
        await admin.stop()
        return self

    async def add(self, count: int, place: TopicPartition = PLACE, keys: Iterable[bytes] = ()) -> list[bytes]:
        made = list(keys) or [str(uuid7(NOW, self._number + n)).encode() for n in range(count)]
        self._number += count
        producer = self.bus.producer("test")
        await producer.start()
        await producer.send([Outgoing(*place, key, b"value %d" % self._number) for key in made])
        await producer.stop()
        return made


@pytest.fixture
async def log() -> Log:
    return await Log().begin()


def kill(table: FirstRecords) -> None:
    """End it with its last transaction open, as kill -9 does."""
    for part in table._parts.values():
        part._database.rollback()
        part._database.close()


def contents(table: FirstRecords, log: Log, place: TopicPartition = PLACE) -> list[First | None]:
    return [table.first(record) for record in log.bus.records(*place)]


async def test_only_what_the_file_lacks_is_read(log: Log, tmp_path: Path) -> None:
    await log.add(5)
    table = FirstRecords(tmp_path)
    assert await rebuild(log.bus, table, {PLACE: 5}) == 5
    table.close([PLACE])
    await log.add(3)
    again = FirstRecords(tmp_path)
    assert await rebuild(log.bus, again, {PLACE: 8, OTHER: 0}) == 4  # the one that is checked, and three more
    assert [first and first.offset for first in contents(again, log)] == list(range(8))
    assert again.sizes() == {PLACE: 8, OTHER: 0}


async def test_a_table_that_is_ahead_of_the_committed_offset_is_only_checked(log: Log, tmp_path: Path) -> None:
    await log.add(5)
    table = FirstRecords(tmp_path)
    await rebuild(log.bus, table, {PLACE: 5})
    table.close([PLACE])
    again = FirstRecords(tmp_path)
    await rebuild(log.bus, again, {PLACE: 2})
    assert again.sizes() == {PLACE: 5}


async def test_what_was_not_written_before_a_kill_is_folded_again(log: Log, tmp_path: Path) -> None:
    await log.add(4)
    table = FirstRecords(tmp_path)
    await rebuild(log.bus, table, {PLACE: 4})
    await log.add(2)
    for record in log.bus.records(*PLACE)[4:]:
        table.fold(record)
    kill(table)
    killed = FirstRecords(tmp_path)
    await rebuild(log.bus, killed, {PLACE: 6})
    assert killed.sizes() == {PLACE: 6}


async def test_a_file_that_somebody_holds_is_waited_for(log: Log, tmp_path: Path) -> None:
    await log.add(2)
    former, late = FirstRecords(tmp_path), FirstRecords(tmp_path)
    await rebuild(log.bus, former, {PLACE: 1})
    former.close([PLACE])
    holder = sqlite3.connect(tmp_path / f"{TOPIC}-0.sqlite3", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    earlier, record = log.bus.records(*PLACE)
    late.open(PLACE)
    late._parts[PLACE]._database.execute("PRAGMA busy_timeout=0")
    for each in (record, earlier):
        late.fold(each)
    assert late.first(record) == First(1, record.timestamp_ms, hashlib.sha256(record.value or b"").digest())
    for _ in range(2):
        with pytest.raises(StoreUnavailableError):
            late.first(earlier)
    with pytest.raises(StoreUnavailableError):
        late.write()
    holder.close()
    assert [first and first.offset for first in contents(late, log)] == [0, 1]
    late.close([PLACE])


async def test_what_a_full_disk_took_back_is_folded_again(log: Log, tmp_path: Path) -> None:
    """SQLite undoes the whole transaction; who went on behind it would take a repetition for a first record."""
    await log.add(6)
    table = FirstRecords(tmp_path)
    await rebuild(log.bus, table, {PLACE: 2})
    records = log.bus.records(*PLACE)
    with full_disk():
        for record in records[2:4]:
            table.fold(record)
        with pytest.raises(StoreUnavailableError):
            table.write()
    table.write()
    with pytest.raises(StoreUnavailableError):
        table.fold(records[4])
    with pytest.raises(StoreUnavailableError):
        table.first(records[2])
    await rebuild(log.bus, table, {PLACE: 4})
    for record in records[4:]:
        table.fold(record)
    table.write()
    assert [first and first.offset for first in contents(table, log)] == [0, 1, 2, 3, 4, 5]
    table.close([PLACE])


async def test_a_full_disk_at_the_start_costs_no_table(log: Log, tmp_path: Path) -> None:
    await log.add(4)
    table = FirstRecords(tmp_path)
    await rebuild(log.bus, table, {PLACE: 4})
    table.close([PLACE])
    late = FirstRecords(tmp_path)
    with full_disk(), pytest.raises(StoreUnavailableError):
        late.open(PLACE)
    reached = late.open(PLACE)
    assert reached is not None
    assert reached.next_offset == 4
    assert late.sizes() == {PLACE: 4}
    late.close([PLACE])


async def test_a_folder_that_cannot_be_made_is_waited_for(log: Log, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    await log.add(1)
    table = FirstRecords(tmp_path / "file" / "folder")
    with pytest.raises(StoreUnavailableError):
        await rebuild(log.bus, table, {PLACE: 1})


async def test_a_folder_that_cannot_be_made_while_demands_come_makes_none_of_them_a_bad_record(
    log: Log, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    await log.add(2)
    table = FirstRecords(tmp_path / "file" / "folder")
    await rebuild(log.bus, table, {PLACE: 0})
    for number, record in enumerate(log.bus.records(*PLACE)):
        table.fold(record)
        first = table.first(record)
        assert first is not None
        assert first.offset == number  # of the newest id there can be no other
        with pytest.raises(StoreUnavailableError):
            table.write()
    for _ in range(_MOST_WAITING - 3):
        table.fold(record)
    with pytest.raises(StoreUnavailableError):
        table.fold(record)
    (tmp_path / "file").unlink()
    assert [first and first.offset for first in contents(table, log)] == [0, 1]
    table.close([PLACE])


async def test_a_table_whose_folder_cannot_be_made_is_let_go_all_the_same(log: Log, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    await log.add(1)
    table = FirstRecords(tmp_path / "file" / "folder")
    table.open(PLACE)
    table.fold(log.bus.records(*PLACE)[0])
    table.close([PLACE])
    assert table.sizes() == {}


async def test_a_file_of_another_log_is_thrown_away(log: Log, tmp_path: Path) -> None:
    await log.add(6)
    table = FirstRecords(tmp_path)
    await rebuild(log.bus, table, {PLACE: 6})
    table.close([PLACE])
    other = await Log().begin()
    other.now_ms += 1
    await other.add(6)
    again = FirstRecords(tmp_path)
    await rebuild(other.bus, again, {PLACE: 6})
    assert contents(again, other) == contents(await fresh(other, 6), other)


async def test_a_file_that_reaches_beyond_the_log_is_thrown_away(log: Log, tmp_path: Path) -> None:
    await log.add(6)
    table = FirstRecords(tmp_path)
    await rebuild(log.bus, table, {PLACE: 6})
    table.close([PLACE])
    shorter = await Log().begin()
    await shorter.add(2)
    again = FirstRecords(tmp_path)
    await rebuild(shorter.bus, again, {PLACE: 2})
    assert again.sizes() == {PLACE: 2}


@pytest.mark.parametrize("damage", [b"", b"not a database at all, but long enough to be read as one" * 40])
async def test_a_damaged_file_is_read_again_from_the_log(log: Log, tmp_path: Path, damage: bytes) -> None:
    await log.add(3)
    table = FirstRecords(tmp_path)
    await rebuild(log.bus, table, {PLACE: 3})
    table.close([PLACE])
    [path] = tmp_path.glob("*.sqlite3")
    path.write_bytes(damage)
    again = FirstRecords(tmp_path)
    await rebuild(log.bus, again, {PLACE: 3})
    assert again.sizes() == {PLACE: 3}


async def fresh(log: Log, until: int) -> FirstRecords:
    table = FirstRecords()
    await rebuild(log.bus, table, {PLACE: until})
    return table


async def test_entries_leave_with_their_records(log: Log, tmp_path: Path) -> None:
    await log.add(4)
    table = FirstRecords(tmp_path)
    await rebuild(log.bus, table, {PLACE: 4})
    table.close([PLACE])
    log.now_ms += 10 * DAY_MS
    await log.add(2, keys=[str(uuid7(NOW, 900 + n)).encode() for n in range(2)])
    log.bus.delete_before(PLACE, 3)
    again = FirstRecords(tmp_path)
    await rebuild(log.bus, again, {PLACE: 6})
    assert again.sizes() == {PLACE: 3}
    assert [first and first.offset for first in contents(again, log)] == [3, 4, 5]


async def test_without_a_table_and_far_behind_a_shortened_log_it_stops(log: Log) -> None:
    await log.add(4)
    log.now_ms += 3 * DAY_MS + 1
    await log.add(2)
    log.bus.delete_before(PLACE, 1)
    with pytest.raises(FirstRecordsLostError):
        await rebuild(log.bus, FirstRecords(), {PLACE: 2})
    near = FirstRecords()
    await rebuild(log.bus, near, {PLACE: 4})
    assert near.sizes() == {PLACE: 3}


async def test_whatever_is_kept_and_lost_the_table_is_that_of_the_log(log: Log, tmp_path: Path) -> None:
    """Folded in pieces, killed and continued at random, with repeated ids: the same as folded in one go."""
    chance = random.Random(7)
    keys: list[bytes] = []
    until = 0
    for _ in range(30):
        repeated = [chance.choice(keys) for _ in range(chance.randrange(3))] if keys else []
        keys += await log.add(chance.randrange(1, 4))
        if repeated:
            await log.add(len(repeated), keys=repeated)
        end = len(log.bus.records(*PLACE))
        table = FirstRecords(tmp_path)
        await rebuild(log.bus, table, {PLACE: until})
        for record in log.bus.records(*PLACE)[until:]:
            table.fold(record)
        if chance.random() < 0.5:
            table.close([PLACE])  # else: killed, with its last transaction open
            until = end
        else:
            kill(table)
            until = chance.randrange(until, end + 1)
    table = FirstRecords(tmp_path)
    end = len(log.bus.records(*PLACE))
    await rebuild(log.bus, table, {PLACE: end})
    assert contents(table, log) == contents(await fresh(log, end), log)


def test_a_file_of_ids_in_order_is_small(tmp_path: Path) -> None:
    """Ten million ids in a gigabyte: a hundred bytes each."""
    table = FirstRecords(tmp_path)
    table.open(PLACE)
    database: sqlite3.Connection = table._parts[PLACE]._database
    rows = ((uuid7(NOW, n << 40).bytes, n, NOW_MS, bytes(32)) for n in range(100_000))
    database.execute("BEGIN")
    database.executemany("INSERT INTO first VALUES (?, ?, ?, ?)", rows)
    database.execute("COMMIT")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    table.close([PLACE])
    assert size / 100_000 < 107
