"""Which records are being handled, noted on disk: so that the next life of a process knows what killed this one.

A note is one write without a sync for a whole batch: it outlives the process, and a machine that loses power has not
been killed by a record. Whoever starts and finds a note died while it handled these records; they are suspects, handled
one at a time from then on, each with a note of its own. Which of them is given up, and how, is the loop's to say.
Beside it stands as which member of its group this life is known, so that the next has the group wait for it no longer.

A disk that takes no note stops nobody: records that kill are rare, and a process that stands still for want of notes
would be no better off. It is an alarm (`chopar_notes_refused`, `tried.unnoted`), and is tried again all the time. On a
full disk most of it works on: the note's file has its room from the beginning, and the note of a suspect says of how
many deaths, so that they are counted even where the list of suspects cannot be written.
"""

import contextlib
import errno
import fcntl
import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from chopar.bus.port import Record, TopicPartition

_HEADER_BYTES = 8  # length and checksum; all zeros: nothing is being handled
_NOTHING = bytes(_HEADER_BYTES)
_MOST_BYTES = 1024 * 1024
_ROOM_BYTES = 64 * 1024  # taken at once: a batch of some hundred partitions, and any suspect, has its note in it
_SIBLINGS = 64  # processes of one group that share a folder
_AGAIN_MS = 10_000  # a folder that could not be opened is tried again after it

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Suspect:
    """Records of one partition, `first` to `last`, during whose handling so many processes have died."""

    topic: str
    partition: int
    first: int
    last: int
    deaths: int
    since_ms: int
    """When the first of these deaths was found."""

    @property
    def is_whole(self) -> bool:
        """Whether it is made of what is due: it comes from a file."""
        numbers = (self.partition, self.first, self.last, self.deaths, self.since_ms)
        return isinstance(self.topic, str) and all(type(number) is int for number in numbers)


