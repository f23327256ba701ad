"""What the registry office is told, from `CHOPAR_REGISTRY_OFFICE_...`."""

from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from chopar.population import DEFAULT_SEED
from chopar.settings import ProviderSettings


class RegistryOfficeSettings(ProviderSettings):
    """Settings of `python -m services.registry_office`."""

    model_config = SettingsConfigDict(env_prefix="CHOPAR_REGISTRY_OFFICE_")

    seed: int = DEFAULT_SEED
    """Of the synthetic population that `--seed` fills the register with."""

    people: Annotated[int, Field(ge=0)] = 10_000
    firms: Annotated[int, Field(ge=0)] = 500
