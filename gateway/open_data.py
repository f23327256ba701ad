"""The lists as open data: tables as JSON and CSV by the digest of their version, and what differs between two versions.

A table is what the lists' files say, with every field as a column; what is absent there is empty here. Each row of a
CSV file begins with the digest, so that it says what it is part of wherever it is copied to. Reads list versions from
the gateway's list directory and nothing else.
"""

import csv
import io
import json
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import date, timedelta
from enum import Enum
from pathlib import Path
from typing import Any

from chopar.errors import ConfigurationError, NotFoundError
from chopar.messages.demand import FetchMode
from gateway.access_ground import AccessGround
from gateway.agencies import Agency, Membership, Procedure
from gateway.bundle import load
from gateway.compared_lists import differences
from gateway.evidence_directory import Alternatives, DirectoryEntry, Place
from gateway.legal_basis import LegalBasis
from gateway.list_version import ListVersion
from gateway.lists.reading import Verification
from gateway.naming import Naming
from gateway.prohibited_list import DocumentKind, ProhibitedEntry

NOT_COMPLETE = "The list that is known here is not complete: a bar may be in force although it does not stand here."

_DIGEST = re.compile("[0-9a-f]{64}")
_KEPT = 2  # a version of 100,000 entries takes some hundred megabytes
_MADE = frozenset({"order", "source"})  # from other fields
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins so is run as a formula by programs that open CSV files."""


class Shelf:
    """The list versions on this machine.

    Args:
        folder: the gateway's list directory, a folder for each version, named by its digest.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept: OrderedDict[str, ListVersion] = OrderedDict()
        self._reading = threading.Lock()

    def digests(self) -> tuple[str, ...]:
        """Those that lie there, in the order of their digests."""
        try:
            return tuple(sorted(path.name for path in self._folder.iterdir() if self._is_there(path.name)))
        except FileNotFoundError:
            return ()

    def version(self, digest: str, *, in_force: ListVersion) -> ListVersion:
        """One of them.

        Args:
            digest: as somebody wrote it.
            in_force: the one that holds, which is not read again.

        Raises:
            NotFoundError: none of that digest lies there.
            LawIncompleteError, LawUnreadableError: it was changed, or cannot be understood.
        """
        if digest == in_force.digest:
            return in_force
        if not self._is_there(digest):
            raise NotFoundError("no list version of that digest is here; /v1/lists names those that are")
        with self._reading:  # one at a time: a large one takes seconds of a core
            version = self._kept.pop(digest, None) or ListVersion.from_files(load(digest, self._folder))
            self._kept[digest] = version
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return version

    def _is_there(self, digest: str) -> bool:
        return _DIGEST.fullmatch(digest) is not None and (self._folder / digest).is_dir()


@dataclass(frozen=True, slots=True)
class Rows:
    """One table of a list version.

    Args:
        name: of the table.
        digest: of the list version.
        columns: names, in their order.
        rows: plain values of JSON, by column.
    """

    name: str
    digest: str
    columns: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]


def table(version: ListVersion, name: str) -> Rows:
    """A table of a list version.

    Raises:
        NotFoundError: there is no table of that name.
    """
    if name not in TABLES:
        raise NotFoundError(f"the tables are {', '.join(TABLES)}")
    columns, rows = TABLES[name](version)
    return Rows(name, version.digest, columns, tuple(rows))


def as_json(rows: Rows) -> str:
    """A table as one JSON object."""
    whole = {
        "list_digest": rows.digest,
        "name": rows.name,
        "complete": False,
        "note": NOT_COMPLETE,
        "count": len(rows.rows),
        "rows": rows.rows,
    }
    return json.dumps(whole, ensure_ascii=False)


def as_csv(rows: Rows) -> str:
    """A table as RFC 4180 has it; several values of a cell are divided by ` | `."""
    written = io.StringIO(newline="")
    writer = csv.writer(written, lineterminator="\r\n")
    writer.writerow(("list_digest", *rows.columns))
    for row in rows.rows:
        writer.writerow((rows.digest, *(_harmless(_cell(row[column])) for column in rows.columns)))
    return written.getvalue()


FORMATS: Mapping[str, tuple[str, Callable[[Rows], str]]] = {
    "json": ("application/json", as_json),
    "csv": ("text/csv; header=present", as_csv),
}
"""By ending: media type, and what writes it."""


def index(in_force: ListVersion, fetch_mode: FetchMode, digests: Iterable[str]) -> dict[str, Any]:
    """What there is.

    Args:
        in_force: the version that holds.
        fetch_mode: which grounds it opens.
        digests: of the versions that are here.
    """
    return {
        "list_digest": in_force.digest,
        "fetch_mode": fetch_mode.value,
        "complete": False,
        "note": NOT_COMPLETE,
        "coverages": [_plain(coverage) for coverage in in_force.coverages.values()],
        "tables": [
            {
                "name": name,
                "count": _count(in_force, name),
                **{ending: f"/v1/lists/{in_force.digest}/{name}.{ending}" for ending in FORMATS},
            }
            for name in TABLES
        ],
        "versions": [
            {
                "list_digest": digest,
                "in_force": digest == in_force.digest,
                "diff": None if digest == in_force.digest else f"/v1/lists/{digest}/diff/{in_force.digest}",
            }
            for digest in digests
        ],
    }


