"""The agency guide: its code is what lies in docs/examples, and that code runs, on the whole exchange."""

import asyncio
import contextlib
import re
import sqlite3
import subprocess
import sys
import time
import tomllib
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from chopar import Delivered, DemandResolved, PersonId, SchemaFiles
from chopar.bus.memory import MemoryBus
from chopar.conformance import Case, Conformance, Example, check
from chopar.errors import RegisterUnavailableError, UndecodableError
from chopar.identifiers import uuid7
from chopar.messages.civil_status import LoneParentStatus
from chopar.messages.demand import Demand
from chopar.schema_registry import Decoder
from gateway.bundle import list_files
from gateway.connecting import connect
from gateway.list_version import ListVersion
from services.tax.model import DebtEntry
from tests.builders import PERSON, SECOND_PERSON
from tests.durable_rig import HET, DurableRig
from tests.next_holders import find, find_nothing, resolve
from tests.standing import LISTS
from tests.world import World, world

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = DOCS / "examples"
GUIDE = (DOCS / "agency-guide.md").read_text("utf-8")
PAPER = "tax-debt-certificate"
HOLDING = (
    '[[holding]]\nprovider = "mia-migration"\nevidence_type = "registered-address"\nconnected = true\ndue_hours = 24\n'
)
FILES = SchemaFiles.shipped().with_texts(SchemaFiles.from_folder(EXAMPLES / "schemas").texts)


