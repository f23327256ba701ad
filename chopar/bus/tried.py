"""Which records are being handled, noted on disk: so that the next life of a process knows what killed this one.

A note is one write without a sync for a whole batch: it outlives the process, and a machine that loses power has not
been killed by a record. Whoever starts and finds a note died while it handled these records; they are suspects, handled
one at a time from then on, each with a note of its own. Which of them is given up, and how, is the loop's to say.
"""

import contextlib
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
_SIBLINGS = 64  # processes of one group that share a folder

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
    """

    def __init__(self, folder: Path | None, group: str, clock: Callable[[], int]) -> None:
        self._folder = folder
        self._group = group
        self._clock = clock
        self._file: int | None = None
        self._suspects_path: Path | None = None
        self._suspects: list[Suspect] = []
        self._failing = False

    def open(self) -> None:
        """Take up what a former life has left."""
        if self._folder is None or self._file is not None:
            return
        with self._forgiven():
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
                break
            self._take_up()

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
        if self._file is None:
            yield
            return
        lines = [
            f"{topic} {partition} {records[0].offset} {records[-1].offset}"
            for (topic, partition), records in batch.items()
            if records
        ]
        body = "\n".join(lines).encode()[:_MOST_BYTES]
        with self._forgiven():
            os.pwrite(self._file, len(body).to_bytes(4, "big") + zlib.crc32(body).to_bytes(4, "big") + body, 0)
        try:
            yield
        finally:
            with self._forgiven():
                if self._file is not None:
                    os.pwrite(self._file, _NOTHING, 0)

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

    def _take_up(self) -> None:
        if self._suspects_path is None or self._file is None:
            _log.error("tried.unnoted", group=self._group, reason="too many processes share one folder")
            return
        with contextlib.suppress(FileNotFoundError, ValueError, TypeError, RecursionError):
            found = [Suspect(**one) for one in json.loads(self._suspects_path.read_text("ascii"))]
            self._suspects = [one for one in found if one.is_whole]
        died_of = self._died_of(os.pread(self._file, _HEADER_BYTES + _MOST_BYTES, 0))
        if died_of:
            again = {(one.topic, one.partition, one.first) for one in died_of if one.first == one.last}
            self._suspects = [
                one
                for one in self._suspects
                if one.first != one.last or (one.topic, one.partition, one.first) not in again
            ] + died_of
            self._write()
            os.pwrite(self._file, _NOTHING, 0)  # only now: it is counted, and once
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
            words = line.rsplit(" ", 3)
            if len(words) < 4 or not all(word.isdecimal() for word in words[1:]):
                continue  # the last of a note that was cut, or a line that is none of ours
            topic, (partition, first, last) = words[0], (int(word) for word in words[1:])
            known = self.suspicion(Record(topic, partition, first, 0, None, None)) if first == last else None
            deaths, since = (known.deaths + 1, known.since_ms) if known is not None else (1, now)
            found.append(Suspect(topic, partition, first, last, deaths, since))
        return found

    def _write(self) -> None:
        if self._suspects_path is None:
            return
        with self._forgiven():
            if not self._suspects:
                self._suspects_path.unlink(missing_ok=True)
                return
            rows = [{name: getattr(one, name) for name in Suspect.__slots__} for one in self._suspects]
            new = self._suspects_path.with_name(self._suspects_path.name + ".new")
            new.write_text(json.dumps(rows), "ascii")
            new.replace(self._suspects_path)

    @contextlib.contextmanager
    def _forgiven(self) -> Iterator[None]:
        """A full disk must not stop what works without notes; it is said once."""
        try:
            yield
        except OSError as error:
            if not self._failing:
                self._failing = True
                _log.error("tried.unnoted", group=self._group, reason=f"{type(error).__name__} {error.errno}")
