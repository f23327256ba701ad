"""The console script: help without loading anything, one sentence for what was typed wrongly, exit codes."""

import io
import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from chopar.cli import nouns
from chopar.cli.exit_codes import ExitCode, of_error, worst
from chopar.cli.main import _invoke, main
from chopar.cli.output import Format, Output, hide_rejected
from chopar.cli.session import Session
from chopar.errors import (
    BrokerUnavailableError,
    ConfigurationError,
    MalformedIdentifierError,
    NotFoundError,
    TopicLayoutError,
    UnavailableError,
)

PINFL = "31012649801148"
CHECKOUT = Path(__file__).parents[2]


def call(*arguments: str, home: Path | None = None) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    environ = {"CHOPAR_HOME": str(home or "/nonexistent/chopar")}
    code = main(arguments, environ=environ, out=out, err=err)
    return code, out.getvalue(), err.getvalue()


def test_help_lists_every_noun_on_standard_output() -> None:
    code, out, err = call("--help")
    assert (code, err) == (0, "")
    for noun in ("up", "down", "doctor", "status", "demand", "topic", "population", "schema", "prohibited"):
        assert f"  {noun} " in out
    assert "--format text|json" in out


def test_help_takes_little_cpu_and_loads_nothing_heavy() -> None:
    program = (
        "import sys; from chopar.cli.main import main; code = main(['--help']);"
        "heavy = {'typer', 'rich', 'pydantic', 'aiokafka', 'asyncio', 'structlog', 'httpx2', 'gateway'};"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr); sys.exit(code)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=CHECKOUT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"chopar --help: {seconds:.3f} s of CPU")
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == "[]"
    assert seconds < 0.4  # the promise is 0.2 on a quiet machine


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["demnad", "create"], "Did you mean demand?"),
        (["prohibitd"], "Did you mean prohibited?"),
        (["--verson"], "there is no option --verson"),
        (["demand", "creat"], "Did you mean 'create'"),
        (["population", "list", "--limt", "3"], "Did you mean --limit?"),
        (["population", "list", "--limit", "many"], "--limit"),
        (["population", "list", "--limit", "-1"], "--limit"),
        (["population", "list", "--format", "xml"], "--format: text or json is due"),
        (["population", "list", "--format"], "--format needs a value"),
        (["demand", "create", "--requester", "r", "--procedure", "p"], "--document"),
        (["demand", "trace"], "ID"),
        (["demand", "trace", "no-id"], "a demand id is due"),
        (["status", "--bootstrap", "kafka.example:9092", "now"], "more words than it takes"),
    ],
)
def test_wrong_use_is_one_sentence_and_exit_2(arguments: list[str], words: str) -> None:
    code, out, err = call(*arguments)
    assert code == 2
    assert out == ""
    assert words in err
    assert len(err.strip().splitlines()) == 1
    assert "Traceback" not in err


def test_no_arguments_is_help_and_wrong_use() -> None:
    code, out, err = call()
    assert (code, out) == (2, "")
    assert err.startswith("Usage: chopar")


@pytest.mark.parametrize("rejected", [PINFL, f"{PINFL}x", "３１０１２６４９８０１１４８", f"--{PINFL}"])
def test_what_was_rejected_is_not_repeated(rejected: str) -> None:
    _, out, err = call("population", "list", rejected)
    assert rejected not in out + err
    assert PINFL not in out + err


def test_control_characters_are_not_repeated() -> None:
    assert hide_rejected("bad \x1b[31mword\x00") == "bad ?[31mword?"
    assert hide_rejected("0190f5b2-7c3e-7a11-8c2d-123456789012") == "0190f5b2-7c3e-7a11-8c2d-123456789012"


def test_no_stack_is_exit_3_and_says_the_next_command(tmp_path: Path) -> None:
    for arguments in (["status"], ["topic", "list"], ["demand", "list"]):
        code, out, err = call(*arguments, home=tmp_path / "empty")
        assert (code, out) == (3, "")
        assert "chopar up" in err
        assert len(err.strip().splitlines()) == 1


def test_a_ctrl_c_is_no_silent_end() -> None:
    app = typer.Typer()

    @app.command()
    def interrupted() -> None:
        raise KeyboardInterrupt

    out, err = io.StringIO(), io.StringIO()
    with pytest.raises(KeyboardInterrupt):  # `main` says a sentence to it
        _invoke(get_command(app), "interrupted", [], Session(Output(Format.TEXT, out, err)), out, err)


