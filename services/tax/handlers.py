"""What the tax service answers; its dependencies are arguments."""

from collections.abc import Sequence

from chopar.messages.evidence import EvidenceRequested, TaxDebt
from chopar.provider.provider import NoRecord, Provider, subject_of
from services.tax.model import TaxRegister, tax_debt_evidence

REGISTER = "register of taxpayers"
COVERAGE = "taxpayers registered since 1997-04-01; synthetic entries"

provider = Provider("tax-committee", register=REGISTER, at_once=1)  # a batch waits as one
_UNKNOWN = NoRecord(COVERAGE)


@provider.answers_together("tax-debt")
async def provide_tax_debts(
    requests: Sequence[EvidenceRequested], register: TaxRegister
) -> Sequence[TaxDebt | NoRecord]:
    """Say of each person or business whether it owes taxes; the register is asked once.

    A taxpayer who owes nothing is evidence (`has_debt: false`); somebody the register does not know is `no_record`.

    Raises:
        RegisterUnavailableError: retriable; the register does not answer.
    """
    subjects = [subject_of(request) for request in requests]
    accounts = await register.accounts_of(subjects)
    return [
        _UNKNOWN if account is None else tax_debt_evidence(account, source_register=REGISTER, as_of=request.as_of)
        for request, account in zip(requests, map(accounts.get, subjects), strict=True)
    ]
