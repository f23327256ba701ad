"""List versions on disk: one folder each, named by its digest, written once and never changed.

A bundle is everything that an answer depends on: the lists as TOML, and under `schemas/` the texts of the writer
schemas that were accepted and of the gateway's own outputs. What stands in the lists is `gateway.list_version`'s.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from chopar.errors import ConfigurationError, LawIncompleteError
from gateway.list_version import FILES, SCHEMAS, ListVersion, bundle_digest


def list_files(folder: Path) -> dict[str, bytes]:
    """The TOML files of a folder of lists, by name.

    Raises:
        ConfigurationError: one is missing or cannot be read.
    """
    try:
        return {name: (folder / name).read_bytes() for name in FILES}
    except OSError as error:
        raise ConfigurationError(f"{folder}: the lists cannot be read there: {error.strerror}") from error


def with_schemas(files: Mapping[str, bytes], texts: Mapping[str, str]) -> dict[str, bytes]:
    """A bundle of lists and schema texts (by full record name)."""
    return {**files, **{f"{SCHEMAS}{record}.avsc": text.encode() for record, text in texts.items()}}


def schema_texts(files: Mapping[str, bytes]) -> dict[str, str]:
    """The schema texts of a bundle, by full record name."""
    return {
        name.removeprefix(SCHEMAS).removesuffix(".avsc"): content.decode()
        for name, content in files.items()
        if name.startswith(SCHEMAS)
    }


def install(files: Mapping[str, bytes], lists_folder: Path) -> str:
    """Write a bundle to disk, whole or not at all, and give its digest. Again: nothing changes.

    Raises:
        LawUnreadableError: the lists in it cannot be understood.
    """
    ListVersion.from_files(files)
    digest = bundle_digest(files)
    target = lists_folder / digest
    if target.is_dir():
        if bundle_digest(_read(target)) == digest:
            return digest
        shutil.rmtree(target)  # somebody changed it: it is put back
    lists_folder.mkdir(parents=True, exist_ok=True)
    temporary = lists_folder / f".{digest}.{os.getpid()}"
    for name, content in files.items():
        path = temporary / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    try:
        temporary.rename(target)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        if not target.is_dir():
            raise
    return digest


def load(digest: str, lists_folder: Path) -> dict[str, bytes]:
    """Read a bundle and check it against its digest.

    Raises:
        LawIncompleteError: it is not here, or what lies there has another digest.
    """
    folder = lists_folder / digest
    if not folder.is_dir():
        raise LawIncompleteError(f"the list version {digest[:12]}… is in force and not in the gateway's list directory")
    files = _read(folder)
    if bundle_digest(files) != digest:
        raise LawIncompleteError(
            f"the list version {digest[:12]}… on disk was changed, its digest is another one: activate it again"
        )
    return files


def _read(folder: Path) -> dict[str, bytes]:
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
