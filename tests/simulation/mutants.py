"""Records as a broken client or a stranger would send them: valid values and keys, changed at random by number.

The same seed and number always give the same mutant, so that one alone can be made again.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from chopar.bus.port import Headers
from chopar.identifiers import uuid7

HUGE = (b"\xff" * 9 + b"\x01", b"\xfe" * 4 + b"\x0f", b"\x80\x80\x80\x80\x80\x20", b"\xff" * 11, b"\x01", b"\x00\x02")
"""Avro longs that make poor lengths: the least and greatest, negative ones, one without an end."""

HEADER_NAMES = ("ce_id", "ce_type", "ce_source", "ce_correlationid", "ce_time", "traceparent", "content-type", "", "x")


@dataclass(frozen=True)
class Mutant:
    """One record's key, value and headers."""

    key: bytes | None
    value: bytes
    headers: Headers


class Mutants:
    """Makes them.

    Args:
        seed: of all.
        originals: valid records as (key, value, headers).
    """

    def __init__(self, seed: int, originals: Sequence[tuple[bytes, bytes, Headers]]) -> None:
        self._seed = seed
        self._originals = originals

    def one(self, number: int) -> Mutant:
        """The mutant of a number."""
        chance = random.Random(self._seed << 32 | number)
        key, value, headers = chance.choice(self._originals)
        for _ in range(chance.choice((1, 1, 1, 2, 4))):
            value = self._changed(chance, value)
        return Mutant(self._key(chance, key), value, self._headers(chance, headers))

    def _changed(self, chance: random.Random, value: bytes) -> bytes:
        place, other = chance.randrange(len(value) + 1), chance.choice(self._originals)[1]
        match chance.randrange(8):
            case 0 | 1:
                return value[:place] + bytes([chance.randrange(256)]) + value[place + 1 :]
            case 2:
                if place == len(value):
                    return value
                return value[:place] + bytes([value[place] ^ 1 << chance.randrange(8)]) + value[place + 1 :]
            case 3:
                return value[:place]
            case 4:
                return value[:place] + value[place + chance.randrange(1, 40) :]
            case 5:
                return value[:place] + chance.randbytes(chance.randrange(1, 40)) + value[place:]
            case 6:
                return value[:place] + chance.choice(HUGE) + value[place + 1 :]
            case _:
                return value[:place] + other[chance.randrange(len(other)) :]

    def _key(self, chance: random.Random, key: bytes) -> bytes | None:
        kind = chance.randrange(12)
        if kind < 6:
            return key
        now = datetime.now(UTC)
        fresh = str(uuid7(now, chance.getrandbits(74)))
        place = chance.randrange(len(key))
        others: tuple[bytes | None, ...] = (
            fresh.encode(),
            fresh.upper().encode(),
            str(uuid7(now + timedelta(days=chance.choice((-31, 1))), chance.getrandbits(74))).encode(),
            str(UUID(int=chance.getrandbits(128))).encode(),
            key[:place] + chance.randbytes(1) + key[place + 1 :],
            chance.randbytes(chance.randrange(60)),
            key + b"\n",
            None,
        )
        return chance.choice(others)

    def _headers(self, chance: random.Random, headers: Headers) -> Headers:
        if chance.random() < 0.5:
            return headers
        changed = [header for header in headers if chance.random() < 0.7]
        for _ in range(chance.randrange(4)):
            value = chance.randbytes(chance.choice((0, 1, 16, 55, 300)))
            changed.append((chance.choice(HEADER_NAMES), value))
        chance.shuffle(changed)
        return tuple(changed)
