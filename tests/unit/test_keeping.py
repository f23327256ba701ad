"""Keeping the lists: entries are added whole or not at all, an act is said to be read, differences are told."""

import io
from datetime import date
from pathlib import Path

import pytest

from chopar.cli.main import main
from chopar.errors import ConfigurationError, LawUnreadableError, NotFoundError
from chopar.messages.demand import FetchMode, Outcome
from gateway.bundle import list_files
from gateway.compared_lists import differences
from gateway.keeping import add, verify
from gateway.lint import errors, lint
from gateway.list_version import ListVersion
from tests.edited_lists import edited
from tests.oracle.asking import ask
from tests.standing import LISTS

SHIPPED = list_files(LISTS)
BEFORE = ListVersion.from_files(SHIPPED)
READ_ON = date(2026, 11, 20)
GROUND = "ground-military-service-period-document-pension"
ENTRY = """
[[document]]
id = "bank-reference"
name_en = "Reference of a bank"

[[entry]]
id = "bank-reference-communal"
document_type = "bank-reference"
name_en = "Reference of a bank"
barred_groups = ["communal-organisations"]
from_whom = ["person"]
scope = "contract and service of a communal organisation"
in_force_from = 2026-12-01
in_force_basis = "in_force"
act = "an act"
disposition = "not_needed"
disposition_basis = "stated"
data_class = "ordinary"
about = ["person"]
text_read = "press"
confidence = "stated"
sources = ["where it was read"]
"""


