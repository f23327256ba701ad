"""Answers that may be kept: an entity tag, how long, and 304 for who has them already."""

import hashlib
import re
from collections.abc import Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response

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
