"""What evidence functions ask of the register, and what a store keeps."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from chopar.identifiers import PersonId
from services.registry_office.model.acts import Act, Participant, Role
from services.registry_office.model.book import PersonFile
from services.registry_office.model.names import PersonName, mixed_script


class CivilRegister(Protocol):
    """What an evidence function asks. Look-ups made at the same time may be answered by one statement."""

    async def file_of(self, person: PersonId) -> PersonFile | None:
        """All that answers about a person need, or None: unknown to this register.

        Raises:
            RegisterUnavailableError: retriable; the register does not answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class NameFound:
    """Where a name stands: in an act, in a role.

    Attributes:
        act_number: of the act.
        role: of the person in it.
        name, name_after: as the act has them.
        person: key of the person, None where the act has no number.
        mixed_script: whether a word of it has letters of two alphabets.
    """

    act_number: str
    role: Role
    name: PersonName
    name_after: PersonName | None
    person: str | None = field(repr=False)

    @property
    def mixed_script(self) -> bool:
        """Whether somebody should look at how the name is written."""
        return any(mixed_script(name.whole) for name in (self.name, self.name_after) if name is not None)


def name_found(act_number: str, participant: Participant, person: str | None) -> NameFound:
    """Where a participant's name stands."""
    return NameFound(act_number, participant.role, participant.name, participant.name_after, person)


class CivilStore(Protocol):
    """Where the register lies. One suite of tests holds all implementations to this."""

    async def files_of(self, persons: Collection[PersonId]) -> Mapping[PersonId, PersonFile]:
        """The files of those whom the register knows, by one statement whoever they are.

        Raises:
            RegisterUnavailableError: retriable; the register does not answer in time.
        """
        ...

    async def record(self, act: Act) -> None:
        """Take an act in, whole or not at all.

        Raises:
            InvalidEntryError: the act contradicts the register; nothing was changed.
            NotFoundError: it names an act that is not there; nothing was changed.
            RegisterUnavailableError: retriable; nothing was changed.
        """
        ...

    async def seeded(self, recipe: str) -> bool:
        """Whether it was filled by this recipe.

        Raises:
            RegisterUnavailableError: retriable; the register does not answer in time.
        """
        ...

    async def seed(self, acts: Iterable[Act], recipe: str | None = None) -> int:
        """Take in the acts whose numbers the journal does not have; those that are there stay as they are.

        Args:
            acts: each after those that it names.
            recipe: noted with them, so that the same filling is no work the next time.

        Returns:
            How many entries were added. An adoption has none.

        Raises:
            InvalidEntryError, NotFoundError: the acts contradict each other; nothing was added.
            RegisterUnavailableError: retriable; nothing was added.
        """
        ...

    async def named(self, name: str) -> tuple[NameFound, ...]:
        """Where a whole name stands, however it is written, before or after a change; for the register's own staff."""
        ...

    async def contradictions(self) -> tuple[tuple[str, ...], ...]:
        """Numbers of acts that give two births or two deaths to one person: for the office to clear up."""
        ...

    async def close(self) -> None:
        """Let go of what is held."""
        ...
