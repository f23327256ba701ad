"""Whether what was written with one schema can be read with another, and in which words it cannot. Pure.

The rules are Avro's schema resolution, taken so that "compatible" means: every record that the writer's schema allows
is read, by what we read with and by others. So it is stricter than the specification in three places: `bytes` is no
`string` (not all bytes are text), a name counts in full, and a logical type must be the same on both sides (a date
read as a time of day is not read). Schemas are given in their canonical form, see `chopar.avro.canonical`; which
versions count is the caller's.
"""

import json
import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from chopar.avro.canonical import InvalidSchemaError

Schema: TypeAlias = Any
"""The JSON of a canonical form."""

MAX_BREAKS = 20
"""Of one comparison: who has more to mend begins with these."""

_MOST_STEPS = 500_000  # of one comparison: aliases let one record stand for thousands, each to be compared
_MOST_CHARACTERS, _MOST_BRANCHES = 120, 8  # of a path or a type in words: a union may have ten thousand names

_PROMOTIONS = {
    "int": ("long", "float", "double"),
    "long": ("float", "double"),
    "float": ("double",),
    "string": ("bytes",),
}
_NAMED = ("record", "error", "enum", "fixed")
_LOGICAL = {
    "decimal": ("bytes", "fixed"),
    "big-decimal": ("bytes",),
    "uuid": ("string", "fixed"),
    "date": ("int",),
    "time-millis": ("int",),
    "time-micros": ("long",),
    "timestamp-millis": ("long",),
    "timestamp-micros": ("long",),
    "timestamp-nanos": ("long",),
    "local-timestamp-millis": ("long",),
    "local-timestamp-micros": ("long",),
    "local-timestamp-nanos": ("long",),
    "duration": ("fixed",),
}
"""Those of the specification, with the types they stand on; any other one, or on another type, is to be ignored."""


class Level(StrEnum):
    """What a new version of a subject must be able to do, by the field's names."""

    NONE = "NONE"
    BACKWARD = "BACKWARD"
    BACKWARD_TRANSITIVE = "BACKWARD_TRANSITIVE"
    FORWARD = "FORWARD"
    FORWARD_TRANSITIVE = "FORWARD_TRANSITIVE"
    FULL = "FULL"
    FULL_TRANSITIVE = "FULL_TRANSITIVE"

    @property
    def reads_earlier(self) -> bool:
        """The new schema reads what was written with earlier ones."""
        return self.startswith(("BACKWARD", "FULL"))

    @property
    def is_read_by_earlier(self) -> bool:
        """Who still has an earlier schema reads what is written with the new one."""
        return self.startswith(("FORWARD", "FULL"))

    @property
    def is_transitive(self) -> bool:
        """Every earlier version counts, not the latest alone."""
        return self.endswith("_TRANSITIVE")


DEFAULT_LEVEL = Level.FULL_TRANSITIVE
"""Records stay on the log for long, and readers and writers are brought up to date in any order."""


class Kind(StrEnum):
    """What stands in the way; the field's names where it has one."""

    TYPE_MISMATCH = "TYPE_MISMATCH"
    NAME_MISMATCH = "NAME_MISMATCH"
    FIXED_SIZE_MISMATCH = "FIXED_SIZE_MISMATCH"
    MISSING_ENUM_SYMBOLS = "MISSING_ENUM_SYMBOLS"
    MISSING_UNION_BRANCH = "MISSING_UNION_BRANCH"
    READER_FIELD_MISSING_DEFAULT_VALUE = "READER_FIELD_MISSING_DEFAULT_VALUE"
    LOGICAL_TYPE_MISMATCH = "LOGICAL_TYPE_MISMATCH"
    AMBIGUOUS_ALIAS = "AMBIGUOUS_ALIAS"


@dataclass(frozen=True, slots=True)
class Break:
    """One place where the reader's schema cannot take what the writer's allows.

    Attributes:
        kind: what is wrong.
        path: fields from the outside in, joined by dots; `[]` an array's items, `{}` a map's values; empty: the
            schema as a whole.
        written: what the writer has there, in short.
        expected: what the reader has there.
    """

    kind: Kind
    path: str
    written: str
    expected: str


def breaks(writer: Schema, reader: Schema) -> list[Break]:
    """Why records written by one schema cannot all be read by another; empty: they can.

    Args:
        writer: canonical, as JSON.
        reader: the same.

    Returns:
        What lies further out first, then in the order of fields; `MAX_BREAKS` at most.

    Raises:
        InvalidSchemaError: they are too large to be compared.
    """
    comparison = _Comparison(_names(writer), _names(reader))
    return comparison.run(writer, reader)


