"""Keeping the lists: entries are added whole or not at all, an act is said to be read, differences are told."""

import contextlib
import io
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from chopar.cli.main import main
from chopar.errors import ConfigurationError, LawUnreadableError, NotFoundError
from chopar.messages.demand import FetchMode, Outcome
from chopar.near import did_you_mean
from gateway.access_ground import AccessGround
from gateway.bundle import list_files
from gateway.compared_lists import differences
from gateway.connecting import connect
from gateway.given_keys import KEYS, described, example, examples, placeholders
from gateway.keeping import add, verify
from gateway.lint import errors, lint
from gateway.list_version import ListVersion
from gateway.lists.reading import Table
from gateway.prohibited_list import ProhibitedEntry
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


def test_what_else_stands_in_a_file_stays_as_it_is() -> None:
    remark = b"# A remark of those who keep the list.\n"
    files = {**SHIPPED, **{name: remark + SHIPPED[name] for name in ("prohibited.toml", "grounds.toml")}}
    changed, _ = add(files, ENTRY)
    assert changed["prohibited.toml"].startswith(files["prohibited.toml"])
    assert changed["documents.toml"].startswith(files["documents.toml"])
    for name, file in ((GROUND, "grounds.toml"), ("tax-debt-certificate-communal", "prohibited.toml")):
        before = files[file].decode().split("\n")
        read = verify(files, name, by="A. Lawyer", text_ref="a place", on=READ_ON)[file].decode().split("\n")
        assert [one for one in before if one not in read] == []
        come = [one for one in read if one not in before]
        signed = ['verified_by = "A. Lawyer"', "verified_on = 2026-11-20", 'text_ref = "a place"']
        assert come == ['text_read = "official"', *signed]
        assert len(read) == len(before) + len(signed)
        again = verify(
            {**files, file: "\n".join(read).encode()}, name, by="B. Lawyer", text_ref="c", on=READ_ON, again=True
        )
        assert again[file].count(b"Lawyer") == 1