def test_an_entry_is_added_and_binds_from_its_day() -> None:
    changed, names = add(SHIPPED, ENTRY)
    assert names == ["entry bank-reference-communal", "document bank-reference"]
    lists = ListVersion.from_files(changed)
    assert errors(lint(lists, READ_ON)) == []

    def outcome(day: str) -> str:
        [document] = ask(
            requester="electricity-het", procedure="electricity-supply-contract", documents=["bank-reference"],
            day=day, version=lists,
        ).documents  # fmt: skip
        return f"{document.outcome} {document.person_may_be_asked}"

    assert outcome("2026-11-30") == "refused no"
    assert outcome("2026-12-01") == "not_needed no"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", ConfigurationError),
        ("[[holding]]\n", ConfigurationError),
        ("entry = 1\n[[entry", ConfigurationError),
        ("entry = 5", ConfigurationError),
        ("entry = " + "[" * 5000, ConfigurationError),
        ('[[entry]]\nname = "no id"\n', ConfigurationError),
        (ENTRY.replace("bank-reference-communal", "tax-debt-certificate-communal"), ConfigurationError),
        (ENTRY.replace("communal-organisations", "nobody"), LawUnreadableError),
        (ENTRY.replace('disposition = "not_needed"', ""), LawUnreadableError),
    ],
)
def test_what_cannot_be_added_changes_nothing(text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        add(SHIPPED, text)


def asked(lists: ListVersion) -> tuple[Outcome, str]:
    [document] = ask(
        requester="pension-fund", procedure="old-age-pension", documents=["military-service-period-document"],
        day="2026-11-26", mode=FetchMode.VERIFIED.value, version=lists,
    ).documents  # fmt: skip
    return document.outcome, document.code


def test_reading_the_act_is_what_turns_a_gap_into_a_fetch() -> None:
    connected = edited(
        SHIPPED, "directory.toml", "holding",
        {"provider": "defence-ministry", "evidence_type": "military-service-periods"}, connected=True,
    )  # fmt: skip
    assert asked(ListVersion.from_files(connected)) == (Outcome.GAP, "ground_not_verified")
    read = verify(connected, GROUND, by="A. Lawyer", text_ref="https://lex.uz/docs/1", on=READ_ON)
    lists = ListVersion.from_files(read)
    assert asked(lists) == (Outcome.FETCH, "ground")
    verified = lists.grounds[GROUND].verified
    assert verified is not None
    assert (verified.by, verified.on, verified.text_ref) == ("A. Lawyer", READ_ON, "https://lex.uz/docs/1")
    assert errors(lint(lists, READ_ON)) == []
    assert [flaw.code for flaw in errors(lint(lists, date(2026, 11, 19)))] == ["impossible_date"]


def test_an_act_that_nobody_says_was_read_opens_nothing_past_lint() -> None:
    silently = edited(SHIPPED, "grounds.toml", "ground", {"id": GROUND}, text_read="official")
    assert [flaw.code for flaw in errors(lint(ListVersion.from_files(silently), READ_ON))] == ["nobody_read"]
    halfway = edited(SHIPPED, "grounds.toml", "ground", {"id": GROUND}, verified_by="A. Lawyer")
    with pytest.raises(LawUnreadableError, match="all three are due"):
        ListVersion.from_files(halfway)


@pytest.mark.parametrize(
    ("name", "by", "ref", "error"),
    [
        ("nothing-of-that-id", "A. Lawyer", "a place", NotFoundError),
        (GROUND, " ", "a place", ConfigurationError),
        (GROUND, "A. Lawyer", "", ConfigurationError),
        ("ground-identity-document-copy", "A. Lawyer", "a place", ConfigurationError),  # it names no act
    ],
)
def test_a_verification_needs_a_reader_a_text_and_an_act(name: str, by: str, ref: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        verify(SHIPPED, name, by=by, text_ref=ref, on=READ_ON)


def test_differences_are_told_in_words() -> None:
    assert differences(BEFORE, BEFORE) == []
    changed, _ = add(SHIPPED, ENTRY)
    changed = verify(changed, GROUND, by="A. Lawyer", text_ref="a place", on=READ_ON)
    changed = edited(changed, "prohibited.toml", "entry", {"id": "tax-debt-certificate-communal"}, condition="x")
    told = [str(one) for one in differences(BEFORE, ListVersion.from_files(changed))]
    assert "entry bank-reference-communal: added" in told
    assert "document bank-reference: added" in told
    assert "entry tax-debt-certificate-communal: condition: none -> x" in told
    [ground] = [one for one in told if one.startswith(f"ground {GROUND}")]
    assert "text read: press -> official" in ground
    assert len(told) == 4
    back = [str(one) for one in differences(ListVersion.from_files(changed), BEFORE)]
    assert "entry bank-reference-communal: removed" in back


def run(*words: str, home: Path) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    return main(words, environ={"CHOPAR_HOME": str(home)}, out=out, err=err), out.getvalue(), err.getvalue()


def test_by_command_lists_are_exported_changed_looked_through_and_compared(tmp_path: Path) -> None:
    mine, entry = tmp_path / "mine", tmp_path / "entry.toml"
    assert run("prohibited", "export", str(mine), "--of", "shipped", home=tmp_path)[0] == 0
    assert run("prohibited", "diff", "shipped", str(mine), home=tmp_path)[:2] == (0, "0 differences\n")
    entry.write_text(ENTRY)
    assert run("prohibited", "add", str(entry), "--lists", str(mine), home=tmp_path)[0] == 0
    assert run("prohibited", "lint", str(mine), home=tmp_path)[0] == 0
    code, out, _ = run("prohibited", "diff", "shipped", str(mine), home=tmp_path)
    assert code == 1
    assert "entry bank-reference-communal: added" in out
    signed = ("--by", "A. Lawyer", "--text-ref", "a place", "--on", "2026-11-20")
    assert run("prohibited", "verify", GROUND, "--lists", str(mine), *signed, home=tmp_path)[0] == 0
    assert b"A. Lawyer" in (mine / "grounds.toml").read_bytes()
    assert run("prohibited", "export", str(mine), "--of", "shipped", home=tmp_path)[0] == 2  # nothing is overwritten


def test_by_command_an_error_is_exit_code_one_and_an_unreadable_list_too(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    run("prohibited", "export", str(mine), "--of", "shipped", home=tmp_path)
    text = (mine / "prohibited.toml").read_text()
    (mine / "prohibited.toml").write_text(text.replace("in_force_from = 2022-07-01", "in_force_from = 2922-07-01"))
    code, out, _ = run("prohibited", "lint", str(mine), home=tmp_path)
    assert code == 1
    assert "impossible_date" in out
    code, _, err = run("prohibited", "activate", str(mine), home=tmp_path)
    assert code == 2
    assert "do not come into force" in err
    (mine / "prohibited.toml").write_text(text[: len(text) // 2])
    code, out, _ = run("prohibited", "lint", str(mine), home=tmp_path)
    assert code == 1
    assert "unreadable" in out


def test_show_and_coverage_read_what_is_shipped(tmp_path: Path) -> None:
    code, out, _ = run("prohibited", "show", "tax-debt-certificate-communal", home=tmp_path)
    assert code == 0
    assert "UP-113" in out
    assert run("prohibited", "show", "nothing-of-that-id", home=tmp_path)[0] == 1
    code, out, _ = run("prohibited", "coverage", home=tmp_path)
    assert code == 0
    assert "not complete" in out