class Tried:
    """The notes of one consume loop.

    Args:
        folder: where they lie; None: nothing is noted, and nobody is suspected.
        group: the consumer group. Several processes of a group may share the folder.
        clock: Unix milliseconds.
        told: is told whether notes cannot be taken, each time that it changes.
    """

    def __init__(
        self,
        folder: Path | None,
        group: str,
        clock: Callable[[], int],
        told: Callable[[bool], None] = lambda refused: None,
    ) -> None:
        self._folder = folder
        self._group = group
        self._clock = clock
        self._told = told
        self._file: int | None = None
        self._suspects_path: Path | None = None
        self._member_path: Path | None = None
        self._suspects: list[Suspect] = []
        self._refused: set[str] = set()
        """What could not be written when it was tried last: "folder", "room", "note", "suspects", "member"."""
        self._tried_at_ms: int | None = None

    def open(self) -> None:
        """Take up what a former life has left."""
        if self._folder is None or self._file is not None:
            return
        self._tried_at_ms = self._clock()
        with self._forgiven("folder"):
            self._folder.mkdir(parents=True, exist_ok=True)
            for number in range(_SIBLINGS):
                path = self._folder / f"{self._group}.{number}"
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    os.close(descriptor)  # of a sibling that lives
                    continue
                self._file, self._suspects_path = descriptor, path.with_name(path.name + ".suspects")
                self._member_path = path.with_name(path.name + ".member")
                break
            if self._file is None:
                raise OSError(errno.EUSERS, "too many processes share one folder")
            self._take_room()
            self._take_up(self._file)

    def former_member(self) -> str:
        """As which member of its group a former life was known, if it has not been removed since; else empty."""
        if self._member_path is not None:
            with contextlib.suppress(OSError, ValueError):
                return self._member_path.read_text("ascii")
        return ""

    def note_member(self, member: str) -> None:
        """Note as which member of its group this life is known; nothing, when it is known no more."""
        if self._member_path is not None:
            with self._forgiven("member"):
                self._member_path.write_text(member, "ascii")

    def close(self) -> None:
        """Let go of the notes; what is suspected stays so."""
        if self._file is not None:
            descriptor, self._file = self._file, None
            os.close(descriptor)

    def suspects_in(self, partition: TopicPartition, records: Sequence[Record]) -> bool:
        """Whether any of these records of one partition is suspected."""
        return bool(self._suspects) and any(
            (one.topic, one.partition) == partition
            and one.first <= records[-1].offset
            and one.last >= records[0].offset
            for one in self._suspects
        )

    @contextlib.contextmanager
    def noted(self, batch: Mapping[TopicPartition, Sequence[Record]]) -> Iterator[None]:
        """Note that these records are being handled, for as long as the context is open."""
        if self._refused:
            self._try_again()
        if self._file is None:
            yield
            return
        body = "\n".join(self._line(*each) for each in batch.items() if each[1]).encode()[:_MOST_BYTES]
        self._note(len(body).to_bytes(4, "big") + zlib.crc32(body).to_bytes(4, "big") + body)
        try:
            yield
        finally:
            self._note(_NOTHING)

    def suspicion(self, record: Record) -> Suspect | None:
        """The gravest suspicion of a record, if there is one."""
        found = [
            one
            for one in self._suspects
            if one.first <= record.offset <= one.last and (one.topic, one.partition) == (record.topic, record.partition)
        ]
        return max(found, key=lambda one: one.deaths, default=None)

    def forget_before(self, partition: TopicPartition, offset: int) -> None:
        """Records before this offset are done, whatever was suspected of them."""
        if not self._suspects:
            return
        left = [one for one in self._suspects if (one.topic, one.partition) != partition or one.last >= offset]
        if len(left) < len(self._suspects):
            self._suspects = left
            self._write()

    def forget(self, suspect: Suspect) -> None:
        """What was suspected is decided."""
        self._suspects = [one for one in self._suspects if one != suspect]
        self._write()

    def _line(self, partition: TopicPartition, records: Sequence[Record]) -> str:
        """Where records lie; of a suspect that is handled alone also of how many deaths, and since when."""
        place = f"{partition.topic} {partition.partition} {records[0].offset} {records[-1].offset}"
        suspect = self.suspicion(records[0]) if len(records) == 1 else None
        return f"{place} 0 0" if suspect is None else f"{place} {suspect.deaths} {suspect.since_ms}"

    def _note(self, note: bytes) -> None:
        if self._file is not None:
            with self._forgiven("note"):
                _write_at(self._file, note, 0)

    def _try_again(self) -> None:
        """Now and then: what could not be opened or written may go well by now."""
        now = self._clock()
        if self._tried_at_ms is not None and abs(now - self._tried_at_ms) < _AGAIN_MS:
            return
        self._tried_at_ms = now
        if self._file is None:
            self.open()
        if "room" in self._refused:
            self._take_room()
        if "suspects" in self._refused:
            self._write()

    def _take_room(self) -> None:
        """Have the file as large as a note may well become, so that a disk that is full later refuses none."""
        if self._file is not None:
            with self._forgiven("room"):
                size = os.fstat(self._file).st_size
                if size < _ROOM_BYTES:
                    _write_at(self._file, bytes(_ROOM_BYTES - size), size)

    def _take_up(self, file: int) -> None:
        if self._suspects_path is None:
            return
        with contextlib.suppress(FileNotFoundError, ValueError, TypeError, RecursionError):
            found = [Suspect(**one) for one in json.loads(self._suspects_path.read_text("ascii"))]
            self._suspects = [one for one in found if one.is_whole]
        died_of = self._died_of(os.pread(file, _HEADER_BYTES + _MOST_BYTES, 0))
        if died_of:
            again = {(one.topic, one.partition, one.first) for one in died_of if one.first == one.last}
            self._suspects = [
                one
                for one in self._suspects
                if one.first != one.last or (one.topic, one.partition, one.first) not in again
            ] + died_of
            if self._write():
                self._note(_NOTHING)  # only now: it is counted, and once
        for one in died_of:
            _log.warning(
                "tried.suspects",
                group=self._group,
                topic=one.topic,
                partition=one.partition,
                first=one.first,
                last=one.last,
                deaths=one.deaths,
                reason="a process died while it handled these records; each is handled alone now",
            )

    def _died_of(self, note: bytes) -> list[Suspect]:
        size, checksum = int.from_bytes(note[:4], "big"), int.from_bytes(note[4:8], "big")
        body = note[_HEADER_BYTES : _HEADER_BYTES + size]
        if not size or len(body) < size or zlib.crc32(body) != checksum:
            return []
        found: list[Suspect] = []
        now = self._clock()
        for line in body.decode("ascii", "replace").splitlines():
            words = line.rsplit(" ", 5)
            if len(words) < 6 or not all(word.isdecimal() for word in words[1:]):
                continue  # the last of a note that was cut, or a line that is none of ours
            topic, (partition, first, last, deaths, since) = words[0], (int(word) for word in words[1:])
            known = self.suspicion(Record(topic, partition, first, 0, None, None)) if first == last else None
            if known is not None and known.deaths > deaths:
                deaths, since = known.deaths, known.since_ms
            found.append(Suspect(topic, partition, first, last, deaths + 1, since or now))
        return found

    def _write(self) -> bool:
        """Keep the list of suspects; whether that went well."""
        kept = False
        if self._suspects_path is not None:
            with self._forgiven("suspects"):
                if self._suspects:
                    rows = [{name: getattr(one, name) for name in Suspect.__slots__} for one in self._suspects]
                    new = self._suspects_path.with_name(self._suspects_path.name + ".new")
                    new.write_text(json.dumps(rows), "ascii")
                    new.replace(self._suspects_path)
                else:
                    self._suspects_path.unlink(missing_ok=True)
                kept = True
        return kept

    @contextlib.contextmanager
    def _forgiven(self, what: str) -> Iterator[None]:
        """A full disk must not stop what works without notes: it is told when it begins, and when it is over."""
        refused = bool(self._refused)
        try:
            yield
        except OSError as error:
            self._refused.add(what)
            if not refused:
                reason = errno.errorcode.get(error.errno or 0, type(error).__name__)
                _log.error("tried.unnoted", group=self._group, what=what, reason=reason)
                self._told(True)
        else:
            self._refused.discard(what)
            if refused and not self._refused:
                _log.info("tried.noted_again", group=self._group)
                self._told(False)


def _write_at(file: int, data: bytes, offset: int) -> None:
    """Write all of it.

    Raises:
        OSError: a part was not written; half a note accuses nobody.
    """
    if os.pwrite(file, data, offset) < len(data):
        raise OSError(errno.ENOSPC, "there was room for a part alone")
