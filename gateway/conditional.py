"""Answers that may be kept: an entity tag, how long, 304 for who has them already, `HEAD` for who asks that alone."""

import hashlib
import re
from collections.abc import Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SHORT = "public, max-age=300"
"""What follows from the lists that hold now."""
FOR_EVER = "public, max-age=31536000, immutable"
"""What its address names by digest."""

_TAG = re.compile(r'(?:W/)?"([^"]*)"')


def entity_tag(*parts: str) -> str:
    """A tag for what follows from these parts alone."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part.encode()).to_bytes(8, "big"))
        digest.update(part.encode())
    return f'"{digest.hexdigest()[:32]}"'


def kept(
    request: Request, tag: str, keep: str, media_type: str, headers: Mapping[str, str], body: Callable[[], str | bytes]
) -> Response:
    """The answer, or 304 if the caller holds the one of this tag; the body is made only when it is sent.

    Args:
        request: with `If-None-Match`, perhaps.
        tag: entity tag, in its quotes.
        keep: `SHORT` or `FOR_EVER`.
        media_type: of the body.
        headers: further ones; they go with both answers.
        body: makes it.
    """
    sent = {"ETag": tag, "Cache-Control": keep, "X-Content-Type-Options": "nosniff", **headers}
    held = request.headers.get("if-none-match", "")
    if held.strip() == "*" or tag.strip('"') in _TAG.findall(held):
        return Response(status_code=304, headers=sent)
    return Response(body(), media_type=media_type, headers=sent)


class HeadAsGet:
    """Answers `HEAD` as `GET` without the body (RFC 9110, 9.3.2), length and tag included; FastAPI's routes do not.

    Args:
        app: what answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        await self._app({**scope, "method": "GET"}, receive, without_body)
