"""The schema registry: the field's REST API for Avro schemas, its state in the compacted topic `_schemas`.

Registering, looking up and reading are here; compatibility, deleting and changing configuration answer 501 so far.
"""