@pytest.fixture(autouse=True)
def examples(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield
    for name in [path.stem for path in EXAMPLES.glob("*.py")]:
        sys.modules.pop(name, None)


SHOWN = sorted([*EXAMPLES.glob("*.py"), *EXAMPLES.rglob("*.avsc")])


@pytest.mark.parametrize("path", SHOWN, ids=lambda path: path.name)
def test_the_code_of_the_guide_is_what_lies_beside_it(path: Path) -> None:
    language = "python" if path.suffix == ".py" else "json"
    assert f"```{language}\n{path.read_text('utf-8')}```" in GUIDE


def test_a_provider_has_thirty_lines_and_a_requester_too() -> None:
    def lines(name: str) -> int:
        return sum(1 for line in (EXAMPLES / name).read_text("utf-8").splitlines() if line.strip())

    assert lines("address_provider.py") <= 30
    assert lines("asker.py") <= 30


def test_the_folder_that_is_checked_is_the_one_that_is_pushed() -> None:
    [checked] = re.findall(r"chopar schema check (\S+)", GUIDE)
    assert f"chopar schema push {checked} " in GUIDE
    assert "example.RegisteredAddress" in SchemaFiles.from_folder(DOCS.parent / checked).texts


def test_every_code_stands_in_the_guide_in_three_languages() -> None:
    texts = tomllib.loads((Path(__file__).parents[2] / "chopar" / "texts.toml").read_text("utf-8"))
    for kind in ("outcome", "code", "next_step", "unavailable", "dispute", "review", "always"):
        for code, said in texts[kind].items():
            assert f"| `{code}` | {said['uz']} | {said['ru']} | {said['en']} |" in GUIDE


def test_the_guide_begins_with_what_the_lists_know_and_nobody_answers_yet() -> None:
    version = ListVersion.from_files(list_files(LISTS))
    [ground] = [one for one in version.grounds.values() if one.evidence_type == "military-service-periods"]
    assert not version.directory[ground.holder, ground.evidence_type].connected
    members = [one.agency for one in version.memberships if one.group in ground.requester_groups]
    assert f"--agency {ground.holder} --evidence {ground.evidence_type}\n" in GUIDE
    assert f"chopar prohibited explain {ground.document_type} " in GUIDE
    assert any(f"--requester {agency} --procedure old-age-pension " in GUIDE for agency in members)
    assert "old-age-pension" in ground.procedures
    assert f"--document {ground.document_type}\n" in GUIDE


def memory() -> MemoryBus:
    return MemoryBus(lambda: time.time_ns() // 1_000_000)


@contextlib.asynccontextmanager
async def exchange(home: Path) -> AsyncIterator[World]:
    """Gateway, tax service, and lists in which the holder of addresses is connected."""
    lists = home / "made-lists"
    lists.mkdir()
    for name, content in connect(list_files(LISTS), HOLDING).items():
        (lists / name).write_bytes(content)
    async with world(memory(), home, files=FILES) as made:
        await made.prepare(lists)
        made.start_gateway()
        await made.start_tax({PersonId(PERSON): [DebtEntry("land-tax", 500)], PersonId(SECOND_PERSON): []})
        yield made


async def test_the_provider_answers_the_asker_of_the_guide(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example, asker = import_module("address_provider"), import_module("asker")
    async with exchange(tmp_path) as made:
        await made.start_provider(example.provider, example.ENTRIES, [example.RegisteredAddress])
        async with made.requester("electricity-het") as requester:
            papers = ("tax-debt-certificate", "address-reference-certificate")
            events = await asker.ask(requester, PERSON, *papers)
            nobody = await asker.ask(requester, SECOND_PERSON, *papers)
    assert isinstance(events[0], DemandResolved)
    arrived: dict[str, Any] = {
        event.document.document_type: event.evidence for event in events if isinstance(event, Delivered)
    }
    assert arrived["tax-debt-certificate"]["has_debt"] is True
    assert arrived["address-reference-certificate"]["kind"] == "permanent"
    silent: dict[str, Any] = {
        event.document.document_type: event.unavailable for event in nobody if isinstance(event, Delivered)
    }
    assert silent["address-reference-certificate"].code.value == "no_record"
    said = capsys.readouterr().out
    assert "address-reference-certificate arrived" in said
    assert "address-reference-certificate no_record" in said


@pytest.mark.parametrize("script", ["asker.py", "durable_asker.py"])
def test_a_number_that_is_none_is_one_line(script: str, tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLES / script), "123", "case-1"]
    environment = {"PYTHONPATH": str(DOCS.parent), "HOME": str(tmp_path), "PATH": ""}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert ended.returncode == 1
    assert ended.stderr.startswith(script.removesuffix(".py"))
    assert len(ended.stderr.splitlines()) == 1


async def test_the_conformance_cases_of_the_guide_hold() -> None:
    findings = await check(import_module("address_conformance").conformance(), memory())
    assert findings
    assert [finding for finding in findings if not finding.passed] == []


def service(answers: dict[str, Response]) -> Starlette:
    async def address(request: Request) -> Response:
        pinfl = (await request.json())["pinfl"]
        return answers.get(pinfl, PlainTextResponse("nobody", status_code=404))

    return Starlette(routes=[Route("/addresses", address, methods=["POST"])])


@contextlib.asynccontextmanager
async def served(app: Starlette) -> AsyncIterator[str]:
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, lifespan="off", access_log=False)
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    running = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(20):
            while not server.started:
                await asyncio.sleep(0.01)
        [listener] = server.servers[0].sockets
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await running


ENTRY = {"address": "an address", "since": "2020-05-01", "kind": "permanent"}


async def conforms(example: Any, register: Any) -> None:
    case = Case(
        "registered-address",
        import_module("address_provider").RegisteredAddress,
        hit=Example(PersonId(PERSON)),
        unknown=Example(PersonId(SECOND_PERSON)),
    )
    findings = await check(Conformance(example.provider, register, [case], FILES), memory())
    assert [finding for finding in findings if not finding.passed] == []


async def test_a_provider_over_http_conforms() -> None:
    example = import_module("address_over_http")
    async with served(service({PERSON: JSONResponse(ENTRY)})) as url:
        register = example.AddressService(url)
        await conforms(example, register)
        await register.aclose()


@pytest.mark.parametrize(
    "answer",
    [
        PlainTextResponse("<html>Welcome</html>", media_type="text/html"),
        JSONResponse(["a list"]),
        JSONResponse({"address": "but no day"}),
        PlainTextResponse("teapot", status_code=418),
    ],
)
async def test_bad_input_50_an_error_answered_as_success_is_a_dead_letter(answer: Response) -> None:
    example = import_module("address_over_http")
    async with served(service({PERSON: answer})) as url:
        register = example.AddressService(url)
        with pytest.raises(UndecodableError):
            await register.address_of(PERSON)
        await register.aclose()
    assert not UndecodableError.retriable  # the consume loop makes it a dead letter at once


async def test_a_service_that_is_away_or_out_of_order_is_asked_again() -> None:
    example = import_module("address_over_http")
    async with served(service({PERSON: PlainTextResponse("", status_code=503)})) as url:
        register = example.AddressService(url)
        with pytest.raises(RegisterUnavailableError):
            await register.address_of(PERSON)
        await register.aclose()
    register = example.AddressService(url)  # nobody listens there any more
    with pytest.raises(RegisterUnavailableError):
        await register.address_of(PERSON)
    await register.aclose()


async def test_a_provider_from_a_database_conforms(tmp_path: Path) -> None:
    example = import_module("address_from_database")
    path = tmp_path / "agency.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE address (pinfl TEXT PRIMARY KEY, address TEXT, since TEXT, kind TEXT)")
        connection.execute("INSERT INTO address VALUES (?, ?, ?, ?)", (PERSON, *ENTRY.values()))
        connection.commit()
    register = example.AddressTable(f"sqlite+aiosqlite:///{path}")
    await conforms(example, register)
    await register.aclose()
    broken = example.AddressTable(f"sqlite+aiosqlite:///{tmp_path / 'empty.db'}")
    with pytest.raises(RegisterUnavailableError):
        await broken.address_of(PERSON)
    await broken.aclose()


