"""From the flags of `demand create` to what is asked; pure.

Only what makes a flag unreadable is wrong use here. Whether an identifier, a role or a type is right is the gateway's
to say, so those are passed on as they were typed.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Literal, cast

from pydantic import ValidationError

from chopar.errors import ConfigurationError
from chopar.messages.demand import ActingAs, Demand, DemandedDocument, Ground, Party, Subject
from chopar.messages.record import places_of

_STIR_DIGITS = 9
_LONGEST_ID = 120  # as messages bound a code
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_WITH = "NAME=VALUE or TYPE[@ROLE]:NAME=VALUE"
_GROUNDS = ("law", "application", "consent")


@dataclass(frozen=True, slots=True)
class Flags:
    """The flags as they were typed; each attribute is named as its flag."""

    requester: str
    procedure: str
    document: Sequence[str]
    person: str | None = None
    business: str | None = None
    party: Sequence[str] = ()
    circumstance: Sequence[str] = ()
    with_: Sequence[str] = ()
    on: str | None = None
    acting_as: str = ActingAs.SELF
    applicant: str | None = None
    ground: str | None = None
    case: str | None = None
    official: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked, of whichever kind: a real demand or, where `on` says a day, a rehearsal."""

    requester: str
    procedure: str
    subject: Subject
    documents: tuple[DemandedDocument, ...]
    parties: tuple[Party, ...] = ()
    circumstances: Mapping[str, bool] = field(default_factory=dict)
    on: date | None = None
    acting_as: ActingAs = ActingAs.SELF
    applicant: Subject | None = None
    ground: Ground | None = None
    case_id: str | None = None
    official: str | None = None


def read_flags(flags: Flags) -> Asked:
    """What the flags ask.

    Raises:
        ConfigurationError: a flag cannot be read; says which and how it is written, without repeating its value.
    """
    _require_text(flags)
    if not 0 < len(flags.procedure) <= _LONGEST_ID:
        raise ConfigurationError(f"--procedure: an id of 1 to {_LONGEST_ID} characters is due")
    if (flags.person is None) == (flags.business is None):
        raise ConfigurationError("say whom the demand is about: either --person PINFL or --business STIR")
    if not flags.document:
        raise ConfigurationError("say what is demanded: --document TYPE, as often as there are documents")
    try:
        return Asked(
            requester=flags.requester,
            procedure=flags.procedure,
            subject=_subject(flags.person, flags.business),
            documents=_documents(flags.document, flags.with_),
            parties=_parties(flags.party),
            circumstances=_circumstances(flags.circumstance),
            on=_day(flags.on),
            acting_as=_acting_as(flags.acting_as),
            applicant=None if flags.applicant is None else Subject(kind=kind_of(flags.applicant), id=flags.applicant),
            ground=_ground(flags.ground, flags.procedure),
            case_id=flags.case,
            official=flags.official,
        )
    except ValidationError as error:
        fields = ", ".join(places_of(error.errors(), Demand))
        raise ConfigurationError(f"a value is longer than a message takes: {fields}") from None


def kind_of(identifier: str) -> Literal["person", "business"]:
    """What an identifier without a flag of its own names: nine digits a business, all else a person."""
    return "business" if len(identifier) == _STIR_DIGITS and identifier.isdigit() else "person"


def _subject(person: str | None, business: str | None) -> Subject:
    return Subject(kind="business", id=business) if business is not None else Subject(kind="person", id=person or "")


def _require_text(flags: Flags) -> None:
    """Refuse what no message can carry: bytes that are not UTF-8."""
    for name in Flags.__slots__:
        value = getattr(flags, name)
        for text in (value,) if isinstance(value, str) else value or ():
            try:
                text.encode()
            except UnicodeEncodeError:
                raise ConfigurationError(f"{_flag(name)}: the value is not valid UTF-8") from None


def _flag(name: str) -> str:
    return "--" + name.rstrip("_").replace("_", "-")


def _pair(flag: str, text: str, form: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals or not value:
        raise ConfigurationError(f"{flag}: write it as {form}")
    return name, value


def _parties(texts: Iterable[str]) -> tuple[Party, ...]:
    parties: dict[str, Party] = {}
    for text in texts:
        role, identifier = _pair("--party", text, "ROLE=ID, with the ID a PINFL or STIR")
        if role in parties:
            raise ConfigurationError("--party: every role once; one is given twice")
        parties[role] = Party(role=role, kind=kind_of(identifier), id=identifier)
    return tuple(parties.values())


def _circumstances(texts: Iterable[str]) -> dict[str, bool]:
    said: dict[str, bool] = {}
    for text in texts:
        code, answer = _pair("--circumstance", text, "CODE=yes or CODE=no")
        if answer not in ("yes", "no"):
            raise ConfigurationError("--circumstance: write it as CODE=yes or CODE=no")
        if said.setdefault(code, answer == "yes") != (answer == "yes"):
            raise ConfigurationError("--circumstance: one code is said to be both yes and no")
    return said


def _named(flag: str, text: str, form: str) -> tuple[str, str | None]:
    """A document by its type and, behind an @, a party's role."""
    document_type, at, role = text.partition("@")
    if not document_type or (at and not role):
        raise ConfigurationError(f"{flag}: write it as {form}")
    return document_type, role or None


def _documents(documents: Iterable[str], parameters: Iterable[str]) -> tuple[DemandedDocument, ...]:
    named = [_named("--document", text, "TYPE or TYPE@ROLE") for text in documents]
    said_for_all: dict[str, str] = {}
    said: list[dict[str, str]] = [{} for _ in named]
    for text in parameters:
        left, value = _pair("--with", text, _WITH)
        target, colon, name = left.rpartition(":")
        if not name or (colon and not target):
            raise ConfigurationError(f"--with: write it as {_WITH}")
        for values in [said[index] for index in _meant(named, target)] if target else [said_for_all]:
            if values.setdefault(name, value) != value:
                raise ConfigurationError("--with: one name is given two values for the same document")
    return tuple(
        # What names a document beats what is said for all; a document takes of the latter what it has a use for.
        DemandedDocument(type=document_type, about=role, parameters=said_for_all | values)
        for (document_type, role), values in zip(named, said, strict=True)
    )


def _meant(named: Sequence[tuple[str, str | None]], target: str) -> list[int]:
    """Which documents a parameter names. A type without a role names it with any role, if none has none."""
    document_type, role = _named("--with", target, _WITH)
    exact = [index for index, name in enumerate(named) if name == (document_type, role)]
    of_type = [index for index, name in enumerate(named) if role is None and name[0] == document_type]
    if not exact and not of_type:
        raise ConfigurationError("--with: it names a document that no --document demands")
    return exact or of_type


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        # Only the form that people write; Python's own reader takes week dates and others.
        return date.fromisoformat(text if _DAY.fullmatch(text) else "")
    except ValueError:
        raise ConfigurationError("--on: a day that exists is due, written as YYYY-MM-DD") from None


def _acting_as(text: str) -> ActingAs:
    code = text.replace("-", "_")
    if code not in tuple(ActingAs):
        raise ConfigurationError(f"--acting-as: one of {', '.join(ActingAs)} is due")
    return ActingAs(code)


def _ground(text: str | None, procedure: str) -> Ground | None:
    if text is None:
        return None
    kind, _, reference = text.partition(":")
    if kind not in _GROUNDS:
        raise ConfigurationError(f"--ground: {', '.join(_GROUNDS)} is due, with :REFERENCE behind it if there is one")
    return Ground(kind=cast("Literal['law', 'application', 'consent']", kind), reference=reference or procedure)
