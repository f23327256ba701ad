"""One log, read in processes that differ in everything that must not matter: every byte that is said is the same."""

import json
import os
import random
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from chopar.bus.port import partition_of
from chopar.messages.demand import FetchMode
from tests.builders import NOW, NOW_MS, PERSON, SECOND_PERSON, demand, demand_id
from tests.standing import LISTS, demand_value

ROOT = Path(__file__).resolve().parents[2]
PLAIN: dict[str, Any] = {
    "reversed_files": False,
    "headers": {},
    "instance": "one",
    "batch": 500,
    "settings": {},
    "disk": False,
}
DAYS_40_MS = 40 * 24 * 60 * 60 * 1000


def the_log() -> dict[str, Any]:
    """Demands of all kinds, with repetitions, across two activations of which one falls into the middle of a batch."""
    chance = random.Random(11)
    papers = ["tax-debt-certificate", "criminal-record-certificate", "private-housing-certificate", "no-such-paper"]
    rows: list[dict[str, Any]] = []
    for number in range(120):
        asked = demand(
            demand_id=demand_id(number, NOW + timedelta(milliseconds=number)),
            subject={"kind": "person", "id": chance.choice([PERSON, SECOND_PERSON, "1"])},
            procedure=chance.choice(["electricity-supply-contract", "gas-connection"]),
            documents=tuple({"type": paper} for paper in chance.sample(papers, 2)),
            circumstances={"non-residential": "yes", "city-of-tashkent": "no"},
        )
        key, value = str(asked.demand_id), demand_value(asked)
        if rows and chance.random() < 0.3:
            earlier = chance.choice(rows)
            key, value = earlier["key"], bytes.fromhex(earlier["value"]) if chance.random() < 0.6 else value
        if chance.random() < 0.05:
            value = value[:40]
        if number % 24 == 23:  # too old by its id, and too new
            too = demand_id(number, NOW + timedelta(days=-31 if number % 48 == 23 else 1))
            key, value = str(too), demand_value(asked.model_copy(update={"demand_id": too}))
        rows.append(
            {
                "key": key,
                "value": value.hex(),
                "partition": partition_of(key.encode(), 6),
                "timestamp_ms": NOW_MS + number * 1000,
            }
        )
    directory = (LISTS / "directory.toml").read_text(encoding="utf-8")
    law = [
        {
            "changes": {},
            "fetch_mode": FetchMode.INFERRED,
            "effective_at": NOW.isoformat(),
            "taken_at_ms": NOW_MS - 9000,
        },
        {
            "changes": {"directory.toml": directory.replace("due_hours = 24", "due_hours = 5")},
            "fetch_mode": FetchMode.VERIFIED,
            "effective_at": (NOW + timedelta(seconds=60)).isoformat(),
            "taken_at_ms": NOW_MS - 8000,
        },
    ]
    return {"demands": rows, "law": law}


def run(changes: dict[str, Any], environment: dict[str, str], ahead_ms: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.differential_run", str(ahead_ms)],
        input=json.dumps({**PLAIN, **the_log(), **changes}),
        env={**os.environ, "PYTHONHASHSEED": "0", **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def plain() -> str:
    said = run({}, {})
    assert int(said.split()[0]) > 250
    return said


@pytest.mark.parametrize(
    ("changes", "environment"),
    [
        ({}, {"PYTHONHASHSEED": "4711"}),
        ({}, {"TZ": "America/St_Johns", "LANG": "tr_TR.UTF-8", "LC_ALL": "C"}),
        ({"batch": 1}, {}),
        ({"batch": 7, "disk": True, "instance": "another"}, {}),
        (
            {"settings": {"max_concurrency": 1, "handler_tries": 1, "commit_interval_seconds": 0, "restarts": 1}},
            {"CHOPAR_GATEWAY_MAX_RECORDS": "3", "CHOPAR_GATEWAY_HOME": "/nowhere", "HOME": "/nowhere"},
        ),
        ({"headers": {"ce_id": "x", "ce_time": "1999-01-01T00:00:00Z", "ce_source": "/somebody"}}, {}),
        ({"reversed_files": True}, {}),
    ],
    ids=["hash seed", "zone and language", "batch of 1", "batch of 7, disk", "settings", "headers", "file order"],
)
def test_what_must_not_matter_does_not(plain: str, changes: dict[str, Any], environment: dict[str, str]) -> None:
    assert run(changes, environment) == plain


def test_a_clock_40_days_ahead_does_not_matter(plain: str) -> None:
    assert run({}, {}, DAYS_40_MS) == plain


def test_what_does_matter_does(plain: str) -> None:
    law = the_log()["law"]
    assert run({"law": law[:1]}, {}) != plain
