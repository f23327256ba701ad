"""`chopar provider`: what `init` writes keeps the promises as it stands, and `check` says what does not."""

import io
import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from chopar.cli.main import main
from chopar.cli.provider_init import Plan
from chopar.errors import ConfigurationError
from chopar.messages.demand import FetchMode
from chopar.record_fields import field_names
from gateway.bundle import list_files
from gateway.list_version import ListVersion
from gateway.open_data import as_json, index, table
from tests.standing import LISTS


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
    assert len(rows) == 10
    assert all(row["passed"] for row in rows)


@pytest.fixture
def gateway() -> Iterator[str]:
    """The address of what tells the committed lists as the gateway does."""
    version = ListVersion.from_files(list_files(LISTS))
    told = {"/v1/lists": json.dumps(index(version, FetchMode.INFERRED, []))}
    told |= {
        f"/v1/lists/{version.digest}/{one}.json": as_json(table(version, one))
        for one in ("grounds", "directory", "agencies")
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(told[self.path].encode())

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("evidence", "agency", "fields"),
    [
        ("registered-address", "mia-migration", ["address", "since", "kind"]),
        ("employment-periods", "employment-ministry", ["periods.employer", "periods.from", "total_days"]),
        ("utility-debt", "gas-hududgaz", ["has_debt", "amount_tiyin"]),
        ("disability-group", "disability-commission", ["group", "valid_until"]),
    ],
)
def test_without_fields_it_has_those_that_the_grounds_let_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gateway: str, evidence: str, agency: str, fields: list[str]
) -> None:
    """Of the library's own record where it ships one; and `check` finds that nothing is lacking."""
    words = ["provider", "init", "some-office", "--agency", agency, "--evidence", evidence, "--gateway", gateway]
    where = ["--bootstrap", "127.0.0.1:29192", "--registry", "127.0.0.1:28181"]
    code, out, err = run(*words, *where, "--format", "json", cwd=tmp_path, monkeypatch=monkeypatch)
    assert (code, err) == (0, "")
    readme = (tmp_path / "some-office" / "README.md").read_text()
    assert "CHOPAR_SOME_OFFICE_KAFKA__BOOTSTRAP=127.0.0.1:29192\n" in readme
    assert "CHOPAR_SOME_OFFICE_SCHEMA_REGISTRY__URL=http://127.0.0.1:28181\n" in readme
    assert "export CHOPAR_SOME_OFFICE_HOME=$PWD/state\n" in readme
    written = json.loads(out)
    shipped = evidence == "utility-debt"
    assert written["record"].startswith("chopar.evidence." if shipped else "some_office.")
    assert any(path.endswith(".avsc") for path in written["files"]) is not shipped
    project = tmp_path / "some-office"
    words = ["provider", "check", "some_office.provider:conformance", "--gateway", gateway, "--format", "json"]
    code, out, err = run(*words, cwd=project, monkeypatch=monkeypatch)
    record = vars(sys.modules["some_office.provider"])["".join(word.capitalize() for word in evidence.split("-"))]
    forget("some_office")
    rows = json.loads(out)
    assert (code, [row for row in rows if not row["passed"]]) == (0, [])
    assert [row["bus"] for row in rows if row["check"] == "fields of the grounds"] == ["grounds"]
    assert set(fields) <= set(field_names(record))


def test_a_field_that_grounds_let_through_and_the_record_lacks_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gateway: str
) -> None:
    words = ["provider", "init", "address-office", "--agency", "mia-migration", "--evidence", "registered-address"]
    fields = ["--field", "address:string", "--field", "flat:string"]
    assert run(*words, *fields, cwd=tmp_path, monkeypatch=monkeypatch)[::2] == (0, "")
    project = tmp_path / "address-office"
    words = ["provider", "check", "address_office.provider:conformance", "--gateway", gateway]
    code, out, err = run(*words, cwd=project, monkeypatch=monkeypatch)
    forget("address_office")
    assert code == 1
    assert "gives since, kind, which RegisteredAddress has not" in out
    assert "no ground lets through flat; it reaches nobody" in err


def test_an_evidence_type_that_no_ground_names_is_said_with_what_may_have_been_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gateway: str
) -> None:
    words = ["provider", "init", "office", "--agency", "mia-migration", "--gateway", gateway]
    code, _, err = run(*words, "--evidence", "registred-address", cwd=tmp_path, monkeypatch=monkeypatch)
    assert code == 0
    assert "no ground in force names the evidence type registred-address" in err
    assert "Did you mean registered-address?" in err


def test_an_agency_that_the_lists_do_not_know_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gateway: str
) -> None:
    words = ["provider", "init", "office", "--evidence", "registered-address", "--gateway", gateway]
    code, _, err = run(*words, "--agency", "mia-migrations", cwd=tmp_path, monkeypatch=monkeypatch)
    assert code == 0
    assert "the lists know no agency mia-migrations" in err
    assert "Did you mean mia-migration?" in err


def test_grounds_that_nobody_tells_are_said_not_to_be_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, _, err = run("provider", "init", "lone-office", cwd=tmp_path, monkeypatch=monkeypatch)
    assert code == 0
    assert "not known here" in err
    assert "the one field `status` is made up" in err
    project = tmp_path / "lone-office"
    check = ("provider", "check", "lone_office.provider:conformance")
    code, out, err = run(*check, cwd=project, monkeypatch=monkeypatch)
    forget("lone_office")
    assert (code, "10 checks, 0 not kept, 2 to do" in out) == (0, True)
    assert "to do: COVERAGE" in err
    assert "to do: lone_office.ExampleStatus.avsc, whose `doc` is still the one it was made with, in 2 places" in err
    for file in (project / "lone_office" / "provider.py", *project.rglob("*.avsc")):
        file.write_text(re.sub("say here", "It is", file.read_text(), flags=re.IGNORECASE))
    _, out, said = run(*check, cwd=project, monkeypatch=monkeypatch)
    forget("lone_office")
    assert ("0 not kept\n" in out, "to do" in said) == (True, False)
    assert "not compared with the grounds in force" in err


def test_a_gateway_that_was_named_and_does_not_answer_is_an_error_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    words = ["provider", "init", "office", "--agency", "mia-migration", "--gateway", address]
    code, _, words_said = run(*words, cwd=tmp_path, monkeypatch=monkeypatch)
    assert code == 3
    assert address in words_said
    assert not (tmp_path / "office").exists()


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
    assert "2 not kept" in out  # who is struck off the register is not known either


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
        {"fields": ["a.b.c:long"]},
        {"fields": ["one:long", "one.two:long"]},
        {"fields": ["one.model_config:string"]},
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
