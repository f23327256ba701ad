"""List versions on disk: one folder each, named by its digest, written once and never changed.

A bundle is everything that an answer depends on: the lists as TOML, and under `schemas/` the texts of the writer
schemas that were accepted and of the gateway's own outputs. What stands in the lists is `gateway.list_version`'s.
"""

import fcntl
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from chopar.errors import ConfigurationError, LawIncompleteError
from gateway.list_version import FILES, SCHEMAS, ListVersion, bundle_digest

_LARGEST_BYTES = 512 * 1024 * 1024
"""Of one file; the lists of 100,000 entries have a quarter of it."""

_HALF = ".half-"
"""What the name of a folder begins with that is being written, or was when a process was killed."""


def list_files(folder: Path) -> dict[str, bytes]:
    """The TOML files of a folder of lists, by name.

    Raises:
        ConfigurationError: one is missing or cannot be read, or there is another beside them, which may be one of
            them misspelt.
    """
    try:
        strangers = sorted(
            path.name for path in folder.glob("*.toml") if path.name not in FILES and not path.name.startswith(".")
        )
        files = {name: _content(folder / name) for name in FILES}
    except OSError as error:
        raise ConfigurationError(f"{folder}: the lists cannot be read there: {_what(error, folder)}") from error
    if strangers:
        raise ConfigurationError(f"{folder}: {', '.join(strangers)}: no list of that name; they are {', '.join(FILES)}")
    return files


def with_schemas(files: Mapping[str, bytes], texts: Mapping[str, str]) -> dict[str, bytes]:
    """A bundle of lists and schema texts (by full record name; a former one of a record by another name)."""
    return {**files, **{f"{SCHEMAS}{record}.avsc": text.encode() for record, text in texts.items()}}


def schema_texts(files: Mapping[str, bytes]) -> dict[bytes, str]:
    """The schema texts of a bundle, by their SHA-256."""
    return {
        hashlib.sha256(content).digest(): content.decode()
        for name, content in files.items()
        if name.startswith(SCHEMAS)
    }


def install(files: Mapping[str, bytes], lists_folder: Path) -> str:
    """Write a bundle to disk, whole or not at all, and give its digest. Again: nothing changes.

    It is on the disk itself when this returns, folder names included: what an activation names outlives the power.

    Raises:
        LawUnreadableError: the lists in it cannot be understood.
        ConfigurationError: the disk takes no more, or the folder cannot be written.
    """
    ListVersion.from_files(files)
    digest = bundle_digest(files)
    target = lists_folder / digest
    try:
        lists_folder.mkdir(parents=True, exist_ok=True)
        with alone(lists_folder):
            if _holds(target, digest):
                return digest
            for left in lists_folder.glob(f"{_HALF}*"):  # of a process that was killed: nobody else is writing now
                shutil.rmtree(left)
            half = lists_folder / f"{_HALF}{digest}"
            try:
                _write(files, half)
                if target.is_symlink() or target.exists():  # somebody changed it: it is put back
                    target.rename(lists_folder / f"{_HALF}altered-{digest}")
                half.rename(target)
                _sync(lists_folder)
            finally:
                for left in lists_folder.glob(f"{_HALF}*"):
                    shutil.rmtree(left, ignore_errors=True)
                    with suppress(OSError):
                        left.unlink(missing_ok=True)  # a link or a file that stood in a version's place
    except OSError as error:
        raise ConfigurationError(
            f"{lists_folder}: the list version cannot be written there ({_what(error, lists_folder)}); "
            "nothing was activated, and what holds stays"
        ) from error
    return digest


def load(digest: str, lists_folder: Path) -> dict[str, bytes]:
    """Read a bundle and check it against its digest.

    Raises:
        LawIncompleteError: it is not here, cannot be read, or what lies there has another digest.
    """
    folder = lists_folder / digest
    if not folder.is_dir():
        raise LawIncompleteError(f"the list version {digest[:12]}… is in force and not in the gateway's list directory")
    try:
        files = _read(folder)
    except OSError as error:
        raise LawIncompleteError(
            f"the list version {digest[:12]}… cannot be read from disk: {_what(error, folder)}"
        ) from error
    if bundle_digest(files) != digest:
        missing = [name for name in FILES if name not in files]
        strange = sorted(name for name in files if name not in FILES and not name.startswith(SCHEMAS))
        said = [f"{', '.join(missing)} missing"] * bool(missing) + [f"{', '.join(strange)} put there"] * bool(strange)
        raise LawIncompleteError(
            f"the list version {digest[:12]}… on disk was changed ({'; '.join(said) or 'other contents'}), its digest "
            "is another one: activate it again"
        )
    return files


def write_file(path: Path, content: bytes) -> None:
    """Put a file in the place of another, whole, and on the disk itself.

    Raises:
        OSError: it cannot be written; what was there stays.
    """
    half = path.with_name(f".{path.name}.new")
    try:
        _write_synced(half, content)
        half.replace(path)
        _sync(path.parent)
    finally:
        half.unlink(missing_ok=True)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One process at a time changes what is in a folder; the lock goes with the process.

    Raises:
        ConfigurationError: there is no such folder.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise ConfigurationError(f"{folder}: it cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _holds(folder: Path, digest: str) -> bool:
    try:
        return not folder.is_symlink() and folder.is_dir() and bundle_digest(_read(folder)) == digest
    except OSError:
        return False


def _read(folder: Path) -> dict[str, bytes]:
    paths = (path for path in sorted(folder.rglob("*")) if not path.is_dir())
    return {path.relative_to(folder).as_posix(): _content(path) for path in paths}


def _content(path: Path) -> bytes:
    """What is in a plain file; a pipe or a device in its place would hold up who reads it for ever.

    Raises:
        OSError: it cannot be read, is no plain file, or is larger than any list.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(0, "it is no file", str(path))
    if found.st_size > _LARGEST_BYTES:
        raise OSError(0, f"it has more than {_LARGEST_BYTES // 1024 // 1024} MiB", str(path))
    return path.read_bytes()


def _write(files: Mapping[str, bytes], folder: Path) -> None:
    folders = {folder}
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        folders.add(path.parent)
        _write_synced(path, content)
    for one in folders:
        _sync(one)


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _what(error: OSError, folder: Path) -> str:
    """What went wrong, and with which file of the folder."""
    name = Path(str(error.filename)).name if error.filename else ""
    return f"{name}: {error.strerror}" if name and name != folder.name else str(error.strerror)
