"""Values of Avro schemas for property-based tests."""

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from tests.builders import NOW, demand_id


class Bag:
    """A datum with attributes instead of keys, as a message has them."""

    def __init__(self, datum: dict[str, Any]) -> None:
        self.__dict__.update(datum)


TEXTS = st.text(max_size=80)
PLAIN: dict[tuple[str, str | None], st.SearchStrategy[Any]] = {
    ("null", None): st.none(),
    ("boolean", None): st.booleans(),
    ("int", None): st.integers(-(2**31), 2**31 - 1),
    ("long", None): st.integers(-(2**63), 2**63 - 1),
    ("string", None): TEXTS,
    ("bytes", None): st.binary(max_size=80),
    ("string", "uuid"): st.uuids(),
    ("int", "date"): st.dates(),
    ("long", "timestamp-millis"): st.datetimes(timezones=st.timezones()),
}
"""By type and logical type: all there is."""

LIKELY = PLAIN | {
    ("string", None): st.sampled_from(["yes", "no", "person", "a code", "30101900010018", "301234567"]) | TEXTS,
    ("bytes", None): st.binary(min_size=32, max_size=32),
    ("string", "uuid"): st.integers(1, 9).map(demand_id),
    ("long", "timestamp-millis"): st.timedeltas(timedelta(-300), timedelta(30)).map(lambda since: NOW + since),
}
"""What messages of ours may hold, most of it."""


def data(
    schema: Any, known: dict[str, Any], plain: dict[tuple[str, str | None], st.SearchStrategy[Any]] = PLAIN
) -> st.SearchStrategy[Any]:
    """Pairs of a value as fastavro takes it and the same as a message holds it."""
    if isinstance(schema, list):
        return st.one_of(*(data(branch, known, plain) for branch in schema))
    if isinstance(schema, str):
        if schema in known:
            return data(known[schema], known, plain)
        schema = {"type": schema}
    kind = (schema["type"], schema.get("logicalType"))
    if kind in plain:
        return plain[kind].map(lambda value: (value, value))
    if "name" in schema:
        known[schema["name"]] = schema
    if schema["type"] == "enum":
        return st.sampled_from(schema["symbols"]).map(lambda value: (value, value))
    if schema["type"] == "array":
        return st.lists(data(schema["items"], known, plain), max_size=4).map(
            lambda pairs: ([one for one, _ in pairs], tuple(other for _, other in pairs))
        )
    if schema["type"] == "map":
        return st.dictionaries(st.text(max_size=9), data(schema["values"], known, plain), max_size=4).map(
            lambda pairs: ({k: one for k, (one, _) in pairs.items()}, {k: other for k, (_, other) in pairs.items()})
        )
    assert schema["type"] == "record", schema
    fields = {field["name"]: data(field["type"], known, plain) for field in schema["fields"]}
    return st.fixed_dictionaries(fields).map(
        lambda pairs: ({k: one for k, (one, _) in pairs.items()}, Bag({k: other for k, (_, other) in pairs.items()}))
    )
