"""What the benefits service is told, from `CHOPAR_BENEFITS_...`."""

from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from chopar.population import DEFAULT_SEED
from chopar.settings import ProviderSettings


class BenefitsSettings(ProviderSettings):
    """Settings of `python -m services.benefits`."""

    model_config = SettingsConfigDict(env_prefix="CHOPAR_BENEFITS_")

    seed: int = DEFAULT_SEED
    """Of the synthetic population that `--seed` fills the register with."""

    people: Annotated[int, Field(ge=0)] = 10_000
    firms: Annotated[int, Field(ge=0)] = 500
