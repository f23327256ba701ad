"""What the README shows of the program is what the program says."""

import re
from io import StringIO
from pathlib import Path

from chopar.cli.main import main
from chopar.population import DEFAULT_SEED, Population

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_help_in_the_readme_is_the_programs() -> None:
    out = StringIO()
    assert main(["--help"], environ={}, out=out, err=StringIO()) == 0
    shown = re.search(r"```text\n(.*?)\n```", README, re.DOTALL)
    assert shown
    assert shown.group(1) == out.getvalue().rstrip()


def test_every_folder_and_target_that_the_readme_names_exists() -> None:
    for path in re.findall(r"`((?:chopar|gateway|services|schemas|deploy|docs)/[\w./]*)`", README):
        assert (ROOT / path).exists(), path
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)\b", README)) - {"lists"} <= targets


def test_the_person_in_the_readme_is_the_first_of_the_population() -> None:
    first = Population.make(DEFAULT_SEED).people_for_examples()[0]
    assert set(re.findall(r"--person (\d+)", README)) == {first.pinfl.text}