def _count(version: ListVersion, name: str) -> int:
    """How many rows a table has; they are not made for it."""
    parts = {"groups": version.memberships, "procedures": version.procedures, "names": version.namings}
    return len(parts[name] if name in parts else getattr(version, name))


def difference_words(form: str) -> tuple[str, Callable[[ListVersion, ListVersion], str]]:
    """The media type of a form of a diff, and what writes it: `json`, or `text` for the words alone.

    Raises:
        ConfigurationError: there is no such form.
    """
    forms = {"json": ("application/json", _diff_as_json), "text": ("text/plain", _diff_as_text)}
    if form not in forms:
        raise ConfigurationError("format: json or text")
    return forms[form]


def _diff_as_json(before: ListVersion, after: ListVersion) -> str:
    found = [
        {
            "part": one.part,
            "name": one.name,
            "kind": one.kind,
            "changes": {name: {"before": was, "after": now} for name, (was, now) in one.changes.items()},
            "words": str(one),
        }
        for one in differences(before, after)
    ]
    whole = {"before": before.digest, "after": after.digest, "count": len(found), "differences": found}
    return json.dumps(whole, ensure_ascii=False)


def _diff_as_text(before: ListVersion, after: ListVersion) -> str:
    found = [str(one) for one in differences(before, after)] or ["nothing differs in what the lists say"]
    return "\n".join((f"before: {before.digest}", f"after: {after.digest}", *found, ""))


def _of(record: type[Any], *left_out: str, **renamed: str) -> tuple[tuple[str, ...], Callable[[Any], dict[str, Any]]]:
    """The columns of a record, and how one becomes a row."""
    names = [one.name for one in fields(record) if one.name not in _MADE and one.name not in left_out]
    columns = tuple(renamed.get(name, name) for name in names)
    return columns, lambda one: dict(zip(columns, (_plain(getattr(one, name)) for name in names), strict=True))


def _prohibited(version: ListVersion) -> tuple[tuple[str, ...], list[dict[str, Any]]]:
    columns, row = _of(ProhibitedEntry)
    further = ("coverage_known", "coverage_total")
    rows = []
    for entry in version.prohibited.values():
        coverage = version.coverages.get(entry.coverage)
        known, total = (coverage.known, coverage.total) if coverage else (None, None)
        rows.append({**row(entry), "coverage_known": known, "coverage_total": total})
    return (*columns, *further), rows


def _procedures(version: ListVersion) -> tuple[tuple[str, ...], list[dict[str, Any]]]:
    columns, row = _of(Procedure)
    of_basis, basis_row = _of(LegalBasis, "procedure", act="legal_basis", act_from="legal_basis_from")
    rows = [{**row(one), **basis_row(version.legal_bases[name])} for name, one in version.procedures.items()]
    return (*columns, *of_basis), rows


def _directory(version: ListVersion) -> tuple[tuple[str, ...], list[dict[str, Any]]]:
    columns, row = _of(DirectoryEntry, due="due_hours")
    return columns, [row(entry) for entry in version.directory.values()]


def _simple(
    record: type[Any], entries: Callable[[ListVersion], Iterable[Any]]
) -> Callable[[ListVersion], tuple[tuple[str, ...], list[dict[str, Any]]]]:
    def made(version: ListVersion) -> tuple[tuple[str, ...], list[dict[str, Any]]]:
        columns, row = _of(record)
        return columns, [row(entry) for entry in entries(version)]

    return made


TABLES: Mapping[str, Callable[[ListVersion], tuple[tuple[str, ...], list[dict[str, Any]]]]] = {
    "prohibited": _prohibited,
    "documents": _simple(DocumentKind, lambda version: version.documents.values()),
    "groups": _simple(Membership, lambda version: version.memberships),
    "procedures": _procedures,
    "grounds": _simple(AccessGround, lambda version: version.grounds.values()),
    "directory": _directory,
    "alternatives": _simple(Alternatives, lambda version: version.alternatives.values()),
    "agencies": _simple(Agency, lambda version: version.agencies.values()),
    "names": _simple(Naming, lambda version: version.namings.values()),
}
"""The tables, by name."""


def _plain(value: Any) -> Any:
    """A value of the lists as JSON has it; what is absent or empty text is null."""
    if value is None or value == "":
        return None
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, timedelta):
        return int(value.total_seconds() // 3600)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, frozenset):
        return sorted(_plain(part) for part in value)
    if isinstance(value, Place):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    if isinstance(value, Verification):
        return {"by": value.by, "on": value.on.isoformat(), "text_ref": value.text_ref}
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if hasattr(value, "__dataclass_fields__"):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    return value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " | ".join(_cell(part) for part in value)
    if isinstance(value, dict):
        return " | ".join(f"{name}={_cell(part)}" for name, part in value.items())
    return str(value)


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