@pytest.mark.parametrize("quirk", ["quoted key", "no newline", "crlf", "remark behind", "spaced heading"])
def test_a_file_that_is_written_otherwise_is_changed_as_well(quirk: str) -> None:
    documents, grounds = SHIPPED["documents.toml"], SHIPPED["grounds.toml"]
    documents, grounds = {
        "quoted key": (documents, grounds.replace(b"text_read = ", b'"text_read" = ')),
        "no newline": (documents.rstrip(b"\n"), grounds.rstrip(b"\n")),
        "crlf": (documents.replace(b"\n", b"\r\n"), grounds.replace(b"\n", b"\r\n")),
        "remark behind": (documents, grounds.replace(b"[[ground]]", b"[[ground]] # so")),
        "spaced heading": (documents, grounds.replace(b"[[ground]]", b"[[ ground ]]")),
    }[quirk]
    files = {**SHIPPED, "documents.toml": documents, "grounds.toml": grounds}
    changed = verify(add(files, ENTRY)[0], GROUND, by="A. Lawyer", text_ref="a place", on=READ_ON)
    lists = ListVersion.from_files(changed)
    assert len(lists.documents) == len(BEFORE.documents) + 1
    assert [one for one in lists.grounds.values() if one.verified] == [lists.grounds[GROUND]]
    assert lists.grounds[GROUND].text_read == "official"
    assert len(lists.grounds) == len(BEFORE.grounds)


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
        ("entry = " + "9" * 5000, ConfigurationError),
        (ENTRY.replace("communal-organisations", "nobody"), ConfigurationError),
        (ENTRY.replace('disposition = "not_needed"', ""), ConfigurationError),
    ],
)
def test_what_cannot_be_added_changes_nothing(text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        add(SHIPPED, text)


def test_all_faults_of_a_file_are_told_at_once_and_what_may_have_been_meant() -> None:
    wrong = (
        ENTRY.replace("communal-organisations", "communal-organisation").replace('"in_force"', '"inforce"')
        .replace('act = "an act"', "").replace("sources", "sourcs").replace("contract and", "contact and")
        .replace('about = ["person"]', "about = 5")
    )  # fmt: skip
    with pytest.raises(ConfigurationError) as caught:
        add(SHIPPED, wrong + "\n[[ground]]\nid = 'g'\n")
    told = str(caught.value)
    for words in (
        "entry bank-reference-communal: unknown key: sourcs (did you mean sources?",
        "sources is missing: where it was read",
        "unknown group: communal-organisation (did you mean communal-organisations",
        "unknown scope: contact and service of a communal organisation (did you mean contract and service of",
        "in_force_basis: 'inforce' is none of: in_force, act_date",
        "act is missing: the act",
        "about: a list of texts is due",
        "ground g: holder is missing",
        "ground g: requester_groups or requester_agencies is due",
        "chopar prohibited add --example entry",
    ):
        assert words in told
    assert ".toml" not in told


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ENTRY.replace("[[entry]]", "[[entrys]]"), r"\[\[entrys\]\]; due are tables: \[\[entry\]\]"),
        (ENTRY.replace("2026-12-01", "2026-13-01"), "line 13: 2026-13-01 is no day"),
        (
            ENTRY.replace('"stated"\nsources', '"stated"\ncoverage = "any"\nsources'),
            r"unknown coverage: any \(there are: announced-30; communal-32; references-73\)",
        ),
        (
            ENTRY.replace("[[document]]", "[[document]]\nsource = 'x'"),
            "^the given file: document bank-reference: unknown",
        ),
    ],
)
def test_a_fault_says_what_to_do(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        add(SHIPPED, text)


@pytest.mark.parametrize("array", ["entry", "ground"])
def test_the_example_can_be_added_and_explains_every_key(array: str) -> None:
    text = example(array)
    act, source = placeholders(array)
    changed, [name] = add(SHIPPED, text)
    assert name.startswith(f"{array} ")
    unread = [flaw.said for flaw in errors(lint(ListVersion.from_files(changed), READ_ON))]
    assert len(unread) == 2, unread
    assert act in unread[0]
    assert source in unread[1]
    changed, _ = add(SHIPPED, text.replace(act, "Law of a day, article 5").replace(source, "the official gazette"))
    lists = ListVersion.from_files(changed)
    assert set(errors(lint(lists, READ_ON))) == set(errors(lint(BEFORE, READ_ON)))
    for key in KEYS[array]:
        assert key.says.startswith("written by") or f"\n# {key.name} = " in text or f"\n{key.name} = " in text


class Recording(Table):
    """A table that knows what was asked of it."""

    def __init__(self, values: dict[str, object]) -> None:
        super().__init__("", "", values)
        self.asked: set[str] = set()

    def optional_text(self, key: str) -> str:
        self.asked.add(key)
        return super().optional_text(key)

    def texts(self, key: str) -> tuple[str, ...]:
        self.asked.add(key)
        return super().texts(key)

    def day(self, key: str) -> date | None:
        self.asked.add(key)
        return super().day(key)

    def flag(self, key: str) -> bool:
        self.asked.add(key)
        return super().flag(key)


@pytest.mark.parametrize(("array", "read"), [("entry", ProhibitedEntry.read), ("ground", AccessGround.read)])
def test_the_keys_that_are_explained_are_those_that_are_read(array: str, read: Callable[[Table], object]) -> None:
    table = Recording(examples(array))
    with contextlib.suppress(LawUnreadableError):  # not all of them go together
        read(table)
    table.finish()
    assert table.asked == {key.name for key in KEYS[array]}
    due = {key.name: examples(array)[key.name] for key in KEYS[array] if key.due}
    for name in due:
        with pytest.raises(LawUnreadableError):
            read(Table("", "", {key: value for key, value in due.items() if key != name}))


def test_the_keys_stand_in_the_document() -> None:
    text = (LISTS.parents[1] / "docs" / "operations.md").read_text("utf-8")
    for array in KEYS:
        assert "\n".join(described(array)) in text


def test_what_somebody_may_have_meant() -> None:
    known = ["tax-debt", "communal-organisations", "communal-offices", "photo"]
    assert did_you_mean("tax-det", known) == " (did you mean tax-debt?)"
    assert did_you_mean("communal", known) == " (did you mean communal-offices or communal-organisations?)"
    assert did_you_mean("any", known) == " (there are: communal-offices; communal-organisations; photo; tax-debt)"
    many = [f"number-{number:02}" for number in range(40)]
    assert did_you_mean("any", many).startswith(" (there are 40: number-00; number-01; ")
    assert did_you_mean("any", many).endswith("number-23; ...)")
    assert did_you_mean("any", []) == ""


def test_an_act_that_was_read_is_not_silently_read_by_another() -> None:
    once = verify(SHIPPED, GROUND, by="A. Lawyer", text_ref="a place", on=READ_ON)
    with pytest.raises(ConfigurationError, match=r"A\. Lawyer has read it on 2026-11-20, at a place; --again"):
        verify(once, GROUND, by="B. Lawyer", text_ref="b", on=READ_ON)
    with pytest.raises(
        ConfigurationError, match=r"write first, in grounds\.toml of the lists, under the \[\[ground\]\]"
    ):
        verify(SHIPPED, "ground-identity-document-copy", by="A. Lawyer", text_ref="a place", on=READ_ON)


def asked(lists: ListVersion) -> tuple[Outcome, str]:
    [document] = ask(
        requester="pension-fund", procedure="old-age-pension", documents=["military-service-period-document"],
        day="2026-11-26", mode=FetchMode.VERIFIED.value, version=lists,
    ).documents  # fmt: skip
    return document.outcome, document.code


@pytest.mark.parametrize(
    "broken",
    [b"\n= nothing", b"\xff", b"\nx = " + b"9" * 5000, b"\nground = 5"],
    ids=["toml", "utf-8", "number", "array"],
)
def test_lists_that_cannot_be_read_are_an_error_that_says_which(broken: bytes) -> None:
    content = broken if b"ground" in broken else SHIPPED["grounds.toml"] + broken
    files = {**SHIPPED, "grounds.toml": content}
    with pytest.raises(LawUnreadableError, match=r"^grounds\.toml: "):
        add(files, '[[ground]]\nid = "another"')
    with pytest.raises(LawUnreadableError, match=r"^grounds\.toml: "):
        verify(files, GROUND, by="A. Karimova", text_ref="lex.uz", on=READ_ON)
    holding = '[[holding]]\nprovider = "a"\nevidence_type = "b"\nconnected = true'
    with pytest.raises(LawUnreadableError, match=r"^directory\.toml: "):
        connect({**SHIPPED, "directory.toml": broken.replace(b"ground", b"holding")}, holding)


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
    assert (
        "entry bank-reference-communal: added: bank-reference may not be asked by communal-organisations in contract "
        "and service of a communal organisation, from 2026-12-01 (in_force); instead: not_needed"
    ) in told
    assert "document bank-reference: added" in told
    assert "entry tax-debt-certificate-communal: condition: none -> x" in told
    [ground] = [one for one in told if one.startswith(f"ground {GROUND}")]
    assert ground.endswith("text read: press -> official; verified: none -> by A. Lawyer on 2026-11-20 (a place)")
    assert len(told) == 4
    back = [str(one) for one in differences(ListVersion.from_files(changed), BEFORE)]
    assert any(
        one.startswith("entry bank-reference-communal: removed: bank-reference may not be asked") for one in back
    )


def test_of_several_values_those_that_came_and_went_are_told() -> None:
    name = "tax-debt-certificate-communal"
    changed = edited(SHIPPED, "prohibited.toml", "entry", {"id": name}, from_whom=["person"], sources=["a", "b"])
    [told] = map(str, differences(BEFORE, ListVersion.from_files(changed)))
    assert told.startswith(f"entry {name}: from whom: without business; sources: with a, b and without ")


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


def test_by_command_what_lint_refuses_is_not_written(tmp_path: Path) -> None:
    mine, entry = tmp_path / "mine", tmp_path / "entry.toml"
    run("prohibited", "export", str(mine), "--of", "shipped", home=tmp_path)
    entry.write_text(ENTRY.replace("bank-reference-communal", "My Entry"))
    code, out, _ = run("prohibited", "add", str(entry), "--lists", str(mine), home=tmp_path)
    assert code == 1
    assert "nothing was added" in out
    assert "My Entry: bad_id" in out
    assert list_files(mine) == SHIPPED
    signed = ("--by", "A. Lawyer", "--text-ref", "a place", "--on", "9999-01-01")
    code, _, err = run("prohibited", "verify", GROUND, "--lists", str(mine), *signed, home=tmp_path)
    assert code == 2
    assert "still to come" in err
    assert list_files(mine) == SHIPPED
    assert run("prohibited", "add", str(entry), home=tmp_path)[0] == 2
    assert run("prohibited", "add", "--example", "ground", home=tmp_path)[1] == example("ground")
    code, _, err = run("prohibited", "explain", "tax-debt-certificat", home=tmp_path)
    assert code == 1
    assert "did you mean tax-debt-certificate" in err


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


def test_which_lists_were_read_is_said_beside_the_data(tmp_path: Path) -> None:
    code, out, err = run("prohibited", "show", "tax-debt-certificate-communal", home=tmp_path)
    assert code == 0
    assert "  act: Presidential Decree UP-113" in out
    assert err == f"lists read: shipped, version {BEFORE.digest[:12]}: no stack runs here that has others in force\n"
    assert run("prohibited", "show", "nothing-of-that-id", home=tmp_path)[0] == 1
    mine = tmp_path / "mine"
    run("prohibited", "export", str(mine), "--of", "shipped", home=tmp_path)
    code, out, err = run("prohibited", "coverage", "--lists", str(mine), home=tmp_path)
    assert code == 0
    assert "communal-32: knows 6 of 32 (inferred)" in out
    assert "not complete" in out
    assert err == f"lists read: {mine}, version {BEFORE.digest[:12]}\n"


@pytest.mark.parametrize(
    ("language", "says"),
    [
        ("en", ("Not to be asked for by: Communal organisations (", "stated: a source says so", "not complete")),
        (
            "ru",
            (
                "Кому нельзя требовать: Организации, оказывающие коммунальные услуги (",
                "так сказано в источнике",
                "неполон",
            ),
        ),
        (
            "uz",
            (
                "Talab qilishi taqiqlanganlar: Kommunal xizmatlar koʻrsatuvchi tashkilotlar (",
                "manbada aytilgan",
                "toʻliq emas",
            ),
        ),
    ],
)
def test_an_entry_is_explained_in_words_of_a_language(language: str, says: tuple[str, ...], tmp_path: Path) -> None:
    for verb in ("explain", "list"):
        words = ("prohibited", verb, "--language", language)
        what = ("tax-debt-certificate",) if verb == "explain" else ("--document", "tax-debt-certificate")
        code, out, _ = run(*words, *what, home=tmp_path)
        assert code == 0
        for one in says:
            assert one.removesuffix(" (") in out
        assert "tax-clearance-notary" in out
        assert max(map(len, out.splitlines())) < 400  # nothing is drawn as a table
        assert "+--" not in out
    assert run(*words[:-1], "fr", home=tmp_path)[0] == 2


def considered(home: Path, *words: str) -> tuple[dict[str, tuple[bool, bool, list[str]]], dict[str, Any]]:
    code, out, _ = run("--format", "json", "prohibited", "explain", *words, home=home)
    assert code == 0
    answer = json.loads(out)
    return {one["entry"]: (one["decided"], one["nearly"], one["why"]) for one in answer["considered"]}, answer


def test_a_question_is_answered_with_what_decided_and_what_nearly_did(tmp_path: Path) -> None:
    asks = ("--requester", "electricity-het", "--procedure", "electricity-supply-contract", "--on", "2026-07-01")
    found, answer = considered(tmp_path, "tax-debt-certificate", *asks)
    assert found["tax-debt-certificate-communal"] == (True, False, ["binds"])
    far = ["other_requester", "other_procedure", "other_subject", "condition_unsaid"]
    assert found["tax-clearance-notary"] == (False, False, far)
    assert answer["fetch_mode"] == "verified"
    early, _ = considered(tmp_path, "tax-debt-certificate", *asks[:-1], "2022-06-30")
    assert early["tax-debt-certificate-communal"] == (False, True, ["not_yet"])
    code, out, _ = run("prohibited", "explain", "tax-debt-certificate", *asks, home=tmp_path)
    assert code == 0
    assert out.startswith("No, they may not ask for it\n")
    assert "  tax-debt-certificate-communal: the answer rests on it\n" in out
    assert "further entries that several things keep from binding: 1" in out


@pytest.mark.parametrize(
    ("said", "why"), [((), "condition_unsaid"), (("--circumstance", "city-of-tashkent=no"), "condition_is_no")]
)
def test_a_condition_that_kept_an_entry_from_binding_is_said(said: tuple[str, ...], why: str, tmp_path: Path) -> None:
    asks = ("--requester", "employer", "--procedure", "hiring", "--on", "2026-07-01", *said)
    found, _ = considered(tmp_path, "tashkent-registration-hiring", *asks)
    decided, _, failed = found["tashkent-registration-hiring"]
    assert failed == [why]
    assert decided is (why == "condition_unsaid")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--requester", "electricity-het"), 2),
        (("--requester", "nobody", "--procedure", "hiring"), 1),
        (("--requester", "employer", "--procedure", "nothing"), 1),
        (("--requester", "employer", "--procedure", "hiring", "--kind", "object"), 2),
        (("--requester", "employer", "--procedure", "hiring", "--about", "object"), 2),
        (("--requester", "employer", "--procedure", "hiring", "--circumstance", "x"), 2),
        (("--on", "20260701"), 2),
        (("--lists", "no-such-folder"), 1),
        (("--lists", "in-force"), 3),
    ],
)
def test_a_question_that_is_none_is_wrong_use(words: tuple[str, ...], code: int, tmp_path: Path) -> None:
    assert run("prohibited", "explain", "tax-debt-certificate", *words, home=tmp_path)[0] == code


