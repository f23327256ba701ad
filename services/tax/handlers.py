"""What the tax service answers; its dependencies are arguments."""

from chopar.lookups import MOST_AT_ONCE
from chopar.messages.evidence import EvidenceRequested, TaxDebt
from chopar.provider import NoRecord, Provider, subject_of
from services.tax.model import TaxRegister, tax_debt_evidence

REGISTER = "register of taxpayers"
COVERAGE = "taxpayers registered since 1997-04-01; synthetic entries"

provider = Provider("tax-committee", register=REGISTER, at_once=MOST_AT_ONCE)


@provider.answers("tax-debt")
async def provide_tax_debt(request: EvidenceRequested, register: TaxRegister) -> TaxDebt | NoRecord:
    """Say whether a person or business owes taxes.

    A taxpayer who owes nothing is evidence (`has_debt: false`); somebody the register does not know is `no_record`.

    Raises:
        RegisterUnavailableError: retriable; the register does not answer.
    """
    account = await register.debts_of(subject_of(request))
    if account is None:
        return NoRecord(COVERAGE)
    return tax_debt_evidence(account, source_register=REGISTER, as_of=request.as_of)
