"""A demand as the resolver sees it: who asks, for which procedure, about whom, for which documents.

Pure and small. Ids, times and the official belong to the message (`chopar.messages.demand`) and decide nothing here.
Identifiers stay text until the resolver has checked them, since a malformed one is an answer and not an exception.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from chopar.identifiers import AgencyId, DocumentType, EvidenceType, ProcedureId, SubjectKind
from chopar.messages.demand import ActingAs

DocumentKey: TypeAlias = tuple[str, str | None, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class Subject:
    """A person or business by an identifier that is not checked yet."""

    kind: SubjectKind
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Party:
    """Another person or business in the procedure, by its role."""

    role: str
    kind: SubjectKind
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class DocumentDemand:
    """One document that is demanded.

    Args:
        document_type: as the citizen knows it.
        about: role of the party that it is about; None: the subject.
        parameters: what is given besides the subject (personal, so hidden in `repr`).
    """

    document_type: DocumentType
    about: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def key(self) -> DocumentKey:
        """What makes two documents of a demand the same one."""
        return self.document_type, self.about, tuple(sorted(self.parameters.items())) if self.parameters else ()


@dataclass(frozen=True, slots=True)
class Demand:
    """What a requester wants to know.

    Args:
        requester: the agency that asks; trusted, since it comes from the topic's name.
        procedure: what the documents are for.
        subject: whom the procedure is about.
        documents: at least one.
        parties: others whom documents may be about.
        applicant: who applied; None: the subject.
        acting_as: in what capacity the applicant acts for the subject.
        circumstances: yes and no by code; one that is absent is unsaid.
        asked: holders and what they were asked for by demands that this one follows; they are passed over.
    """

    requester: AgencyId
    procedure: ProcedureId
    subject: Subject
    documents: tuple[DocumentDemand, ...]
    parties: tuple[Party, ...] = ()
    applicant: Subject | None = None
    acting_as: ActingAs = ActingAs.SELF
    circumstances: Mapping[str, bool] = field(default_factory=dict)
    asked: frozenset[tuple[AgencyId, EvidenceType]] = frozenset()
