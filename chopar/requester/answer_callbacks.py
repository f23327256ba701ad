"""What an application does, in its own database, by what happens to its demands: the functions that it gives.

When they are called, and that each is called once, is `answers`'.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from sqlalchemy.ext.asyncio import AsyncConnection

from chopar.errors import ConfigurationError
from chopar.messages.demand import Demand, DemandResolved
from chopar.requester.completion import Delivered, Undelivered, Upheld


@dataclass(frozen=True, slots=True)
class Completed:
    """How a demand ended. `resolution` is None if none came; `undelivered` is what was not answered in time."""

    resolution: DemandResolved | None
    undelivered: tuple[Undelivered, ...] = ()


Receives: TypeAlias = Callable[[AsyncConnection, Demand, Delivered], Awaitable[object]]
TakesResolution: TypeAlias = Callable[[AsyncConnection, Demand, DemandResolved], Awaitable[object]]
TakesUpheld: TypeAlias = Callable[[AsyncConnection, Demand, Upheld], Awaitable[object]]
TakesCompletion: TypeAlias = Callable[[AsyncConnection, Demand, Completed], Awaitable[object]]


class Callbacks:
    """What the application does, by what happens.

    Args:
        seconds: within which each has to end; one that hangs has failed.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.receives: dict[str | None, Receives] = {}
        """By document type; None: of all others."""
        self.resolved: TakesResolution | None = None
        self.completed: TakesCompletion | None = None
        self.upheld: TakesUpheld | None = None

    def in_time(self) -> asyncio.Timeout:
        """Bounds one call: a callback that hangs would hold its transaction, and everybody behind it, for ever."""
        return asyncio.timeout(self.seconds)

    def of(self, document_type: str) -> Receives:
        """Who receives the answers about a document.

        Raises:
            ConfigurationError: nobody does. The answer is a dead letter, to be replayed when somebody does.
        """
        found = self.receives.get(document_type) or self.receives.get(None)
        if found is None:
            raise ConfigurationError("an answer about a document of a type that no function receives")
        return found
