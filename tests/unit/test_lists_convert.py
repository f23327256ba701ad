"""The converter: the committed lists are what the facts give, and nothing of the facts is lost on the way."""

import csv
import shutil
import tomllib
from pathlib import Path

import pytest

from chopar.errors import ConfigurationError, LawUnreadableError
from gateway.lists.convert import FOLDER, convert, differences, main
from gateway.lists.facts_csv import read_facts
from tests.oracle.asking import list_files
from tests.oracle.test_whole_law import CONNECTED_TODAY

FACTS = FOLDER / "facts"


def rows(name: str) -> list[dict[str, str]]:
    with (FACTS / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def tables(name: str, array: str) -> list[dict[str, object]]:
    return tomllib.loads(list_files()[name].decode())[array]  # type: ignore[no-any-return]


def test_the_committed_lists_are_what_the_facts_give() -> None:
    assert convert(read_facts(FACTS)) == list_files()
    assert main(["--check"]) == 0


def test_check_names_the_file_that_differs(tmp_path: Path) -> None:
    files = list_files()
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    assert differences(files, tmp_path) == []
    (tmp_path / "grounds.toml").write_bytes(files["grounds.toml"] + b"# by hand\n")
    (tmp_path / "groups.toml").unlink()
    assert differences(files, tmp_path) == ["groups.toml", "grounds.toml"]


def test_wrong_use_says_how(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--chek"]) == 2
    assert "--check" in capsys.readouterr().err


def test_every_row_keeps_its_source_basis_and_doubt() -> None:
    entries = {entry["id"]: entry for entry in tables("prohibited.toml", "entry")}
    assert len(entries) == len(rows("prohibited-documents.csv")) == 75
    mended = {item["entry"]: item for item in read_facts(FACTS).ours["name"] if "entry" in item}
    for row in rows("prohibited-documents.csv"):
        entry = entries[row["id"]]
        assert " | ".join(entry["sources"]) == row["source"]  # type: ignore[arg-type]
        assert entry.get("note", "") == row["note"]
        assert (entry["confidence"], entry["disposition_basis"]) == (row["confidence"], row["disposition_basis"])
        assert (entry["act"], entry["text_read"]) == (row["legal_act"], row["text_read"])
        assert str(entry.get("in_force_from", "")) == row["effective_from"]
        assert entry.get("reason_code", "") == row["reason_code"]
        assert entry.get("answer_data", "") == row["answer_data"]
        named = {**row, **mended.get(row["id"], {})}
        assert [entry.get(f"name_{language}", "") for language in ("en", "uz", "ru")] == [
            named[f"name_{language}"] for language in ("en", "uz", "ru")
        ]


def test_a_ground_is_made_from_each_row_that_fetches_and_says_how_sure_it_is() -> None:
    grounds = {ground["made_from"]: ground for ground in tables("grounds.toml", "ground")}
    fetching = {row["id"]: row for row in rows("prohibited-documents.csv") if row["disposition"] == "fetch"}
    assert set(grounds) == set(fetching)
    for name, row in fetching.items():
        named = bool(row["access_ground"])
        assert grounds[name]["basis"] == ("stated" if named else "inferred")
        assert grounds[name].get("act", "") == row["access_ground"]
        assert grounds[name]["text_read"] == (row["text_read"] if named else "none")
    assert "official" not in {ground["text_read"] for ground in grounds.values()}
    assert str(grounds["medical-birth-certificate"]["from"]) == "2023-06-01"


def test_a_ban_in_any_public_service_gives_a_ground_where_the_document_or_its_holder_is_named() -> None:
    grounds = {ground["made_from"]: ground for ground in tables("grounds.toml", "ground")}
    assert grounds["photo-prescribed-format"]["procedures"] == [
        "marriage-registration",
        "residence-registration",
        "school-first-grade",
        "notary-identity-check",
    ]
    public = [row["procedure"] for row in rows("procedures.csv") if row["public_service"] == "yes"]
    assert grounds["identity-document-copy"]["procedures"] == public


def test_those_are_connected_who_have_a_service_here() -> None:
    connected = {
        (entry["provider"], entry["evidence_type"])
        for entry in tables("directory.toml", "holding")
        if entry.get("connected")
    }
    assert connected == CONNECTED_TODAY
    assert {entry["basis"] for entry in tables("directory.toml", "holding")} == {"inferred"}


def test_coverage_counts_what_is_known_of_announced_lists() -> None:
    coverages = {entry["id"]: (entry["known"], entry["total"]) for entry in tables("prohibited.toml", "coverage")}
    assert coverages == {"communal-32": (6, 32), "references-73": (4, 73), "announced-30": (3, 30)}
    by_list: dict[object, int] = {}
    for entry in tables("prohibited.toml", "entry"):
        if "coverage" in entry:
            by_list[entry["coverage"]] = by_list.get(entry["coverage"], 0) + 1
    assert by_list == {"communal-32": 6, "references-73": 4, "announced-30": 3}


def facts_with(tmp_path: Path, name: str, old: str, new: str) -> Path:
    folder = tmp_path / "facts"
    shutil.copytree(FACTS, folder)
    text = (folder / name).read_bytes().decode()
    assert old in text
    (folder / name).write_bytes(text.replace(old, new, 1).encode())
    return folder


def test_special_data_without_a_named_ground_make_none(tmp_path: Path) -> None:
    row = next(row for row in rows("prohibited-documents.csv") if row["id"] == "marriage-medical-examination-result")
    folder = facts_with(tmp_path, "prohibited-documents.csv", row["access_ground"], "")
    made = tomllib.loads(convert(read_facts(folder))["grounds.toml"].decode())["ground"]
    assert "marriage-medical-examination-result" not in {ground["made_from"] for ground in made}
    assert len(made) == len(tables("grounds.toml", "ground")) - 1


@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [
        ("procedures.csv", "non-residential=yes", "non-residential=maybe", "implies: yes or no is due"),
        ("groups.csv", ",justice-fhdyo,,,", ",justice-fhdyo,2022-13-01,,", "is no day"),
        ("ours.toml", 'id = "hiring"', 'id = "hire"', "no such procedures: hire"),
        ("ours.toml", '"labour-book-copy"', '"work-book"', "coverage of no such entries: work-book"),
        ("names.toml", 'group = "notaries"', 'group = "notary"', "group: names of none that the facts have: notary"),
        (
            "ours.toml",
            'agency = "disability-commission"',
            'agency = "vtek"',
            "agency: names of none that the facts have",
        ),
        ("evidence.csv", "photo-prescribed-format,", "photo,", "photo-prescribed-format"),
        ("ours.toml", "[promise]", "[promise", "cannot be read"),
        ("agencies.csv", "courts,", "courts,,", "more or fewer cells"),
    ],
)
def test_facts_that_contradict_each_other_are_refused(tmp_path: Path, name: str, old: str, new: str, says: str) -> None:
    folder = facts_with(tmp_path, name, old, new)
    with pytest.raises((ConfigurationError, LawUnreadableError), match=says):
        convert(read_facts(folder))


def test_missing_facts_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="the facts cannot be read"):
        read_facts(tmp_path)
