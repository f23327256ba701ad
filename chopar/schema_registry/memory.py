"""The in-memory twin of the schema registry: it gives ids, and refuses, as the real one does."""

import time
from collections.abc import Callable
from functools import lru_cache

from chopar.avro.canonical import InvalidSchemaError, canonical_form, check_defaults_of_unions
from chopar.avro.compatibility import DEFAULT_LEVEL, merged, reasons
from chopar.errors import ConfigurationError, IncompatibleSchemaError, SchemaRegistryUnavailableError
from chopar.schema_registry.port import Patience


class InMemorySchemaRegistry:
    """The twin: same promises, no network. `available = False` makes it unreachable; `level` holds for all subjects."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.available = True
        self.level = DEFAULT_LEVEL
        self._ids: dict[str, int] = {}
        self._texts: dict[int, str] = {}
        self._versions: dict[str, list[str]] = {}
        self._patience = Patience(clock)

    def _check(self) -> None:
        if not self.available:
            raise SchemaRegistryUnavailableError("the schema registry does not answer")

    async def id_of(self, subject: str, text: str) -> int:
        """See `SchemaRegistry`."""
        self._check()
        content = _content(subject, text)
        if content not in self._versions.get(subject, ()):
            raise SchemaRegistryUnavailableError(
                f"{subject} is not registered: `chopar schema push FOLDER`, with the folder of its .avsc file"
            )
        return self._ids[content]

    async def text_of(self, schema_id: int) -> str:
        """See `SchemaRegistry`."""
        if schema_id in self._texts:
            return self._texts[schema_id]
        self._patience.raise_believed(schema_id)
        self._check()
        raise self._patience.unknown(schema_id)

    async def register(self, subject: str, text: str) -> int:
        """See `SchemaRegistry`."""
        self._check()
        content = _content(subject, text)
        versions = self._versions.setdefault(subject, [])
        if content not in versions:
            try:
                check_defaults_of_unions(content)
                said = reasons(self.level, content, dict(enumerate(versions, start=1)))
            except InvalidSchemaError as error:
                raise _refused(subject, error) from error
            if said:
                raise IncompatibleSchemaError({subject: merged(said)})
            versions.append(content)
        schema_id = self._ids.setdefault(content, len(self._ids) + 1)
        self._texts.setdefault(schema_id, text)
        return schema_id


_canonical_form = lru_cache(maxsize=256)(canonical_form)


def _content(subject: str, text: str) -> str:
    try:
        return _canonical_form(text)
    except InvalidSchemaError as error:
        raise _refused(subject, error) from error


def _refused(subject: str, error: InvalidSchemaError) -> ConfigurationError:
    return ConfigurationError(f"{subject}: the schema registry refuses it: {error}")
