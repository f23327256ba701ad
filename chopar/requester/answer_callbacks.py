"""What an application does, in its own database, by what happens to its demands: the functions that it gives.

When they are called, and that each is called once, is `answers`'.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
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


class CallbackExitedError(Exception):
    """What a callback's `sys.exit` is to who called it: an error of the application, as any that it raises."""


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

    @asynccontextmanager
    async def in_time(self) -> AsyncIterator[None]:
        """Bounds one call: a callback that hangs would hold its transaction, and everybody behind it, for ever.

        Raises:
            CallbackExitedError: it has called `sys.exit`, which would end the process as a death by a record does.
        """
        try:
            async with asyncio.timeout(self.seconds):
                yield
        except SystemExit as error:
            raise CallbackExitedError("a callback may not end the process") from error

    def of(self, document_type: str) -> Receives:
        """Who receives the answers about a document.

        Raises:
            ConfigurationError: nobody does. The answer is a dead letter, to be replayed when somebody does.
        """
        found = self.receives.get(document_type) or self.receives.get(None)
        if found is None:
            raise ConfigurationError("an answer about a document of a type that no function receives")
        return found


class TakesCallbacks:
    """The part of an asker to which an application gives its functions.

    Args:
        seconds: as of `Callbacks`.
    """

    def __init__(self, seconds: float) -> None:
        self._callbacks = Callbacks(seconds)

    def receives(self, *document_types: str) -> Callable[[Receives], Receives]:
        """Make a function the one that acts on final answers about these documents; without any: about all others.

        It is given the transaction, the demand and a `Delivered`, and runs once for each answer that counts: also for
        one that is late, and for each correction (`delivered.late`, `delivered.supersedes`), and for one that has no
        record while the next holder is asked (`delivered.followed_by`): that one's answer comes with the same demand,
        and `delivered.document` says whose it is. What it raises undoes what
        it wrote: an `UnavailableError` has the answer tried again, anything else three times and then makes it a dead
        letter.

        Raises:
            ConfigurationError: another one does already.
        """

        def keep(function: Receives) -> Receives:
            for document_type in document_types or (None,):
                if document_type in self._callbacks.receives:
                    raise ConfigurationError(f"{document_type or 'all other documents'}: two functions receive it")
                self._callbacks.receives[document_type] = function
            return function

        return keep

    def resolved(self, function: TakesResolution) -> TakesResolution:
        """Make a function the one that is told what the gateway has answered, once for each demand of the application.

        What it answers to demands that follow one, for the next holder, is not told.
        """
        self._callbacks.resolved = function
        return function

    def completed(self, function: TakesCompletion) -> TakesCompletion:
        """Make a function the one that is told that a demand is complete, once, and what was undelivered.

        It runs in the transaction of the last answer, or when the demand has expired: of the last holder's answer,
        where one was asked after another.
        """
        self._callbacks.completed = function
        return function

    def upheld(self, function: TakesUpheld) -> TakesUpheld:
        """Make a function the one that is told that a holder has looked again and stands by its answer.

        It is given the transaction, the demand and an `Upheld`, and runs once for each dispute. A holder that does not
        stand by it corrects it, which `receives` is told.
        """
        self._callbacks.upheld = function
        return function
