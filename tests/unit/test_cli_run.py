"""`chopar run`: a program of the plan by hand, with the settings that stand there."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chopar.cli.output import Format, Output
from chopar.cli.run import command_of
from chopar.cli.session import Session
from chopar.errors import ConfigurationError


def session(home: Path) -> Session:
    """Of somebody who has no stack there yet."""
    environ = {"CHOPAR_HOME": str(home), "CHOPAR_PORT_BASE": "23080", "CHOPAR_TAX_HOME": "elsewhere", "PATH": "/bin"}
    return Session(Output(Format.TEXT, io.StringIO(), io.StringIO()), environ=environ, cwd=home)


def test_the_plan_says_with_which_settings_and_nothing_else_does(tmp_path: Path) -> None:
    command = command_of(session(tmp_path), "tax")
    assert command.arguments == (sys.executable, "-m", "services.tax")
    told = {name: value for name, value in command.environment.items() if name.startswith("CHOPAR_")}
    assert told == {
        "CHOPAR_TAX_HOME": f"{tmp_path}/tax",
        "CHOPAR_TAX_STORE__URL": f"sqlite+aiosqlite:///{tmp_path}/tax/register.sqlite3",
        "CHOPAR_TAX_KAFKA__BOOTSTRAP": "127.0.0.1:24092",
        "CHOPAR_TAX_SCHEMA_REGISTRY__URL": "http://127.0.0.1:23081",
        "CHOPAR_TAX_HTTP__ADDRESS": "127.0.0.1:23100",
    }
    assert command.environment["PATH"] == "/bin"
    assert command_of(session(tmp_path), "utilities").arguments[3:5] == ("--agency", "electricity-het")
    assert command_of(session(tmp_path), "apply-topics").arguments[2:] == ("gateway", "--apply-topics")


@pytest.mark.parametrize("name", ["broker", "nobody"])
def test_a_name_that_nothing_is_run_under(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"it has .*tax"):
        command_of(session(tmp_path), name)


def test_a_file_is_meant_from_where_it_is_called(tmp_path: Path) -> None:
    checkout = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "chopar.cli", "run", "tax", "--backup", "copy.sqlite3"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(checkout), "CHOPAR_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode != 0, "there is no register to copy yet"
    assert "register" in done.stdout + done.stderr
    assert "copy.sqlite3" not in os.listdir(checkout)
