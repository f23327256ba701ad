"""What a local stack is made of, as data: `deploy/local.toml`.

    directory = ".."              where processes run, from the file's own folder

    [[start]]
    name = "tax"                  unique; also the name of its log file
    kind = "process"              broker | process (kept running) | task (runs to its end, once per start of the stack)
    module = "services.tax"       python -m MODULE ARGS
    args = []
    after = ["push-schemas"]      ready (or, a task, done) before this one starts
    port_offset = 20              distance from the port base; a process with a port is ready when GET /ready says 200
    provides = "gateway"          others say {gateway} and get its address
    stop_seconds = 8              how long it may take to stop
    environment_of = "tax"        (a task) sees what that entry sees, its address included; `environment` adds to it
    [start.environment]           all of CHOPAR_... that it sees
    CHOPAR_TAX_HOME = "{home}/tax"

    [[demand]]                    an example, sent once the stack is up

Placeholders in args and environment: {home}, {port} and {address} of the entry itself, and what others provide; the
broker provides {bootstrap}.
"""

import graphlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from chopar.errors import ConfigurationError

Kind = Literal["broker", "process", "task"]
KINDS = ("broker", "process", "task")
STOP_SECONDS = {"broker": 20.0, "process": 8.0, "task": 3.0}  # a broker writes its state out: 1.7-2.8 s when quiet


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing to start; the module's docstring says what the fields mean."""

    name: str
    kind: Kind
    module: str = ""
    args: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    port_offset: int | None = None
    provides: str = ""
    environment_of: str = ""
    stop_seconds: float = 8.0


@dataclass(frozen=True, slots=True)
class ExampleDemand:
    """A demand to send once the stack is up. `person` or `business` says which of the population, such as "first".

    `parties` (`ROLE=ID`) and `parameters` (`NAME=VALUE`, for all documents) are written as flags of `demand create`;
    `{founder}`, `{account_address}` and `{cadastral_number}` in them stand for what belongs to that business.
    """

    requester: str
    procedure: str
    documents: tuple[str, ...]
    title: str = ""
    person: str | None = None
    business: str | None = None
    parties: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """The entries, each after those that it needs, and the example demands."""

    path: Path
    directory: Path
    entries: tuple[Entry, ...]
    demands: tuple[ExampleDemand, ...]

    def entry(self, name: str) -> Entry:
        """Give an entry by its name, which must be one of the plan's."""
        return next(entry for entry in self.entries if entry.name == name)

    @property
    def layers(self) -> tuple[tuple[Entry, ...], ...]:
        """The entries by how many others stand below them: first what needs nothing. Stopping goes the other way."""
        depth: dict[str, int] = {}
        for entry in self.entries:
            depth[entry.name] = 1 + max((depth[name] for name in entry.after), default=-1)
        return tuple(
            tuple(entry for entry in self.entries if depth[entry.name] == level)
            for level in range(max(depth.values(), default=-1) + 1)
        )


def load_plan(path: Path) -> Plan:
    """Read a plan.

    Raises:
        ConfigurationError: the file is absent or malformed, or an entry is wrong; says which and what.
    """
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"The plan {path} cannot be read ({error.strerror}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The plan {path} is not valid TOML: {error}.") from error
    reader = _Reader(path)
    reader.only(document, "the file", {"directory", "start", "demand"})
    entries = tuple(reader.entry(row) for row in reader.tables(document, "start"))
    return Plan(
        path=path.resolve(),
        directory=(path.resolve().parent / reader.text(document, "the file", "directory", ".")).resolve(),
        entries=reader.in_order(entries),
        demands=tuple(reader.demand(row) for row in reader.tables(document, "demand")),
    )


