"""What operators decide about dead letters, and what came of it. How a letter is replayed is the consume loop's."""

import re
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from chopar.messages.record import Message, Part, Timestamp

_NUMBER = re.compile(r"\d{9}")  # what a PINFL or STIR begins with; these records are kept for ever and read by all


def _without_numbers(text: str) -> str:
    if _NUMBER.search(text) or not text.isprintable():
        raise ValueError("no numbers of nine or more digits, no control characters")
    return text


Words = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_without_numbers)]


class ReplayAction(StrEnum):
    """What is to be done with a dead letter, or was done."""

    REPLAY = "replay"
    DISCARD = "discard"
    REVEAL = "reveal"


class LetterOrigin(Part):
    """Where a dead letter comes from, and why it was given up."""

    topic: str
    partition: Annotated[int, Field(ge=0)]
    offset: Annotated[int, Field(ge=0)]
    received_at: Timestamp
    group: str
    code: str


class ReplayRequested(Message):
    """What an operator decided about one dead letter, or looked at in it."""

    RECORD: ClassVar[str] = "chopar.operations.ReplayRequested"

    action: ReplayAction
    topic: str
    partition: Annotated[int, Field(ge=0)]
    offset: Annotated[int, Field(ge=0)]
    origin: LetterOrigin | None = None
    reason: Words
    requested_by: Words
    requested_at: Timestamp


class ReplayOutcome(StrEnum):
    """What became of a replay."""

    HANDLED = "handled"
    FAILED = "failed"
    IMPOSSIBLE = "impossible"


class LetterReplayed(Message):
    """A dead letter whose replay was requested has been handled again, as far as it can be."""

    RECORD: ClassVar[str] = "chopar.operations.LetterReplayed"

    topic: str
    partition: Annotated[int, Field(ge=0)]
    offset: Annotated[int, Field(ge=0)]
    group: str
    outcome: ReplayOutcome
    code: str | None = None
