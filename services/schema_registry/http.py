"""The field's REST API over `Schemas`: paths, bodies, error bodies and content types as its clients expect them.

Every answer is JSON, those to unknown routes too. Paths are split before they are decoded, since a subject may hold a
slash. How a request is read is left to `http_call`; what is asked is decided in `handlers` and `model`.
"""

from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import Any, TypeAlias
from urllib.parse import unquote

import structlog
from prometheus_client import CollectorRegistry, Counter
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from chopar.observe import mask
from services.schema_registry.handlers import (
    MAX_SUBJECT_CHARACTERS,
    Deletion,
    compare,
    delete_subject,
    delete_version,
    drop_level,
    look_up,
    no_level,
    register,
    set_level,
    subject_not_found,
    version_not_found,
)
from services.schema_registry.http_call import CONTENT_TYPES, Call, negotiate, page, parsed_query, plain, refusal
from services.schema_registry.log_records import render
from services.schema_registry.model import (
    AVRO,
    MAX_ID,
    RequestRefusedError,
    SchemaLog,
    Schemas,
    SchemaText,
    SchemaVersion,
)

_MODE = "READWRITE"
_log = structlog.get_logger()

_Answer: TypeAlias = bytes | list[Any] | dict[str, Any]
_Endpoint: TypeAlias = Callable[..., Awaitable[_Answer]]