async def test_the_durable_asker_of_the_guide_enters_each_answer_once(tmp_path: Path) -> None:
    example = import_module("durable_asker")
    path = tmp_path / "office.db"
    await example.prepare(path)
    async with exchange(tmp_path) as made:
        requester = example.contract_office(made.bus, made.registry, path)
        async with requester:
            running = asyncio.create_task(requester.run())
            for case, pinfl in (("case-1", PERSON), ("case-2", SECOND_PERSON)):
                await requester.submit(
                    procedure="electricity-supply-contract",
                    subject=PersonId(pinfl),
                    documents=["tax-debt-certificate"],
                    case_id=case,
                    official="clerk-17",
                )

            async def both() -> bool:
                return len(entered(path)) == 2

            await made.eventually(both)
            requester.stop()
            await running
    assert entered(path) == [("case-1", 1), ("case-2", 0)]


async def test_the_durable_asker_of_the_guide_runs_as_it_stands(tmp_path: Path) -> None:
    """From no database at all to the row, twice over: a second start finds what the first one made."""
    example = import_module("durable_asker")
    path = tmp_path / "office.db"
    async with exchange(tmp_path) as made:
        for case, pinfl in (("case-1", PERSON), ("case-2", SECOND_PERSON)):
            async with asyncio.timeout(60):
                await example.ask(made.bus, made.registry, path, pinfl, case)
    assert entered(path) == [("case-1", 1), ("case-2", 0)]


async def test_the_durable_asker_of_the_guide_keeps_one_row_a_case_whoever_corrects_or_answers(tmp_path: Path) -> None:
    """The first holder has no record, the next answers by another record, then by one with the field, then corrects."""
    example = import_module("durable_asker")
    path = tmp_path / "office.db"
    await example.prepare(path)
    rig = DurableRig(tmp_path)
    rig.now = datetime.now(UTC)
    await rig.start()
    decoder, topic = Decoder(SchemaFiles.shipped(), rig.registry), f"demand.submitted.{HET}"

    async def until(condition: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.01)

    async with example.contract_office(rig.bus, rig.registry, path) as requester:
        running = asyncio.create_task(requester.run())
        plain, first = [await rig.ask(requester, PAPER, case_id=case) for case in ("plain", "followed")]
        await rig.resolve(plain)
        await rig.provide(plain, PAPER)
        await until(lambda: entered(path) == [("plain", 1)])
        await rig.correct(plain, uuid7(rig.now, 1), None, PAPER, has_debt=False)
        await resolve(rig, first)
        await find_nothing(rig, first, PAPER)
        await until(lambda: len(rig.bus.records(topic)) == 3)
        demands = [await decoder.message(one.value or b"", Demand) for one in rig.bus.records(topic)]
        [second] = [one for one in demands if one.follows]
        await resolve(rig, second)
        other = LoneParentStatus(fields_given=(), source_register="register", as_of=rig.now)  # it has no `has_debt`
        await find(rig, second, PAPER, body=rig.encoder.encode(other))
        await until(lambda: entered(path) == [("followed", None), ("plain", 0)])
        await rig.read()
        assert await requester.waiting() == []
        requester.stop()
        await running
    assert rig.letters() == []
    await rig.close()


def entered(path: Path) -> list[tuple[str, int | None]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return list(connection.execute("SELECT case_id, owes_taxes FROM application ORDER BY case_id"))
