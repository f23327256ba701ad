"""Who and what documents are about, and how messages are named.

Identifiers are value objects that check themselves. Their `repr` and every error hide the digits: a PINFL carries a
person's sex and date of birth, so it must not reach a log by accident. Rules and sources: a PINFL by Cabinet of
Ministers resolution 177 of 2022-04-12 (14 digits; check digit by weights 7, 3, 1), a STIR by form only (9 digits; no
published check rule). What an identifier means in a register is left to the services.
"""

import hashlib
import re
import unicodedata
import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import NewType, TypeAlias

from chopar.errors import ForbiddenCharactersError, MalformedIdentifierError, WrongIdentifierKindError

AgencyId = NewType("AgencyId", str)
ProcedureId = NewType("ProcedureId", str)
DocumentType = NewType("DocumentType", str)
EvidenceType = NewType("EvidenceType", str)
DemandId = NewType("DemandId", uuid.UUID)

_AGENCY = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_DAYS_OF_ANY_YEAR = frozenset(f"{date(2001, 1, 1) + timedelta(number):%d%m}" for number in range(365))
_CENTURIES = {"1": 1800, "2": 1800, "3": 1900, "4": 1900, "5": 2000, "6": 2000}
_CODE_OF_ZERO = ord("0") * (5 * 7 + 4 * 3 + 4 * 1)  # what thirteen characters add to the sum of their digits
# Letters that people write for the apostrophe of oʻ and gʻ; all fold to U+02BB in keys.
_APOSTROPHES = dict.fromkeys((0x02BB, 0x02BC, 0x2018, 0x2019, 0x0060, 0x0027), "ʻ")


class SubjectKind(StrEnum):
    """What kind of subject a document is about."""

    PERSON = "person"
    BUSINESS = "business"
    OBJECT = "object"


# Characters that no identifier, parameter or name may hold: controls, format characters, right-to-left scripts,
# surrogates, private use, non-characters. A list of our own, since what Python's Unicode data says changes with its
# version, and an outcome must not.
_FORBIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u0590-\u08ff\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ue000-\uf8ff"
    "\ufb1d-\ufdff\ufe70-\ufeff\ufff0-\ufffb\ufffe\uffff\U00010800-\U00010fff\U000110bd\U000110cd"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U0001e800-\U0001efff\U000e0000-\U0010ffff]"
)


def reject_forbidden(text: str) -> None:
    """Refuse control, format, right-to-left and private characters.

    Raises:
        ForbiddenCharactersError: there is one.
    """
    if _FORBIDDEN.search(text):
        raise ForbiddenCharactersError("control, right-to-left or private characters are not allowed here")


def _digits(text: str, length: int, name: str, other: int, other_name: str) -> str:
    if len(text) == length and text.isascii() and text.isdigit():
        return text
    reject_forbidden(text)
    if not text.isascii():
        raise ForbiddenCharactersError(f"{name}: write it in the digits 0 to 9, not in other characters")
    if not text.isdigit():
        raise MalformedIdentifierError(f"{name}: {length} digits are due; other characters were given")
    if len(text) == other:
        raise WrongIdentifierKindError(f"{name} is due, but {other} digits ({other_name}) were given")
    raise MalformedIdentifierError(f"{name}: {length} digits are due; {len(text)} were given")


def pinfl_check_digit(first_thirteen: str) -> int:
    """The check digit of a PINFL: digits times 7, 3, 1 repeating, added up, modulo 10."""
    codes = first_thirteen.encode()
    return (7 * sum(codes[::3]) + 3 * sum(codes[1::3]) + sum(codes[2::3]) - _CODE_OF_ZERO) % 10


@dataclass(frozen=True, slots=True)
class PersonId:
    """A person by PINFL (JShSHIR).

    Raises:
        MalformedIdentifierError: not 14 digits, an impossible date, district or serial 000, or a wrong check digit.
        WrongIdentifierKindError: nine digits, a STIR.
        ForbiddenCharactersError: characters that are no ASCII digits but could pass for them.
    """

    pinfl: str

    def __post_init__(self) -> None:
        digits = _digits(self.pinfl, 14, "PINFL", 9, "a STIR")
        if digits[0] not in _CENTURIES or digits[7:10] == "000" or digits[10:13] == "000":
            raise MalformedIdentifierError("PINFL: its parts are impossible; ask again")
        if digits[1:5] not in _DAYS_OF_ANY_YEAR:
            try:
                self.born_on  # noqa: B018  the property checks the date
            except ValueError:
                raise MalformedIdentifierError("PINFL: it holds an impossible date of birth; ask again") from None
        if pinfl_check_digit(digits[:13]) != int(digits[13]):
            raise MalformedIdentifierError("PINFL: its check digit is wrong; ask again")

    @property
    def born_on(self) -> date:
        """Date of birth, as the number carries it."""
        text = self.pinfl
        return date(_CENTURIES[text[0]] + int(text[5:7]), int(text[3:5]), int(text[1:3]))

    @property
    def is_male(self) -> bool:
        """Sex, as the number carries it (an odd first digit is male)."""
        return int(self.pinfl[0]) % 2 == 1

    @property
    def text(self) -> str:
        """The digits. Say it only where they are needed; everything else hides them."""
        return self.pinfl

    def __repr__(self) -> str:
        return "PersonId(…)"

    __str__ = __repr__


