"""Bundles of lists: read whole, named by their digest, refused with file and entry where they cannot be understood."""

import dataclasses
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from chopar.errors import LawUnreadableError
from gateway.list_version import FILES, ListVersion, bundle_digest
from gateway.lists.convert import FOLDER
from tests.oracle.asking import list_files, lists


def write(files: dict[str, bytes], folder: Path) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def test_a_bundle_read_from_a_folder_is_the_one_read_from_its_files(tmp_path: Path) -> None:
    files = {**list_files(), "schemas/chopar.demand.Demand.avsc": b"{}"}
    write(files, tmp_path)

    loaded = ListVersion.load(tmp_path)

    assert loaded.digest == ListVersion.from_files(files).digest == bundle_digest(files)
    assert loaded.digest != lists().digest  # the schemas count


def test_the_committed_lists_load_from_their_folder() -> None:
    assert ListVersion.load(FOLDER).digest == lists().digest


def test_the_digest_does_not_depend_on_the_order_of_files_and_depends_on_every_byte() -> None:
    files = list_files()
    shuffled = list(files.items())
    random.Random(7).shuffle(shuffled)
    assert bundle_digest(dict(shuffled)) == bundle_digest(files)
    for name in FILES:
        assert bundle_digest({**files, name: files[name] + b"\n"}) != bundle_digest(files)
    # A byte that moves from a name to its content is another bundle.
    assert bundle_digest({"ab": b"c"}) != bundle_digest({"a": b"bc"})


def test_entries_are_frozen() -> None:
    entry = next(iter(lists().prohibited.values()))
    with pytest.raises(dataclasses.FrozenInstanceError):
        entry.condition = "x"  # type: ignore[misc]


def test_a_missing_and_an_unknown_file_are_named() -> None:
    files = list_files()
    del files["groups.toml"]
    with pytest.raises(LawUnreadableError, match=r"missing: groups\.toml, unknown: group\.toml"):
        ListVersion.from_files({**files, "group.toml": b""})


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LawUnreadableError, match=r"agencies\.toml"):
        ListVersion.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [
        ("agencies.toml", "[[agency]]", "[[agency", r"agencies\.toml: no readable TOML"),
        ("agencies.toml", "[[agency]]", "[[agensy]]", r"agencies\.toml: unknown parts: agensy"),
        ("agencies.toml", 'id = "courts"', 'id = "Courts"', r"agencies\.toml: agency Courts: id:"),
        ("agencies.toml", 'id = "courts"', 'id = "mahalla"', r"agencies\.toml: agency mahalla: it stands there twice"),
        ("agencies.toml", 'kind = "platform"', 'kind = "plattform"', r"agency egov-operator: kind: 'plattform'"),
        (
            "groups.toml",
            'agency = "employer"',
            'agency = "boss"',
            r"groups\.toml: member employers: unknown agency: boss",
        ),
        ("regulations.toml", "conducted_by_agencies = [", "conducted = [", r"procedure \S+: nobody conducts it"),
        ("regulations.toml", 'subjects = ["person"]', 'subjects = ["object"]', r"procedure \S+: subjects"),
        ("regulations.toml", '["court-divorce-judgment"]', '["judgment"]', r"unknown document type: judgment"),
        (
            "regulations.toml",
            "changed_on = 2026-04-17",
            'changed_on = "2026-04-17"',
            r"gas-cylinder-supply: changed_on",
        ),
        ("regulations.toml", "changed_on = 2026-04-17", "changd_on = 2026-04-17", r"unknown keys: changd_on"),
        (
            "prohibited.toml",
            "in_force_from = 2024-04-01",
            "in_force_frm = 2024-04-01",
            r"waste-debt\S+: in_force_basis",
        ),
        ("prohibited.toml", 'barred_groups = ["traffic-police"]', "barred_groups = []", r"roadside: it binds nobody"),
        ("prohibited.toml", 'barred_groups = ["notaries"]', 'barred_groups = ["notary"]', r"unknown group: notary"),
        ("prohibited.toml", 'scope = "hiring"', 'scope = "hire"', r"identity-document-hiring: unknown scope: hire"),
        (
            "prohibited.toml",
            'replaced_by = "labour-book"',
            'replaced_by = "workbook"',
            r"unknown document type: workbook",
        ),
        ("prohibited.toml", 'holder = "courts"', 'holder = "court"', r"court-divorce-judgment: unknown agency: court"),
        ("prohibited.toml", 'coverage = "announced-30"', 'coverage = "the-30"', r"unknown coverage: the-30"),
        ("prohibited.toml", "total = 32", "total = 5", r"prohibited\.toml: coverage communal-32: more is known"),
        ("prohibited.toml", 'disposition = "abolished"', 'disposition = "gap"', r"disposition: 'gap' is none of"),
        ("grounds.toml", 'evidence_type = "portrait"', 'evidence_type = "face"', r"unknown evidence type: face"),
        (
            "grounds.toml",
            'holder = "insurance-register"',
            'holder = "courts"',
            r"its holder does not hold motor-insurance",
        ),
        ("grounds.toml", 'made_from = "labour-book"', 'made_from = "court-divorce-judgment"', r"another document type"),
        ("grounds.toml", 'made_from = "labour-book"', 'made_from = "x"', r"ground-labour-book: unknown entry: x"),
        ("grounds.toml", 'text_read = "none"', 'text_read = "official"', r"ground \S+: it names no act"),
        (
            "grounds.toml",
            'data_class = "ordinary"\ntext_read',
            'data_class = "special"\ntext_read',
            r"special data need",
        ),
        ("grounds.toml", "from = 2022-07-01", "from = 2022-07-01T00:00:00", r"ground \S+: from: a day is due"),
        ("grounds.toml", "from = 2022-07-01", "from = 2022-07-01\nuntil = 2022-06-30", r"until lies before from"),
        ("grounds.toml", "from = 2022-07-01", "from = 2022-07-01\nuntill = 2022-07-30", r"unknown keys: untill"),
        ("grounds.toml", 'fields = ["has_debt"]', "fields = [1]", r"communal: fields: a list of texts is due"),
        (
            "directory.toml",
            'provider = "courts"',
            'provider = "court"',
            r"directory\.toml: holding court \S+: unknown agency",
        ),
        ("directory.toml", "due_hours = 24", "due_hours = 0", r"holding electricity-het: due_hours"),
        ("directory.toml", "due_hours = 24", 'due_hours = "24"', r"due_hours: a whole number is due"),
        ("directory.toml", "connected = true", 'connected = "yes"', r"connected: true or false is due"),
        ("documents.toml", 'id = "photo"', 'id = "portrait-photo"', r"unknown document type: photo"),
    ],
)
def test_a_broken_list_is_refused_with_file_and_entry(name: str, old: str, new: str, says: str) -> None:
    files = list_files()
    text = files[name].decode()
    assert old in text
    with pytest.raises(LawUnreadableError, match=says):
        ListVersion.from_files({**files, name: text.replace(old, new, 1).encode()})


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(LawUnreadableError, match=r"groups\.toml: no readable TOML"):
        ListVersion.from_files({**list_files(), "groups.toml": b"\xff\xfe"})


