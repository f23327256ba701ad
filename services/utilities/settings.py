"""What the utilities service is told, from `CHOPAR_UTILITIES_...`."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from chopar.errors import ConfigurationError
from chopar.population import DEFAULT_SEED
from chopar.settings import ProviderSettings

PLACE_OF_AGENCY = "AGENCY"


class UtilitiesSettings(ProviderSettings):
    """Settings of `python -m services.utilities`.

    In `store.url` the word AGENCY stands for the agency's id: each company has a register of its own.
    """

    model_config = SettingsConfigDict(env_prefix="CHOPAR_UTILITIES_")

    seed: int = DEFAULT_SEED
    """Of the synthetic population that `--seed` fills the registers with."""

    people: Annotated[int, Field(ge=0)] = 10_000
    firms: Annotated[int, Field(ge=0)] = 500

    def stores_of(self, agencies: Sequence[str]) -> dict[str, str]:
        """The address of each agency's register.

        Raises:
            ConfigurationError: several agencies would share one register.
        """
        if len(agencies) > 1 and PLACE_OF_AGENCY not in self.store.url:
            raise ConfigurationError(
                f"CHOPAR_UTILITIES_STORE__URL must hold the word {PLACE_OF_AGENCY} where the agency's id goes: "
                f"several agencies never share a register"
            )
        return {agency: self.store.url.replace(PLACE_OF_AGENCY, agency) for agency in agencies}
