"""What the benefits service answers; its dependencies are arguments."""

from chopar.messages.evidence import EvidenceRequested
from chopar.messages.social import AssignedBenefits, SocialRegisterCategory
from chopar.provider.provider import NoRecord, Provider, subject_of
from services.benefits.model import SocialRegister, assigned_benefits_evidence, social_register_category_evidence

REGISTER = "social register"
COVERAGE = "families assessed for the social register; synthetic entries"

provider = Provider("social-protection-agency", register=REGISTER)


@provider.answers("social-register-category")
async def provide_social_register_category(
    request: EvidenceRequested, register: SocialRegister
) -> SocialRegisterCategory | NoRecord:
    """Say whether a person's family stands in the social register.

    A family that was assessed and not taken in, or whose entry has lapsed, is evidence (`registered: false`); one that
    was never assessed is `no_record`.

    Raises:
        RegisterUnavailableError: retriable; the register does not answer.
    """
    file = await register.file_of(subject_of(request))
    if file is None:
        return NoRecord(COVERAGE)
    return social_register_category_evidence(file, source_register=REGISTER, as_of=request.as_of)


@provider.answers("assigned-benefits")
async def provide_assigned_benefits(
    request: EvidenceRequested, register: SocialRegister
) -> AssignedBenefits | NoRecord:
    """Say which benefits a person is given. No access ground in the lists opens this yet, so nobody is sent it.

    Raises:
        RegisterUnavailableError: retriable; the register does not answer.
    """
    file = await register.file_of(subject_of(request))
    if file is None:
        return NoRecord(COVERAGE)
    return assigned_benefits_evidence(file, source_register=REGISTER, as_of=request.as_of)
