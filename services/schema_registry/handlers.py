"""What is asked of the registry and decides or changes something: register, look up, compare, set a level, delete.

Schemas go by the canonical form of their text, so the same contract written otherwise is the same schema. How requests
arrive is left to `http`, how records are written to `store`, what reads what to `chopar.avro.compatibility`.
"""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

from chopar.avro.canonical import InvalidSchemaError, canonical_form, check_defaults_of_unions
from chopar.avro.compatibility import Level, merged, reasons
from services.schema_registry.log_records import (
    NOOP_KEY,
    deletion_key,
    deletion_value,
    level_key,
    level_value,
    schema_key,
)
from services.schema_registry.model import RequestRefusedError, SchemaLog, Schemas, SchemaVersion

MAX_SUBJECT_CHARACTERS = 255
"""More than any record's full name needs; a subject is kept in every answer and every key."""


@dataclass(frozen=True, slots=True)
class Deletion:
    """What may be deleted.

    Attributes:
        kept: subjects that are never deleted, as processes look them up.
        for_good: whether anything is deleted for good at all: records that were written with it cannot be read then.
    """

    kept: frozenset[str] = field(default_factory=frozenset)
    for_good: bool = False


def check_subject(subject: str) -> None:
    """Refuse what cannot be the name of a subject.

    Raises:
        RequestRefusedError: empty, too long, control characters, or of a context (there is only the default one).
    """
    what = ""
    if not subject.strip():
        what = "it is empty"
    elif len(subject) > MAX_SUBJECT_CHARACTERS:
        what = f"it is longer than {MAX_SUBJECT_CHARACTERS} characters"
    elif any(unicodedata.category(character) in ("Cc", "Cf", "Cs") for character in subject):
        what = "it holds control characters"
    elif subject.startswith(":."):
        what = "contexts are not supported"
    if what:
        raise RequestRefusedError(422, 42208, f"The specified subject is invalid: {what}")


async def register(schemas: Schemas, log: SchemaLog, subject: str, text: str) -> SchemaVersion:
    """Give a schema its place among the versions of a subject, and its id.

    Args:
        schemas: what the log has.
        log: where it is written.
        subject: the name that it is registered under; here the full name of the record.
        text: the schema; kept as it is.

    Returns:
        The version that was read back from the log; the present one if the subject has the schema already.

    Raises:
        RequestRefusedError: the subject or the schema is invalid, it is incompatible with an earlier version, or it
            cannot be written now.
    """
    check_subject(subject)
    content = _content(text)
    known = schemas.find(subject, content)
    if known is not None:
        return known
    _check_new(content)
    async with log.writing() as append:
        known = schemas.find(subject, content)
        if known is not None:
            return known
        said = _reasons(schemas, subject, content, schemas.versions(subject))
        if said:
            raise RequestRefusedError(
                409,
                409,
                f'Schema being registered is incompatible with an earlier schema for subject "{subject}", '
                f"details: [{'; '.join(merged(said))}], {{compatibility: '{schemas.level(subject)}'}}",
            )
        await append(*schemas.proposal(subject, content, text))
        written = schemas.find(subject, content)
    if written is None:
        raise RequestRefusedError(500, 50001, "The schema was written, but the log does not show it: see the logs")
    return written


def look_up(schemas: Schemas, subject: str, text: str, *, deleted: bool) -> SchemaVersion:
    """The version of a subject that has this schema.

    Raises:
        RequestRefusedError: there is no such subject, or it has no such schema; or the text is none.
    """
    check_subject(subject)
    content = _content(text)
    if not schemas.versions(subject, deleted=deleted):
        raise subject_not_found(subject)
    found = schemas.find(subject, content, deleted=deleted)
    if found is None:
        raise RequestRefusedError(404, 40403, "Schema not found")
    return found


def compare(schemas: Schemas, subject: str, text: str, versions: Iterable[SchemaVersion] | None = None) -> list[str]:
    """Why a schema could not become the next version of a subject; empty: it could.

    Args:
        schemas: what the log has.
        subject: whose level holds.
        text: the schema.
        versions: to be compared with; by default those that the level names.

    Raises:
        RequestRefusedError: the subject or the schema is invalid.
    """
    check_subject(subject)
    content = _content(text)
    if schemas.find(subject, content) is None:
        _check_new(content)
    return _reasons(schemas, subject, content, schemas.versions(subject) if versions is None else versions)


def _reasons(schemas: Schemas, subject: str, content: str, versions: Iterable[SchemaVersion]) -> list[str]:
    level = schemas.level(subject)
    if level is Level.NONE:
        return []
    rows = sorted(versions, key=lambda row: row.version, reverse=True)
    earlier, strange = {}, []
    for row in rows if level.is_transitive else rows[:1]:
        canonical = schemas.canonical(row)
        if canonical is None:
            strange.append(f"version {row.version} is no schema that can be compared here; delete that version")
        else:
            earlier[row.version] = canonical
    try:
        return strange + reasons(level, content, earlier)
    except InvalidSchemaError as error:
        raise _invalid(error) from error