@dataclass(frozen=True, slots=True)
class BusinessId:
    """A business by STIR; nine digits, form only (no check rule is published).

    Raises:
        MalformedIdentifierError: not nine digits.
        WrongIdentifierKindError: fourteen digits, a PINFL.
        ForbiddenCharactersError: characters that are no ASCII digits but could pass for them.
    """

    stir: str

    def __post_init__(self) -> None:
        _digits(self.stir, 9, "STIR", 14, "a PINFL")

    @property
    def text(self) -> str:
        """The digits. Say it only where they are needed; everything else hides them."""
        return self.stir

    def __repr__(self) -> str:
        return "BusinessId(…)"

    __str__ = __repr__


DataSubject: TypeAlias = PersonId | BusinessId


def data_subject(kind: SubjectKind, text: str) -> DataSubject:
    """Read an identifier of the kind that is due.

    Raises:
        IdentifierError: it is not one; the subclass says in what way.
    """
    return BusinessId(text) if kind is SubjectKind.BUSINESS else PersonId(text)


def agency_id(text: str) -> AgencyId:
    """Check the form of an agency id (lower case, digits, single dashes), as it also names topics.

    Raises:
        MalformedIdentifierError: it has another form.
    """
    if not _AGENCY.fullmatch(text) or len(text) > 64:
        raise MalformedIdentifierError("an agency id is lower-case letters, digits and single dashes, 64 at most")
    return AgencyId(text)


def name_key(name: str) -> str:
    """Fold a name for comparison: Unicode form, case, apostrophes of oʻ and gʻ, runs of spaces.

    The name itself is kept as it was written; only keys fold.

    Raises:
        ForbiddenCharactersError: control or right-to-left characters.
    """
    composed = unicodedata.normalize("NFC", name)
    reject_forbidden(composed)
    return " ".join(composed.translate(_APOSTROPHES).casefold().split())


def uuid7(at: datetime, random_bits: int) -> uuid.UUID:
    """A UUIDv7 of a given time and 74 given random bits (Python 3.11 to 3.13 have none).

    Args:
        at: aware time; its milliseconds go into the first 48 bits.
        random_bits: a non-negative integer; the lowest 74 bits are used.
    """
    milliseconds = int(at.timestamp() * 1000) & ((1 << 48) - 1)
    random_a, random_b = (random_bits >> 62) & 0xFFF, random_bits & ((1 << 62) - 1)
    return uuid.UUID(int=(milliseconds << 80) | (7 << 76) | (random_a << 64) | (0b10 << 62) | random_b)


def uuid7_milliseconds(value: uuid.UUID) -> int:
    """The Unix time in milliseconds that a UUIDv7 carries."""
    return value.int >> 80


def uuid7_time(value: uuid.UUID) -> datetime:
    """The time that a UUIDv7 carries, in UTC."""
    return datetime.fromtimestamp(uuid7_milliseconds(value) / 1000, UTC)


_UUID7 = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@lru_cache(maxsize=2048)  # a batch is looked at twice
def parse_demand_id(text: str) -> uuid.UUID | None:
    """A UUIDv7 from its canonical text (36 lower-case characters), or None if it is anything else."""
    return uuid.UUID(int=int(text.replace("-", ""), 16)) if _UUID7.fullmatch(text) else None


def derived_uuid(*parts: str | bytes | int) -> uuid.UUID:
    """A UUIDv8 from the SHA-256 of its parts: the same cause gives the same id, whoever computes it.

    Every part is preceded by its length, so no two different lists of parts meet.
    """
    return uuid.UUID(derived_text(*parts))


def derived_text(*parts: str | bytes | int) -> str:
    """The text of `derived_uuid`, for who needs no more: 36 characters."""
    return _uuid8(hashlib.sha256(_joined(parts)).hexdigest())


class Derivation:
    """`derived_text` for lists of parts that begin alike: what they have in common is hashed once.

    Args:
        parts: with which all begin.
    """

    __slots__ = ("_begun",)

    def __init__(self, *parts: str | bytes | int) -> None:
        self._begun = hashlib.sha256(_joined(parts))

    def text(self, *parts: str | int) -> str:
        """The id of the parts in common and these, which are few in a process: names and small numbers."""
        state = self._begun.copy()
        state.update(_joined_end(*parts))
        return _uuid8(state.hexdigest())


def _joined(parts: tuple[str | bytes | int, ...]) -> bytes:
    pieces: list[bytes] = []
    for part in parts:
        raw = part if isinstance(part, bytes) else str(part).encode()
        length = len(raw)
        pieces += (_LENGTHS[length] if length < _SHORT else length.to_bytes(4, "big"), raw)
    return b"".join(pieces)


_SHORT = 256
_LENGTHS = [length.to_bytes(4, "big") for length in range(_SHORT)]


@lru_cache(maxsize=1024, typed=True)
def _joined_end(*parts: str | int) -> bytes:
    return _joined(parts)


def _uuid8(text: str) -> str:
    """A UUIDv8 of the first 128 bits of a digest."""
    return f"{text[:8]}-{text[8:12]}-8{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:32]}"


# The two highest bits of this digit are 10, whatever they were.
_VARIANT = {digit: f"{int(digit, 16) & 3 | 8:x}" for digit in "0123456789abcdef"}
