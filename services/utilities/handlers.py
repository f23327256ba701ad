"""What a utility company answers; its dependencies are arguments."""

from chopar.messages.evidence import EvidenceRequested
from chopar.messages.utility import UtilityDebt
from chopar.provider.provider import NoRecord, Provider, ProviderError
from services.utilities.model import Company, UtilityRegister, utility_debt_evidence

ADDRESS = "account_address"
"""The parameter of a request that names the object."""


def provider_of(company: Company) -> Provider:
    """The provider of one company."""
    provider = Provider(company.agency, register=company.register)

    @provider.answers("utility-debt")
    async def provide_utility_debt(
        request: EvidenceRequested, register: UtilityRegister
    ) -> UtilityDebt | NoRecord | ProviderError:
        """Say whether anything is owed for the object at an address, whosever it is.

        An object that owes nothing is evidence (`has_debt: false`); one without an account is `no_record`.

        Raises:
            RegisterUnavailableError: retriable; the register does not answer.
        """
        address = request.parameters.get(ADDRESS)
        if address is None:  # the gateway asks for nothing without the parameters that the ground names
            return ProviderError()
        debt = await register.debt_of(address)
        if debt is None:
            return NoRecord(company.coverage)
        return utility_debt_evidence(debt, source_register=company.register, as_of=request.as_of)

    return provider
