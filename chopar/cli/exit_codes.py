"""What a command's exit code says, and which one follows from an error. Data is printed by others."""

from collections.abc import Iterable
from enum import IntEnum

from chopar.errors import (
    ChoparError,
    ConfigurationError,
    IdentifierError,
    IncompatibleSchemaError,
    UnavailableError,
)


class ExitCode(IntEnum):
    """In the order in which one beats another: the greatest counts."""

    DONE = 0
    NO = 1
    """The command did its work, and the answer is no."""

    WRONG_USE = 2
    UNREACHABLE = 3


def of_error(error: ChoparError) -> ExitCode:
    """The exit code for an error that ends a command."""
    if isinstance(error, UnavailableError):
        return ExitCode.UNREACHABLE
    if isinstance(error, IncompatibleSchemaError):
        return ExitCode.NO
    if isinstance(error, ConfigurationError | IdentifierError):
        return ExitCode.WRONG_USE
    return ExitCode.NO


def worst(codes: Iterable[ExitCode]) -> ExitCode:
    """The one that beats all others; `DONE` if there is none."""
    return max(codes, default=ExitCode.DONE)