def reasons(level: Level, new: str, earlier: Mapping[int, str]) -> list[str]:
    """Why a schema must not become the next version of a subject, in words for its author; empty: it may.

    Args:
        level: that holds for the subject.
        new: canonical form.
        earlier: the canonical forms of the versions that count, by number; of a level that is not transitive the
            highest alone is compared with.

    Returns:
        One sentence for each place, the latest version's first; in the same order for the same schemas.

    Raises:
        InvalidSchemaError: it is too large to be compared.
    """
    numbers = sorted(earlier, reverse=True)
    schema = json.loads(new)
    said = []
    for number in numbers if level.is_transitive else numbers[:1]:
        other = json.loads(earlier[number])
        if level.reads_earlier:
            said += [_sentence(found, number, _READS_EARLIER) for found in breaks(other, schema)]
        if level.is_read_by_earlier:
            said += [_sentence(found, number, _READ_BY_EARLIER) for found in breaks(schema, other)]
    return said


_READS_EARLIER: dict[Kind, str] = {
    Kind.TYPE_MISMATCH: "is {expected}, but {old} wrote {written}; keep that type, or use a field of another name",
    Kind.NAME_MISMATCH: "is {expected}, but {old} wrote {written}; keep the name",
    Kind.FIXED_SIZE_MISMATCH: "has {expected}, but {old} wrote {written}; keep the size",
    Kind.MISSING_ENUM_SYMBOLS: "lacks what {old} may have written: {written}; keep it, or give the enum a default",
    Kind.MISSING_UNION_BRANCH: "does not take {written}, which {old} may have written; keep the type as it was, or use "
    "a field of another name",
    Kind.READER_FIELD_MISSING_DEFAULT_VALUE: "is not in {old} and has no default; give it one",
    Kind.LOGICAL_TYPE_MISMATCH: "means {expected}, but {old} wrote {written}; keep it, or use a field of another name",
    Kind.AMBIGUOUS_ALIAS: "has an alias that leaves open which field of {old} is meant ({written}); take it away",
}
"""The new schema is the reader; what it says can be changed."""

_READ_BY_EARLIER: dict[Kind, str] = {
    Kind.TYPE_MISMATCH: "is {written}, but readers with {old} expect {expected}; keep that type, or use a field of "
    "another name",
    Kind.NAME_MISMATCH: "is {written}, but readers with {old} expect {expected}; keep the name",
    Kind.FIXED_SIZE_MISMATCH: "has {written}, but readers with {old} expect {expected}; keep the size",
    Kind.MISSING_ENUM_SYMBOLS: "has symbols that readers with {old} do not know: {written}; that enum has no default "
    "for them, so use a field of another name",
    Kind.MISSING_UNION_BRANCH: "may be {written}, which readers with {old} do not take; keep the type as it was, "
    "or use a field of another name",
    Kind.READER_FIELD_MISSING_DEFAULT_VALUE: "is missing, and readers with {old} have no default for it; keep it",
    Kind.LOGICAL_TYPE_MISMATCH: "means {written}, but readers with {old} expect {expected}; keep it, or use a field "
    "of another name",
    Kind.AMBIGUOUS_ALIAS: "has an alias in {old} that leaves open which field is meant ({written}); use another name",
}
"""An earlier schema is the reader; it is what it is."""


def _sentence(found: Break, number: int, words: Mapping[Kind, str]) -> str:
    said = words[found.kind].format(old=f"version {number}", written=found.written, expected=found.expected)
    return f"{found.path or 'the schema'} {said}"


_VERSION = re.compile(r"(?<= )version (\d{1,9})\b")  # not as the first words: a sentence about a version itself stays


def merged(said: Sequence[str]) -> list[str]:
    """Reasons of which each stands once, with all the versions that it holds for: "versions 1 to 3".

    Args:
        said: reasons for single versions, as `reasons` gives them or a schema registry repeats them.

    Returns:
        In the order in which each was said first.
    """
    found: dict[tuple[str, ...], set[int]] = {}
    for sentence in said:
        version = _VERSION.search(sentence)
        parts = (sentence,) if version is None else (sentence[: version.start()], sentence[version.end() :])
        found.setdefault(parts, set()).update([int(version[1])] if version else [])
    return [_versions(numbers).join(parts) for parts, numbers in found.items()]


