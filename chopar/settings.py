"""The base of every process's settings: frozen, read once in `__main__`, passed on as arguments.

Variables are named `CHOPAR_<PROCESS>_<GROUP>__<NAME>`, for example `CHOPAR_TAX_KAFKA__BOOTSTRAP`. No default names an
address: a process that was not told where its broker is does not guess. Secrets lie in files under the home folder.
"""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from chopar.errors import ConfigurationError


class KafkaSettings(BaseModel):
    """Where the broker is: `host:port`, several separated by commas."""

    model_config = ConfigDict(frozen=True)

    bootstrap: str = Field(min_length=3, pattern=r"^[^,\s]+:\d+(,[^,\s]+:\d+)*$")


class SchemaRegistrySettings(BaseModel):
    """Where the schema registry is."""

    model_config = ConfigDict(frozen=True)

    url: str = Field(pattern=r"^https?://")


class HttpSettings(BaseModel):
    """Where this process listens: `host:port`."""

    model_config = ConfigDict(frozen=True)

    address: str = Field(pattern=r"^\S+:\d+$")


class StoreSettings(BaseModel):
    """Where the register lies: an SQLAlchemy address (`sqlite+aiosqlite:///...` or `postgresql+psycopg://...`)."""

    model_config = ConfigDict(frozen=True)

    url: str = Field(min_length=1, repr=False)

    migrate: bool = True
    """Whether an older register may be brought to this version's revision at start; `--migrate` does it once."""


class ProcessSettings(BaseSettings):
    """What every process has. Subclasses set `env_prefix` in their `model_config`."""

    model_config = SettingsConfigDict(
        frozen=True, env_nested_delimiter="__", extra="ignore", hide_input_in_errors=True, env_ignore_empty=True
    )

    kafka: KafkaSettings
    http: HttpSettings
    home: Path
    """Folder for secrets, caches and whatever else must outlive the process."""

    insecure: bool = False
    """Allow a broker or listener that is not loopback although nobody is authenticated yet."""

    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$")

    @classmethod
    def read(cls) -> Self:
        """Read the environment.

        Raises:
            ConfigurationError: names the variables that are missing or wrong, never their values.
        """
        try:
            return cls()
        except ValidationError as error:
            prefix = str(cls.model_config.get("env_prefix", ""))
            wrong = [
                f"{prefix}{'__'.join(str(part) for part in e['loc'])}".upper() + f": {e['msg']}" for e in error.errors()
            ]
            raise ConfigurationError("settings: " + "; ".join(wrong)) from None


class AnsweringSettings(ProcessSettings):
    """What the process of a provider is told. Subclasses set `env_prefix`."""

    schema_registry: SchemaRegistrySettings


class ProviderSettings(AnsweringSettings):
    """The same, with a register in a database of its own."""

    store: StoreSettings
