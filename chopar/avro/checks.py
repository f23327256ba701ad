"""What a pydantic model asks of its values, as far as a decoder made from a schema can see to it without pydantic.

It is read from pydantic's own description of the model (its core schema). Whatever is not known here for sure makes a
model unsupported, so that what pydantic would refuse can never pass: it is then validated by pydantic itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import BaseModel

from chopar.messages.record import whole_milliseconds


class UnsupportedError(Exception):
    """There is a condition or type that no source is made for. Never leaves a maker of readers."""


@dataclass(frozen=True)
class Check:
    """What one value has to meet.

    Args:
        kind: pydantic's name of the type.
        nullable: whether None is allowed.
        least, most: of length.
        smallest: of a number.
        words: of a literal or an enumeration: the texts allowed, and what each becomes.
        items, keys: of what is in it.
        model, fields: the class, and what each field has to meet, in the class's order.
        functions: that are called on it in turn, and give what takes its place.
    """

    kind: str
    nullable: bool = False
    least: int | None = None
    most: int | None = None
    smallest: int | None = None
    words: Mapping[str, Any] | None = None
    items: "Check | None" = None
    keys: "Check | None" = None
    model: type[BaseModel] | None = None
    fields: Mapping[str, "Check"] = field(default_factory=dict)
    functions: tuple[Callable[[Any], Any], ...] = ()
    inner_functions: tuple[Callable[[Any], Any], ...] = ()
    """Of one that is nullable: those that are not called on None."""

    def inner(self) -> "Check":
        """What the value has to meet where it is not None; the functions for both are the caller's to call."""
        return replace(self, nullable=False, functions=self.inner_functions, inner_functions=())

    def never_null(self) -> "Check":
        """The same for a value that cannot be None."""
        return replace(self, nullable=False, functions=self.inner_functions + self.functions, inner_functions=())


# Whatever else stands in a description changes what is accepted, or may; what is listed does not, or is looked at.
_QUIET = {"type", "metadata", "ref"}
_KEYS: dict[str, set[str]] = {
    "definitions": {"schema", "definitions"},
    "definition-ref": {"schema_ref"},
    "default": {"schema", "default", "default_factory", "default_factory_takes_data"},
    "nullable": {"schema"},
    "function-after": {"schema", "function"},
    "model": {"schema", "cls", "config", "custom_init", "root_model"},
    "model-fields": {"fields", "model_name", "computed_fields"},
    "model-field": {"schema"},
    "tuple": {"items_schema", "variadic_item_index", "min_length", "max_length"},
    "dict": {"keys_schema", "values_schema", "min_length", "max_length"},
    "literal": {"expected"},
    "enum": {"cls", "members", "sub_type"},
    "str": {"min_length", "max_length"},
    "bytes": {"min_length", "max_length"},
    "int": {"ge"},
    "datetime": {"microseconds_precision", "tz_constraint"},
    "date": set(),
    "uuid": set(),
    "bool": set(),
}
_CONFIG = {"title", "extra_fields_behavior", "hide_input_in_errors", "ser_json_bytes"}


def model_check(model: type[BaseModel]) -> Check:
    """What the values of a model's fields have to meet.

    Raises:
        UnsupportedError: it is not known for sure.
    """
    return _Describing().check(model.__pydantic_core_schema__)


class _Describing:
    """Reads one description."""

    def __init__(self) -> None:
        self._named: dict[str, Any] = {}

    def check(self, core: Any) -> Check:
        kind = core["type"]
        if kind not in _KEYS or core.keys() - _KEYS[kind] - _QUIET:
            raise UnsupportedError
        if kind == "definitions":
            self._named.update((one["ref"], one) for one in core["definitions"])
            return self.check(core["schema"])
        if kind == "definition-ref":
            if core["schema_ref"] not in self._named:
                raise UnsupportedError
            return self.check(self._named[core["schema_ref"]])
        if kind in ("default", "model-field"):
            return self.check(core["schema"])
        if kind == "nullable":
            inner = self.check(core["schema"])
            if inner.nullable:
                raise UnsupportedError
            return replace(inner, nullable=True, functions=(), inner_functions=inner.functions)
        if kind == "function-after":
            return self._followed(core)
        if kind == "model":
            return self._model(core)
        return self._value(kind, core)

    def _followed(self, core: Any) -> Check:
        inner, function = self.check(core["schema"]), core["function"]
        if function["type"] != "no-info" or function.keys() != {"type", "function"}:
            raise UnsupportedError
        if function["function"] is whole_milliseconds:  # Avro carries whole ones
            return inner
        return replace(inner, functions=(*inner.functions, function["function"]))

    def _model(self, core: Any) -> Check:
        fields, model = core["schema"], core["cls"]
        if core["custom_init"] or core["root_model"] or core["config"].keys() - _CONFIG:
            raise UnsupportedError
        if fields["type"] != "model-fields" or fields.keys() - _KEYS["model-fields"] - _QUIET:
            raise UnsupportedError
        if fields["computed_fields"] or model.__private_attributes__ or model.__new__ is not object.__new__:
            raise UnsupportedError
        names = {name: self.check(one) for name, one in fields["fields"].items()}
        return Check("model", model=model, fields=names)

    def _value(self, kind: str, core: Any) -> Check:
        check = Check(kind, least=core.get("min_length"), most=core.get("max_length"), smallest=core.get("ge"))
        if kind == "literal":
            return replace(check, words=_words({one: one for one in core["expected"]}))
        if kind == "enum":
            return replace(check, words=_words({member.value: member for member in core["members"]}))
        if kind == "tuple":
            if len(core["items_schema"]) != 1 or core.get("variadic_item_index") != 0:
                raise UnsupportedError
            return replace(check, items=self.check(core["items_schema"][0]))
        if kind == "dict":
            return replace(check, keys=self.check(core["keys_schema"]), items=self.check(core["values_schema"]))
        if kind == "datetime" and core.get("tz_constraint", "aware") != "aware":
            raise UnsupportedError
        return check


def _words(words: dict[Any, Any]) -> dict[str, Any]:
    if not all(type(word) is str for word in words):
        raise UnsupportedError
    return words
