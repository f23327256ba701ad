"""Client of a schema registry with the field's REST API; ids and texts are for ever, so it keeps them on disk."""

import json
import os
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import structlog

from chopar.errors import ConfigurationError, IncompatibleSchemaError, SchemaRegistryUnavailableError
from chopar.schema_registry.port import Patience

if TYPE_CHECKING:
    import httpx2

_log = structlog.get_logger()


class HttpSchemaRegistry:
    """The client. One connection pool, opened when something is asked that is not known; close it with `aclose`.

    Args:
        url: base address of the registry.
        cache: folder that keeps texts by id and ids by text; None: memory only.
        clock: monotonic seconds, for how long an unknown id is asked again.
        timeout_seconds: of one request.
    """

    def __init__(
        self,
        url: str,
        *,
        cache: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
        timeout_seconds: float = 5.0,
    ) -> None:
        self._client: httpx2.AsyncClient | None = None
        self._timeout_seconds = timeout_seconds
        self._url = url
        self._cache = cache
        self._patience = Patience(clock)
        self._texts: dict[int, str] = {}
        self._ids: dict[tuple[str, str], int] = {}
        if cache is not None:
            try:
                cache.mkdir(parents=True, exist_ok=True)
                for path in cache.glob("*.json"):
                    self._read_cached(path)
            except OSError as error:
                self._do_without_cache(error)

    def _read_cached(self, path: Path) -> None:
        try:
            row = json.loads(path.read_text(encoding="utf-8"))
            schema_id, subject, text = int(row["id"]), row["subject"], str(row["schema"])
        except (ValueError, KeyError, TypeError):
            path.unlink(missing_ok=True)  # a half-written file is only a cache miss
            return
        self._texts[schema_id] = text
        if subject is not None:
            self._ids[str(subject), text] = schema_id

    def _keep(self, schema_id: int, text: str, subject: str | None) -> None:
        self._texts[schema_id] = text
        if subject is not None:
            self._ids[subject, text] = schema_id
        if self._cache is not None:
            name = f"{schema_id}.json" if subject is None else f"{schema_id}-{subject}.json"
            temporary = self._cache / f".{name}.{os.getpid()}"
            row = {"id": schema_id, "subject": subject, "schema": text}
            try:
                temporary.write_text(json.dumps(row), encoding="utf-8")
                temporary.replace(self._cache / name)
            except OSError as error:
                self._do_without_cache(error)

    def _do_without_cache(self, error: OSError) -> None:
        """What is known is known as long as this process lives; only a start without the registry needs the files."""
        _log.warning("schema_cache.unwritable", folder=str(self._cache), reason=error.strerror)
        self._cache = None

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()

    async def _call(self, method: str, path: str, body: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:
        import httpx2  # only here: what is in the cache needs neither the connection nor the three megabytes

        try:
            if self._client is None:
                self._client = httpx2.AsyncClient(base_url=self._url, timeout=self._timeout_seconds)
            answer = await self._client.request(method, path, json=body)
            content = answer.json()
        except (httpx2.HTTPError, ValueError) as error:
            raise SchemaRegistryUnavailableError(f"the schema registry at {self._url} does not answer") from error
        if answer.status_code >= 500 or not isinstance(content, dict):
            raise SchemaRegistryUnavailableError(f"the schema registry at {self._url} answers {answer.status_code}")
        return answer.status_code, content

    async def id_of(self, subject: str, text: str) -> int:
        """See `SchemaRegistry`."""
        if (subject, text) in self._ids:
            return self._ids[subject, text]
        status, content = await self._call("POST", f"/subjects/{quote(subject, safe='')}", {"schema": text})
        if status != 200:
            raise SchemaRegistryUnavailableError(
                f"{subject} is not registered: `chopar schema push FOLDER`, with the folder of its .avsc file"
            )
        self._keep(int(content["id"]), text, subject)
        return int(content["id"])

    async def text_of(self, schema_id: int) -> str:
        """See `SchemaRegistry`."""
        if schema_id in self._texts:
            return self._texts[schema_id]
        self._patience.raise_believed(schema_id)
        status, content = await self._call("GET", f"/schemas/ids/{schema_id}")
        if status != 200:
            raise self._patience.unknown(schema_id)
        self._keep(schema_id, str(content["schema"]), None)
        return self._texts[schema_id]

    async def register(self, subject: str, text: str) -> int:
        """See `SchemaRegistry`."""
        path = f"/subjects/{quote(subject, safe='')}"
        status, content = await self._call("POST", f"{path}/versions", {"schema": text})
        if status == HTTPStatus.CONFLICT:
            raise IncompatibleSchemaError({subject: [str(content.get("message", status))]})
        if status != 200:
            raise ConfigurationError(f"{subject}: the schema registry refuses it: {content.get('message', status)}")
        self._keep(int(content["id"]), text, subject)
        return int(content["id"])
