"""Looks for people in what a stack shows: identifiers, names, addresses, diagnoses, request ids.

Digits are looked up in the whole population, however they are surrounded; words one by one for those who took part.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from chopar.population import DEFAULT_SEED, Population

_DIGITS = re.compile(r"\d{9,}")

DIAGNOSES = re.compile(
    r"psychoneurolog|psychiatr|narcolog|(?<![a-z])hiv(?![a-z])|disab|medical|conviction|criminal|adopti",
    re.IGNORECASE,
)
"""Words of the list's documents that say something about the person by being there."""

OUTCOMES = re.compile(r"no_record|has_debt|not_needed|may_be_asked|no_ground_to_know|holder_not_connected|not_entitled")
"""What only the two ends of an exchange are to know, or the record of it."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Something that a stack showed, and where."""

    place: str
    text: str


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for.

    Args:
        words: names, addresses, plates, malformed identifiers: found wherever they stand.
        numbers: PINFLs and STIRs.
        agencies: their ids may hold a word of `DIAGNOSES`; in a topic's name they stand for the agency.
        secrets: request ids, in the ways in which bytes are written.
    """

    words: frozenset[str]
    numbers: frozenset[str]
    agencies: frozenset[str]
    secrets: frozenset[str] = field(default_factory=frozenset)

    def people_in(self, seen: Iterable[Seen]) -> list[str]:
        """Places that show an identifier or a word of somebody."""
        return sorted({f"{one.place}: {what}" for one in seen for what in self._people(one.text)})

    def _people(self, text: str) -> Iterator[str]:
        for run in set(_DIGITS.findall(text)):
            for length in (14, 9):
                for start in range(len(run) - length + 1):
                    if run[start : start + length] in self.numbers:
                        yield f"a number of {length} digits"
        folded = text.casefold()
        yield from (f"the word {word!r}" for word in self.words if word.casefold() in folded)

    def secrets_in(self, seen: Iterable[Seen]) -> list[str]:
        """Places that show a request id."""
        return sorted({one.place for one in seen for secret in self.secrets if secret in one.text})

    def diagnoses_in(self, seen: Iterable[Seen]) -> list[str]:
        """Places that show a diagnosis."""
        return sorted(
            {f"{one.place}: {found[0]}" for one in seen for found in DIAGNOSES.finditer(self._plain(one.text))}
        )

    def outcomes_in(self, seen: Iterable[Seen]) -> list[str]:
        """Places that show what an exchange came to."""
        return sorted({f"{one.place}: {found[0]}" for one in seen for found in OUTCOMES.finditer(one.text)})

    def _plain(self, text: str) -> str:
        for agency in self.agencies:
            text = text.replace(agency, "AGENCY")
        return text


def everybodys_numbers() -> frozenset[str]:
    """The PINFLs and STIRs of the whole population."""
    population = Population.make(DEFAULT_SEED)
    people = (person.pinfl.text for person in population.people)
    return frozenset([*people, *(firm.stir.text for firm in population.firms)])


def written(secret: bytes) -> list[str]:
    """Bytes as they could turn up in text."""
    return [
        secret.hex(),
        secret.decode("latin-1"),
        base64.b64encode(secret).decode().rstrip("="),
        base64.urlsafe_b64encode(secret).decode().rstrip("="),
        repr(secret)[2:-1],
    ]


def readable(raw: bytes) -> str:
    """Bytes as text in which both words and other bytes are found."""
    return raw.decode("utf-8", "replace") + "\n" + raw.decode("latin-1")


def texts(datum: Any) -> Iterator[str]:
    """Every text, key and byte string of a decoded record."""
    if isinstance(datum, Mapping):
        for key, value in datum.items():
            yield str(key)
            yield from texts(value)
    elif isinstance(datum, list | tuple):
        for value in datum:
            yield from texts(value)
    elif isinstance(datum, bytes):
        yield readable(datum)
    elif datum is not None:
        yield str(datum)


def json_texts(body: str) -> list[str]:
    """The texts of an answer in JSON, escapes undone; the body itself if it is none."""
    try:
        return list(texts(json.loads(body)))
    except ValueError:
        return [body]
