"""What the grounds in force say of evidence types: who holds them, and which fields they let through.

Read from the open data of the gateway that is addressed, as an agency has no lists of its own.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chopar.errors import UnavailableError

if TYPE_CHECKING:
    from chopar.cli.session import Session
    from chopar.messages.evidence import Evidence


@dataclass(frozen=True, slots=True)
class Ground:
    """One ground, as far as a provider has to know it."""

    id: str
    evidence_type: str
    holder: str
    fields: tuple[str, ...]
    about: tuple[str, ...]
    parameters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Grounds:
    """The grounds of a list version, and the evidence types and agencies that its lists name at all."""

    list_digest: str
    grounds: tuple[Ground, ...]
    evidence_types: frozenset[str]
    agencies: frozenset[str]

    @classmethod
    def of(
        cls,
        digest: str,
        grounds: Iterable[Mapping[str, Any]],
        directory: Iterable[Mapping[str, Any]],
        agencies: Iterable[Mapping[str, Any]],
    ) -> "Grounds":
        """From the rows of the tables.

        Raises:
            KeyError, TypeError: they are not those of our gateway.
        """
        found = tuple(
            Ground(
                id=str(row["id"]),
                evidence_type=str(row["evidence_type"]),
                holder=str(row["holder"]),
                fields=tuple(row["fields"]),
                about=tuple(row["about"]),
                parameters=tuple(row["parameters"] or ()),
            )
            for row in grounds
        )
        held = {str(row["evidence_type"]) for row in directory}
        types = frozenset({ground.evidence_type for ground in found} | held)
        return cls(digest, found, types, frozenset(str(row["id"]) for row in agencies))

    def of_type(self, evidence_type: str, agency: str) -> tuple[Ground, ...]:
        """The grounds for an evidence type of a holder; those of another holder where there are none."""
        found = [ground for ground in self.grounds if ground.evidence_type == evidence_type]
        return tuple([ground for ground in found if ground.holder == agency] or found)


async def grounds_in_force(session: "Session") -> Grounds | None:
    """The grounds that hold; None where no gateway was named and none of a local stack answers.

    Raises:
        UnavailableError: the gateway that was named does not answer as one.
    """
    import httpx2

    try:
        client = session.gateway_client()
    except UnavailableError:
        return None
    async with client:
        where = client.base_url
        try:
            index = (await client.get("/v1/lists")).raise_for_status().json()
            digest = str(index["list_digest"])
            rows = []
            for table in ("grounds", "directory", "agencies"):
                answer = (await client.get(f"/v1/lists/{digest}/{table}.json")).raise_for_status()
                rows.append(answer.json()["rows"])
            return Grounds.of(digest, *rows)
        except (httpx2.HTTPError, ValueError, KeyError, TypeError) as error:
            if "--gateway" not in session.given:
                return None
            raise UnavailableError(f"the gateway at {where} does not say which grounds hold") from error


def compared(grounds: Grounds, agency: str, evidence_type: str, record: "type[Evidence]") -> list[str]:
    """What the grounds let through of an evidence type and its record has not; empty if it has all.

    Args:
        grounds: in force.
        agency: the holder.
        evidence_type: that it answers.
        record: by which it does.
    """
    has = fields_of(record)
    said = []
    for ground in grounds.of_type(evidence_type, agency):
        lacking = [name for name in ground.fields if name not in has]
        if lacking:
            said.append(f"{ground.id} gives {', '.join(lacking)}, which {record.__name__} has not")
    return said


def fields_of(record: "type[Evidence]") -> frozenset[str]:
    """Names of fields as grounds write them: `since`, and `periods.from` of each record in a list."""
    from chopar.record_fields import field_names

    return frozenset(field_names(record))
