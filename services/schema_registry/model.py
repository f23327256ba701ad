"""What the schema registry knows: a state machine over the records of `_schemas`. Pure.

`Schemas.apply` takes records in the order of the log and says what each changed; everything that is asked is answered
from what it made of them, rendered once. Ids and versions are for ever: a record that would give one to something else
is refused and said, whoever wrote it. How records are read and written is left to `store`.
"""

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeAlias, TypeGuard

from chopar.avro.canonical import InvalidSchemaError, canonical_form
from chopar.avro.compatibility import DEFAULT_LEVEL, Level
from chopar.errors import ChoparError
from chopar.identifiers import derived_uuid
from services.schema_registry.log_records import render, schema_key

MAX_ID = 2**31 - 1
AVRO = "AVRO"
_LEVELS = frozenset(Level)
KEPT_PARTS = ("references", "metadata", "ruleSet")
"""Parts of a version that others may have written; kept and answered as they stand."""


class RequestRefusedError(ChoparError):
    """A request that cannot be answered as asked.

    Args:
        status: of HTTP.
        number: the field's `error_code`.
        message: one sentence.
    """

    code = "schema_registry_request"

    def __init__(self, status: int, number: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.number = number


@dataclass(frozen=True, slots=True)
class SchemaText:
    """A schema by its id: the first text that came with it."""

    schema_id: int
    content: str
    is_canonical: bool
    guid: str
    text: str
    rendered: bytes


@dataclass(frozen=True, slots=True)
class SchemaVersion:
    """One version of a subject, with its text as it was sent."""

    subject: str
    version: int
    schema_id: int
    guid: str
    text: str
    deleted: bool
    rendered: bytes


@dataclass(frozen=True, slots=True)
class Changed:
    """A record changed a version: it is there now, or gone if `version` is None."""

    subject: str
    version: SchemaVersion | None


@dataclass(frozen=True, slots=True)
class Configured:
    """A record changed the compatibility level of a subject, or of all without one of their own; None: taken away."""

    subject: str | None
    level: Level | None


@dataclass(frozen=True, slots=True)
class Ignored:
    """A record that changes nothing that is kept here."""

    keytype: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that was not taken, and why."""

    reason: str


Outcome: TypeAlias = Changed | Configured | Ignored | Refused


class SchemaLog(Protocol):
    """The right to write, one at a time."""

    def writing(self) -> AbstractAsyncContextManager["Append"]:
        """Hold the right to write. Inside, `Schemas` has everything that was ever written.

        Raises:
            RequestRefusedError: nothing can be written now; says why.
        """


Append: TypeAlias = Callable[[bytes, bytes | None], Awaitable[None]]
"""Writes a key and a value (None: a tombstone), and returns once they were read back."""


@dataclass(slots=True)
class _Subject:
    versions: dict[int, SchemaVersion] = field(default_factory=dict)

    def live(self) -> list[SchemaVersion]:
        return [self.versions[number] for number in sorted(self.versions) if not self.versions[number].deleted]


class Schemas:
    """All schemas, versions and subjects, as the log has them."""

    def __init__(self) -> None:
        self._texts: dict[int, SchemaText] = {}
        self._ids: dict[str, int] = {}
        self._guids: dict[str, int] = {}
        self._subjects: dict[str, _Subject] = {}
        self._uses: dict[int, set[tuple[str, int]]] = {}
        self._levels: dict[str | None, Level] = {}
        self._highest = 0
        self.refused = 0

    # Reading

    @property
    def next_id(self) -> int:
        """The id that the next new content gets: above every id ever seen, refused ones too."""
        return self._highest + 1

    @property
    def count(self) -> int:
        """How many schemas there are."""
        return len(self._texts)

    def by_id(self, schema_id: int) -> SchemaText | None:
        """A schema by its id."""
        return self._texts.get(schema_id)

    def by_guid(self, guid: str) -> SchemaText | None:
        """A schema by its guid."""
        schema_id = self._guids.get(guid)
        return None if schema_id is None else self._texts[schema_id]

    def subjects(self, *, prefix: str = "", deleted: bool = False, deleted_only: bool = False) -> list[str]:
        """The names of subjects: those with a live version, with `deleted` all, with `deleted_only` the others."""
        found = []
        for name in sorted(self._subjects):
            live = bool(self._subjects[name].live())
            if name.startswith(prefix) and (not live if deleted_only else live or deleted):
                found.append(name)
        return found

    def versions(self, subject: str, *, deleted: bool = False) -> list[SchemaVersion]:
        """The versions of a subject, oldest first; empty if it has none."""
        known = self._subjects.get(subject)
        if known is None:
            return []
        return [known.versions[number] for number in sorted(known.versions)] if deleted else known.live()

    def uses(self, schema_id: int, *, deleted: bool = False) -> Iterator[SchemaVersion]:
        """The versions that have a schema, by subject and number."""
        for subject, number in sorted(self._uses.get(schema_id, ())):
            version = self._subjects[subject].versions[number]
            if deleted or not version.deleted:
                yield version

    def find(self, subject: str, content: str, *, deleted: bool = False) -> SchemaVersion | None:
        """The latest version of a subject that has a content (a canonical form)."""
        for version in reversed(self.versions(subject, deleted=deleted)):
            if self._texts[version.schema_id].content == content:
                return version
        return None

    def level(self, subject: str | None = None) -> Level:
        """The compatibility level that holds for a subject: its own, else that for all, else the default."""
        return self._levels.get(subject) or self._levels.get(None) or DEFAULT_LEVEL

    def own_level(self, subject: str | None) -> Level | None:
        """The level that was set for a subject, or for all."""
        return self._levels.get(subject)

    def canonical(self, version: SchemaVersion) -> str | None:
        """The canonical form of a version; None if it is no Avro schema that is understood here."""
        text = self._texts[version.schema_id]
        return text.content if text.is_canonical else None

    # Writing

    def proposal(self, subject: str, content: str, text: str) -> tuple[bytes, bytes]:
        """Key and value of the record that registers a text as the next version of a subject.

        Raises:
            RequestRefusedError: there is no id left.
        """
        schema_id = self._ids.get(content, self.next_id)
        if schema_id > MAX_ID:
            raise RequestRefusedError(500, 50001, "There is no schema id left")
        version = max((v.version for v in self.versions(subject, deleted=True)), default=0) + 1
        value = {"subject": subject, "version": version, "id": schema_id, "schema": text, "deleted": False}
        return schema_key(subject, version), render(value)

    def soft_deletion(self, version: SchemaVersion) -> tuple[bytes, bytes]:
        """Key and value of the record that marks a version as deleted; all else of it stays."""
        value = json.loads(version.rendered)
        if value["schemaType"] == AVRO:
            del value["schemaType"]  # as it is registered
        if value["guid"] == _derived_guid(self._texts[version.schema_id].content):
            del value["guid"]
        return schema_key(version.subject, version.version), render({**value, "deleted": True})

    def mark(self) -> bytes:
        """The value of a record that says nothing but the highest id that was ever given.

        Compaction takes away every trace of a schema that was deleted for good, and its id must not be given again:
        records that were written with it may still lie on the log.
        """
        return render({"highestId": self._highest})

    def apply(self, key: bytes | None, value: bytes | None) -> Outcome:
        """Take the next record of the log."""
        outcome = self._apply(key, value)
        if isinstance(outcome, Refused):
            self.refused += 1
        return outcome

    def _apply(self, key: bytes | None, value: bytes | None) -> Outcome:
        name = _object(key)
        if name is None:
            return Refused("its key is no JSON object")
        keytype = name.get("keytype")
        if keytype == "SCHEMA":
            subject, version = name.get("subject"), name.get("version")
            if not isinstance(subject, str) or not _is_number(version):
                return Refused("its key names no subject and version")
            return self._gone(subject, version) if value is None else self._schema(subject, version, value)
        if keytype == "DELETE_SUBJECT" and value is not None:
            return self._deleted(value)
        if keytype == "CONFIG":
            return self._configured(name.get("subject"), value)
        if keytype == "NOOP":
            highest = (_object(value) or {}).get("highestId")
            self._highest = max(self._highest, highest if _is_number(highest) else 0)
        return Ignored(keytype) if isinstance(keytype, str) else Refused("its key has no keytype")

    def _schema(self, subject: str, version: int, value: bytes) -> Outcome:
        body = _object(value)
        if body is None:
            return Refused("its value is no JSON object")
        schema_id, text = body.get("id"), body.get("schema")
        if not _is_number(schema_id) or not isinstance(text, str):
            return Refused("its value has no id and schema")
        self._highest = max(self._highest, schema_id)
        if body.get("subject", subject) != subject or body.get("version", version) != version:
            return Refused("its value is of another subject or version than its key")
        kept = {part: body[part] for part in KEPT_PARTS if body.get(part)}
        kind = body.get("schemaType") or AVRO
        content, is_canonical = _content(str(kind), text, kept)
        taken = self._texts.get(schema_id)
        if taken is not None and taken.content != content:
            return Refused(f"the id {schema_id} is taken by another schema")
        present = self._subjects.get(subject, _Subject()).versions.get(version)
        if present is not None and present.schema_id != schema_id:
            return Refused(f"version {version} of this subject is taken by the id {present.schema_id}")
        if taken is None:
            given = body.get("guid")
            guid = given if isinstance(given, str) and given not in self._guids else _derived_guid(content)
            taken = self._add(schema_id, content, is_canonical, guid, text, str(kind), kept)
        row = SchemaVersion(subject, version, schema_id, taken.guid, text, body.get("deleted") is True, b"")
        whole = {
            "subject": subject,
            "version": version,
            "id": schema_id,
            "guid": taken.guid,
            "schemaType": kind,
            "schema": text,
            **kept,
        }
        row = replace(row, rendered=render(whole))
        self._subjects.setdefault(subject, _Subject()).versions[version] = row
        self._uses.setdefault(schema_id, set()).add((subject, version))
        return Changed(subject, row)

    def _add(
        self,
        schema_id: int,
        content: str,
        is_canonical: bool,
        guid: str,
        text: str,
        kind: str,
        kept: Mapping[str, Any],
    ) -> SchemaText:
        # The field leaves schemaType out where it is Avro, and old clients know no other.
        whole = {"schema": text, "guid": guid, **({} if kind == AVRO else {"schemaType": kind}), **kept}
        found = SchemaText(schema_id, content, is_canonical, guid, text, render(whole))
        self._texts[schema_id] = found
        self._ids.setdefault(content, schema_id)
        self._guids.setdefault(guid, schema_id)
        return found

    def _gone(self, subject: str, version: int) -> Outcome:
        known = self._subjects.get(subject)
        row = known.versions.pop(version, None) if known is not None else None
        if known is not None and row is not None:
            if not known.versions:
                del self._subjects[subject]
            self._uses[row.schema_id].discard((subject, version))
            if not self._uses[row.schema_id]:
                self._forget(row.schema_id)
        return Changed(subject, None)

    def _forget(self, schema_id: int) -> None:
        text = self._texts.pop(schema_id)
        del self._uses[schema_id]
        for index, key in ((self._ids, text.content), (self._guids, text.guid)):
            if index.get(key) == schema_id:
                del index[key]

    def _deleted(self, value: bytes) -> Outcome:
        body = _object(value) or {}
        subject, up_to = body.get("subject"), body.get("version")
        if not isinstance(subject, str) or not _is_number(up_to):
            return Refused("its value names no subject and version")
        known = self._subjects.get(subject, _Subject())
        for number, row in known.versions.items():
            if number <= up_to:
                known.versions[number] = replace(row, deleted=True)
        return Changed(subject, None)

    def _configured(self, subject: Any, value: bytes | None) -> Outcome:
        if subject is not None and not isinstance(subject, str):
            return Refused("its key names no subject")
        given = (_object(value) or {}).get("compatibilityLevel")
        if given is None:  # others may set something else by such a record, which is not kept here
            self._levels.pop(subject, None)
            return Configured(subject, None)
        if not isinstance(given, str) or given not in _LEVELS:
            return Refused("it sets a compatibility level that there is not")
        level = self._levels[subject] = Level(given)
        return Configured(subject, level)


def _content(kind: str, text: str, kept: Mapping[str, Any]) -> tuple[str, bool]:
    """What tells a schema from others, and whether it is its canonical form."""
    if kind == AVRO and not kept:
        try:
            return canonical_form(text), True
        except InvalidSchemaError:
            pass  # another registry's older parser took it: it keeps its id, known by its very text
    return json.dumps([kind, text, kept], sort_keys=True), False


def _derived_guid(content: str) -> str:
    return str(derived_uuid(content))


def _object(raw: bytes | None) -> dict[str, Any] | None:
    try:
        found = json.loads(raw or b"null")
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _is_number(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_ID
