"""The base of all message models: frozen, closed, quiet about what it was given."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, ValidationError

from chopar.errors import UndecodableError


def whole_milliseconds(value: datetime) -> datetime:
    """Avro carries milliseconds; what is finer would not survive the way."""
    finer = value.microsecond % 1000
    return value.replace(microsecond=value.microsecond - finer) if finer else value


Timestamp = Annotated[AwareDatetime, AfterValidator(whole_milliseconds)]


def places_of(errors: Iterable[Mapping[str, Any]], model: type[BaseModel]) -> list[str]:
    """Where a model was not met, for people to read: dotted names of fields, sorted.

    Only names that the model itself has are said. What else stands on the way (the key of a map, a field that does not
    exist) was chosen by the sender and may be anybody's name or number: it is shown as three dots.

    Args:
        errors: of a pydantic error.
        model: what was to be met.
    """
    known = _field_names(model)
    places = set()
    for error in errors:
        names = [part for part in error["loc"] if isinstance(part, str)]
        places.add(".".join(name if name in known else "…" for name in names))
    return sorted(places - {""})


@cache
def _field_names(model: type[BaseModel]) -> frozenset[str]:
    """The names of a model's fields and of those within them."""
    schema = model.model_json_schema()
    parts = (schema, *schema.get("$defs", {}).values())
    return frozenset(name for part in parts for name in part.get("properties", ()))


class Part(BaseModel):
    """A record within a record."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, ser_json_bytes="base64")

    REPEATED: ClassVar[bool] = False
    """Whether message after message repeats it, as the words of the law: it is then read once. It holds nothing that is
    somebody's and nothing that can be changed."""


class Message(Part):
    """A record of its own on a topic. `RECORD` is the full name of its Avro schema."""

    RECORD: ClassVar[str]

    @classmethod
    def from_avro(cls, datum: object) -> Self:
        """Check a decoded Avro datum against the model.

        Raises:
            UndecodableError: it is valid Avro, but no valid message. The text names fields, never values.
        """
        try:
            return cls.model_validate(datum)
        except ValidationError as error:
            places = ", ".join(places_of(error.errors(), cls)) or "the record"
            raise UndecodableError(f"not a valid {cls.__name__}: {places}") from None

    def to_avro(self) -> dict[str, object]:
        """The datum that the Avro encoder takes."""
        return self.model_dump(mode="python")
