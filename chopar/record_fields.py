"""Does a message model have the fields of its Avro record, at every depth?

Where it does not, a field of the model would be left out of what is sent, and a field of the record filled with its
default, without a word: whoever reads it would take null for an answer. Types are left to encoder and model.
"""

import json
from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from chopar.errors import ConfigurationError
from chopar.messages.record import Message


def require_equal_fields(model: type[Message], text: str) -> None:
    """Refuse a model that differs from its record.

    Args:
        model: of the message.
        text: of the record's `.avsc` file.

    Raises:
        ConfigurationError: says which class lacks which field, or has one too many.
    """
    _compare(model, json.loads(text), {})


def _compare(model: type[BaseModel], record: Mapping[str, Any], known: dict[str, Mapping[str, Any]]) -> None:
    known[str(record["name"])] = record
    ours = _by_name(model)
    theirs = {str(field["name"]): field["type"] for field in record["fields"]}
    if set(ours) != set(theirs):
        missing, surplus = sorted(set(theirs) - set(ours)), sorted(set(ours) - set(theirs))
        told = [f"lacks {', '.join(missing)}"] if missing else []
        told += [f"has {', '.join(surplus)}, which the record has not"] if surplus else []
        raise ConfigurationError(
            f"{model.__name__} {' and '.join(told)}: it must have the fields of the record {record['name']}. "
            f"A name that Python keeps for itself (from) is an alias, with serialize_by_alias=True in its model_config"
        )
    for name, kind in theirs.items():
        below, within = _record_in(kind, known), _model_in(ours[name].annotation)
        if below is not None and within is not None:
            _compare(within, below, known)


def field_names(model: type[BaseModel]) -> list[str]:
    """The names of a model's fields as its record has them, two levels deep: `since`, `periods`, `periods.from`."""
    names = []
    for name, field in _by_name(model).items():
        within = _model_in(field.annotation)
        names += [name, *(f"{name}.{inner}" for inner in (_by_name(within) if within is not None else ()))]
    return names


def _by_name(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """A model's fields by their names in the record."""
    by_alias = model.model_config.get("serialize_by_alias", False)
    return {
        (field.serialization_alias or field.alias or name) if by_alias else name: field
        for name, field in model.model_fields.items()
    }


def _record_in(kind: Any, known: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any] | None:
    if isinstance(kind, str):
        return known.get(kind.rpartition(".")[2])
    if isinstance(kind, list):
        return next((found for one in kind if (found := _record_in(one, known)) is not None), None)
    if kind.get("type") == "record":
        return dict(kind)
    inner = kind.get("items") or kind.get("values")
    return _record_in(inner, known) if inner else None


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for one in get_args(annotation) if (found := _model_in(one)) is not None), None)
