"""Puts questions to the resolver in the words of the oracle, and its answers into the oracle's words."""

import re
from collections.abc import Iterable
from datetime import date
from functools import cache

from chopar.identifiers import AgencyId, DocumentType, EvidenceType, ProcedureId, SubjectKind
from chopar.messages.demand import FetchMode
from gateway.demand import Demand, DocumentDemand, Party, Subject
from gateway.list_version import FILES, ListVersion
from gateway.lists.convert import FOLDER
from gateway.resolver import Resolution, ResolvedDocument, resolve
from tests.oracle.plain_reading import Expected

IDENTIFIERS = {"person": "30101900010018", "business": "301234567"}
OTHER_PERSON = "43112990020153"
PARAMETERS = {
    "second_person": OTHER_PERSON,
    "account_address": "Toshkent, Chilonzor 5-12",
    "cadastral_number": "10:01:02:03:04:0005",
    "plate": "01A123BC",
    "period": "2020-01/2024-12",
}


def list_files() -> dict[str, bytes]:
    """The committed lists."""
    return {name: (FOLDER / name).read_bytes() for name in FILES}


def with_changes(files: dict[str, bytes], *, all_connected: bool, all_read: bool) -> dict[str, bytes]:
    """Lists with every holder connected, or every act that a ground names read as published."""
    changed = dict(files)
    if all_connected:
        text = files["directory.toml"].decode().replace("connected = true\n", "")
        changed["directory.toml"] = re.sub(r"(evidence_type = .*\n)", r"\1connected = true\n", text).encode()
    if all_read:
        text = files["grounds.toml"].decode()
        text = re.sub(r'text_read = "(digest|press)"', 'text_read = "official"', text)
        changed["grounds.toml"] = text.encode()
    return changed


@cache
def lists(*, all_connected: bool = False, all_read: bool = False) -> ListVersion:
    """The committed lists; or with every holder connected, or every act that a ground names read as published."""
    return ListVersion.from_files(with_changes(list_files(), all_connected=all_connected, all_read=all_read))


def subject(kind: str) -> Subject:
    return Subject(SubjectKind(kind), IDENTIFIERS[kind])


def ask(
    *,
    requester: str,
    procedure: str,
    documents: Iterable[str],
    day: str,
    kind: str = "person",
    party: str | None = None,
    circumstances: dict[str, str] | None = None,
    given: Iterable[str] = (),
    mode: str = "inferred",
    version: ListVersion | None = None,
    rehearsal: bool = True,
    passed_over: Iterable[tuple[str, str]] = (),
) -> Resolution:
    """Resolve documents about the subject, or about a party of the kind `party`."""
    parameters = {name: PARAMETERS[name] for name in given}
    return resolve(
        Demand(
            requester=AgencyId(requester),
            procedure=ProcedureId(procedure),
            subject=subject(kind),
            parties=(Party("other", SubjectKind(party), IDENTIFIERS[party]),) if party else (),
            circumstances={code: answer == "yes" for code, answer in (circumstances or {}).items()},
            documents=tuple(
                DocumentDemand(DocumentType(name), "other" if party else None, parameters) for name in documents
            ),
            asked=frozenset((AgencyId(who), EvidenceType(what)) for who, what in passed_over),
        ),
        version or lists(),
        date.fromisoformat(day),
        FetchMode(mode),
        rehearsal=rehearsal,
    )


def in_words(document: ResolvedDocument) -> Expected:
    """An answer in the oracle's words."""
    rule = document.rule
    return Expected(
        document.outcome.value,
        document.code.value,
        document.person_may_be_asked.value,
        rule.entry if rule else None,
        rule.also_binding if rule else (),
        document.provider,
        document.evidence_type,
        document.fields,
        document.replaced_by,
        tuple((one.provider, one.evidence_type, one.code.value) for one in document.alternatives),
    )
