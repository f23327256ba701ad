"""How long lists of 100,000 entries take to be read and looked through: `python -m tests.load.lists_cpu`; CPU time.

The files are made of the shipped ones: as many papers as a tenth of the entries, each entry with the words of a shipped
one. What `tomllib` alone takes to read the largest file is printed beside it.
"""

import argparse
import time
import tomllib
from collections.abc import Callable
from datetime import date
from typing import Any

from gateway.lint import lint
from gateway.list_version import DOCUMENTS, PROHIBITED, ListVersion
from tests.edited_lists import Files, put, tables
from tests.oracle.asking import list_files

ON = date(2026, 11, 26)


def enlarged(count: int) -> Files:
    """The shipped lists with so many further entries."""
    shipped = list_files()
    documents, entries = tables(shipped, DOCUMENTS, "document"), tables(shipped, PROHIBITED, "entry")
    papers = max(count // 10, 1)
    kinds = [{**documents[0], "id": f"paper-{number}"} for number in range(papers)]
    more = [
        {**entries[number % len(entries)], "id": f"entry-{number}", "document_type": f"paper-{number % papers}"}
        for number in range(count)
    ]
    files = put(shipped, DOCUMENTS, "document", [*documents, *kinds])
    return put(files, PROHIBITED, "entry", [*entries, *more])


def _took(what: str, done: Callable[[], Any]) -> Any:
    began = time.process_time()
    result = done()
    print(f"{what}: {time.process_time() - began:.1f} s of CPU")
    return result


def main() -> None:
    """Print what each step takes."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--entries", type=int, default=100_000)
    options.add_argument("--without-tomllib", action="store_true", help="leave out the slow comparison")
    given = options.parse_args()
    files = enlarged(given.entries)
    print(f"{given.entries} further entries, {sum(map(len, files.values())) / 1e6:.0f} MB of TOML")
    version = _took("read, checked and indexed", lambda: ListVersion.from_files(files))
    flaws = _took("looked through by lint", lambda: lint(version, ON))
    print(f"{len(version.prohibited)} entries, {len(flaws)} flaws")
    if not given.without_tomllib:
        _took(f"{PROHIBITED} by tomllib alone", lambda: tomllib.loads(files[PROHIBITED].decode()))


if __name__ == "__main__":
    main()
