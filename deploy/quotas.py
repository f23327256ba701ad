"""How much an agency may send: quotas of its principal at the brokers, reasoned from the load that is built for.

The gateway reads its partitions in turn, so that a flood delays nobody there by more than a turn. Behind it a holder
has one queue for all, and the brokers one disk: what keeps one agency from filling those is what it may send a second.
A client over its quota is made to wait by the broker and loses nothing. A quota holds at each broker by itself.
"""

from collections.abc import Mapping

DOCUMENTS_A_SECOND = 8000
"""A hundred times the peak of today, nationwide."""

ASKER_SHARE = 0.1
"""Of them for one agency that asks: ten times the whole country's peak of today, and of nine others room is left."""

MESSAGE_BYTES = 1024
"""Measured: 875 bytes with key and headers (`docs/benchmarks`, `message_bytes`), and what frames them."""

HOLDER_MESSAGES = 2
"""For each document a holder sends the record and the answer, and one holder may be asked by all."""

BROKER_SHARE = 0.5
"""Of what an agency sends goes to one broker at most: its partitions lie on three, and one of these may be away."""

ASKER_PERCENT = 100
"""Of a broker's thread: an eleventh of what a broker has by Kafka's defaults (3 for the network, 8 for requests)."""

HOLDER_PERCENT = 400


def quotas(*, asks: bool, holds: bool) -> Mapping[str, int]:
    """The quotas of an agency's principal, in Strimzi's words.

    Args:
        asks: whether it sends demands.
        holds: whether it answers requests.
    """
    messages = asks * ASKER_SHARE + holds * HOLDER_MESSAGES
    return {
        "producerByteRate": round(DOCUMENTS_A_SECOND * messages * MESSAGE_BYTES * BROKER_SHARE),
        "requestPercentage": asks * ASKER_PERCENT + holds * HOLDER_PERCENT,
    }
