"""The same evidence from a database that the agency has already; look-ups of one moment are one statement."""

from collections.abc import Collection, Mapping
from datetime import date

from address_provider import RegisteredAddress
from sqlalchemy import bindparam, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from chopar import EvidenceRequested, NoRecord, Provider, subject_of
from chopar.errors import RegisterUnavailableError
from chopar.provider.lookups import CoalescedLookups

provider = Provider("mia-migration", register="register of addresses")
QUERY = text("SELECT pinfl, address, since, kind FROM address WHERE pinfl IN :pinfls").bindparams(
    bindparam("pinfls", expanding=True)
)


class AddressTable:
    """The table at `url`, read by an account that may only read."""

    def __init__(self, url: str) -> None:
        self._engine = create_async_engine(url, hide_parameters=True)  # no number of a person in an error
        self._lookups = CoalescedLookups(self._addresses_of)

    async def _addresses_of(self, pinfls: Collection[str]) -> Mapping[str, tuple[str, date, str]]:
        try:
            async with self._engine.connect() as connection:
                rows = (await connection.execute(QUERY, {"pinfls": list(pinfls)})).all()
        except SQLAlchemyError as error:
            raise RegisterUnavailableError(f"the address table does not answer ({type(error).__name__})") from None
        return {pinfl: (address, date.fromisoformat(str(since)), kind) for pinfl, address, since, kind in rows}

    async def address_of(self, pinfl: str) -> tuple[str, date, str] | None:
        return await self._lookups.get(pinfl)

    async def aclose(self) -> None:
        await self._lookups.close()
        await self._engine.dispose()


@provider.answers("registered-address")
async def registered_address(request: EvidenceRequested, register: AddressTable) -> RegisteredAddress | NoRecord:
    entry = await register.address_of(subject_of(request).text)
    if entry is None:
        return NoRecord("addresses registered since 2011")
    address, since, kind = entry
    return RegisteredAddress(
        address=address, since=since, kind=kind, source_register=provider.register, as_of=request.as_of
    )
