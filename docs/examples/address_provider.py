"""A complete provider: it answers `registered-address` for mia-migration."""

import sys
from datetime import date
from pathlib import Path
from typing import ClassVar

from chopar import Evidence, EvidenceRequested, NoRecord, Provider, run_provider, subject_of

ENTRIES = {"30101900010018": ("Toshkent shahri, Chilonzor tumani, 5-mavze, 12-uy", date(2019, 5, 1), "permanent")}
provider = Provider("mia-migration", register="register of addresses")


class RegisteredAddress(Evidence):
    RECORD: ClassVar[str] = "example.RegisteredAddress"  # schemas/RegisteredAddress.avsc has the same fields
    address: str | None = None
    since: date | None = None
    kind: str | None = None


@provider.answers("registered-address")
async def registered_address(
    request: EvidenceRequested, register: dict[str, tuple[str, date, str]]
) -> RegisteredAddress | NoRecord:
    entry = register.get(subject_of(request).text)
    if entry is None:
        return NoRecord("addresses registered since 2011")
    address, since, kind = entry
    return RegisteredAddress(
        address=address, since=since, kind=kind, source_register=provider.register, as_of=request.as_of
    )


if __name__ == "__main__":
    sys.exit(run_provider(provider, ENTRIES, [RegisteredAddress], schemas=Path(__file__).parent / "schemas"))
