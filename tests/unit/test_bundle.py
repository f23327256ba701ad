"""List versions on disk that are half written, missing, altered, or stand where nobody can write: said, and whole."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from chopar.errors import ConfigurationError, LawIncompleteError
from gateway.bundle import install, list_files, load, with_schemas
from gateway.list_version import FILES, ListVersion, bundle_digest
from tests.standing import LISTS

FILES_OF_LISTS = list_files(LISTS)
WHOLE = with_schemas(FILES_OF_LISTS, {"a.Record": "{}"})
DIGEST = bundle_digest(WHOLE)


def folder_of(files: dict[str, bytes], folder: Path) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def test_a_version_is_written_once_and_again_changes_nothing(tmp_path: Path) -> None:
    assert install(WHOLE, tmp_path / "lists") == DIGEST
    before = (tmp_path / "lists" / DIGEST).stat().st_mtime_ns
    assert install(WHOLE, tmp_path / "lists") == DIGEST
    assert (tmp_path / "lists" / DIGEST).stat().st_mtime_ns == before
    assert load(DIGEST, tmp_path / "lists") == WHOLE


def replace(file: Path, make: Callable[[Path], None]) -> None:
    """Make something else in a file's place."""
    file.unlink()
    make(file)


ALTERED: dict[str, tuple[Callable[[Path], object], str]] = {
    "a file altered": (lambda at: (at / "groups.toml").write_bytes(b""), "other contents"),
    "a file half written": (lambda at: os.truncate(at / "prohibited.toml", 5000), "other contents"),
    "a file missing": (lambda at: (at / "grounds.toml").unlink(), r"grounds\.toml missing"),
    "a file put there": (lambda at: (at / "notes.txt").write_text("x"), r"notes\.txt put there"),
    "a schema altered": (lambda at: (at / "schemas/a.Record.avsc").write_text("{ }"), "other contents"),
    "a pipe in a file's place": (lambda at: replace(at / "groups.toml", os.mkfifo), "no file"),
    "a link that leads nowhere": (
        lambda at: replace(at / "groups.toml", lambda place: place.symlink_to("nowhere")),
        "cannot be read from disk",
    ),
}


@pytest.mark.parametrize("how", ALTERED)
def test_a_version_that_was_altered_is_refused_with_a_sentence_and_put_back(how: str, tmp_path: Path) -> None:
    alter, says = ALTERED[how]
    install(WHOLE, tmp_path)
    alter(tmp_path / DIGEST)
    with pytest.raises(LawIncompleteError, match=says):
        load(DIGEST, tmp_path)
    assert install(WHOLE, tmp_path) == DIGEST
    assert load(DIGEST, tmp_path) == WHOLE
    assert [path.name for path in tmp_path.iterdir()] == [DIGEST]  # nothing is left over


@pytest.mark.parametrize("what", ["a link", "a file"])
def test_what_stands_in_a_versions_place_is_no_version(what: str, tmp_path: Path) -> None:
    lists, elsewhere = tmp_path / "lists", tmp_path / "elsewhere"
    install(WHOLE, elsewhere)
    lists.mkdir()
    if what == "a link":
        (lists / DIGEST).symlink_to(elsewhere / DIGEST)
    else:
        (lists / DIGEST).write_text("x")
        with pytest.raises(LawIncompleteError, match="not in the gateway's list directory"):
            load(DIGEST, lists)
    install(WHOLE, lists)
    assert not (lists / DIGEST).is_symlink()
    assert load(DIGEST, lists) == load(DIGEST, elsewhere) == WHOLE
    assert [path.name for path in lists.iterdir()] == [DIGEST]


def test_a_version_that_is_not_here_is_missed_by_its_digest(tmp_path: Path) -> None:
    with pytest.raises(LawIncompleteError, match=DIGEST[:12]):
        load(DIGEST, tmp_path)


KILLED = """
import os, signal, sys
from pathlib import Path
from gateway.bundle import install
from tests.unit.test_bundle import WHOLE

count, real = int(sys.argv[2]), os.fsync

def killing(descriptor):
    global count
    real(descriptor)
    count -= 1
    if count == 0:
        os.kill(os.getpid(), signal.SIGKILL)

os.fsync = killing
install(WHOLE, Path(sys.argv[1]))
"""


@pytest.mark.parametrize("step", [2, len(WHOLE) + 1])
def test_a_process_killed_in_the_middle_leaves_no_version_or_a_whole_one(step: int, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), str(step)], check=False)
    assert done.returncode == -signal.SIGKILL
    with pytest.raises(LawIncompleteError):
        load(DIGEST, tmp_path)
    assert install(WHOLE, tmp_path) == DIGEST
    assert load(DIGEST, tmp_path) == WHOLE
    assert [path.name for path in tmp_path.iterdir()] == [DIGEST]  # what was half written is swept away


def test_a_list_directory_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigurationError, match=r"cannot be written there .*what holds stays"):
        install(WHOLE, tmp_path / "file")
    with pytest.raises(ConfigurationError, match=r"cannot be written there .*what holds stays"):
        install(WHOLE, Path("/proc/lists"))  # a file system that takes nothing, not even from root


def test_a_full_disk_leaves_what_was_there_and_no_half_version(tmp_path: Path) -> None:
    install(FILES_OF_LISTS, tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    code = f"""
import resource
from pathlib import Path
from chopar.errors import ConfigurationError
from gateway.bundle import install
from tests.unit.test_bundle import WHOLE
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))  # files end there as on a disk that is full
try:
    install(WHOLE, Path({str(tmp_path)!r}))
except ConfigurationError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert os.strerror(errno.EFBIG) in done.stdout
    assert "what holds stays" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_folder_of_lists_with_another_list_beside_them_is_refused(tmp_path: Path) -> None:
    folder = folder_of(FILES_OF_LISTS, tmp_path / "mine")
    (folder / "ground.toml").write_text("")
    with pytest.raises(ConfigurationError, match=r"ground\.toml: no list of that name"):
        list_files(folder)
    (folder / "ground.toml").rename(folder / ".ground.toml.new")  # hidden: of an editor, or of a command cut short
    (folder / "README.md").write_text("")
    assert list_files(folder) == FILES_OF_LISTS


@pytest.mark.parametrize("name", FILES)
def test_a_folder_of_lists_in_which_one_is_missing_names_it(name: str, tmp_path: Path) -> None:
    folder = folder_of(FILES_OF_LISTS, tmp_path / "mine")
    (folder / name).unlink()
    with pytest.raises(ConfigurationError, match=f"{name}: No such file"):
        list_files(folder)


def test_a_pipe_a_folder_or_a_huge_file_in_a_lists_place_is_refused_at_once(tmp_path: Path) -> None:
    folder = folder_of(FILES_OF_LISTS, tmp_path / "mine")
    path = folder / "groups.toml"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ConfigurationError, match=r"groups\.toml: it is no file"):
        list_files(folder)
    path.unlink()
    path.mkdir()
    with pytest.raises(ConfigurationError, match=r"groups\.toml: it is no file"):
        list_files(folder)
    path.rmdir()
    with path.open("wb") as file:
        file.truncate(1 << 40)  # of holes
    with pytest.raises(ConfigurationError, match="more than 512 MiB"):
        list_files(folder)


def test_a_folder_of_links_to_lists_is_a_folder_of_lists(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in FILES:
        (folder / name).symlink_to(LISTS / name)
    assert ListVersion.from_files(list_files(folder)).digest == bundle_digest(FILES_OF_LISTS)
