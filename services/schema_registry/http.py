"""The field's REST API over `Schemas`: paths, bodies, error bodies and content types as its clients expect them.

Every answer is JSON, those to unknown routes too; an error is `error_code` and `message` and nothing else, as old
clients fail on more. Paths are split before they are decoded, since a subject may hold a slash. What is asked is
decided in `handlers` and `model`.
"""

import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeAlias
from urllib.parse import parse_qs, unquote

import structlog
from prometheus_client import CollectorRegistry, Counter
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from chopar.observe import mask
from services.schema_registry.handlers import MAX_SUBJECT_CHARACTERS, look_up, register, subject_not_found
from services.schema_registry.model import (
    AVRO,
    MAX_ID,
    RequestRefusedError,
    SchemaLog,
    Schemas,
    SchemaText,
    SchemaVersion,
    render,
)

MAX_BODY_BYTES = 1024 * 1024
"""As large as a record of the log can be."""

CONTENT_TYPES = (
    "application/vnd.schemaregistry.v1+json",
    "application/vnd.schemaregistry+json",
    "application/json",
)
_BODY_TYPES = (*CONTENT_TYPES, "application/octet-stream")
_ANY = ("*/*", "application/*")
_MAX_PARAMETERS = 50  # the field has 8 at most
_LEVEL, _MODE = "NONE", "READWRITE"
_RETRY_AFTER = {"Retry-After": "1"}
_NOT_KEPT = ("references", "metadata", "ruleSet")
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Call:
    """A request, as the endpoints need it."""

    request: Request
    query: dict[str, list[str]]

    def flag(self, name: str) -> bool:
        return self.text(name).lower() == "true"

    def text(self, name: str) -> str:
        return self.query.get(name, [""])[-1]

    def number(self, name: str, default: int) -> int:
        try:
            return int(self.text(name) or default)
        except ValueError:
            raise RequestRefusedError(400, 400, f"The query parameter {name} must be a number") from None

    async def body(self) -> dict[str, Any]:
        content_type = self.request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type not in _BODY_TYPES:
            # Also what keeps a web page from writing here: a browser sends JSON to strangers only after asking.
            raise _plain(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
        raw = bytearray()
        async for chunk in self.request.stream():
            raw += chunk
            if len(raw) > MAX_BODY_BYTES:
                raise RequestRefusedError(422, 42209, f"The body is larger than {MAX_BODY_BYTES} bytes")
        try:
            found = json.loads(bytes(raw))
        except (ValueError, RecursionError):
            raise RequestRefusedError(422, 42201, "The body is not JSON") from None
        if not isinstance(found, dict):
            raise RequestRefusedError(422, 42201, 'The body must be a JSON object with "schema"')
        return found

    async def schema(self) -> str:
        """The text in the body, if nothing stands beside it that would be dropped."""
        body = await self.body()
        kind = body.get("schemaType") or AVRO
        if kind != AVRO:
            raise RequestRefusedError(422, 42201, f"Invalid schema: only {AVRO} is supported here")
        dropped = next((part for part in _NOT_KEPT if body.get(part)), None)
        if dropped is not None:
            raise RequestRefusedError(422, 42201, f"Invalid schema: {dropped} cannot be kept yet; leave it out")
        if body.get("id") not in (None, -1, 0) or body.get("version") not in (None, -1, 0):
            raise RequestRefusedError(422, 42205, "Ids and versions are given by the registry; leave them out")
        text = body.get("schema")
        if not isinstance(text, str) or not text:
            raise RequestRefusedError(422, 42201, 'Invalid schema: the body has no text "schema"')
        return text


_Answer: TypeAlias = bytes | list[Any] | dict[str, Any]
_Endpoint: TypeAlias = Callable[..., Awaitable[_Answer]]


class RegistryApi:
    """The API as an ASGI application.

    Args:
        schemas: what is answered from.
        log: where registrations go.
        metrics: gets a counter of answers by status.
    """

    def __init__(self, schemas: Schemas, log: SchemaLog, metrics: CollectorRegistry) -> None:
        self._schemas = schemas
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
            "subjects/*": {"POST": self._look_up, "DELETE": later},
            "subjects/*/metadata": {"GET": later},
            "subjects/*/versions": {"GET": self._versions, "POST": self._register},
            "subjects/*/versions/*": {"GET": self._version, "DELETE": later},
            "subjects/*/versions/*/schema": {"GET": self._version_text},
            "subjects/*/versions/*/referencedby": {"GET": self._referenced_by},
            "config": {"GET": self._config, "PUT": later, "DELETE": later},
            "config/*": {"GET": self._subject_config, "PUT": later, "DELETE": later},
            "mode": {"GET": self._mode, "PUT": later, "DELETE": later},
            "mode/*": {"GET": self._subject_mode, "PUT": later, "DELETE": later},
            "compatibility/subjects/*/versions": {"POST": later},
            "compatibility/subjects/*/versions/*": {"POST": later},
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        media_type = CONTENT_TYPES[0]
        try:
            media_type = _negotiate(request.headers.get("accept", ""))
            answer = await self._dispatch(request)
            body = answer if isinstance(answer, bytes) else render(answer)
            response = Response(body, media_type=media_type)
        except RequestRefusedError as error:
            response = _refusal(error, media_type)
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
                    raise _plain(HTTPStatus.METHOD_NOT_ALLOWED)
                query = _query(request.scope["query_string"])
                given = [unquote(part) for due, part in zip(pattern, parts, strict=True) if due == "*"]
                return await endpoint(_Call(request, query), *given)
        raise _plain(HTTPStatus.NOT_FOUND)

    # By id

    def _schema(self, schema_id: str) -> SchemaText:
        if not schema_id.isascii() or not schema_id.isdigit() or len(schema_id) > 10:
            raise _plain(HTTPStatus.NOT_FOUND)
        found = self._schemas.by_id(int(schema_id))
        if found is None:
            raise RequestRefusedError(404, 40403, f"Schema {int(schema_id)} not found")
        return found

    async def _by_id(self, _: _Call, schema_id: str) -> bytes:
        return self._schema(schema_id).rendered

    async def _text_by_id(self, _: _Call, schema_id: str) -> bytes:
        return self._schema(schema_id).text.encode(errors="backslashreplace")

    async def _subjects_of_id(self, call: _Call, schema_id: str) -> list[str]:
        return _page(call, dict.fromkeys(version.subject for version in self._uses(call, schema_id)))

    async def _versions_of_id(self, call: _Call, schema_id: str) -> list[dict[str, Any]]:
        uses = self._uses(call, schema_id)
        return _page(call, [{"subject": version.subject, "version": version.version} for version in uses])

    def _uses(self, call: _Call, schema_id: str) -> Iterable[SchemaVersion]:
        return self._schemas.uses(self._schema(schema_id).schema_id, deleted=call.flag("deleted"))

    async def _by_guid(self, _: _Call, guid: str) -> bytes:
        found = self._schemas.by_guid(guid)
        if found is None:
            raise RequestRefusedError(404, 40403, "Schema not found")
        return found.rendered

    # By subject

    async def _all(self, call: _Call) -> bytes:
        found: list[SchemaVersion] = []
        deleted = call.flag("deleted")
        for subject in self._schemas.subjects(prefix=call.text("subjectPrefix"), deleted=deleted):
            versions = self._schemas.versions(subject, deleted=deleted)
            found += versions[-1:] if call.flag("latestOnly") else versions
        return b"[" + b",".join(version.rendered for version in _page(call, found)) + b"]"

    async def _subjects(self, call: _Call) -> list[str]:
        only = call.flag("deletedOnly") or call.flag("deleted_only")  # the second is what the Python client sends
        prefix = call.text("subjectPrefix")
        return _page(call, self._schemas.subjects(prefix=prefix, deleted=call.flag("deleted"), deleted_only=only))

    async def _versions(self, call: _Call, subject: str) -> list[int]:
        return _page(call, [version.version for version in self._of_subject(call, subject)])

    def _of_subject(self, call: _Call, subject: str) -> list[SchemaVersion]:
        found = self._schemas.versions(subject, deleted=call.flag("deleted"))
        if not found:
            raise subject_not_found(subject)
        return found

    def _numbered(self, call: _Call, subject: str, number: str) -> SchemaVersion:
        if number in ("latest", "-1"):
            return self._of_subject(call, subject)[-1]
        if not number.isascii() or not number.isdigit() or len(number) > 10 or not 0 < int(number) <= MAX_ID:
            raise RequestRefusedError(
                422,
                42202,
                f"The specified version '{number[:20]}' is not a valid version id. Allowed values are between "
                '[1, 2^31-1] and the string "latest"',
            )
        for version in self._of_subject(call, subject):
            if version.version == int(number):
                return version
        raise RequestRefusedError(404, 40402, f"Version {int(number)} not found.")

    async def _version(self, call: _Call, subject: str, number: str) -> bytes:
        return self._numbered(call, subject, number).rendered

    async def _version_text(self, call: _Call, subject: str, number: str) -> bytes:
        return self._numbered(call, subject, number).text.encode(errors="backslashreplace")

    async def _referenced_by(self, call: _Call, subject: str, number: str) -> list[int]:
        self._numbered(call, subject, number)
        return []

    async def _register(self, call: _Call, subject: str) -> bytes:
        # `normalize` asks for what is done anyway: schemas are told apart by their canonical form.
        return (await register(self._schemas, self._log, subject, await call.schema())).rendered

    async def _look_up(self, call: _Call, subject: str) -> bytes:
        return look_up(self._schemas, subject, await call.schema(), deleted=call.flag("deleted")).rendered

    # What is the same for all

    async def _root(self, _: _Call) -> dict[str, Any]:
        return {}

    async def _contexts(self, _: _Call) -> list[str]:
        return ["."]

    async def _types(self, _: _Call) -> list[str]:
        return [AVRO]

    async def _config(self, _: _Call) -> dict[str, Any]:
        return {"compatibilityLevel": _LEVEL}

    async def _subject_config(self, call: _Call, subject: str) -> dict[str, Any]:
        if call.flag("defaultToGlobal"):
            return {"compatibilityLevel": _LEVEL}
        raise _no_level(40408, subject, "compatibility")

    async def _mode(self, _: _Call) -> dict[str, Any]:
        return {"mode": _MODE}

    async def _subject_mode(self, call: _Call, subject: str) -> dict[str, Any]:
        if call.flag("defaultToGlobal"):
            return {"mode": _MODE}
        raise _no_level(40409, subject, "mode")


def application(schemas: Schemas, log: SchemaLog, metrics: CollectorRegistry) -> Starlette:
    """The API as an application."""
    return Starlette(
        routes=[Route("/{path:path}", RegistryApi(schemas, log, metrics))], exception_handlers={Exception: _unexpected}
    )


async def _unexpected(_: Request, error: Exception) -> Response:
    _log.error("schema_registry.unexpected", error=type(error).__name__)
    return _refusal(RequestRefusedError(500, 50001, "Error in the schema registry: see its log"), CONTENT_TYPES[0])


async def _not_here_yet(*_: object) -> bytes:
    raise RequestRefusedError(
        501,
        501,
        "This schema registry registers and answers; it does not check compatibility, delete or change settings yet",
    )


def _no_level(number: int, subject: str, what: str) -> RequestRefusedError:
    shown = subject[:MAX_SUBJECT_CHARACTERS]
    return RequestRefusedError(404, number, f"Subject '{shown}' does not have subject-level {what} configured")


def _plain(status: HTTPStatus) -> RequestRefusedError:
    return RequestRefusedError(status, status, f"HTTP {status.value} {status.phrase}")


def _refusal(error: RequestRefusedError, media_type: str) -> Response:
    headers = _RETRY_AFTER if error.status == HTTPStatus.SERVICE_UNAVAILABLE else None
    # A path or a schema may hold anything, somebody's number too; an answer does not repeat it.
    body = render({"error_code": int(error.number), "message": mask(str(error))})
    return Response(body, status_code=int(error.status), media_type=media_type, headers=headers)


def _query(raw: bytes) -> dict[str, list[str]]:
    try:
        return parse_qs(raw.decode("ascii", "replace"), max_num_fields=_MAX_PARAMETERS)
    except ValueError:
        raise RequestRefusedError(400, 400, f"More than {_MAX_PARAMETERS} query parameters") from None


def _negotiate(accept: str) -> str:
    """The first of our content types that a client takes."""
    ranges = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    if ranges == [""] or any(part in _ANY for part in ranges):
        return CONTENT_TYPES[0]
    for media_type in CONTENT_TYPES:
        if media_type in ranges:
            return media_type
    raise _plain(HTTPStatus.NOT_ACCEPTABLE)


def _page(call: _Call, rows: Iterable[Any]) -> list[Any]:
    """The part of a list that `offset` and `limit` ask for; a negative limit is none."""
    found = list(rows)
    offset, limit = max(0, call.number("offset", 0)), call.number("limit", -1)
    return found[offset:] if limit < 0 else found[offset : offset + limit]
