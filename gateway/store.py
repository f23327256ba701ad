"""What the gateway has seen: the first record of every demand id, folded from the log in order, kept on disk.

The table is a cache of the log: one SQLite file for each partition that has records, its next offset in the same
transaction. It decides only what is a repetition, never what is answered, and everything in it can be read from the log
again; so a file that is missing, damaged or of another log is thrown away, and what was not written before a crash is
folded again. What is folded waits for the rest of its batch, since a row costs a fifth of its price among others.
Memory stays flat: SQLite's page cache is all that is held, and one batch.
"""

import contextlib
import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from chopar.bus.port import Record, TopicPartition
from chopar.errors import StoreUnavailableError
from chopar.identifiers import parse_demand_id, uuid7_milliseconds

DAY_MS = 24 * 60 * 60 * 1000
OLDEST_MS = 30 * DAY_MS
"""A demand id lives 30 days; its topic keeps records 35, so its first record is there as long as the id is accepted."""
AHEAD_MS = 2 * 60 * 1000
"""How far an asker's clock may run ahead of the broker's."""

CACHE_KIB = 128
"""SQLite's page cache of each partition that has records: a gateway holds hundreds of partitions. Ids come in the order
of their times, so that a few pages at the end are all that is needed: four times as much folds no faster."""

_MOST_WAITING = 1000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS first (
    id BLOB PRIMARY KEY, place INTEGER NOT NULL, timestamp_ms INTEGER NOT NULL, digest BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reached (one INTEGER PRIMARY KEY CHECK (one = 1), next INTEGER NOT NULL, last BLOB NOT NULL);
"""


@cache
def _empty() -> bytes:
    """An empty part: taking it over costs half of what making its tables does."""
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        database.executescript(_SCHEMA)
        return database.serialize()


class First(NamedTuple):
    """The first record of a demand id in its partition."""

    offset: int
    timestamp_ms: int
    digest: bytes


class Reached(NamedTuple):
    """How far a part was folded: the next offset, and the digest of the record before it."""

    next_offset: int
    last_digest: bytes


def demand_id_of(record: Record) -> UUID | None:
    """The demand id that a record's key spells canonically, or None."""
    if record.key is None or len(record.key) != 36 or not record.key.isascii():
        return None
    return parse_demand_id(record.key.decode())


def out_of_time(demand_id: UUID, timestamp_ms: int) -> str | None:
    """`expired` or `clock`, if the id's time is too far from the broker's; None if it is in time."""
    age_ms = timestamp_ms - uuid7_milliseconds(demand_id)
    if age_ms > OLDEST_MS:
        return "expired"
    return "clock" if age_ms < -AHEAD_MS else None


def record_digest(record: Record) -> bytes:
    """Tells one log's record from another's at the same place."""
    digest = hashlib.sha256(str(record.timestamp_ms).encode())
    for part in (record.key, record.value):
        digest.update(b"-" if part is None else len(part).to_bytes(5, "big") + part)
    return digest.digest()


class _Part:
    """One partition's file."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._last: Record | None = None
        self._waiting: list[tuple[bytes, int, int, bytes]] = []
        self._fresh: dict[bytes, First] = {}  # of the rows that came last, those known to be the first of their ids
        self._newest = b""
        """No id folded so far is greater: one that is has none before it, and nothing need be looked up."""
        self._opened: sqlite3.Connection | None = None
        self._lost = False
        """Whether the disk took back what was folded and not committed: then it is to be opened and folded again."""
        self.size = 0
        if path is not None and path.exists():
            self.size, newest = self._database.execute("SELECT count(*), max(id) FROM first").fetchone()
            self._newest = newest or b""

    @property
    def _database(self) -> sqlite3.Connection:
        """Opened when it is first needed: most partitions of most agencies never have a record."""
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def _open(self) -> sqlite3.Connection:
        if self._path is None:
            database = sqlite3.connect(":memory:", isolation_level=None)
            database.deserialize(_empty())
            return database
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return self._prepared(sqlite3.connect(self._path, timeout=0.2, isolation_level=None))
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):  # the disk is full, or somebody holds it: it is whole
                raise
            _remove(self._path)  # damaged: the log has it all
            return self._prepared(sqlite3.connect(self._path, timeout=0.2, isolation_level=None))

    @staticmethod
    def _prepared(database: sqlite3.Connection) -> sqlite3.Connection:
        try:
            # Not durable by every commit, but never torn: what is lost is folded again.
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=NORMAL")
            database.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
            database.executescript(_SCHEMA)
        except sqlite3.DatabaseError:
            database.close()
            raise
        return database

    def reached(self) -> Reached | None:
        if self._opened is None and (self._path is None or not self._path.exists()):
            return None
        row = self._database.execute("SELECT next, last FROM reached").fetchone()
        return Reached(*row) if row else None

    def fold(self, record: Record, demand_id: UUID | None) -> None:
        self._require_whole()
        self._last = record
        if demand_id is None or record.value is None:
            return
        name = demand_id.bytes
        first = First(record.offset, record.timestamp_ms, hashlib.sha256(record.value).digest())
        self._waiting.append((name, *first))
        if name > self._newest:
            self._newest = name
            self._fresh[name] = first
        if len(self._waiting) >= _MOST_WAITING:
            self._insert()

    def _insert(self) -> None:
        if not self._waiting:
            return
        database, waiting = self._database, self._waiting
        if not database.in_transaction:
            database.execute("BEGIN")
        self._fresh = {}
        before = database.total_changes
        try:
            with self._taking_note(database):
                database.executemany("INSERT OR IGNORE INTO first VALUES (?, ?, ?, ?)", waiting)
        finally:
            done = database.total_changes - before
            self.size += done
        if done == len(waiting):
            self._fresh = {row[0]: First(*row[1:]) for row in waiting}
        self._waiting = []

    @contextlib.contextmanager
    def _taking_note(self, database: sqlite3.Connection) -> Iterator[None]:
        """SQLite rolls a whole transaction back where a full disk takes its end, and by no means always."""
        try:
            yield
        except sqlite3.Error:
            self._lost = self._lost or not database.in_transaction
            raise

    def _require_whole(self) -> None:
        if self._lost:
            raise sqlite3.OperationalError("the disk took back what was folded; it is folded again from the log")

    def first(self, demand_id: UUID) -> First | None:
        self._require_whole()
        name = demand_id.bytes
        fresh = self._fresh.get(name)
        if fresh is None:
            self._insert()
            fresh = self._fresh.get(name)
        if fresh is not None or (self._opened is None and not self.size):
            return fresh
        found = self._database.execute("SELECT place, timestamp_ms, digest FROM first WHERE id = ?", (name,)).fetchone()
        return First(*found) if found else None

    def write(self) -> None:
        if self._lost:
            return
        self._insert()
        if self._last is not None:
            reached = self.reached()
            if reached is None or self._last.offset >= reached.next_offset:
                row = (self._last.offset + 1, record_digest(self._last))
                if not self._database.in_transaction:
                    self._database.execute("BEGIN")
                with self._taking_note(self._database):
                    self._database.execute("INSERT OR REPLACE INTO reached VALUES (1, ?, ?)", row)
            self._last = None
        if self._opened is not None and self._opened.in_transaction:
            with self._taking_note(self._opened):
                self._opened.execute("COMMIT")

    def forget(self, offset: int, timestamp_ms: int) -> int:
        """Drop what lies before the log's first record: ids no younger than that record's time and two minutes."""
        self.write()
        self._fresh = {}
        youngest = ((timestamp_ms + AHEAD_MS + 1) << 80).to_bytes(16, "big")
        gone = self._database.execute("DELETE FROM first WHERE id < ? AND place < ?", (youngest, offset)).rowcount
        self.size -= gone
        return gone

    def clear(self) -> None:
        self._last = None
        self._waiting, self._fresh = [], {}
        if self._database.in_transaction:
            self._database.execute("ROLLBACK")
        self._database.execute("DELETE FROM first")
        self._database.execute("DELETE FROM reached")
        self._newest = b""
        self._lost = False
        self.size = 0

    def close(self) -> None:
        if self._path is not None:
            with contextlib.suppress(sqlite3.DatabaseError, OSError):
                self.write()
        if self._opened is not None:
            self._opened.close()
            self._opened = None


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


@contextlib.contextmanager
def _available() -> Iterator[None]:
    """A disk that is full, or a file that somebody holds, is waited for; it makes no record a bad one."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise _unavailable(error) from error


def _unavailable(error: sqlite3.Error | OSError) -> StoreUnavailableError:
    return StoreUnavailableError(f"the table of first records: {error}")


class FirstRecords:
    """The table, one part for each partition held.

    Args:
        folder: where its files lie; None: in memory.
        is_dispute: which records are disputes of what was answered, and so are no first of an id; none by default.
    """

    def __init__(self, folder: Path | None = None, is_dispute: Callable[[Record], bool] = lambda record: False) -> None:
        self._folder = folder
        self._is_dispute = is_dispute
        self._parts: dict[tuple[str, int], _Part] = {}  # a TopicPartition is one
        self._folded: set[_Part] = set()  # since they were written: few of the hundreds that a gateway holds

    def open(self, partition: TopicPartition) -> Reached | None:
        """Begin a partition's part, and say how far it was folded; None if it is empty.

        Raises:
            StoreUnavailableError: the disk is full, or somebody holds the file.
        """
        if partition in self._parts:
            self.close([partition])
        path = self._folder / f"{partition.topic}-{partition.partition}.sqlite3" if self._folder else None
        with _available():
            part = self._parts[partition] = _Part(path)
            return part.reached()

    def clear(self, partition: TopicPartition) -> None:
        """Forget a part: it is of another log, or cannot be checked.

        Raises:
            StoreUnavailableError: the disk is full, or somebody holds the file.
        """
        with _available():
            self._parts[partition].clear()

    def close(self, partitions: Iterable[TopicPartition]) -> None:
        """Let go of the parts of partitions that are no longer held; their files stay for the next time."""
        for partition in partitions:
            part = self._parts.pop(partition, None)
            if part is not None:
                self._folded.discard(part)
                part.close()

    def fold(self, record: Record) -> None:
        """Take the next record of its partition in order.

        It is not folded if it has no value or no canonical key, if its id is out of time, or if it is a dispute.

        Raises:
            StoreUnavailableError: the disk is full, or somebody holds the file.
        """
        demand_id = demand_id_of(record)
        if demand_id is not None and (out_of_time(demand_id, record.timestamp_ms) or self._is_dispute(record)):
            demand_id = None
        part = self._parts[record.topic, record.partition]
        self._folded.add(part)
        try:
            part.fold(record, demand_id)
        except (sqlite3.Error, OSError) as error:  # the folder of a new file may have no room either
            raise _unavailable(error) from error

    def first(self, record: Record, demand_id: UUID | None = None) -> First | None:
        """The first record of a record's id, if it was folded.

        Args:
            record: of any batch.
            demand_id: of its key, if that was read before.

        Raises:
            StoreUnavailableError: as of `fold`.
        """
        demand_id = demand_id or demand_id_of(record)
        if demand_id is None:
            return None
        try:
            return self._parts[record.topic, record.partition].first(demand_id)
        except (sqlite3.Error, OSError) as error:
            raise _unavailable(error) from error

    def write(self) -> None:
        """Keep what was folded so far."""
        with _available():
            while self._folded:
                part = next(iter(self._folded))
                part.write()
                self._folded.discard(part)

    def forget_before(self, partition: TopicPartition, offset: int, timestamp_ms: int) -> int:
        """Drop the entries whose records have left the log; gives how many.

        Args:
            partition: whose log.
            offset: its first offset now.
            timestamp_ms: the broker time of that record.
        """
        with _available():
            return self._parts[partition].forget(offset, timestamp_ms)

    def sizes(self) -> Mapping[TopicPartition, int]:
        """How many ids each part holds; those that wait for the rest of their batch are not counted yet."""
        return {TopicPartition(*place): part.size for place, part in self._parts.items()}
