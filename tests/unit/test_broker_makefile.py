"""How the Makefile makes the virtual environment: once, whoever else makes it too, and in plain words if it cannot."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Stands in for the system's Python: notes what is made and installed, and leaves everything else to this one.
PYTHON = """#!/bin/sh
case "$1 $2" in
  "-m venv") echo "$*" >> "{log}"; mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;
  "-m pip") echo "$*" >> "{log}" ;;
  *) exec "{real}" "$@" ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path / name)
    python = tmp_path / "python"
    python.write_text(PYTHON.format(log=tmp_path / "log", real=sys.executable))
    python.chmod(0o755)
    return tmp_path


def make(checkout: Path, *arguments: str) -> "subprocess.Popen[str]":
    command = ["make", "-C", str(checkout), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_two_at_once_make_one_environment(checkout: Path) -> None:
    both = [make(checkout, ".venv/.run", f"PYTHON={checkout}/python") for _ in range(2)]
    said = [one.communicate(timeout=60)[0] for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    done = (checkout / "log").read_text().splitlines()
    assert done.count("-m venv .venv") == 1
    assert len([line for line in done if line.endswith("-e .")]) == 1


def test_an_environment_that_was_cut_short_is_made_again(checkout: Path) -> None:
    half = checkout / ".venv" / "bin" / "python"
    half.parent.mkdir(parents=True)
    half.write_text(f'#!/bin/sh\ncase "$*" in "-c import pip"*) exit 1;; *) exec {sys.executable} "$@";; esac\n')
    half.chmod(0o755)
    with make(checkout, ".venv/.run", f"PYTHON={checkout}/python") as made:
        said = made.communicate(timeout=60)[0]
    assert made.returncode == 0, said
    assert "-m venv .venv" in (checkout / "log").read_text()


@pytest.mark.parametrize(
    ("python", "words"),
    [
        ("/nonexistent", "There is no program /nonexistent. Chopar needs Python 3.11"),
        (shutil.which("false") or "/bin/false", "does not run as a Python. Chopar needs 3.11"),
    ],
)
def test_a_python_that_is_none_is_said_in_words_of_ours(checkout: Path, python: str, words: str) -> None:
    with make(checkout, "up", f"PYTHON={python}") as made:
        said = made.communicate(timeout=60)[0]
    assert made.returncode == 2
    assert words in said
    assert "make up PYTHON=python3.12" in said
    assert "not found" not in said
    assert not (checkout / ".venv").exists()


def test_down_where_nothing_was_installed(checkout: Path) -> None:
    with make(checkout, "down") as made:
        assert "nothing was installed here" in made.communicate(timeout=60)[0]
    assert made.returncode == 0