def test_lines_may_end_as_windows_ends_them_and_a_byte_order_mark_is_named() -> None:
    files = list_files()
    ended = {name: content.replace(b"\n", b"\r\n") for name, content in files.items()}
    assert dataclasses.replace(ListVersion.from_files(ended), digest=lists().digest) == lists()
    with pytest.raises(LawUnreadableError, match=r"groups\.toml: it begins with a byte-order mark"):
        ListVersion.from_files({**files, "groups.toml": b"\xef\xbb\xbf" + files["groups.toml"]})


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (lambda text: text.replace("from_whom =", 'act = "x"\nfrom_whom =', 1), "no readable TOML"),  # a key twice
        (lambda text: text + "\x00", "no readable TOML"),
        (lambda text: "entry = " + "[" * 100_000, "no readable TOML"),
        (lambda text: text.replace("= 2022-07-01", "= 0000-01-01", 1), "no readable TOML"),
        (lambda text: "entry = 5", r"entry: write it as \[\[entry\]\]"),
        (
            lambda text: text.replace('disposition = "fetch"', 'disposition = "\u202eabc"', 1),
            r"'\\u202eabc' is none of",
        ),
        (lambda text: text.replace('barred_groups = ["', 'barred_groups = ["\u202e', 1), r"unknown group: \\u202e"),
        (lambda text: text + text[text.rindex("[[entry]]") :], "it stands there twice"),
    ],
)
def test_a_hostile_list_is_refused_in_a_sentence_that_can_be_read(broken: Callable[[str], str], says: str) -> None:
    text = broken(list_files()["prohibited.toml"].decode())
    with pytest.raises(LawUnreadableError, match=f"prohibited\\.toml: .*{says}") as error:
        ListVersion.from_files({**list_files(), "prohibited.toml": text.encode()})
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 500
