"""What the gateway is told: where things are, and nothing that could change an answer."""

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from chopar.settings import ProcessSettings, SchemaRegistrySettings


class GatewaySettings(ProcessSettings):
    """Settings of `python -m gateway`, from `CHOPAR_GATEWAY_...`."""

    model_config = SettingsConfigDict(env_prefix="CHOPAR_GATEWAY_")

    schema_registry: SchemaRegistrySettings | None = None
    """Asked when lists are activated, and about what operators say of dead letters: without it none is replayed. No
    answer depends on it."""

    max_records: Annotated[int, Field(ge=1, le=5000)] = 500
    """Records of one batch: measured, a thousand cost no less than five hundred."""

    @property
    def lists_folder(self) -> Path:
        """Where activated bundles lie, a folder each, named by digest."""
        return self.home / "lists"
