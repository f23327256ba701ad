"""What the command line asks of the gateway's HTTP listener: whether a requester exists, and rehearsals."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx2
from pydantic import ValidationError

from chopar.cli.demand_flags import Asked
from chopar.errors import ConfigurationError, UnavailableError
from chopar.messages.demand import FetchMode, ResolvedDocument

_UNKNOWN_REQUESTER = "unknown_requester"
_NO_CONNECTION = "requester_has_no_connection"


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What the gateway would answer."""

    list_digest: str
    fetch_mode: FetchMode
    refused: str | None
    documents: tuple[ResolvedDocument, ...]


class GatewayClient:
    """Asks the gateway.

    Args:
        client: an HTTP client whose base address is the gateway's; closing it is its maker's matter.
    """

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client

    async def refusal_of_requester(self, requester: str) -> str | None:
        """Why an agency cannot send demands: the code of the refusal, or None if it can.

        Raises:
            UnavailableError: the gateway does not answer.
        """
        status, content = await self._call("GET", f"/v1/requesters/{quote(requester, safe='')}")
        if status == httpx2.codes.OK:
            return None if content.get("connected") is True else _NO_CONNECTION
        if content.get("code") == _UNKNOWN_REQUESTER:
            return _UNKNOWN_REQUESTER
        raise UnavailableError(f"{self._client.base_url} answers {status} as no gateway does: is it the right address?")

    async def coming_law(self) -> list[dict[str, Any]]:
        """The list versions that are activated and do not hold yet: `list_digest`, `fetch_mode`, `holds_from`.

        Raises:
            UnavailableError: the gateway does not answer.
        """
        _, content = await self._call("GET", "/v1/law")
        return [row for row in content.get("coming") or () if isinstance(row, dict)]

    async def rehearse(self, asked: Asked) -> Rehearsed:
        """What the gateway would answer on a day.

        Raises:
            ConfigurationError: it says that the question is not valid.
            UnavailableError: it does not answer.
        """
        body = {
            "requester": asked.requester,
            "procedure": asked.procedure,
            "subject": asked.subject.model_dump(mode="json"),
            "parties": [party.model_dump(mode="json") for party in asked.parties],
            "applicant": asked.applicant.model_dump(mode="json") if asked.applicant else None,
            "acting_as": asked.acting_as.value,
            "circumstances": {code: "yes" if said else "no" for code, said in asked.circumstances.items()},
            "documents": [document.model_dump(mode="json") for document in asked.documents],
            "on": asked.on.isoformat() if asked.on else None,
        }
        status, content = await self._call("POST", "/v1/rehearsals", body)
        if status in (httpx2.codes.BAD_REQUEST, httpx2.codes.UNPROCESSABLE_CONTENT):
            raise ConfigurationError(f"the gateway does not take the question: {content.get('message', status)}")
        try:
            return Rehearsed(
                list_digest=str(content["list_digest"]),
                fetch_mode=FetchMode(content["fetch_mode"]),
                refused=content["refused"],
                documents=tuple(ResolvedDocument.model_validate(document) for document in content["documents"]),
            )
        except (KeyError, TypeError, ValueError, ValidationError):
            raise UnavailableError(
                f"{self._client.base_url} answers {status} as no gateway does: is it the right address?"
            ) from None

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        where = self._client.base_url
        try:
            answer = await self._client.request(method, path, json=body)
            content = answer.json()
        except httpx2.HTTPError as error:
            raise UnavailableError(
                f"the gateway at {where} does not answer: see `chopar status`, or start the stack with `chopar up`"
            ) from error
        except ValueError:
            content = None
        if answer.status_code >= httpx2.codes.INTERNAL_SERVER_ERROR:
            reason = content.get("message", "") if isinstance(content, dict) else ""
            raise UnavailableError(f"the gateway at {where} answers {answer.status_code} {reason}".rstrip())
        return answer.status_code, content if isinstance(content, dict) else {}
