"""What the schema registry is told, from `CHOPAR_SCHEMA_REGISTRY_...`."""

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from chopar.settings import ProcessSettings


class SchemaRegistrySettings(ProcessSettings):
    """Settings of `python -m services.schema_registry`."""

    model_config = SettingsConfigDict(env_prefix="CHOPAR_SCHEMA_REGISTRY_")

    home: Path = Path()
    """Not used: its whole state is the topic."""

    write_timeout_seconds: Annotated[float, Field(gt=0, le=120)] = 12.0
    """How long a request to register may take: its turn, the broker, being read back. Without a broker it ends so."""

    permanent_deletion: bool = False
    """Whether schemas can be deleted for good. Records that were written with them cannot be read any more then."""
