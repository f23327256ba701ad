"""A request as the endpoints need it, and what answers have in common: content types, error bodies, pages.

An error is `error_code` and `message` and nothing else, as old clients fail on more. Which endpoints there are is left
to `http`.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response

from chopar.avro.compatibility import Level
from chopar.observe import mask
from services.schema_registry.log_records import render
from services.schema_registry.model import AVRO, KEPT_PARTS, RequestRefusedError

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
_RETRY_AFTER = {"Retry-After": "1"}


@dataclass(frozen=True, slots=True)
class Call:
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
            raise plain(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
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

    async def level(self) -> Level:
        """The compatibility level in the body, if nothing stands beside it that would be dropped."""
        body = await self.body()
        dropped = sorted(part for part, value in body.items() if part != "compatibility" and value not in (None, False))
        if dropped:
            raise RequestRefusedError(422, 42205, f"{dropped[0][:50]} cannot be kept here; leave it out")
        given = body.get("compatibility")
        level = next((level for level in Level if isinstance(given, str) and level == given.upper()), None)
        if level is None:
            names = ", ".join(Level)
            raise RequestRefusedError(422, 42203, f"Invalid compatibility level. Valid values are {names}")
        return level

    async def schema(self) -> str:
        """The text in the body, if nothing stands beside it that would be dropped."""
        body = await self.body()
        kind = body.get("schemaType") or AVRO
        if kind != AVRO:
            raise RequestRefusedError(422, 42201, f"Invalid schema: only {AVRO} is supported here")
        dropped = next((part for part in KEPT_PARTS if body.get(part)), None)
        if dropped is not None:
            raise RequestRefusedError(422, 42201, f"Invalid schema: {dropped} cannot be kept yet; leave it out")
        if body.get("id") not in (None, -1, 0) or body.get("version") not in (None, -1, 0):
            raise RequestRefusedError(422, 42205, "Ids and versions are given by the registry; leave them out")
        text = body.get("schema")
        if not isinstance(text, str) or not text:
            raise RequestRefusedError(422, 42201, 'Invalid schema: the body has no text "schema"')
        return text


def plain(status: HTTPStatus) -> RequestRefusedError:
    return RequestRefusedError(status, status, f"HTTP {status.value} {status.phrase}")


def refusal(error: RequestRefusedError, media_type: str) -> Response:
    headers = _RETRY_AFTER if error.status == HTTPStatus.SERVICE_UNAVAILABLE else None
    # A path or a schema may hold anything, somebody's number too; an answer does not repeat it.
    body = render({"error_code": int(error.number), "message": mask(str(error))})
    return Response(body, status_code=int(error.status), media_type=media_type, headers=headers)


def parsed_query(raw: bytes) -> dict[str, list[str]]:
    try:
        return parse_qs(raw.decode("ascii", "replace"), max_num_fields=_MAX_PARAMETERS)
    except ValueError:
        raise RequestRefusedError(400, 400, f"More than {_MAX_PARAMETERS} query parameters") from None


def negotiate(accept: str) -> str:
    """The first of our content types that a client takes."""
    ranges = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    if ranges == [""] or any(part in _ANY for part in ranges):
        return CONTENT_TYPES[0]
    for media_type in CONTENT_TYPES:
        if media_type in ranges:
            return media_type
    raise plain(HTTPStatus.NOT_ACCEPTABLE)


def page(call: Call, rows: Iterable[Any]) -> list[Any]:
    """The part of a list that `offset` and `limit` ask for; a negative limit is none."""
    found = list(rows)
    offset, limit = max(0, call.number("offset", 0)), call.number("limit", -1)
    return found[offset:] if limit < 0 else found[offset : offset + limit]