async def set_level(log: SchemaLog, subject: str | None, level: Level) -> None:
    """Set the compatibility level of a subject, or of all that have none of their own. It holds for what comes.

    Raises:
        RequestRefusedError: the subject is invalid, or it cannot be written now.
    """
    if subject is not None:
        check_subject(subject)
    async with log.writing() as append:
        await append(level_key(subject), level_value(level))


async def drop_level(schemas: Schemas, log: SchemaLog, subject: str | None) -> Level:
    """Take a level away again, so that the one behind it holds; gives the one that held.

    Raises:
        RequestRefusedError: the subject has none, or it cannot be written now.
    """
    async with log.writing() as append:
        level = schemas.level() if subject is None else schemas.own_level(subject)
        if level is None:
            raise no_level(subject or "")
        if schemas.own_level(subject) is not None:
            await append(level_key(subject), None)
    return level


async def delete_version(
    schemas: Schemas, log: SchemaLog, subject: str, number: int, deletion: Deletion, *, for_good: bool
) -> int:
    """Mark a version as deleted: it is listed and compared with no more, but what was written with it stays readable.
    Delete it for good, once it is marked, and where that is allowed: then it does not.

    Raises:
        RequestRefusedError: there is none, it is not at that stage, it must stay, or it cannot be written now.
    """
    _require_deletable(subject, deletion)
    async with log.writing() as append:
        rows = {row.version: row for row in schemas.versions(subject, deleted=True)}
        if not rows:
            raise subject_not_found(subject)
        row = rows.get(number)
        if row is None:
            raise version_not_found(number)
        if not for_good and row.deleted:
            what = f"{_named(subject)} Version {number} was soft deleted. Set permanent=true to delete permanently"
            raise RequestRefusedError(404, 40406, what)
        if for_good and not row.deleted:
            what = f"{_named(subject)} Version {number} was not deleted first before being permanently deleted"
            raise RequestRefusedError(404, 40407, what)
        if for_good:
            _require_for_good(deletion)
            await append(NOOP_KEY, schemas.mark())
            await append(schema_key(subject, number), None)
        else:
            await append(*schemas.soft_deletion(row))
    return number


async def delete_subject(
    schemas: Schemas, log: SchemaLog, subject: str, deletion: Deletion, *, for_good: bool
) -> list[int]:
    """Do with all versions of a subject what `delete_version` does with one; its level goes too.

    Returns:
        The numbers of the versions.

    Raises:
        RequestRefusedError: as there.
    """
    _require_deletable(subject, deletion)
    async with log.writing() as append:
        rows = schemas.versions(subject, deleted=True)
        live = [row.version for row in rows if not row.deleted]
        if not rows:
            raise subject_not_found(subject)
        if for_good and live:
            what = f"{_named(subject)} was not deleted first before being permanently deleted"
            raise RequestRefusedError(404, 40405, what)
        if not for_good and not live:
            what = f"{_named(subject)} was soft deleted. Set permanent=true to delete permanently"
            raise RequestRefusedError(404, 40404, what)
        if for_good:
            _require_for_good(deletion)
            await append(NOOP_KEY, schemas.mark())
            for row in rows:
                await append(schema_key(subject, row.version), None)
            await append(deletion_key(subject), None)
        else:
            await append(deletion_key(subject), deletion_value(subject, max(live)))
        if schemas.own_level(subject) is not None:
            await append(level_key(subject), None)
    return [row.version for row in rows] if for_good else live


def _require_deletable(subject: str, deletion: Deletion) -> None:
    if subject in deletion.kept:
        what = f"{_named(subject)} is a record of Chopar's own, which its processes look up: it stays"
        raise RequestRefusedError(422, 42205, what)


def _require_for_good(deletion: Deletion) -> None:
    if not deletion.for_good:
        what = "Nothing is deleted permanently here: what was written with it could not be read any more"
        raise RequestRefusedError(422, 42205, what)


def _named(subject: str) -> str:
    return f"Subject '{subject[:MAX_SUBJECT_CHARACTERS]}'"


def subject_not_found(subject: str) -> RequestRefusedError:
    """The field's answer for a subject that is not there."""
    return RequestRefusedError(404, 40401, f"{_named(subject)} not found.")


def version_not_found(number: int) -> RequestRefusedError:
    """The field's answer for a version that is not there."""
    return RequestRefusedError(404, 40402, f"Version {number} not found.")


def no_level(subject: str) -> RequestRefusedError:
    """The field's answer for a subject that has no compatibility level of its own."""
    return RequestRefusedError(404, 40408, f"{_named(subject)} does not have subject-level compatibility configured")


def _content(text: str) -> str:
    try:
        return canonical_form(text)
    except InvalidSchemaError as error:
        raise _invalid(error) from error


def _check_new(content: str) -> None:
    try:
        check_defaults_of_unions(content)
    except InvalidSchemaError as error:
        raise _invalid(error) from error


def _invalid(error: InvalidSchemaError) -> RequestRefusedError:
    return RequestRefusedError(422, 42201, f"Invalid schema: {error}")