class _Reader:
    """Reads tables and says, in one sentence, what is wrong where."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def wrong(self, where: str, what: str) -> ConfigurationError:
        return ConfigurationError(f"The plan {self.path}: {where}: {what}.")

    def only(self, table: Mapping[str, Any], where: str, known: set[str]) -> None:
        unknown = sorted(set(table) - known)
        if unknown:
            raise self.wrong(where, f"unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}")

    def tables(self, document: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
        rows = document.get(key, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise self.wrong(key, f"write it as [[{key}]]")
        return rows

    def text(self, table: Mapping[str, Any], where: str, key: str, default: str | None = None) -> str:
        value = table.get(key, default)
        if not isinstance(value, str) or (default is None and not value):
            raise self.wrong(where, f"{key} must be a text")
        return value

    def texts(self, table: Mapping[str, Any], where: str, key: str) -> tuple[str, ...]:
        value = table.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.wrong(where, f"{key} must be a list of texts")
        return tuple(value)

    def entry(self, row: Mapping[str, Any]) -> Entry:
        name = self.text(row, "a [[start]]", "name")
        self.only(row, name, set(Entry.__slots__))
        kind = self.text(row, name, "kind")
        if kind not in KINDS:
            raise self.wrong(name, f"kind {kind!r} is none of {', '.join(KINDS)}")
        offset = row.get("port_offset")
        if offset is not None and (not isinstance(offset, int) or isinstance(offset, bool)):
            raise self.wrong(name, "port_offset must be a whole number")
        if (offset is None and kind == "broker") or (offset is not None and kind == "task"):
            raise self.wrong(name, "a broker needs a port_offset, a task has none")
        provides = self.text(row, name, "provides", "bootstrap" if kind == "broker" else "")
        if provides and offset is None:
            raise self.wrong(name, "what provides an address needs a port_offset")
        environment = row.get("environment", {})
        if not isinstance(environment, dict) or not all(isinstance(value, str) for value in environment.values()):
            raise self.wrong(name, "environment must be a table of texts")
        stop_seconds = row.get("stop_seconds", STOP_SECONDS[kind])
        if not isinstance(stop_seconds, int | float) or isinstance(stop_seconds, bool) or stop_seconds <= 0:
            raise self.wrong(name, "stop_seconds must be a number above 0")
        return Entry(
            name=name,
            kind=cast("Kind", kind),
            module=self.text(row, name, "module", "" if kind == "broker" else None),
            args=self.texts(row, name, "args"),
            after=self.texts(row, name, "after"),
            environment=environment,
            port_offset=offset,
            provides=provides,
            environment_of=self.text(row, name, "environment_of", ""),
            stop_seconds=float(stop_seconds),
        )

    def in_order(self, entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
        by_name = {entry.name: entry for entry in entries}
        offsets: dict[int, str] = {}
        for number, entry in enumerate(entries):
            provided = {other.provides for other in entries[:number] if other.provides}
            if by_name[entry.name] is not entry or entry.provides in provided:
                raise self.wrong(entry.name, "its name or what it provides occurs twice")
            for name in entry.after:
                if name not in by_name:
                    raise self.wrong(entry.name, f"it comes after {name!r}, which is not in the plan")
            model = by_name.get(entry.environment_of)
            if entry.environment_of and (entry.kind != "task" or model is None or model.environment_of):
                raise self.wrong(entry.name, "environment_of is for a task, and names an entry with one of its own")
            if entry.port_offset is not None:
                for offset in (entry.port_offset, entry.port_offset + 1)[: 2 if entry.kind == "broker" else 1]:
                    if offset in offsets:
                        raise self.wrong(entry.name, f"port_offset {offset} is that of {offsets[offset]} too")
                    offsets[offset] = entry.name
        try:
            order = graphlib.TopologicalSorter({entry.name: entry.after for entry in entries}).static_order()
            return tuple(by_name[name] for name in order)
        except graphlib.CycleError as error:
            raise self.wrong(error.args[1][0], f"it waits for itself: {' after '.join(error.args[1])}") from error

    def demand(self, row: Mapping[str, Any]) -> ExampleDemand:
        where = f"a [[demand]] of {row.get('requester')}"
        self.only(row, where, set(ExampleDemand.__slots__))
        person, business = (self.text(row, where, key, "") or None for key in ("person", "business"))
        if (person is None) == (business is None):
            raise self.wrong(where, "it is about either a person or a business")
        documents = self.texts(row, where, "documents")
        if not documents:
            raise self.wrong(where, "it names no documents")
        return ExampleDemand(
            requester=self.text(row, where, "requester"),
            procedure=self.text(row, where, "procedure"),
            documents=documents,
            title=self.text(row, where, "title", ""),
            person=person,
            business=business,
            parties=self.texts(row, where, "parties"),
            parameters=self.texts(row, where, "parameters"),
        )
