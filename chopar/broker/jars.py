"""The broker's jars: fetched once into the user's cache, and checked against our own lock every time.

`kafka.lock.json` names each jar with its sha256 and size. jgo is only the client that downloads them, one by one: it
resolves nothing and reads no POM, and since it merely warns about a wrong checksum, the check is ours. What a class
path is for is left to `kafka_node`.
"""

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from chopar.errors import ConfigurationError, UnavailableError

DOWNLOADS_AT_ONCE = 8  # measured: 46 jars in 4-10 s; more only queue at the other end
DOWNLOAD_TRIES = 3  # a dropped connection is common, three in a row are not
DOWNLOAD_TIMEOUT_SECONDS = 60

Progress = Callable[[str, int, int], None]
"""Told (step, done, total) whenever something moved; the unit of `done` belongs to the step (bytes for "jars")."""


@dataclass(frozen=True, slots=True)
class Jar:
    """One row of the lock: where a jar comes from and what it must be."""

    group: str
    artifact: str
    version: str
    sha256: str
    size: int

    @property
    def filename(self) -> str:
        """Its name in the cache; unique among the jars of a lock, so the cache is one flat folder."""
        return f"{self.artifact}-{self.version}.jar"

    @property
    def coordinate(self) -> str:
        """The way the Java world names it."""
        return f"{self.group}:{self.artifact}:{self.version}"


Fetch = Callable[[Jar, Path], Path]
"""Downloads one jar somewhere below an empty folder and returns where it lies."""


def locked_jars() -> tuple[Jar, ...]:
    """Give the rows of the lock that ships with this package, in its order."""
    rows = json.loads(files("chopar.broker").joinpath("kafka.lock.json").read_text("utf-8"))
    return tuple(Jar(**row) for row in rows)


def jar_cache(environ: Mapping[str, str]) -> Path:
    """Give the folder for jars in the user's cache (XDG_CACHE_HOME, else ~/.cache)."""
    base = environ.get("XDG_CACHE_HOME") or os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".cache")
    return Path(base) / "chopar" / "jars"


def class_path(cache: Path) -> tuple[Path, ...]:
    """Give the class path that `ensure_jars` would give, without looking at the files."""
    return tuple(sorted(cache / jar.filename for jar in locked_jars()))


def ensure_jars(
    cache: Path, progress: Progress | None = None, *, fetch: Fetch | None = None, jars: Sequence[Jar] | None = None
) -> tuple[Path, ...]:
    """Give the class path: every jar of the lock, fetched where it is absent and checked in any case.

    Every file is read and hashed on each call (45 MB, 0.1 s): no stamp could vouch for what lies on the disk now.

    Args:
        cache: the folder that holds the jars; made if it is absent. Two processes may call at once.
        progress: told ("jars", bytes present, bytes in all) after each jar that was downloaded.
        fetch: how to download; jgo unless a test says otherwise.
        jars: the rows to go by; the shipped lock unless given.

    Returns:
        The jars' paths, sorted: the same order every time, as an AOT cache demands.

    Raises:
        ConfigurationError: a jar is not what the lock says (it has been deleted), or jgo is not installed.
        UnavailableError: a jar could not be downloaded; retriable.
    """
    rows = tuple(jars) if jars is not None else locked_jars()
    missing = _missing(cache, rows)
    if missing:
        _make_folder(cache)
        with _locked(cache / ".lock"):
            missing = _missing(cache, rows)  # another process may have fetched them while we waited
            if missing:
                _download(cache, rows, missing, progress, fetch or _jgo_fetch())
    return tuple(sorted(cache / jar.filename for jar in rows))


def _missing(cache: Path, rows: Sequence[Jar]) -> list[Jar]:
    missing = []
    for jar in rows:
        path = cache / jar.filename
        if not path.exists():
            missing.append(jar)
        else:
            _check(jar, path)
    return missing


def _check(jar: Jar, path: Path) -> None:
    """Refuse and delete a file that is not the locked one."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigurationError(f"The jar {path} cannot be read ({error.strerror}): check its owner.") from error
    if size == jar.size and digest == jar.sha256:
        return
    path.unlink(missing_ok=True)
    raise ConfigurationError(
        f"The jar {jar.filename} ({jar.coordinate}) is not the one of kafka.lock.json: {size} bytes, sha256 {digest}; "
        f"expected {jar.size} bytes, sha256 {jar.sha256}. It was deleted and nothing was started. Run the command "
        f"again to fetch it anew; if it differs again, the place it comes from delivers another file: do not use it."
    )


def _download(
    cache: Path, rows: Sequence[Jar], missing: Sequence[Jar], progress: Progress | None, fetch: Fetch
) -> None:
    total = sum(jar.size for jar in rows)
    done = total - sum(jar.size for jar in missing)
    if progress:
        progress("jars", done, total)
    with (
        tempfile.TemporaryDirectory(prefix=".fetch-", dir=cache) as work,
        ThreadPoolExecutor(DOWNLOADS_AT_ONCE, thread_name_prefix="jars") as pool,
    ):
        downloads = {pool.submit(_download_one, cache, jar, Path(work), fetch): jar for jar in missing}
        try:
            for download in as_completed(downloads):
                download.result()
                done += downloads[download].size
                if progress:
                    progress("jars", done, total)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)  # the folder must not vanish under a running download
            raise


def _download_one(cache: Path, jar: Jar, work: Path, fetch: Fetch) -> None:
    last: Exception | None = None
    for attempt in range(DOWNLOAD_TRIES):
        folder = work / f"{jar.filename}.{attempt}"  # of its own: jgo would take a half-written file for the jar
        folder.mkdir()
        try:
            path = fetch(jar, folder)
        except (OSError, RuntimeError) as error:  # requests' errors are OSErrors; jgo says "not found" by RuntimeError
            last = error
            continue
        _check(jar, path)
        os.replace(path, cache / jar.filename)
        return
    raise UnavailableError(
        f"The jar {jar.filename} ({jar.coordinate}) could not be downloaded in {DOWNLOAD_TRIES} tries "
        f"({type(last).__name__}: {last}). Check the network or the proxy (HTTPS_PROXY) and run the command again; "
        f"what has been fetched is kept."
    ) from last


def _jgo_fetch() -> Fetch:
    try:
        from jgo.maven import MavenContext
    except ImportError as error:
        raise ConfigurationError(
            "The embedded broker needs the extra `broker`: pip install 'chopar[broker]'."
        ) from error

    def fetch(jar: Jar, folder: Path) -> Path:
        context = MavenContext(repo_cache=folder, local_repos=[], timeout=DOWNLOAD_TIMEOUT_SECONDS)
        return Path(context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve())

    return fetch


def _make_folder(cache: Path) -> None:
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"The folder for jars {cache} cannot be made ({error.strerror}): set XDG_CACHE_HOME to one that can."
        ) from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # given back by the kernel even when the holder is killed
        yield
