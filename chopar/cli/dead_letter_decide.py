"""What `dead-letter replay | discard | show --reveal` write: one `ReplayRequested` a letter, acknowledged, or nothing.

Deciding twice is deciding once: a letter that was replayed or discarded already is left as it is. Letters by name are
these very ones, a filter means those of which nobody has decided: so what stands in the way of a named one is no
hindrance to a filter. The replay itself is done by the process that holds the origin's partition.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from pydantic import ValidationError

from chopar.avro import SchemaFiles
from chopar.bus.port import Bus, Outgoing
from chopar.cli.dead_letter_list import Decisions, Letter, when
from chopar.envelope import Origin, headers
from chopar.errors import ChoparError, ConfigurationError
from chopar.identifiers import derived_uuid
from chopar.messages.operations import LetterOrigin, ReplayAction, ReplayRequested
from chopar.schema_registry import Encoder, SchemaRegistry
from chopar.topics import OPERATIONS_REPLAYED

_SOURCE = "/operations"
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Plan:
    """What a decision means for the letters that it names.

    Attributes:
        due: on which it is to be written down.
        already: what is wanted is so, or is under way; nothing is written.
        otherwise: decided the other way before, or replayed in vain; they stay so.
        impossible: cannot be replayed.
    """

    due: list[Letter] = field(default_factory=list)
    already: list[Letter] = field(default_factory=list)
    otherwise: list[Letter] = field(default_factory=list)
    impossible: list[Letter] = field(default_factory=list)


def plan(action: ReplayAction, letters: Iterable[Letter], decided: Decisions) -> Plan:
    """Sort letters by what a decision can do with them."""
    found = Plan()
    for letter in letters:
        before = decided.settled.get(letter.place)
        if before is not None:
            vain = action is ReplayAction.REPLAY and decided.state(letter.place) in ("failed", "impossible")
            (found.already if before.action is action and not vain else found.otherwise).append(letter)
        elif action is ReplayAction.REPLAY and letter.why_not_replayable is not None:
            found.impossible.append(letter)
        else:
            found.due.append(letter)
    return found


def left(letter: Letter, decided: Decisions) -> str:
    """Why a letter that was decided on before is left as it is."""
    state, new = decided.state(letter.place), decided.again.get(letter.place)
    match state:
        case "requested":
            why = "to be replayed before, left as it is"
        case "failed":
            why = f"replayed before and failed again, left as it is; its new letter is {new or 'not there any more'}"
        case "impossible":
            why = "could not be replayed before, left as it is"
        case _:
            why = f"{state} before, left as it is"
    return f"{letter.place}: {why}"


def message(action: ReplayAction, letter: Letter, reason: str, by: str, at: datetime) -> ReplayRequested:
    """The decision on a letter.

    Raises:
        ConfigurationError: reason or operator is missing, too long, or holds what may be an identifier.
    """
    noted = letter.noted
    origin = noted and LetterOrigin(
        topic=noted.topic,
        partition=noted.partition,
        offset=noted.offset,
        received_at=when(noted.timestamp_ms),
        group=noted.group,
        code=letter.code,
    )
    try:
        return ReplayRequested(
            action=action,
            topic=letter.place.topic,
            partition=letter.place.partition,
            offset=letter.place.offset,
            origin=origin,
            reason=reason.strip(),
            requested_by=by.strip(),
            requested_at=at,
        )
    except ValidationError as error:
        option = "--by" if any("requested_by" in one["loc"] for one in error.errors()) else "--reason"
        raise ConfigurationError(
            f"{option}: 1 to 500 characters are due, without numbers of nine or more digits: it is kept for ever"
        ) from None


async def write_down(
    bus: Bus,
    registry: SchemaRegistry,
    action: ReplayAction,
    letters: Iterable[Letter],
    *,
    reason: str,
    by: str,
    clock: Callable[[], datetime],
) -> int:
    """Append the decision on each letter to `operations.replayed`; returns how many, all of them acknowledged.

    Raises:
        ConfigurationError: see `message`; then nothing is written.
        UnavailableError: the schema registry or Kafka does not answer. What was written before stays; deciding again
            writes the rest.
    """
    messages = [message(action, letter, reason, by, clock()) for letter in letters]
    if not messages:
        return 0
    encoder = Encoder(SchemaFiles.shipped(), registry)
    await encoder.prepare(ReplayRequested)
    producer = bus.producer("chopar-dead-letter")
    await producer.start()
    try:
        for first in range(0, len(messages), _BATCH):
            batch = [_outgoing(one, encoder.encode(one)) for one in messages[first : first + _BATCH]]
            for result in await producer.send(batch):
                if isinstance(result, ChoparError):
                    raise result
    finally:
        await producer.stop()
    return len(messages)


def _outgoing(one: ReplayRequested, value: bytes) -> Outgoing:
    key = f"{one.topic}/{one.partition}/{one.offset}"
    at_ms = int(one.requested_at.timestamp() * 1000)
    message_id = _id(one, key, at_ms)
    origin = Origin(_SOURCE, at_ms, correlation_id=derived_uuid(key))
    return Outgoing(
        OPERATIONS_REPLAYED.of(), 0, key.encode(), value, headers(message_id, ReplayRequested.RECORD, origin)
    )


def _id(one: ReplayRequested, key: str, at_ms: int) -> UUID:
    """Two operators who decide the same at once say one thing; each look at the bytes is one of its own."""
    if one.action is ReplayAction.REVEAL:
        return derived_uuid(key, one.action, one.requested_by, at_ms)
    return derived_uuid(key, one.action)
