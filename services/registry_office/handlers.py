"""What the registry office answers; its dependencies are arguments.

It answers from anywhere about acts of any district. A number whose acts are of two people is answered
`ambiguous_subject`, and an operator of the register sees them in `--contradictions`.
"""

import asyncio
from typing import Any

from chopar.identifiers import PersonId
from chopar.messages.evidence import EvidenceRequested
from chopar.provider.provider import AmbiguousSubject, Answer, NoRecord, Provider, ProviderError, subject_of
from services.registry_office.model.answers import EVIDENCE_TYPES, Source
from services.registry_office.model.book import PersonFile
from services.registry_office.model.family import FamilyOn
from services.registry_office.model.register import CivilRegister

REGISTER = "unified electronic archive of civil status acts"
COVERAGE = "acts recorded since 1951-01-01 as far as they are digitised; synthetic entries"
SECOND_PERSON = "second_person"

provider = Provider("justice-fhdyo", register=REGISTER)


async def provide_civil_status(request: EvidenceRequested, register: CivilRegister) -> Answer:
    """Say what follows from a person's acts, or what an act says.

    Who is not in the register is `no_record`; so is an act that it does not have. Somebody known who never married is
    evidence, as far as the register's coverage goes.

    Raises:
        RegisterUnavailableError: retriable; the register does not answer.
    """
    subject = subject_of(request)
    if not isinstance(subject, PersonId):
        return ProviderError()  # a firm has no civil status; its people are named as parties
    second = request.parameters.get(SECOND_PERSON, "").strip()
    source = Source(REGISTER, COVERAGE, request.as_of)
    if not second:
        if request.evidence_type == "kinship":
            return ProviderError()  # the gateway lets none through without
        return _answer(source, request.evidence_type, await register.file_of(subject))
    file, other = await asyncio.gather(register.file_of(subject), register.file_of(PersonId(second)))
    if request.evidence_type != "kinship":
        return _answer(source, request.evidence_type, file, other, second)
    for one in (file, other):
        unavailable = _unavailable(source, one)
        if unavailable is not None:
            return unavailable
    assert file is not None
    assert other is not None
    return source.kinship(file, other)


def _answer(
    source: Source, evidence_type: str, file: PersonFile | None, other: PersonFile | None = None, second: str = ""
) -> Answer:
    unavailable = _unavailable(source, file)
    if unavailable is not None or file is None:
        return unavailable or NoRecord(COVERAGE)
    beside = second and (other.person if other is not None else second)
    said: Any = source.answer(evidence_type, source.family(file), beside or None)
    answer: Answer = NoRecord(COVERAGE) if said is None else said
    return answer


def _unavailable(source: Source, file: PersonFile | None) -> Answer | None:
    if file is None:
        return NoRecord(COVERAGE)
    family: FamilyOn = source.family(file)
    if family.ambiguous:
        return AmbiguousSubject()
    return None if family.known else NoRecord(COVERAGE)


for _evidence_type in EVIDENCE_TYPES:
    provider.answers(_evidence_type)(provide_civil_status)
