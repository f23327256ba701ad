"""Which effect an answer is: from a demand and what was delivered for it to the row of an inbox.

    async with inbox.batch() as batch:
        await batch.act(effect_of(exchange.demand, delivered), enter_in_the_case)

Pure. The rows and transactions are `chopar.bus.inbox`'s.
"""

import hashlib
import json
from datetime import UTC, date, datetime
from typing import Any

from chopar.bus.inbox import Effect, EffectKey
from chopar.errors import NotAnEffectError
from chopar.messages.demand import Demand, DemandResolved
from chopar.requester.completion import Delivered, Upheld
from chopar.requester.demanded import parameters_of


def effect_of(demand: Demand, delivered: Delivered | Upheld, *, resolution: DemandResolved | None = None) -> Effect:
    """The effect of a final answer, late ones included; each correction and each upheld answer is an effect of its own.

    Args:
        demand: as it was sent.
        delivered: what a provider answered, or that it stands by it.
        resolution: of the demand. Needed only where two documents of the demand are alike but for the values of their
            parameters: an answer does not repeat these.

    Raises:
        NotAnEffectError: the answer is not final, or is of no document of this demand, or of one of several and
            `resolution` does not say which.
    """
    document = delivered.document
    if isinstance(delivered, Delivered) and not delivered.final:
        raise NotAnEffectError("an answer that is not final is not acted on")
    if document.provider is None:
        raise NotAnEffectError("nobody was asked for this document")
    parameters = parameters_of(demand, document, resolution)
    correction: bytes | None = None
    if isinstance(delivered, Upheld):
        correction = b"upheld" + delivered.dispute_id.bytes
    elif delivered.correction_id is not None:
        correction = delivered.correction_id.bytes
    key = EffectKey.of(
        demand.requester, demand.demand_id, document.document_type, document.about, parameters, correction
    )
    return Effect(key, _content(delivered), document.provider)


def _content(delivered: Delivered | Upheld) -> bytes:
    """SHA-256 of what was said, whatever the order of its fields or the offset of its times."""
    if isinstance(delivered, Upheld):
        return hashlib.sha256(b"upheld").digest()
    said: tuple[str, Any] = ("evidence", delivered.evidence)
    if delivered.unavailable is not None:
        said = ("unavailable", delivered.unavailable.model_dump(mode="python"))
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), default=_plain)
    return hashlib.sha256(text.encode("ascii")).digest()


def _plain(value: object) -> object:
    """What JSON lacks and Avro gives, marked by its kind so that it is equal to nothing else."""
    if isinstance(value, datetime):
        return ["datetime", value.astimezone(UTC).isoformat()]
    if isinstance(value, date):
        return ["date", value.isoformat()]
    if isinstance(value, bytes):
        return ["bytes", value.hex()]
    return [type(value).__name__, str(value)]
