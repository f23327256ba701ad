"""Finds its way through a demand's bytes: what is its own, and what it has in common with others of its shape.

Nothing is decoded and nothing is checked but what tells one part from the next. It takes demands as every Avro encoder
of ours and of others writes them; whatever is written otherwise (an array in several blocks, a number with needless
bytes) is given back as None and read the general way, by `Standing.decode_demand`. A demand that is read here has been
read by nobody yet: it is valid only if one of the same shape was, and if its own texts are (`gateway.rendering`).
"""

from typing import Any, NamedTuple, TypeAlias

Shape: TypeAlias = tuple[bytes, ...]
"""The bytes between a demand's own texts, in their order: equal for demands that differ in their own texts alone."""

LONGEST = 400
"""Bytes of an own text. The messages allow as many characters, so no text that is taken here is too long."""

LAYOUT = (
    ("demand_id", "string"),
    ("requester", "string"),
    ("procedure", "string"),
    ("case_id", "string"),
    ("official", "string"),
    ("subject", (("kind", "enum"), ("id", "string"))),
    ("parties", ("array", (("role", "string"), ("kind", "enum"), ("id", "string")))),
    ("applicant", ("null", (("kind", "enum"), ("id", "string")))),
    ("acting_as", "enum"),
    ("ground", (("kind", "enum"), ("reference", "string"))),
    ("circumstances", ("map", "enum")),
    ("documents", ("array", (("type", "string"), ("about", ("null", "string")), ("parameters", ("map", "string"))))),
    (
        "follows",
        (
            "null",
            (("demand_id", "string"), ("asked", ("array", (("provider", "string"), ("evidence_type", "string"))))),
        ),
    ),
    ("expires_at", "long"),
)
"""The order of fields by which this module finds its way; by another schema demands are read the general way."""

_FRAME = 5
_ID = _FRAME + 1 + 36
_ID_LENGTH = 72  # 36, as Avro writes it


class Reading(NamedTuple):
    """A demand's bytes, taken apart.

    Args:
        shape: what it has in common with others.
        demand_id: the 36 characters.
        texts: its own texts in the order of their fields: case, official, subject, the parties, the applicant if there
            is one, the ground's reference, and every parameter's value.
        fields: the same as Avro writes them, with their lengths.
        expires_ms: `expires_at`.
        expires_at: the same as Avro writes it.
    """

    shape: Shape
    demand_id: bytes
    texts: list[bytes]
    fields: list[bytes]
    expires_ms: int
    expires_at: bytes


class _OtherwiseError(Exception):
    """It is not written in the way that is read here."""


def layout_of(schema: Any, known: dict[str, Any] | None = None) -> Any:
    """The order and types of a parsed schema's fields, without their names' documentation and logical types."""
    known = {} if known is None else known
    if isinstance(schema, str):
        return known.get(schema, schema)
    if isinstance(schema, list):
        return tuple(layout_of(branch, known) for branch in schema)
    kind = schema["type"]
    if kind == "record":
        found = tuple((field["name"], layout_of(field["type"], known)) for field in schema["fields"])
        known[schema["name"]] = found
        return found
    if kind in ("array", "map"):
        return kind, layout_of(schema["items" if kind == "array" else "values"], known)
    if "name" in schema:
        known[schema["name"]] = kind
    return kind


def read(value: bytes) -> Reading | None:
    """Take a framed demand apart; None if it is written otherwise, or is no demand.

    Args:
        value: with its frame, whose schema has the `LAYOUT`.
    """
    try:
        return _read(value)
    except (IndexError, _OtherwiseError):
        return None