def test_down_without_a_stack_is_done(tmp_path: Path) -> None:
    code, out, _ = call("down", "--format", "json", home=tmp_path)
    assert code == 0
    assert json.loads(out) == {"home": str(tmp_path), "stopped": []}


def test_an_address_that_is_not_loopback_is_refused() -> None:
    code, _, err = call("topic", "list", "--bootstrap", "kafka.example:9092")
    assert code == 2
    assert "--insecure" in err


def test_options_that_all_commands_share_may_stand_anywhere() -> None:
    first = call("--format", "json", "population", "list", "--limit", "1")
    last = call("population", "list", "--limit", "1", "--format=json")
    assert first == last
    assert first[0] == 0
    assert len(json.loads(first[1])) == 1


def test_population_list_is_what_is_promised() -> None:
    code, out, _ = call("population", "list", "--limit", "3", "--format", "json")
    people = json.loads(out)
    assert code == 0
    assert [set(person) for person in people] == [{"pinfl", "name", "born_on"}] * 3
    code, out, _ = call("population", "list", "--businesses", "--limit", "2", "--format", "json")
    firms = json.loads(out)
    assert code == 0
    assert [set(firm) for firm in firms] == [{"stir", "name", "objects"}] * 2
    assert all(set(owned) == {"account_address", "cadastral_number"} for firm in firms for owned in firm["objects"])


def test_a_foreign_noun_counts_only_with_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "strange_package"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    info = tmp_path / "strange-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strange\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[chopar.cli]\noddity = strange_package.cli:app\nother = strange_package.x:app\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert "oddity" not in [noun.name for noun in nouns.brought()]
    (package / "nouns.toml").write_text('[nouns]\noddity = "A line of help."\n')
    found = {noun.name: noun for noun in nouns.brought()}
    assert found["oddity"] == nouns.Noun("oddity", "A line of help.", "strange_package.cli")
    assert "other" not in found
    (package / "nouns.toml").write_text("not toml")
    assert "oddity" not in [noun.name for noun in nouns.brought()]


def test_a_noun_of_a_package_that_is_not_installed_is_said_to_come_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "strange-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strange\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[chopar.cli]\noddity = strange_gateway.cli:app\n")
    monkeypatch.syspath_prepend(tmp_path)
    code, out, err = call("oddity", "explain")
    assert (code, out) == (2, "")
    assert "oddity comes with the strange_gateway, not with the library" in err
    assert "there is no command" not in err


def test_a_noun_is_imported_only_when_called_and_keeps_an_option_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "bringing_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "nouns.toml").write_text('[nouns]\nbrought = "Help."\n')
    (package / "cli.py").write_text(
        "import typer\n"
        "app = typer.Typer()\n"
        "@app.command()\n"
        "def only(registry: str = 'none') -> int:\n"
        "    print('registry', registry)\n"
        "    return 1\n"
    )
    info = tmp_path / "bringing-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bringing\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[chopar.cli]\nbrought = bringing_package.cli:app\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "brought" in call("--help")[1]
    assert "bringing_package.cli" not in sys.modules
    printed = io.StringIO()
    monkeypatch.setattr(sys, "stdout", printed)
    assert call("--registry", "http://127.0.0.1:1", "brought")[0] == 1
    assert printed.getvalue() == "registry http://127.0.0.1:1\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BrokerUnavailableError("x"), ExitCode.UNREACHABLE),
        (UnavailableError("x"), ExitCode.UNREACHABLE),
        (ConfigurationError("x"), ExitCode.WRONG_USE),
        (MalformedIdentifierError("x"), ExitCode.WRONG_USE),
        (NotFoundError("x"), ExitCode.NO),
        (TopicLayoutError("x"), ExitCode.NO),
    ],
)
def test_exit_codes_of_errors(error: Exception, code: ExitCode) -> None:
    assert of_error(error) is code  # type: ignore[arg-type]


def test_the_greatest_exit_code_counts() -> None:
    assert worst([]) == 0
    assert worst([ExitCode.NO, ExitCode.UNREACHABLE, ExitCode.WRONG_USE]) == 3
    assert worst([ExitCode.NO, ExitCode.WRONG_USE, ExitCode.DONE]) == 2
