"""The base of all message models: frozen, closed, quiet about what it was given."""

from datetime import datetime
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, ValidationError

from chopar.errors import UndecodableError


def _whole_milliseconds(value: datetime) -> datetime:
    """Avro carries milliseconds; what is finer would not survive the way."""
    return value.replace(microsecond=value.microsecond // 1000 * 1000)


Timestamp = Annotated[AwareDatetime, AfterValidator(_whole_milliseconds)]


class Part(BaseModel):
    """A record within a record."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, ser_json_bytes="base64")


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
            places = sorted(
                {".".join(str(part) for part in e["loc"] if not isinstance(part, int)) for e in error.errors()}
            )
            raise UndecodableError(f"not a valid {cls.__name__}: {', '.join(places) or 'the record'}") from None

    def to_avro(self) -> dict[str, object]:
        """The datum that the Avro encoder takes."""
        return self.model_dump(mode="python")