def _versions(numbers: set[int]) -> str:
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    words: list[str] = []
    for run in runs:
        words += [f"{run[0]} to {run[-1]}"] if len(run) > 2 else map(str, run)
    listed = [", ".join(words[:-1]), words[-1]] if len(words) > 1 else words
    return f"version{'s' if len(numbers) > 1 else ''} {' and '.join(listed)}"


def _names(schema: Schema) -> dict[str, Schema]:
    """The definitions of named types in a schema, by full name."""
    found: dict[str, Schema] = {}
    waiting = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting += part
        elif isinstance(part, dict):
            kind = part["type"]
            if kind in _NAMED:
                found[part["name"]] = part
            waiting += [field["type"] for field in part.get("fields", ())] if kind in ("record", "error") else []
            waiting += [part["items"]] if kind == "array" else [part["values"]] if kind == "map" else []
    return found


def _kind(schema: Schema) -> str:
    kind: str = schema["type"] if isinstance(schema, dict) else schema
    return "record" if kind == "error" else kind


def _logical(schema: Schema) -> str:
    """The meaning of a value beyond its type; empty: none."""
    name = schema.get("logicalType") if isinstance(schema, dict) else None
    if not isinstance(name, str) or _kind(schema) not in _LOGICAL.get(name, ()):
        return ""
    if name == "decimal":
        return f"a decimal of precision {schema.get('precision')} and scale {schema.get('scale', 0)}"
    return f"a {name}"


def _short(schema: Schema) -> str:
    """A type in words."""
    if isinstance(schema, list):
        more = ["..."] if len(schema) > _MOST_BRANCHES else []
        return "a union of " + ", ".join([*map(_short, schema[:_MOST_BRANCHES]), *more]) if schema else "an empty union"
    kind = _kind(schema)
    if kind in _NAMED:
        return f"{kind} {schema['name']}"
    if kind in ("array", "map"):
        return f"{kind} of {_short(schema['items' if kind == 'array' else 'values'])}"
    return kind


class _Branches:
    """Which branch of a reader's union takes a value: the one of its type, else the first that it is promoted to."""

    def __init__(self, branches: list[Schema]) -> None:
        self._by_name: dict[str, int] = {}
        self._plain: list[tuple[int, Schema]] = []
        for index, branch in enumerate(branches):
            if _kind(branch) not in _NAMED:
                self._plain.append((index, branch))
                continue
            for name in (_last(branch["name"]), *branch.get("aliases", ())):
                self._by_name.setdefault(name, index)
                self._by_name.setdefault(_last(name), index)

    def first(self, value: Schema) -> int | None:
        if _kind(value) in _NAMED:
            name = value["name"]
            indices = [self._by_name[known] for known in (name, _last(name)) if known in self._by_name]
            return min(indices, default=None)
        if _kind(value) == "bytes":  # our decoder takes the first of the two, and not all bytes are text
            return next((index for index, branch in self._plain if _kind(branch) in ("bytes", "string")), None)
        fitting = [(_kind(branch) != _kind(value), index) for index, branch in self._plain if _fits(value, branch)]
        return min(fitting)[1] if fitting else None


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _fits(writer: Schema, reader: Schema) -> bool:
    """Whether a decoder takes a branch that is no named type for a value; what is inside shows only while reading."""
    kind, due = _kind(writer), _kind(reader)
    return kind == due or due in _PROMOTIONS.get(kind, ())


