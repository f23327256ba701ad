"""What utility companies answer: evidence about an object's accounts, named by the object and never by a person."""

from typing import ClassVar

from chopar.messages.evidence import Evidence


class UtilityDebt(Evidence):
    """Whether anything is owed for an object, and where the ground allows it, how much."""

    RECORD: ClassVar[str] = "chopar.evidence.UtilityDebt"

    has_debt: bool | None = None
    amount_tiyin: int | None = None
