"""Frame and codec: what lies on the log as bytes, and the source that is made from a schema to read and write it."""

from chopar.avro.codec import (
    MAX_VALUE_BYTES,
    ParsedSchema,
    SchemaFiles,
    decode_body,
    decode_message,
    encode_body,
    frame,
    parse_schema,
    schema_name,
    unframe,
)

__all__ = [
    "MAX_VALUE_BYTES",
    "ParsedSchema",
    "SchemaFiles",
    "decode_body",
    "decode_message",
    "encode_body",
    "frame",
    "parse_schema",
    "schema_name",
    "unframe",
]
