"""What is asked of the registry and changes or seeks a version: register a schema, look one up.

Both go by the canonical form of the text, so the same contract written otherwise is the same schema. How requests
arrive is left to `http`, how records are written to `store`.
"""

import unicodedata

from services.schema_registry.avro_text import InvalidSchemaError, canonical_form
from services.schema_registry.model import RequestRefusedError, SchemaLog, Schemas, SchemaVersion

MAX_SUBJECT_CHARACTERS = 255
"""More than any record's full name needs; a subject is kept in every answer and every key."""


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
        RequestRefusedError: the subject or the schema is invalid, or it cannot be written now.
    """
    check_subject(subject)
    content = _content(text)
    known = schemas.find(subject, content)
    if known is not None:
        return known
    async with log.writing() as append:
        known = schemas.find(subject, content)
        if known is not None:
            return known
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


def subject_not_found(subject: str) -> RequestRefusedError:
    """The field's answer for a subject that is not there."""
    return RequestRefusedError(404, 40401, f"Subject '{subject[:MAX_SUBJECT_CHARACTERS]}' not found.")


def _content(text: str) -> str:
    try:
        return canonical_form(text)
    except InvalidSchemaError as error:
        raise RequestRefusedError(422, 42201, f"Invalid schema: {error}") from error
