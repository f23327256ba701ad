"""What the social protection agency answers. No category and no kind of benefit says why: that may be a diagnosis."""

from datetime import date
from typing import ClassVar

from chopar.messages.evidence import Evidence
from chopar.messages.record import Part


class SocialRegisterCategory(Evidence):
    """Whether a person stands in the social register, and where the ground allows it, how."""

    RECORD: ClassVar[str] = "chopar.evidence.SocialRegisterCategory"

    registered: bool | None = None
    category: str | None = None
    valid_until: date | None = None


class AssignedBenefit(Part):
    """One benefit that a person is given."""

    kind: str | None = None
    monthly_tiyin: int | None = None
    since: date | None = None
    valid_until: date | None = None


class AssignedBenefits(Evidence):
    """Which benefits are assigned to a person."""

    RECORD: ClassVar[str] = "chopar.evidence.AssignedBenefits"

    benefits: tuple[AssignedBenefit, ...] | None = None
