"""The same evidence from a service that the agency has already, asked over HTTP."""

from datetime import date

import httpx2
from address_provider import RegisteredAddress

from chopar import EvidenceRequested, NoRecord, Provider, subject_of
from chopar.errors import RegisterUnavailableError, UndecodableError

provider = Provider("mia-migration", register="register of addresses")


class AddressService:
    """The service at `url`. It gets the PINFL in a body: what stands in an address ends up in somebody's access log."""

    def __init__(self, url: str) -> None:
        self._http = httpx2.AsyncClient(base_url=url, timeout=5)

    async def address_of(self, pinfl: str) -> dict[str, str] | None:
        try:
            answer = await self._http.post("/addresses", json={"pinfl": pinfl})
        except httpx2.HTTPError as error:
            raise RegisterUnavailableError("the address service does not answer") from error  # asked again later
        if answer.status_code == 404:
            return None
        if answer.status_code >= 500:
            raise RegisterUnavailableError("the address service is out of order")
        try:
            entry = answer.raise_for_status().json()
            return {"address": entry["address"], "since": entry["since"], "kind": entry["kind"]}
        except (httpx2.HTTPError, ValueError, TypeError, KeyError):
            # A page of HTML with status 200, say: asking again helps nobody, so it becomes a dead letter. This text is
            # for your tests: the library writes none into its log or into the letter, as it may name a person.
            raise UndecodableError("the address service answered something that is no address") from None

    async def aclose(self) -> None:
        await self._http.aclose()


@provider.answers("registered-address")
async def registered_address(request: EvidenceRequested, register: AddressService) -> RegisteredAddress | NoRecord:
    entry = await register.address_of(subject_of(request).text)
    if entry is None:
        return NoRecord("addresses registered since 2011")
    since = date.fromisoformat(entry["since"])
    return RegisteredAddress(
        address=entry["address"],
        since=since,
        kind=entry["kind"],
        source_register=provider.register,
        as_of=request.as_of,
    )
