"""A frozen pydantic model for each Avro record under `schemas/`."""
