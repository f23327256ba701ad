"""What the bench takes out of a process is there to be taken out: a renamed part fails here, not in a long run."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.store import FirstRecords
from tests.load.variant import NoTable

ROOT = Path(__file__).resolve().parents[2]


def changed(*options: str, script: str) -> str:
    """Run a module of a few lines through the variant, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.load.variant", *options, "tests.unit.bench_script", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("feature", "script", "said"),
    [
        ("dedupe", "import gateway.handlers as h; print(h.FirstRecords.__name__)", "NoTable"),
        (
            "access_record",
            "from gateway.handlers import GatewayHandler as G; print(G.handle.__qualname__)",
            "without_access_record.<locals>.<lambda>",
        ),
        (
            "validation",
            "from gateway import rendering as r; from tests.builders import demand; "
            "print([check('x' * 999) for check in r._checks(demand())])",
            "[None, None, None, None]",
        ),
    ],
)
def test_a_safety_feature_is_taken_out(feature: str, script: str, said: str) -> None:
    assert changed("--without", feature, script=script) == said


def test_what_takes_the_place_of_the_table_is_called_as_it_is() -> None:
    def asked(table: type) -> dict[str, list[str]]:
        methods = inspect.getmembers(table, inspect.isfunction)
        return {
            name: [*inspect.signature(method).parameters]
            for name, method in methods
            if not name.startswith("_") or name == "__init__"
        }

    assert asked(NoTable) == asked(FirstRecords)


def test_topics_have_other_partition_counts() -> None:
    script = (
        "from chopar import topics as t; print(t.PARTITIONS, t.DEMAND_SUBMITTED.partitions, t.LAW_ACTIVATED.partitions)"
    )
    assert changed("--partitions", "24", script=script) == "24 24 1"


def test_a_gateway_is_connected_to_so_many_agencies() -> None:
    script = (
        "from gateway.__main__ import LISTS, connected_agencies; found = connected_agencies(LISTS); "
        "print(len(found), 'electricity-het' in found)"
    )
    assert changed("--agencies", "5", script=script) == "5 True"
    assert changed("--agencies", "50", script=script) == "50 True"
