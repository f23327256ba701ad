"""Which list version holds from when, and how far a gateway has read."""

from typing import Annotated, ClassVar

from pydantic import Field

from chopar.messages.demand import Digest, FetchMode
from chopar.messages.record import Message, Part, Timestamp


class AcceptedSchema(Part):
    """A writer schema by the id that the schema registry gave it; its text lies in the bundle."""

    record: str
    sha256: Digest
    id: int


class ListActivated(Message):
    """A list version comes into force."""

    RECORD: ClassVar[str] = "chopar.law.ListActivated"

    list_digest: str
    fetch_mode: FetchMode
    secret_version: Annotated[int, Field(ge=1)]
    secret_check: bytes
    rules_number: int
    schemas: tuple[AcceptedSchema, ...]
    effective_at: Timestamp
    lead_seconds: Annotated[int, Field(ge=1)]
    activated_by: str


class ListMark(Message):
    """A gateway has read the law up to here; only the broker's stamp of this record counts."""

    RECORD: ClassVar[str] = "chopar.law.ListMark"

    instance: str
