"""kill -9 of an agency's system at each step, on SQLite and PostgreSQL: every demand is acted on, each exactly once."""

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import create_engine, select

from tests.contract import durable_correcting_process as correcting
from tests.contract import durable_following_process as following
from tests.contract.durable_process import STEPS
from tests.durable_rig import DONE

pytest_plugins = ["tests.postgres_fixture"]

DEADLINE_SECONDS = 300
LIVES = 8


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite+aiosqlite:///{tmp_path}/agency.db"


def test_a_system_that_dies_at_every_step_acts_on_each_answer_once(url: str, tmp_path: Path) -> None:
    live("durable_process", url, tmp_path, STEPS, ("resolved", "received", "completed"))


def test_a_system_that_dies_while_it_asks_the_next_holder_asks_it_once(url: str, tmp_path: Path) -> None:
    what = ("resolved", "passed", "received", "completed")
    live("durable_following_process", url, tmp_path, following.STEPS, what)


def test_a_system_that_dies_while_an_answer_is_corrected_and_stood_by_acts_on_both_once(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/agency.db"
    what = ("resolved", "received", "completed", "corrected", "upheld")
    live("durable_correcting_process", url, tmp_path, correcting.STEPS, what)


def live(module: str, url: str, folder: Path, steps: Sequence[str], what: Sequence[str]) -> None:
    """A process dies at each step; in the end each case has what is due to it, once."""
    command = [sys.executable, "-m", f"tests.contract.{module}", url, str(folder / "journal"), *steps]
    lives = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False)
    expected = [*(f"{step}: -9" for step in steps), "none: 0"]
    assert lives.stdout.splitlines() == expected, lives.stderr
    engine = create_engine(url.replace("+aiosqlite", ""))
    with engine.connect() as connection:
        done = sorted(connection.execute(select(DONE.c.what)).scalars())
    engine.dispose()
    cases = [step.replace(" ", "-") for step in steps]
    assert done == sorted(f"{case} {each}" for case in cases for each in what)


def test_an_answer_whose_callback_kills_its_process_is_given_up_after_three_deaths(tmp_path: Path) -> None:
    """The callback runs where a batch is awaited, not where its records are handled: that has its note too."""
    url = f"sqlite+aiosqlite:///{tmp_path}/agency.db"
    command = [sys.executable, "-m", "tests.contract.deadly_callback", url, f"{tmp_path}/journal", f"{tmp_path}/tried"]
    deaths = 0
    while True:
        life = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False)
        if life.returncode == 0:
            break
        assert life.returncode == -signal.SIGKILL, life.stderr
        deaths += 1
        assert deaths < LIVES, life.stdout
    assert json.loads(life.stdout.splitlines()[-1]) == [["evidence.provided", "killed_its_process"]]
    assert deaths == 3
    engine = create_engine(url.replace("+aiosqlite", ""))
    with engine.connect() as connection:
        done = sorted(connection.execute(select(DONE.c.what)).scalars())
    engine.dispose()
    told = [f"{case} {what}" for case in ("before", "after") for what in ("resolved", "received", "completed")]
    assert done == sorted([*told, "kills resolved"])
    assert list((tmp_path / "tried").glob("*.suspects")) == [], "nobody is suspected any more"


def test_an_expired_demand_whose_callback_kills_its_process_is_told_of_no_more_after_three_deaths(
    tmp_path: Path,
) -> None:
    """There is no record that could become a dead letter: it is noted in the database, and shown where clerks look."""
    url = f"sqlite+aiosqlite:///{tmp_path}/agency.db"
    command = [sys.executable, "-m", "tests.contract.deadly_expiry", url, f"{tmp_path}/journal"]
    for number in range(1, LIVES):
        life = subprocess.run(
            [*command, str(number)], capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False
        )
        if life.returncode == 0:
            break
        assert life.returncode == -signal.SIGKILL, life.stderr
    assert number == 4, "three deaths"
    assert json.loads(life.stdout.splitlines()[-1]) == {"kills": True}
    assert "completion.killed_its_process" in life.stdout
    engine = create_engine(url.replace("+aiosqlite", ""))
    with engine.connect() as connection:
        done = sorted(connection.execute(select(DONE.c.what)).scalars())
    engine.dispose()
    assert done == ["after completed", "before completed"]
