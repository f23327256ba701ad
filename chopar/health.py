"""What a process says of itself over HTTP: that it lives, what it lacks before it can work, what it has counted.

Answers alone, as bytes. Who listens is `chopar.listener`; what is measured is decided where it happens.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http import HTTPStatus
from typing import Any, NamedTuple, TypeAlias

from prometheus_client import CollectorRegistry, generate_latest

Ready: TypeAlias = Callable[[], Mapping[str, str]]
"""What is missing before this process can work, by name; empty when it is ready."""

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
"""An application as ASGI has it: Starlette's and FastAPI's are."""

_TEXT = "text/plain; charset=utf-8"
_READING = frozenset({"GET", "HEAD"})


class Answer(NamedTuple):
    """An answer to one request."""

    status: HTTPStatus
    content_type: str
    body: bytes


NOT_FOUND = Answer(HTTPStatus.NOT_FOUND, _TEXT, b"Not Found")


class Health:
    """`/live`, `/ready` (503 with what is missing) and `/metrics`.

    Args:
        ready: what is missing.
        metrics: what was counted.
    """

    def __init__(self, ready: Ready, metrics: CollectorRegistry) -> None:
        self._ready = ready
        self._metrics = metrics
        self._answers = {"/live": self._live, "/ready": self._readiness, "/metrics": self._measured}

    def answer(self, method: str, path: str) -> Answer | None:
        """The answer to a request; None if it is about something else."""
        made = self._answers.get(path)
        if made is None:
            return None
        if method not in _READING:
            return Answer(HTTPStatus.METHOD_NOT_ALLOWED, _TEXT, b"Method Not Allowed")
        return made()

    def before(self, app: AsgiApp) -> AsgiApp:
        """The same answers as an ASGI application; what is not asked of health, `app` answers."""

        async def both(scope: Scope, receive: Receive, send: Send) -> None:
            found = self.answer(scope["method"], scope["path"]) if scope["type"] == "http" else None
            await (app if found is None else answering(found))(scope, receive, send)

        return both

    def _live(self) -> Answer:
        return _json(HTTPStatus.OK, {"live": True})

    def _readiness(self) -> Answer:
        missing = dict(self._ready())
        status = HTTPStatus.SERVICE_UNAVAILABLE if missing else HTTPStatus.OK
        return _json(status, {"ready": not missing, "missing": missing})

    def _measured(self) -> Answer:
        return Answer(HTTPStatus.OK, "text/plain; version=0.0.4", generate_latest(self._metrics))


def answering(answer: Answer) -> AsgiApp:
    """An application that answers every request alike; Uvicorn leaves the body out where a request has none."""
    headers = [(b"content-type", answer.content_type.encode()), (b"content-length", b"%d" % len(answer.body))]

    async def always(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])  # Uvicorn refuses what is no request
        await send({"type": "http.response.start", "status": int(answer.status), "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    return always


def _json(status: HTTPStatus, content: Mapping[str, object]) -> Answer:
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    return Answer(status, "application/json", body)
