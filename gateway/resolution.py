"""What the resolver answers: outcomes with codes, the rule that decided, and for a fetch whom to ask for what.

Plain data. How it is found is `resolver`'s; how it becomes messages is `answer`'s.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum

from chopar.identifiers import AgencyId, DocumentType, EvidenceType
from chopar.messages.demand import FetchMode, Outcome, PersonMayBeAsked
from gateway.access_ground import AccessGround
from gateway.demand import Subject
from gateway.lists.vocabulary import Basis, DateBasis, TextRead


class Code(StrEnum):
    """Why an outcome is what it is."""

    # fetch
    GROUND = "ground"
    # gap
    HOLDER_NOT_CONNECTED = "holder_not_connected"
    GROUND_NOT_VERIFIED = "ground_not_verified"
    # not_needed
    ABOLISHED = "abolished"
    NO_GROUND_TO_KNOW = "no_ground_to_know"
    NOT_ABOUT_SUBJECT = "not_about_subject"
    # replaced
    REPLACED_BY = "replaced_by"
    OWN_REGISTER = "own_register"
    # may_be_asked
    NAMED = "named"
    # undetermined
    START_NOT_ESTABLISHED = "start_not_established"
    CONDITION_UNSAID = "condition_unsaid"
    # refused, the whole demand
    TOO_MANY_DOCUMENTS = "too_many_documents"
    UNKNOWN_REQUESTER = "unknown_requester"
    REQUESTER_HAS_NO_CONNECTION = "requester_has_no_connection"
    UNKNOWN_PROCEDURE = "unknown_procedure"
    PROCEDURE_NOT_YOURS = "procedure_not_yours"
    LEGAL_BASIS_NOT_IN_FORCE = "legal_basis_not_in_force"
    WRONG_SUBJECT = "wrong_subject"
    MALFORMED_IDENTIFIER = "malformed_identifier"
    WRONG_IDENTIFIER_KIND = "wrong_identifier_kind"
    FORBIDDEN_CHARACTERS = "forbidden_characters"
    NOT_ENTITLED_TO_ACT = "not_entitled_to_act"
    # refused, one document
    UNKNOWN_DOCUMENT = "unknown_document"
    UNKNOWN_ROLE = "unknown_role"
    MISSING_PARAMETER = "missing_parameter"
    NOT_IN_PROCEDURE = "not_in_procedure"
    ALREADY_ASKED = "already_asked"


class NextStep(StrEnum):
    """What the requester does next; the sentences are rendered from these by the library."""

    WAIT_FOR_EVIDENCE = "wait_for_evidence"
    REQUEST_BY_OFFICIAL_LETTER = "request_by_official_letter"
    GO_ON_WITHOUT = "go_on_without"
    SEE_REPLACEMENT = "see_replacement"
    GO_ON_WITH_REPLACEMENT = "go_on_with_replacement"
    LOOK_IN_OWN_REGISTER = "look_in_own_register"
    MAY_ASK_PERSON = "may_ask_person"
    ASK_LAWYER = "ask_lawyer"
    SAY_CIRCUMSTANCE = "say_circumstance"
    GIVE_PARAMETER = "give_parameter"
    LEAVE_OUT_DOCUMENT = "leave_out_document"
    CORRECT_DEMAND = "correct_demand"
    KEEP_LAST_ANSWER = "keep_last_answer"


@dataclass(frozen=True, slots=True)
class Rule:
    """The entry that decided, with its source and doubts.

    Args:
        entry: id of the entry of the prohibited list, or of an access ground of its own.
        also_binding: the other entries of the same standing (that bind, or that are undetermined), in their order.
        act: legal act as far as it was found.
        source: where it was read; ` | ` separates.
        in_force_from: the date known for it.
        in_force_basis: what kind of day that is.
        confidence: whether the bar is stated or inferred.
        disposition_basis: whether what happens instead is stated or inferred.
        text_read: how the source was read.
        coverage: "knows 6 of 32", or "not complete".
        ground: the access ground that was looked at, if one was reached; its basis is shown beside the bar's.
    """

    entry: str
    also_binding: tuple[str, ...]
    act: str
    source: str
    in_force_from: date | None
    in_force_basis: DateBasis
    confidence: Basis
    disposition_basis: Basis
    text_read: TextRead
    coverage: str
    ground: AccessGround | None = None


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another holder or evidence type by which a document may be proved.

    Args:
        provider: who holds it.
        evidence_type: what it would be asked for.
        code: how it stands with it; `ground`: a demand that follows this one would be fetched from it.
    """

    provider: AgencyId
    evidence_type: EvidenceType
    code: Code


@dataclass(frozen=True, slots=True)
class ResolvedDocument:
    """The outcome of one document.

    Args:
        document_type: as it was demanded.
        about: role of the party that it is about; None: the subject.
        parameters: as they were given.
        outcome: one of the seven.
        code: why.
        person_may_be_asked: the answer to the first question.
        next_step: what to do now.
        rule: the entry that decided; None where none did.
        named_basis: for `may_be_asked`, whether a source states that the procedure names it.
        replaces: the document type that this one was added for, if it was not demanded itself.
        replaced_by: the document type that is resolved in its place.
        provider: at a fetch whom to ask; at a gap who holds it.
        evidence_type: what to ask for.
        fields: what the ground lets through.
        ground_id: of the ground.
        due: the provider's promise, at a fetch.
        subject: at a fetch whom the evidence is about.
        alternatives: the others by which it may be proved, in the directory's order, where that names one.
    """

    document_type: DocumentType
    about: str | None
    parameters: Mapping[str, str] = field(repr=False)
    outcome: Outcome
    code: Code
    person_may_be_asked: PersonMayBeAsked
    next_step: NextStep
    rule: Rule | None = None
    named_basis: Basis | None = None
    replaces: DocumentType | None = None
    replaced_by: DocumentType | None = None
    provider: AgencyId | None = None
    evidence_type: EvidenceType | None = None
    fields: tuple[str, ...] = ()
    ground_id: str | None = None
    due: timedelta | None = None
    subject: Subject | None = None
    alternatives: tuple[Alternative, ...] = ()


@dataclass(frozen=True, slots=True)
class Resolution:
    """The answer to a demand: one outcome for each document, replacements after all that was demanded.

    Args:
        documents: the outcomes.
        refused: the code, if the whole demand was refused.
        list_digest: of the list version that answered.
        on: the day by which the law was read.
        fetch_mode: which grounds were open.
        legal_basis_start: whether a source states since when the procedure's legal basis is in force; None if the
            demand did not come so far.
    """

    documents: tuple[ResolvedDocument, ...]
    refused: Code | None
    list_digest: str
    on: date
    fetch_mode: FetchMode
    legal_basis_start: Basis | None