def _read(value: bytes) -> Reading:
    if value[_FRAME] != _ID_LENGTH:
        raise _OtherwiseError
    texts: list[bytes] = []
    fields: list[bytes] = []
    shape: list[bytes] = []
    _, at = _text(value, _ID)  # requester
    _, at = _text(value, at)  # procedure
    shape.append(value[_ID:at])
    at = _own(value, at, texts, fields)  # case
    at = _own(value, at, texts, fields)  # official
    shape.append(value[at : at + 1])
    at = _own(value, _enum(value, at), texts, fields)  # subject
    since = at
    at, items = _block(value, at)  # parties
    if items:
        for _ in range(items):
            _, at = _text(value, at)  # role
            at = _enum(value, at)
            shape.append(value[since:at])
            since = at = _own(value, at, texts, fields)
        at = _end(value, at)
    if _is_there(value, at):  # applicant
        at = _enum(value, at + 1)
        shape.append(value[since:at])
        since = at = _own(value, at, texts, fields)
    else:
        at += 1
    at = _enum(value, _enum(value, at))  # acting as, kind of ground
    shape.append(value[since:at])
    since = at = _own(value, at, texts, fields)  # reference of the ground
    at, items = _block(value, at)  # circumstances
    if items:
        for _ in range(items):
            _, at = _text(value, at)
            at = _enum(value, at)
        at = _end(value, at)
    at, items = _block(value, at)  # documents
    if items:
        for _ in range(items):
            _, at = _text(value, at)  # type
            at = _text(value, at + 1)[1] if _is_there(value, at) else at + 1  # about
            at, parameters = _block(value, at)
            if parameters:
                for _ in range(parameters):
                    _, at = _text(value, at)  # name
                    shape.append(value[since:at])
                    since = at = _own(value, at, texts, fields)
                at = _end(value, at)
        at = _end(value, at)
    if _is_there(value, at):  # a demand that follows another is rare
        raise _OtherwiseError
    at += 1
    shape.append(value[since:at])
    return Reading(
        tuple(shape),
        value[_FRAME + 1 : _ID],
        texts,
        fields,
        _last_number(value, at),
        value[at:],
    )


def _text(value: bytes, at: int) -> tuple[int, int]:
    """Where the text begins and ends whose length stands here."""
    size = value[at]
    at += 1
    if size >= 0x80:
        more = value[at]
        if not 0 < more < 0x80:
            raise _OtherwiseError
        size += (more << 7) - 0x80
        at += 1
    if size & 1:
        raise _OtherwiseError
    return at, at + (size >> 1)


def _own(value: bytes, at: int, texts: list[bytes], fields: list[bytes]) -> int:
    """Where one of the demand's own texts ends, which is taken."""
    begin, end = _text(value, at)
    if end - begin > LONGEST:
        raise _OtherwiseError
    texts.append(value[begin:end])
    fields.append(value[at:end])
    return end


def _enum(value: bytes, at: int) -> int:
    if value[at] >= 0x80:
        raise _OtherwiseError
    return at + 1


def _block(value: bytes, at: int) -> tuple[int, int]:
    """Where the items of an array or map begin, and how many there are: less than 64, in one block."""
    count = value[at]
    if count & 0x81:
        raise _OtherwiseError
    return at + 1, count >> 1


def _end(value: bytes, at: int) -> int:
    if value[at] != 0:
        raise _OtherwiseError
    return at + 1


def _is_there(value: bytes, at: int) -> bool:
    """Which branch of a nullable field was written."""
    branch = value[at]
    if branch not in (0, 2):
        raise _OtherwiseError
    return branch == 2


def _last_number(value: bytes, at: int) -> int:
    """The number with which the value ends, written in as few bytes as can be; none that is negative."""
    number = shift = 0
    last = len(value) - 1
    if not at <= last <= at + 6 or (value[last] == 0 and last > at):
        raise _OtherwiseError
    for place in range(at, last):
        byte = value[place]
        if byte < 0x80:
            raise _OtherwiseError
        number |= (byte & 0x7F) << shift
        shift += 7
    number |= value[last] << shift
    if number & 1 or value[last] >= 0x80:
        raise _OtherwiseError
    return number >> 1
