"""`python -m tests.load.import_memory [MODULE]`: what a process of ours takes once it has imported everything.

Step by step, each in a fresh interpreter that imports what the steps before it do: what all have (aiokafka and the
packages that the design names), then the process itself. Nothing is connected. RSS is what is resident, PSS counts what
is shared by its share, USS is this process's alone: what another of its kind would take.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

STEPS = (
    ("an interpreter", ""),
    ("aiokafka, uvloop", "import uvloop, aiokafka"),
    ("fastavro", "import fastavro"),
    ("structlog", "import chopar.plain_structlog"),
    (
        "pydantic, with settings",
        "import pydantic_settings as s\nclass Settings(s.BaseSettings): name: str = ''\nSettings()",
    ),
    ("prometheus-client", "import prometheus_client"),
    ("sqlite3", "import sqlite3"),
)
_LAST = (
    "import sys\n"
    "lines = [line.split() for line in open('/proc/self/smaps_rollup').read().splitlines()[1:]]\n"
    "kib = {line[0]: int(line[1]) for line in lines}\n"
    "print(kib['Rss:'], kib['Pss:'], kib['Private_Clean:'] + kib['Private_Dirty:'], len(sys.modules))\n"
)


class Taken(NamedTuple):
    """What an interpreter takes, MiB, and how many modules it has loaded."""

    rss: float
    pss: float
    uss: float
    modules: int


def taken(code: Sequence[str]) -> Taken:
    """What a fresh interpreter takes that has run this."""
    done = subprocess.run(
        [sys.executable, "-c", "\n".join([*code, _LAST])], capture_output=True, text=True, check=True, timeout=60
    )
    *kib, modules = map(int, done.stdout.split())
    rss, pss, uss = (size / 1024 for size in kib)
    return Taken(rss, pss, uss, modules)


def main() -> int:
    """Print the steps as a table."""
    options = argparse.ArgumentParser(prog="python -m tests.load.import_memory", description=__doc__)
    options.add_argument("module", nargs="?", default="gateway.__main__", help="of the process; the gateway's if none")
    module = options.parse_args().module
    taken([f"import {module}"])  # compiled, if need be
    row = "{:28}{:>9}{:>9}{:>9}{:>9}{:>9}\n"
    sys.stdout.write(row.format("MiB with", "RSS", "more", "PSS", "USS", "modules"))
    code: list[str] = []
    before = 0.0
    for name, imports in (*STEPS, (module, f"import {module}")):
        code.append(imports)
        here = taken(code)
        figures = (f"{figure:.1f}" for figure in (here.rss, here.rss - before, here.pss, here.uss))
        sys.stdout.write(row.format(name, *figures, here.modules))
        before = here.rss
    return 0


if __name__ == "__main__":
    sys.exit(main())