def test_a_paper_about_another_party_is_answered_for_that_party(tmp_path: Path) -> None:
    asks = ("--requester", "justice-notary", "--procedure", "real-estate-sale-notary-non-residential")
    paper = "civil-status-record-marriage"
    _, own = considered(tmp_path, paper, *asks, "--kind", "business", "--fetch-on", "inferred")
    _, other = considered(tmp_path, paper, *asks, "--kind", "business", "--fetch-on", "inferred", "--about", "person")
    assert [(one["about"], one["documents"][0]["code"]) for one in (own, other)] == [
        (None, "not_about_subject"),
        ("person", "ground"),
    ]


def test_what_a_folder_says_moves_no_cursor_and_turns_no_line(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    run("prohibited", "export", str(mine), "--of", "shipped", home=tmp_path)
    path = mine / "prohibited.toml"
    evil = r'name_en = "\u001b[2J\u202eCertificate of tax debts"'
    path.write_text(path.read_text().replace('name_en = "Certificate of tax debts"', evil, 1))
    for words in (("explain", "tax-debt-certificate"), ("list",), ("show", "tax-debt-certificate-communal"), ("lint",)):
        where = (str(mine),) if words == ("lint",) else ("--lists", str(mine))
        _, out, err = run("prohibited", *words, *where, home=tmp_path)
        assert "Certificate of tax debts" in out or words == ("lint",)
        assert not {"\x1b", "\u202e"} & set(out + err)
    _, out, _ = run("prohibited", "diff", "shipped", str(mine), home=tmp_path)
    assert not {"\x1b", "\u202e"} & set(out)


def test_two_who_add_at_once_both_have_added(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    run("prohibited", "export", str(mine), "--of", "shipped", home=tmp_path)
    for number in range(3):
        (tmp_path / f"{number}.toml").write_text(ENTRY.replace("bank-reference", f"bank-reference-{number}"))
    with ThreadPoolExecutor(3) as people:
        added = [
            people.submit(
                run, "prohibited", "add", str(tmp_path / f"{number}.toml"), "--lists", str(mine), home=tmp_path
            )
            for number in range(3)
        ]
        assert [one.result()[0] for one in added] == [0, 0, 0]
    lists = ListVersion.from_files(list_files(mine))
    assert len(lists.prohibited) == len(BEFORE.prohibited) + 3
    assert sorted(path.name for path in mine.iterdir()) == sorted(SHIPPED)
    nowhere = str(tmp_path / "nowhere")
    assert run("prohibited", "add", str(tmp_path / "0.toml"), "--lists", nowhere, home=tmp_path)[0] == 2


def test_numbers_are_said_in_their_number(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    run("prohibited", "export", str(mine), "--of", "shipped", home=tmp_path)
    path = mine / "prohibited.toml"
    path.write_text(path.read_text().replace('condition = "city-of-tashkent"\n', "", 1))
    code, out, _ = run("prohibited", "diff", "shipped", str(mine), home=tmp_path)
    assert (code, out) == (1, "entry tashkent-registration-hiring: condition: city-of-tashkent -> none\n1 difference\n")


def test_who_brings_lists_into_force_is_said_or_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getuid", lambda: 2**31 - 7)  # an account without a name, as in a container
    connected = tmp_path / "directory.toml"
    connected.write_text("")
    for words in (("prohibited", "activate", str(LISTS)), ("directory", "apply", str(connected))):
        code, _, err = run(*words, home=tmp_path)
        assert (code, "--by: this system does not say who you are" in err) == (2, True)
        for environ, by in (({"LOGNAME": "lawyer"}, ()), ({}, ("--by", "A. Lawyer"))):
            said = io.StringIO()
            environ = {"CHOPAR_HOME": str(tmp_path), **environ}
            assert main((*words, *by), environ=environ, out=io.StringIO(), err=said) == 3, "no stack runs"
            assert "--by" not in said.getvalue()
