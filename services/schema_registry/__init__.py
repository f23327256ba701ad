"""The schema registry: the field's REST API for Avro schemas, its state in the compacted topic `_schemas`.

Modes and the metadata of subjects answer 501 so far.
"""
