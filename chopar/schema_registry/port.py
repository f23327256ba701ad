"""What writers and readers need of a schema registry, and how long an id that nobody knows is waited for."""

from collections.abc import Callable
from typing import Protocol

import structlog

from chopar.errors import SchemaNotYetKnownError, UnknownSchemaError

_log = structlog.get_logger()

_ASK_AGAIN_SECONDS = 10.0
"""A follower of the registry may lag: an unknown id is asked again this long before it counts as unknown."""

_NEGATIVE_SECONDS = 30.0
"""How long "unknown" is believed without asking again."""

_NEXT_WAIT_SECONDS = 300.0
"""From one wait for unknown ids to the next: who writes a new one each time holds a partition up once, not for ever."""

_MOST_BELIEVED = 10_000
"""Unknown ids that are remembered; what is forgotten is asked again."""


class SchemaRegistry(Protocol):
    """What writers and readers need of a schema registry. The subject is the full name of the record."""

    async def id_of(self, subject: str, text: str) -> int:
        """The id of a schema that was registered.

        Raises:
            SchemaRegistryUnavailableError: it does not answer, or does not know the schema yet.
        """

    async def text_of(self, schema_id: int) -> str:
        """The text of a schema, by id.

        Raises:
            SchemaNotYetKnownError: unknown so far; ask again.
            UnknownSchemaError: unknown for good.
            SchemaRegistryUnavailableError: it does not answer.
        """

    async def register(self, subject: str, text: str) -> int:
        """Register a schema; the same text gets the same id.

        Raises:
            SchemaRegistryUnavailableError: it does not answer.
            IncompatibleSchemaError: it does not fit the earlier versions of this subject.
            ConfigurationError: it refuses the schema; the message says why.
        """


class Patience:
    """How long unknown ids are waited for: all that come up during one wait share it, and for a while none follows."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began: float | None = None
        self._waited: set[int] = set()
        self._is_said = False
        self._refused: dict[int, float] = {}

    def unknown(self, schema_id: int) -> Exception:
        """What to raise for an id that the registry does not know."""
        now = self._clock()
        if self._began is None or now - self._began >= _NEXT_WAIT_SECONDS:
            self._began, self._waited, self._is_said = now, set(), False
        if now - self._began < _ASK_AGAIN_SECONDS:
            self._waited.add(schema_id)
            return SchemaNotYetKnownError("the schema registry does not know this schema id yet")
        if schema_id not in self._waited and not self._is_said:
            self._is_said = True
            _log.warning("schema_id.not_waited_for", schema_id=schema_id, seconds=_NEXT_WAIT_SECONDS)
        if len(self._refused) >= _MOST_BELIEVED:
            del self._refused[next(iter(self._refused))]
        self._refused[schema_id] = now
        return UnknownSchemaError("the schema registry does not know this schema id")

    def raise_believed(self, schema_id: int) -> None:
        """Raise UnknownSchemaError while "unknown for good" holds without asking; forget it after that."""
        refused = self._refused.get(schema_id)
        if refused is None:
            return
        if self._clock() - refused < _NEGATIVE_SECONDS:
            raise UnknownSchemaError("the schema registry does not know this schema id")
        del self._refused[schema_id]
