"""The wheel: the library, its schemas and the nouns of an agency, nothing of gateway or services, and enough to run.

It is used by the interpreter below the virtual environment, which sees the wheel and what the wheel requires, file by
file, and nothing else: not this checkout, not the developers' tools.
"""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.builders import PERSON

ROOT = Path(__file__).parents[2]
SECONDS = 180
DEMAND = "demand.submitted.some-agency"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    [built] = folder.glob("*.whl")
    return built


def required(name: str, extras: frozenset[str], seen: set[str]) -> Iterator[str]:
    """The distributions that a distribution needs, itself left out."""
    for text in distribution(name).requires or ():
        requirement = Requirement(text)
        wanted = (
            any(requirement.marker.evaluate({"extra": extra}) for extra in extras | {""})
            if requirement.marker
            else True
        )
        if wanted and requirement.name not in seen:
            seen.add(requirement.name)
            yield requirement.name
            yield from required(requirement.name, frozenset(requirement.extras), seen)


@pytest.fixture(scope="module")
def empty(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel unpacked, and links to what it requires."""
    folder = tmp_path_factory.mktemp("empty")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    for name in required("chopar", frozenset(), {"chopar"}):
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue  # for another system or Python
        for top in {Path(file).parts[0] for file in found.files or () if ".." not in Path(file).parts}:
            source, target = Path(str(found.locate_file(top))), folder / top
            if source.exists() and not target.exists():
                target.symlink_to(source)
    return folder


def run(empty: Path, cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    interpreter = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    environment = {"PYTHONPATH": str(empty), "HOME": str(cwd), "PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [str(interpreter), "-S", "-W", "error", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=environment, timeout=SECONDS)


def test_it_holds_the_library_and_its_schemas_and_nothing_of_others(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"chopar"}
    shipped = {name.removeprefix("chopar/schemas/") for name in names if name.endswith(".avsc")}
    assert shipped == {path.relative_to(ROOT / "schemas").as_posix() for path in (ROOT / "schemas").rglob("*.avsc")}
    for data in ("py.typed", "texts.toml", "page_texts.toml", "cli/scaffold/provider.py.txt"):
        assert f"chopar/{data}" in names


def test_every_module_is_imported_with_what_the_wheel_requires_alone(empty: Path, tmp_path: Path) -> None:
    program = """
import importlib, pkgutil, sys
import chopar
extras = ("chopar.broker", "chopar.cli.up", "chopar.cli.doctor")
names = [m.name for m in pkgutil.walk_packages(chopar.__path__, "chopar.", onerror=lambda name: None)]
for name in names:
    if not name.startswith(extras) and not name.endswith("__main__"):
        importlib.import_module(name)
assert all(getattr(chopar, name) is not None for name in chopar.__all__)
foreign = {"gateway", "services", "tests", "pytest", "deploy"} & {name.split(".")[0] for name in sys.modules}
assert not foreign, foreign
print(len(names), chopar.__file__)
"""
    done = run(empty, tmp_path, "-c", program)
    assert done.returncode == 0, done.stderr
    count, place = done.stdout.split()
    assert int(count) > 60
    assert place.startswith(str(empty))


def test_its_command_line_has_the_nouns_of_an_agency(empty: Path, tmp_path: Path) -> None:
    done = run(empty, tmp_path, "-m", "chopar.cli", "--help")
    assert done.returncode == 0, done.stderr
    for noun in ("demand", "provider", "schema", "dead-letter", "topic"):
        assert f"\n  {noun} " in done.stdout
    for noun in ("prohibited", "directory"):  # the gateway's
        assert f"\n  {noun} " not in done.stdout
    refused = run(empty, tmp_path, "-m", "chopar.cli", "prohibited", "explain", "some-paper")
    assert refused.returncode == 2
    assert "prohibited comes with the gateway, not with the library" in refused.stderr


def test_a_provider_begun_with_it_conforms(empty: Path, tmp_path: Path) -> None:
    assert run(empty, tmp_path, "-m", "chopar.cli", "provider", "init", "pension-office").returncode == 0
    check = ("-m", "chopar.cli", "provider", "check", "pension_office.provider:conformance", "--format", "json")
    done = run(empty, tmp_path / "pension-office", *check)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert rows
    assert all(row["passed"] for row in rows)


def test_an_asker_sends_a_demand_with_it(empty: Path, tmp_path: Path) -> None:
    program = f"""
import asyncio, time
from chopar import InMemorySchemaRegistry, MemoryBus, PersonId, Requester, SchemaFiles
from chopar.bus.port import TopicPartition
from chopar.identifiers import agency_id
from chopar.topics import layouts

async def main():
    bus, registry = MemoryBus(lambda: time.time_ns() // 1_000_000), InMemorySchemaRegistry()
    for record, text in SchemaFiles.shipped().texts.items():
        await registry.register(record, text)
    admin = bus.admin()
    await admin.start()
    await admin.create(list(layouts([agency_id("some-agency")], [])))
    async with Requester("some-agency", bus, registry) as requester:
        await requester.demand(
            procedure="some-procedure", subject=PersonId("{PERSON}"), documents=["some-paper"],
            case_id="case", official="official",
        )
    ends = await admin.end_offsets([TopicPartition({DEMAND!r}, number) for number in range(6)])
    print("sent", sum(ends.values()))

asyncio.run(main())
"""
    done = run(empty, tmp_path, "-c", program)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "sent 1\n"
