"""Log lines as JSON, written by the turn of the event loop: what a line a record costs, a process pays for all it does.

The last processor of the chain renders an event and then looks whether there is anything in the line that could have to
be masked; only then it is looked through value by value. Lines of the same turn of the event loop are written together;
a warning or worse is written at once, with all before it. What is masked is decided by the caller. Many lines of one
event are rendered as one with what they differ in put in (`Alike`): of a line a record the chain of processors and the
search for what has to be masked were nine tenths.
"""

import asyncio
import atexit
import re
import threading
import time
from collections.abc import Callable, Collection, Iterator, MutableMapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TextIO, TypeAlias

import structlog
from pydantic_core import PydanticSerializationError, to_json

Event: TypeAlias = MutableMapping[str, Any]
Cleaner: TypeAlias = Callable[[Any, str, Event], Event]

_PLAIN = frozenset({str, int, float, bool, type(None)})
_MOST_WAITING = 1000  # lines; a batch has half as many

ALIKE = "alike"
"""The key under which an event brings `Alike`. Only for `JsonLines`: no other renderer knows it."""

_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_TWO_IDS = re.compile(_UUID + _UUID)  # of which nothing is masked, and nothing escaped
_WORD = re.compile("[a-z_]{1,40}")


class AlikeRow(NamedTuple):
    """What a line has of its own; the names are its keys."""

    correlation_id: str | None
    message_id: str | None
    offset: int
    outcome: str
    code: str
    duration_ms: float
    attempt: int


class Alike(NamedTuple):
    """Lines that have the rest of their event in common."""

    rows: Sequence[AlikeRow]


_ROW = '"correlation_id":"%s","message_id":"%s","offset":%d,"outcome":"%s","code":"%s","duration_ms":%.3f,"attempt":%d'


class JsonLines:
    """The structlog processor that stands last: cleans an event of personal data and renders it.

    Args:
        clean: gives the event without personal data; asked only if there could be any.
        suspicious: what stands in every text that `clean` would change, as bytes of its ASCII.
        bodies: keys that `clean` would drop.
    """

    def __init__(self, clean: Cleaner, suspicious: re.Pattern[bytes], bodies: Collection[str]) -> None:
        self._clean = clean
        self._suspicious = suspicious.search
        self._bodies = frozenset(bodies)

    def __call__(self, logger: Any, method: str, event: Event) -> str:
        """The line, without its end; of an event that brings `Alike`, all of its lines."""
        alike = event.pop(ALIKE, None)
        if isinstance(alike, Alike):
            return "\n".join(self._each(logger, method, event, alike.rows))
        return self._line(logger, method, event)

    def _each(self, logger: Any, method: str, event: Event, rows: Sequence[AlikeRow]) -> Iterator[str]:
        common = {key: value for key, value in event.items() if key not in AlikeRow._fields}
        begun = self._line(logger, method, common)[:-1] + ("," if common else "")
        two_ids, plain, row_of, fields = _TWO_IDS.fullmatch, _are_words, _ROW, AlikeRow._fields
        for row in rows:
            correlation_id, message_id, _, outcome, code, _, _ = row
            if correlation_id and message_id and two_ids(correlation_id + message_id) and plain(outcome, code):
                yield f"{begun}{row_of % row}}}"
            else:
                yield self._line(logger, method, common | dict(zip(fields, row, strict=True)))

    def _line(self, logger: Any, method: str, event: Event) -> str:
        try:
            if self._bodies.isdisjoint(event) and _PLAIN.issuperset(map(type, event.values())):
                line = to_json(event)
                # Where not all is ASCII there may be digits of other scripts.
                if line.isascii() and self._suspicious(line) is None:
                    return line.decode()
            return to_json(self._clean(logger, method, event), fallback=repr).decode()
        except (PydanticSerializationError, UnicodeError):  # half a surrogate pair
            return str(structlog.processors.JSONRenderer()(logger, method, self._clean(logger, method, event)))


@lru_cache(maxsize=256)
def _are_words(*texts: str) -> bool:
    """Whether texts may stand in a line as they are."""
    return all(_WORD.fullmatch(text) for text in texts)


class TimeAndLevel:
    """The structlog processor that says when (UTC, microseconds) and how bad."""

    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        self._clock = clock
        self._second = -1
        self._text = ""

    def __call__(self, _: Any, method: str, event: Event) -> Event:
        """Add both."""
        second, rest = divmod(self._clock(), 1_000_000_000)
        if second != self._second:
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = second
        event["level"] = _LEVELS.get(method, method)
        event["timestamp"] = f"{self._text}.{rest // 1000:06d}Z"
        return event


_MISSING = '{"event":"log.lines_missing","level":"error","count":%d}'
_LEVELS = {"warn": "warning", "exception": "error"}


class Lines:
    """A structlog logger, and the factory that gives it, on a stream.

    A stream that takes nothing (its disk is full, its reader has gone) ends nobody's work: the next line that it takes
    stands behind one that says how many are missing (or late: some are kept by the stream).

    Args:
        stream: where lines go.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._waiting: list[str] = []
        self._missing = 0
        self._lock = threading.Lock()
        atexit.register(self.flush)

    def __call__(self, *_: Any) -> "Lines":
        """The logger: itself, whatever it is asked by."""
        return self

    def info(self, line: str) -> None:
        """Write a line by the end of this turn of the event loop."""
        with self._lock:
            self._waiting.append(line)
            waiting = len(self._waiting)
        if waiting == 1:
            try:
                asyncio.get_running_loop().call_soon(self.flush)
            except RuntimeError:  # no event loop runs in this thread
                self.flush()
        elif waiting >= _MOST_WAITING:
            self.flush()

    def error(self, line: str) -> None:
        """Write a line, and all that wait, now."""
        with self._lock:
            self._waiting.append(line)
        self.flush()

    def flush(self) -> None:
        """Write what waits."""
        with self._lock:
            lines, self._waiting = self._waiting, []
            if not lines or self._stream.closed:
                return
            if self._missing:
                lines.insert(0, _MISSING % self._missing)
            try:
                self._stream.write("\n".join(lines) + "\n")
                self._stream.flush()
            except OSError:
                self._missing += len(lines) - bool(self._missing)
            else:
                self._missing = 0

    msg = debug = info
    warning = warn = critical = exception = fatal = failure = log = err = error
