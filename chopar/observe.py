"""What a process shows of itself in its log, by structlog: JSON lines where nobody looks, colours on a terminal.

What is placed last masks runs of digits that could be identifiers, and drops bodies, whatever wrote them; how lines are
written is `chopar.log_lines`. Health and metrics are `chopar.health`'s.
"""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar
from typing import Any, Protocol

import structlog

from chopar.log_lines import JsonLines, Lines, TimeAndLevel

# A UUID comes first and stays as it is: one in a hundred has nine digits in a row, and logs are found by them.
_IDENTIFIER = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<!\d)(?:\d{14}|\d{9})(?!\d)")
_MAY_BE_IDENTIFIER = re.compile(rb"[0-9]{9}")  # quick to say of a whole line
_SHORTEST = 9  # of a text that can hold one
_BODIES = frozenset({"body", "value", "evidence", "subject", "parameters", "pinfl", "stir", "name"})


class HasLogContext(Protocol):
    """What is being worked on, and what every line says of it."""

    def log_context(self) -> Mapping[str, Any]:
        """Keys and values; asked only when a line is written."""


BEING_HANDLED: ContextVar[HasLogContext | None] = ContextVar("chopar_being_handled", default=None)
"""What this task works on. Set for every record, so it costs no more than that; rendered by `add_what_is_handled`."""


def add_what_is_handled(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The structlog processor that says in each line to which record it belongs."""
    handled = BEING_HANDLED.get()
    if handled is not None:
        for key, value in handled.log_context().items():
            event.setdefault(key, value)
    return event


def mask(text: str) -> str:
    """Replace every run of exactly 14 or 9 digits (a PINFL, a STIR) by dots."""
    if len(text) < _SHORTEST:
        return text
    return _IDENTIFIER.sub(lambda found: found[0] if "-" in found[0] else "…", text)


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, Mapping):
        return {key: _masked(part) for key, part in value.items() if key not in _BODIES}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_masked(part) for part in value]
    return value


def drop_personal_data(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The structlog processor that stands last: masks identifiers in every string, drops bodies."""
    for key in list(event):
        if key in _BODIES:
            del event[key]
        else:
            event[key] = _masked(event[key])
    return event


def configure_logging(level: str, *, process: str, stream: Any = None, for_good: bool = True) -> None:
    """Set structlog and the standard logging of libraries up, once, in `__main__`.

    Args:
        level: debug, info, warning or error.
        process: bound to every line.
        stream: where lines go; standard output by default.
        for_good: whether loggers may remember this set-up; False where it will be another one later (in tests).
    """
    out = stream or sys.stdout
    shown = out.isatty()
    renderer: Any = structlog.dev.ConsoleRenderer() if shown else structlog.processors.JSONRenderer()
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        add_what_is_handled,
        TimeAndLevel(),
        structlog.processors.format_exc_info,
    ]
    rendering = (
        [drop_personal_data, renderer] if shown else [JsonLines(drop_personal_data, _MAY_BE_IDENTIFIER, _BODIES)]
    )
    structlog.configure(
        processors=[*shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.PrintLoggerFactory(out) if shown else Lines(out),
        cache_logger_on_first_use=for_good,
    )
    structlog.contextvars.bind_contextvars(process=process)
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
