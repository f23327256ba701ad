"""The base of every process's settings: frozen, read once in `__main__`, passed on as arguments.

Variables are named `CHOPAR_<PROCESS>_<GROUP>__<NAME>`, for example `CHOPAR_TAX_KAFKA__BOOTSTRAP`. No default names an
address: a process that was not told where its broker is does not guess. Secrets lie in files under the home folder.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from chopar.errors import ConfigurationError

_LAST_PORT = 65535


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

    @field_validator("address")
    @classmethod
    def _has_a_port(cls, address: str) -> str:
        if int(address.rpartition(":")[2]) > _LAST_PORT:
            raise ValueError(f"the last port is {_LAST_PORT}")  # the system would take another one in silence
        return address


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
            wrong = [
                f"{name}: {'is not set' if one['type'] == 'missing' else one['msg']}"
                for one in error.errors()
                for name in cls._variables([str(part) for part in one["loc"]])
            ]
            raise ConfigurationError("settings: " + "; ".join(wrong)) from None
        except SettingsError:  # a group itself is set, and not to JSON; the library's own words name no variable
            groups = [name for name, field in cls.model_fields.items() if _model_in(field.annotation)]
            due = ", ".join(name for group in groups for name in cls._variables([group]))
            raise ConfigurationError(
                f"settings: a variable names a whole group; those of its parts are {due}"
            ) from None

    @classmethod
    def _variables(cls, path: Sequence[str]) -> list[str]:
        """The variables at a place: what is due in it, where it is a group."""
        model: type[BaseModel] | None = cls
        for part in path:
            field = model.model_fields.get(part) if model is not None else None
            model = _model_in(field.annotation) if field is not None else None
        due = [name for name, field in model.model_fields.items() if field.is_required()] if model is not None else []
        prefix = str(cls.model_config.get("env_prefix", ""))
        return [f"{prefix}{'__'.join([*path, *more])}".upper() for more in ([name] for name in due)] or [
            f"{prefix}{'__'.join(path)}".upper()
        ]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The group that a field holds, or may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for one in get_args(annotation) if (found := _model_in(one)) is not None), None)


class AnsweringSettings(ProcessSettings):
    """What the process of a provider is told. Subclasses set `env_prefix`."""

    schema_registry: SchemaRegistrySettings


class ProviderSettings(AnsweringSettings):
    """The same, with a register in a database of its own."""

    store: StoreSettings
