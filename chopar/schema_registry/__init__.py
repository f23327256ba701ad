"""Client of a schema registry (the field's REST API), its in-memory twin, and what writes and reads by its ids.

Schemas are registered by deployment (`chopar schema push`), never by a process that writes, and a process never asks
for "latest": it looks up the id of the text that it was built with.
"""

from chopar.schema_registry.client import HttpSchemaRegistry
from chopar.schema_registry.codec import Decoder, Encoder
from chopar.schema_registry.memory import InMemorySchemaRegistry
from chopar.schema_registry.port import SchemaRegistry

__all__ = ["Decoder", "Encoder", "HttpSchemaRegistry", "InMemorySchemaRegistry", "SchemaRegistry"]