class _Comparison:
    """One pass over a pair of schemas."""

    def __init__(self, of_writer: Mapping[str, Schema], of_reader: Mapping[str, Schema]) -> None:
        self._of_writer = of_writer
        self._of_reader = of_reader
        self._seen: set[tuple[str, str]] = set()
        self._steps = 0
        # No recursion: names that refer to each other make a chain as long as a schema has names.
        self._waiting: deque[tuple[Schema, Schema, str]] = deque()
        self._found: list[Break] = []

    def run(self, writer: Schema, reader: Schema) -> list[Break]:
        self._waiting.append((writer, reader, ""))
        while self._waiting and len(self._found) < MAX_BREAKS:
            self._pair(*self._waiting.popleft())
        return self._found[:MAX_BREAKS]

    def _spend(self, steps: int) -> None:
        self._steps += steps
        if self._steps > _MOST_STEPS:
            raise InvalidSchemaError("it is too large to be compared")

    def _pair(self, writer: Schema, reader: Schema, path: str) -> None:
        writer, reader = _defined(writer, self._of_writer), _defined(reader, self._of_reader)
        if isinstance(writer, list):
            branches = [_defined(branch, self._of_writer) for branch in writer]
            choice = self._choice(reader)
            for branch in branches:
                self._branch(branch, reader, choice, path, of_union=True)
        else:
            self._branch(writer, reader, self._choice(reader), path, of_union=False)

    def _choice(self, reader: Schema) -> "_Branches | None":
        if not isinstance(reader, list):
            return None
        self._spend(len(reader))
        return _Branches([_defined(branch, self._of_reader) for branch in reader])

    def _branch(self, writer: Schema, reader: Schema, choice: "_Branches | None", path: str, *, of_union: bool) -> None:
        self._spend(1)
        if choice is not None:
            index = choice.first(writer)
            if index is None:
                self._add(Kind.MISSING_UNION_BRANCH, path, _short(writer), _short(reader))
            else:
                self._plain(writer, _defined(reader[index], self._of_reader), path)
        elif of_union and _kind(writer) != _kind(reader) and not _fits(writer, reader):
            self._add(Kind.MISSING_UNION_BRANCH, path, _short(writer), _short(reader))
        else:
            self._plain(writer, reader, path)

    def _plain(self, writer: Schema, reader: Schema, path: str) -> None:
        """Neither is a union."""
        kind = _kind(writer)
        if not (kind == _kind(reader) if kind in _NAMED else _fits(writer, reader)):
            self._add(Kind.TYPE_MISMATCH, path, _short(writer), _short(reader))
            return
        if _logical(writer) != _logical(reader):
            plain = f"a plain {kind}"
            self._add(Kind.LOGICAL_TYPE_MISMATCH, path, _logical(writer) or plain, _logical(reader) or plain)
        if kind in ("array", "map") and kind == _kind(reader):
            part, mark = ("items", "[]") if kind == "array" else ("values", "{}")
            self._waiting.append((writer[part], reader[part], path + mark))
        elif kind in _NAMED:
            self._named(kind, writer, reader, path)

    def _named(self, kind: str, writer: Schema, reader: Schema, path: str) -> None:
        pair = writer["name"], reader["name"]
        if pair in self._seen:
            return
        self._seen.add(pair)
        self._spend(
            sum(len(side.get(part, ())) for side in (writer, reader) for part in ("aliases", "fields", "symbols"))
        )
        if pair[0] != pair[1] and pair[0] not in reader.get("aliases", ()):
            self._add(Kind.NAME_MISMATCH, path, _short(writer), _short(reader))
        elif kind == "record":
            self._fields(writer, reader, path)
        elif kind == "fixed" and writer["size"] != reader["size"]:
            self._add(Kind.FIXED_SIZE_MISMATCH, path, f"{writer['size']} bytes", f"{reader['size']} bytes")
        elif kind == "enum" and not reader.get("default"):
            known = set(reader["symbols"])
            strange = [symbol for symbol in writer["symbols"] if symbol not in known]
            if strange:
                self._add(Kind.MISSING_ENUM_SYMBOLS, path, ", ".join(strange), ", ".join(reader["symbols"]))

    def _fields(self, writer: Schema, reader: Schema, path: str) -> None:
        takers: dict[str, list[str]] = {}
        for field in reader["fields"]:
            for name in {field["name"], *field.get("aliases", ())}:
                takers.setdefault(name, []).append(field["name"])
        types = {field["name"]: field["type"] for field in reader["fields"]}
        claimed: dict[str, str] = {}
        for field in writer["fields"]:
            name = field["name"]
            for taker in takers.get(name, ()):
                inner = _inside(path, taker)
                if taker in claimed or len(takers[name]) > 1:  # libraries differ on which one is meant
                    both = sorted({claimed.get(taker, name), name})
                    self._add(Kind.AMBIGUOUS_ALIAS, inner, " and ".join(both), taker)
                else:
                    self._waiting.append((field["type"], types[taker], inner))
                claimed[taker] = name
        for field in reader["fields"]:
            if field["name"] not in claimed and "default" not in field:
                inner = _inside(path, field["name"])
                self._add(Kind.READER_FIELD_MISSING_DEFAULT_VALUE, inner, "nothing", _short(field["type"]))

    def _add(self, kind: Kind, path: str, written: str, expected: str) -> None:
        self._found.append(Break(kind, _cut(path), _cut(written), _cut(expected)))


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 1] + "…"


def _inside(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _defined(schema: Schema, names: Mapping[str, Schema]) -> Schema:
    return names.get(schema, schema) if isinstance(schema, str) else schema
