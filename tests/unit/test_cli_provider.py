"""`chopar provider`: what `init` writes keeps the promises as it stands, and `check` says what does not."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chopar.cli.main import main
from chopar.cli.provider_init import Plan
from chopar.errors import ConfigurationError


def run(*words: str, cwd: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str, str]:
    monkeypatch.chdir(cwd)
    out, err = io.StringIO(), io.StringIO()
    return main(words, environ={"CHOPAR_HOME": str(cwd / "home")}, out=out, err=err), out.getvalue(), err.getvalue()


def forget(package: str) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        del sys.modules[name]


def test_a_new_provider_conforms_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = ["--field", "since:date", "--field", "served:boolean", "--field", "days:long", "--field", "kind:string"]
    words = ["provider", "init", "military-office", "--agency", "defence-ministry", "--evidence", "service-periods"]
    code, out, err = run(*words, *fields, cwd=tmp_path, monkeypatch=monkeypatch)
    assert (code, err) == (0, "")
    assert "military_office/provider.py" in out
    project = tmp_path / "military-office"
    code, out, err = run(
        "provider", "check", "military_office.provider:conformance", "--format", "json", cwd=project,
        monkeypatch=monkeypatch,
    )  # fmt: skip
    forget("military_office")
    rows: list[dict[str, Any]] = json.loads(out)
    assert code == 0, err
    assert {row["bus"] for row in rows} == {"memory"}
    assert {row["evidence_type"] for row in rows} == {"service-periods"}
    assert len(rows) == 8
    assert all(row["passed"] for row in rows)


def test_its_own_tests_and_its_process_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("provider", "init", "pension-office", cwd=tmp_path, monkeypatch=monkeypatch)[0] == 0
    project = tmp_path / "pension-office"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    environment = {"PYTHONPATH": f"{project}:{Path(__file__).parents[2]}", "PATH": ""}
    tested = subprocess.run(command, cwd=project, capture_output=True, text=True, env=environment, timeout=120)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert "1 passed" in tested.stdout
    prefix = "CHOPAR_PENSION_OFFICE_"
    settings = {
        f"{prefix}HOME": str(tmp_path / "state"),
        f"{prefix}KAFKA__BOOTSTRAP": "127.0.0.1:9092",
        f"{prefix}SCHEMA_REGISTRY__URL": "http://127.0.0.1:8081",
        f"{prefix}HTTP__ADDRESS": "127.0.0.1:8090",
    }
    command = [sys.executable, "-m", "pension_office", "--check"]
    checked = subprocess.run(
        command, cwd=project, capture_output=True, text=True, env={**environment, **settings}, timeout=60
    )
    assert checked.returncode == 0, checked.stderr
    assert "the settings are valid" in checked.stderr


def test_what_is_broken_is_said_and_the_exit_code_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("provider", "init", "wage-office", cwd=tmp_path, monkeypatch=monkeypatch)[0] == 0
    project = tmp_path / "wage-office"
    source = project / "wage_office" / "provider.py"
    text = source.read_text()
    source.write_text(text.replace("return NoRecord(COVERAGE)", "raise ValueError('nobody')"))
    code, out, _ = run("provider", "check", "wage_office.provider:conformance", cwd=project, monkeypatch=monkeypatch)
    forget("wage_office")
    assert code == 1
    assert "1 not kept" in out


def test_nothing_is_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "tax-office" / "provider.py"
    mine.parent.mkdir()
    mine.write_text("mine")
    code, _, err = run("provider", "init", "tax-office", cwd=tmp_path, monkeypatch=monkeypatch)
    assert code == 2
    assert "exists already" in err
    assert [path.name for path in mine.parent.iterdir()] == ["provider.py"]


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("no_such_module:x", "cannot be imported"),
        ("json:loads_of_it", "has no"),
        ("json:__doc__", "gives no"),
        ("json", "MODULE:FUNCTION is due"),
    ],
)
def test_a_target_that_is_none_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, said: str) -> None:
    code, _, err = run("provider", "check", target, cwd=tmp_path, monkeypatch=monkeypatch)
    assert code == 2
    assert said in err


def test_a_provider_that_writes_down_whom_it_is_asked_about_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("provider", "init", "log-office", cwd=tmp_path, monkeypatch=monkeypatch)[0] == 0
    project = tmp_path / "log-office"
    source = project / "log_office" / "provider.py"
    told = "    structlog.get_logger().info('asked', about=subject_of(request).text)\n    entry ="
    source.write_text("import structlog\n" + source.read_text().replace("    entry =", told, 1))
    code, out, _ = run("provider", "check", "log_office.provider:conformance", cwd=project, monkeypatch=monkeypatch)
    forget("log_office")
    assert code == 1
    assert "an identifier goes to a log" in out


def test_a_provider_that_ends_the_process_has_not_passed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("provider", "init", "exit-office", cwd=tmp_path, monkeypatch=monkeypatch)[0] == 0
    project = tmp_path / "exit-office"
    source = project / "exit_office" / "provider.py"
    source.write_text(f"{source.read_text()}\n\nraise SystemExit(0)\n")
    code, out, err = run("provider", "check", "exit_office.provider:conformance", cwd=project, monkeypatch=monkeypatch)
    forget("exit_office")
    assert (code, out) == (2, "")
    assert "ended the process" in err


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "Pension"},
        {"name": "class"},
        {"evidence_type": "two words"},
        {"fields": ["status:text"]},
        {"fields": ["status"]},
        {"fields": ["as_of:date"]},
        {"fields": ["one:long", "one:date"]},
        {"fields": ["class:long"]},
        {"name": "json"},
        {"name": "chopar"},
        {"evidence_type": "class"},
        {"evidence_type": "none"},
        {"evidence_type": "provider"},
        {"evidence_type": "register"},
        {"fields": ["model_config:string"]},
        {"fields": ["date:date"]},
        {"fields": ["str:string"]},
        {"agency": "No Agency"},
    ],
)
def test_names_that_are_none_are_refused(wrong: dict[str, Any]) -> None:
    good: dict[str, Any] = {"name": "office", "agency": "office", "evidence_type": "status", "fields": ["one:long"]}
    given = {**good, **wrong}
    with pytest.raises(Exception) as raised:
        Plan.of(given.pop("name"), **given)
    assert type(raised.value).__module__ == ConfigurationError.__module__