class RegistryApi:
    """The API as an ASGI application.

    Args:
        schemas: what is answered from.
        log: where registrations go.
        metrics: gets a counter of answers by status.
        deletion: what may be deleted.
    """

    def __init__(self, schemas: Schemas, log: SchemaLog, metrics: CollectorRegistry, deletion: Deletion) -> None:
        self._schemas = schemas
        self._deletion = deletion
        self._log = log
        self._answers = Counter(
            "chopar_schema_registry_answers", "Answers by HTTP status.", ["status"], registry=metrics
        )
        self._routes: dict[int, list[tuple[tuple[str, ...], dict[str, _Endpoint]]]] = {}
        for path, endpoints in self._table().items():
            parts = tuple(path.split("/"))
            self._routes.setdefault(len(parts), []).append((parts, endpoints))

    def _table(self) -> dict[str, dict[str, _Endpoint]]:
        """Paths, `*` for one segment, with what each method does."""
        later = _not_here_yet
        return {
            "": {"GET": self._root},
            "contexts": {"GET": self._contexts},
            "schemas": {"GET": self._all},
            "schemas/types": {"GET": self._types},
            "schemas/ids/*": {"GET": self._by_id},
            "schemas/ids/*/schema": {"GET": self._text_by_id},
            "schemas/ids/*/subjects": {"GET": self._subjects_of_id},
            "schemas/ids/*/versions": {"GET": self._versions_of_id},
            "schemas/guids/*": {"GET": self._by_guid},
            "subjects": {"GET": self._subjects},
            "subjects/*": {"POST": self._look_up, "DELETE": self._delete_subject},
            "subjects/*/metadata": {"GET": later},
            "subjects/*/versions": {"GET": self._versions, "POST": self._register},
            "subjects/*/versions/*": {"GET": self._version, "DELETE": self._delete_version},
            "subjects/*/versions/*/schema": {"GET": self._version_text},
            "subjects/*/versions/*/referencedby": {"GET": self._referenced_by},
            "config": {"GET": self._config, "PUT": self._set_config, "DELETE": self._delete_config},
            "config/*": {"GET": self._subject_config, "PUT": self._set_config, "DELETE": self._delete_config},
            "mode": {"GET": self._mode, "PUT": later, "DELETE": later},
            "mode/*": {"GET": self._subject_mode, "PUT": later, "DELETE": later},
            "compatibility/subjects/*/versions": {"POST": self._compare_with_all},
            "compatibility/subjects/*/versions/*": {"POST": self._compare_with_one},
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        media_type = CONTENT_TYPES[0]
        try:
            media_type = negotiate(request.headers.get("accept", ""))
            answer = await self._dispatch(request)
            body = answer if isinstance(answer, bytes) else render(answer)
            response = Response(body, media_type=media_type)
        except RequestRefusedError as error:
            response = refusal(error, media_type)
        except ClientDisconnect:
            return
        self._answers.labels(status=str(response.status_code)).inc()
        await response(scope, receive, send)

    async def _dispatch(self, request: Request) -> _Answer:
        raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
        path = raw.partition(b"?")[0].decode("ascii", "replace").strip("/")
        parts = path.split("/")
        for pattern, endpoints in self._routes.get(len(parts), ()):
            if all(due in ("*", part) for due, part in zip(pattern, parts, strict=True)):
                endpoint = endpoints.get("GET" if request.method == "HEAD" else request.method)
                if endpoint is None:
                    raise plain(HTTPStatus.METHOD_NOT_ALLOWED)
                query = parsed_query(request.scope["query_string"])
                given = [unquote(part) for due, part in zip(pattern, parts, strict=True) if due == "*"]
                return await endpoint(Call(request, query), *given)
        raise plain(HTTPStatus.NOT_FOUND)

    # By id

    def _schema(self, schema_id: str) -> SchemaText:
        if not schema_id.isascii() or not schema_id.isdigit() or len(schema_id) > 10:
            raise plain(HTTPStatus.NOT_FOUND)
        found = self._schemas.by_id(int(schema_id))
        if found is None:
            raise RequestRefusedError(404, 40403, f"Schema {int(schema_id)} not found")
        return found

    async def _by_id(self, _: Call, schema_id: str) -> bytes:
        return self._schema(schema_id).rendered

    async def _text_by_id(self, _: Call, schema_id: str) -> bytes:
        return self._schema(schema_id).text.encode(errors="backslashreplace")

    async def _subjects_of_id(self, call: Call, schema_id: str) -> list[str]:
        return page(call, dict.fromkeys(version.subject for version in self._uses(call, schema_id)))

    async def _versions_of_id(self, call: Call, schema_id: str) -> list[dict[str, Any]]:
        uses = self._uses(call, schema_id)
        return page(call, [{"subject": version.subject, "version": version.version} for version in uses])

    def _uses(self, call: Call, schema_id: str) -> Iterable[SchemaVersion]:
        return self._schemas.uses(self._schema(schema_id).schema_id, deleted=call.flag("deleted"))

    async def _by_guid(self, _: Call, guid: str) -> bytes:
        found = self._schemas.by_guid(guid)
        if found is None:
            raise RequestRefusedError(404, 40403, "Schema not found")
        return found.rendered

    # By subject

    async def _all(self, call: Call) -> bytes:
        found: list[SchemaVersion] = []
        deleted = call.flag("deleted")
        for subject in self._schemas.subjects(prefix=call.text("subjectPrefix"), deleted=deleted):
            versions = self._schemas.versions(subject, deleted=deleted)
            found += versions[-1:] if call.flag("latestOnly") else versions
        return b"[" + b",".join(version.rendered for version in page(call, found)) + b"]"

    async def _subjects(self, call: Call) -> list[str]:
        only = call.flag("deletedOnly") or call.flag("deleted_only")  # the second is what the Python client sends
        prefix = call.text("subjectPrefix")
        return page(call, self._schemas.subjects(prefix=prefix, deleted=call.flag("deleted"), deleted_only=only))

    async def _versions(self, call: Call, subject: str) -> list[int]:
        return page(call, [version.version for version in self._of_subject(call, subject)])

    def _of_subject(self, call: Call, subject: str) -> list[SchemaVersion]:
        found = self._schemas.versions(subject, deleted=call.flag("deleted"))
        if not found:
            raise subject_not_found(subject)
        return found

    def _numbered(self, call: Call, subject: str, text: str) -> SchemaVersion:
        number = _version_number(text)
        versions = self._of_subject(call, subject)
        if number is None:
            return versions[-1]
        found = next((version for version in versions if version.version == number), None)
        if found is None:
            raise version_not_found(number)
        return found

    async def _version(self, call: Call, subject: str, number: str) -> bytes:
        return self._numbered(call, subject, number).rendered

    async def _version_text(self, call: Call, subject: str, number: str) -> bytes:
        return self._numbered(call, subject, number).text.encode(errors="backslashreplace")

    async def _referenced_by(self, call: Call, subject: str, number: str) -> list[int]:
        self._numbered(call, subject, number)
        return []

    async def _register(self, call: Call, subject: str) -> bytes:
        # `normalize` asks for what is done anyway: schemas are told apart by their canonical form.
        return (await register(self._schemas, self._log, subject, await call.schema())).rendered

    async def _look_up(self, call: Call, subject: str) -> bytes:
        return look_up(self._schemas, subject, await call.schema(), deleted=call.flag("deleted")).rendered

    async def _delete_version(self, call: Call, subject: str, text: str) -> bytes:
        number, for_good = _version_number(text), call.flag("permanent")
        if number is None:
            rows = self._schemas.versions(subject, deleted=for_good)
            if not rows:
                raise subject_not_found(subject)
            number = rows[-1].version
        deleted = await delete_version(self._schemas, self._log, subject, number, self._deletion, for_good=for_good)
        return render(deleted)

    async def _delete_subject(self, call: Call, subject: str) -> list[Any]:
        for_good = call.flag("permanent")
        return await delete_subject(self._schemas, self._log, subject, self._deletion, for_good=for_good)

    # Compatibility

    async def _compare_with_all(self, call: Call, subject: str) -> dict[str, Any]:
        return _compared(call, compare(self._schemas, subject, await call.schema()))

    async def _compare_with_one(self, call: Call, subject: str, number: str) -> dict[str, Any]:
        version = self._numbered(call, subject, number)
        return _compared(call, compare(self._schemas, subject, await call.schema(), [version]))

    async def _config(self, _: Call) -> dict[str, Any]:
        return {"compatibilityLevel": self._schemas.level()}

    async def _subject_config(self, call: Call, subject: str) -> dict[str, Any]:
        level = self._schemas.own_level(subject)
        if level is None and not call.flag("defaultToGlobal"):
            raise no_level(subject)
        return {"compatibilityLevel": level or self._schemas.level()}

    async def _set_config(self, call: Call, subject: str | None = None) -> dict[str, Any]:
        level = await call.level()
        await set_level(self._log, subject, level)
        return {"compatibility": level}

    async def _delete_config(self, _: Call, subject: str | None = None) -> dict[str, Any]:
        return {"compatibilityLevel": await drop_level(self._schemas, self._log, subject)}

    # What is the same for all

    async def _root(self, _: Call) -> dict[str, Any]:
        return {}

    async def _contexts(self, _: Call) -> list[str]:
        return ["."]

    async def _types(self, _: Call) -> list[str]:
        return [AVRO]

    async def _mode(self, _: Call) -> dict[str, Any]:
        return {"mode": _MODE}

    async def _subject_mode(self, call: Call, subject: str) -> dict[str, Any]:
        if call.flag("defaultToGlobal"):
            return {"mode": _MODE}
        shown = subject[:MAX_SUBJECT_CHARACTERS]
        raise RequestRefusedError(404, 40409, f"Subject '{shown}' does not have subject-level mode configured")


def application(
    schemas: Schemas, log: SchemaLog, metrics: CollectorRegistry, deletion: Deletion | None = None
) -> Starlette:
    """The API as an application; `deletion`: what may be deleted, if not the usual."""
    api = RegistryApi(schemas, log, metrics, deletion or Deletion())
    return Starlette(routes=[Route("/{path:path}", api)], exception_handlers={Exception: _unexpected})


async def _unexpected(_: Request, error: Exception) -> Response:
    _log.error("schema_registry.unexpected", error=type(error).__name__)
    return refusal(RequestRefusedError(500, 50001, "Error in the schema registry: see its log"), CONTENT_TYPES[0])


async def _not_here_yet(*_: object) -> bytes:
    raise RequestRefusedError(
        501,
        501,
        "This schema registry keeps no metadata and knows one mode only yet",
    )


def _compared(call: Call, said: list[str]) -> dict[str, Any]:
    shown = [mask(sentence) for sentence in said] if call.flag("verbose") else []
    return {"is_compatible": not said, **({"messages": shown} if shown else {})}


def _version_number(text: str) -> int | None:
    """The number of a version; None for the latest."""
    if text in ("latest", "-1"):
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 10 or not 0 < int(text) <= MAX_ID:
        raise RequestRefusedError(
            422,
            42202,
            f"The specified version '{text[:20]}' is not a valid version id. Allowed values are between "
            '[1, 2^31-1] and the string "latest"',
        )
    return int(text)
