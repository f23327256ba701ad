"""The schemas of earlier releases, without their words: what lies on the log, and agencies have, was built with them.

`python -m tests.released` adds the present ones, as part of making a release.
"""

import json
from pathlib import Path
from typing import Any

from chopar.avro import SchemaFiles
from chopar.avro.canonical import canonical_form

PATH = Path(__file__).with_name("released_schemas.json")


def released() -> dict[str, list[str]]:
    """The canonical forms of each record, oldest first."""
    found: dict[str, list[Any]] = json.loads(PATH.read_text(encoding="utf-8"))
    return {record: [canonical_form(json.dumps(schema)) for schema in schemas] for record, schemas in found.items()}


def with_present(earlier: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """The same with the schemas of this tree, where they differ in more than words from the last."""
    found = {record: list(schemas) for record, schemas in earlier.items()}
    for record, text in SchemaFiles.shipped().texts.items():
        schema = _wordless(json.loads(canonical_form(text)))
        schemas = found.setdefault(record, [])
        if schemas[-1:] != [schema]:
            schemas.append(schema)
    return dict(sorted(found.items()))


def _wordless(part: Any) -> Any:
    if isinstance(part, list):
        return [_wordless(one) for one in part]
    if isinstance(part, dict):
        return {key: one if key == "default" else _wordless(one) for key, one in part.items() if key != "doc"}
    return part


def main() -> None:
    """Add the present schemas to the file."""
    earlier = json.loads(PATH.read_text(encoding="utf-8")) if PATH.exists() else {}
    entries = []
    for record, schemas in with_present(earlier).items():
        lines = ",\n".join(json.dumps(schema, separators=(",", ":"), ensure_ascii=False) for schema in schemas)
        entries.append(f'"{record}": [\n{lines}\n]')
    PATH.write_text("{\n" + ",\n".join(entries) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
