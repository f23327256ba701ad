"""Where lists are planned for later, commands read those that hold now and change nothing that they do not say."""

import asyncio
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

import pytest
from typer.testing import CliRunner

from chopar.avro import SchemaFiles
from chopar.bus.memory import MemoryBus
from chopar.bus.port import Outgoing
from chopar.cli.output import Format, Output
from chopar.cli.session import Session
from chopar.errors import ConfigurationError, LawUnreadableError, NotFoundError
from chopar.identifiers import agency_id
from chopar.messages.demand import FetchMode
from chopar.messages.exchange import ExchangeRecorded
from chopar.schema_registry import Encoder, InMemorySchemaRegistry
from chopar.topics import EXCHANGE_RECORDED, LAW_ACTIVATED, layouts
from gateway.activation import read_law
from gateway.bundle import list_files, load
from gateway.cli import directory, gap, prohibited
from gateway.cli.in_force import beginning, bring_into_force
from gateway.compared_lists import differences
from gateway.keeping import add
from gateway.list_version import FILES, ListVersion
from tests.edited_lists import edited
from tests.standing import LISTS
from tests.unit.test_changed_law import COMMUNAL, papers, recorded
from tests.unit.test_keeping import ENTRY

SHIPPED = list_files(LISTS)
WITH_ENTRY = add(SHIPPED, ENTRY)[0]
HOLDING = """[[holding]]
provider = "defence-ministry"
evidence_type = "{}"
connected = true
due_hours = 5
"""
PERIODS = HOLDING.format("military-service-periods")
SOON = timedelta(seconds=90)  # one and a half leads


class Registry(InMemorySchemaRegistry):
    async def aclose(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True, slots=True)
class Here(Session):
    """A session on a bus in memory, at a time that stands still until it is moved."""

    bus_: MemoryBus = field(kw_only=True)
    registry_: Registry = field(kw_only=True)
    time: list[datetime] = field(kw_only=True)
    runner: asyncio.Runner = field(kw_only=True)

    def bus(self) -> MemoryBus:
        return self.bus_

    def schema_registry(self) -> Any:
        return self.registry_

    def now(self) -> datetime:
        return self.time[0]

    def run(self, work: Any) -> Any:
        return self.runner.run(work())


class Stack:
    """Commands on lists that were activated, without a process."""

    def __init__(self, home: Path, runner: asyncio.Runner) -> None:
        self.folder = home
        self.time = [datetime(2026, 11, 26, 10, tzinfo=UTC)]
        self.bus = MemoryBus(lambda: round(self.time[0].timestamp() * 1000))
        self.registry = Registry(lambda: 0.0)
        self.runner = runner
        self.said = ""
        runner.run(self._prepare())

    async def _prepare(self) -> None:
        admin = self.bus.admin()
        await admin.start()
        await admin.create(list(layouts([agency_id("electricity-het")], [agency_id("tax-committee")])))
        await admin.stop()
        for record, text in SchemaFiles.shipped().texts.items():
            await self.registry.register(record, text)

    def call(self, app: Any, *words: str) -> Any:
        """Call a command, and give its data; what it said beside them is `said`."""
        out, err = io.StringIO(), io.StringIO()
        done = CliRunner().invoke(app, words, obj=self.session(out, err), standalone_mode=False)
        self.said = err.getvalue()
        if done.exception is not None:
            raise done.exception
        return json.loads(out.getvalue())

    def session(self, out: TextIO | None = None, err: TextIO | None = None) -> Session:
        """A session of a command."""
        return Here(
            Output(Format.JSON, out or io.StringIO(), err or io.StringIO()),
            {"--bootstrap": "memory:1"},
            {"CHOPAR_HOME": str(self.folder), "LOGNAME": "lawyer"},
            bus_=self.bus,
            registry_=self.registry,
            time=self.time,
            runner=self.runner,
        )

    def folder_of(self, files: dict[str, bytes], name: str) -> str:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        for file in FILES:
            (folder / file).write_bytes(files[file])
        return str(folder)

    def activate(self, files: dict[str, bytes], *words: str) -> Any:
        return self.call(prohibited.app, "activate", self.folder_of(files, "to-activate"), *words)

    def apply(self, text: str) -> Any:
        path = self.folder / "directory.toml"
        path.write_text(text)
        return self.call(directory.app, "apply", str(path))

    def held(self, at: datetime) -> ListVersion:
        """The lists that hold at a time by the gateway's own rule."""
        law = self.runner.run(read_law(self.bus, SchemaFiles.shipped()))
        found = law.held_at(round(at.timestamp() * 1000))
        assert found is not None
        return ListVersion.from_files(load(found.message.list_digest, self.folder / "gateway" / "lists"))


PLANNED_AT = datetime(2026, 11, 30, 19, tzinfo=UTC)
PLANNED = ("--at", "2026-12-01T00:00+05:00")


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with asyncio.Runner() as runner:
        made = Stack(tmp_path, runner)
        made.activate(SHIPPED)
        yield made


def changed(before: ListVersion, after: ListVersion) -> list[tuple[str, str]]:
    return [(one.part, one.kind) for one in differences(before, after)]


def test_what_is_planned_is_not_in_force_and_is_named(stack: Stack) -> None:
    planned = stack.activate(WITH_ENTRY, *PLANNED)
    short = planned["list_digest"][:12]
    listed = stack.call(prohibited.app, "list")
    assert "bank-reference-communal" not in {row["entry"] for row in listed}
    assert f"planned, and not read here: from 2026-12-01T00:00:00+05:00: version {short}" in stack.said
    assert stack.call(prohibited.app, "diff", "in-force", str(LISTS)) == []
    [added] = [row for row in stack.call(prohibited.app, "diff", "in-force", "planned") if row["part"] == "entry"]
    assert added["name"] == "bank-reference-communal"
    assert "bank-reference-communal" in {
        row["entry"] for row in stack.call(prohibited.app, "list", "--lists", "planned")
    }
    stack.call(prohibited.app, "export", str(stack.folder / "exported"))
    assert list_files(stack.folder / "exported") == {name: SHIPPED[name] for name in FILES}
    stack.time[0] = PLANNED_AT
    assert "bank-reference-communal" in {row["entry"] for row in stack.call(prohibited.app, "list")}
    assert "planned" not in stack.said
    with pytest.raises(NotFoundError, match="no lists are planned"):
        stack.call(prohibited.app, "list", "--lists", "planned")


def test_a_secret_is_followed_by_another_from_its_time_on_and_one_that_was_lost_too(stack: Stack) -> None:
    secrets = stack.folder / "gateway" / "secrets"
    done = stack.activate(SHIPPED, "--secret-version", "2")
    assert (done["is_new"], done["secret_version"], done["differences"]) == (True, 2, ["secret version: 1 -> 2"])
    assert sorted(path.name for path in secrets.iterdir()) == ["gateway-1", "gateway-2"]
    assert not stack.activate(SHIPPED, "--secret-version", "2")["is_new"]
    stack.time[0] += SOON
    assert not stack.activate(SHIPPED)["is_new"], "the secret stays what it is"
    (secrets / "gateway-2").unlink()
    with pytest.raises(ConfigurationError, match="activate with --secret-version 3"):
        stack.activate(WITH_ENTRY)
    assert stack.activate(WITH_ENTRY, "--secret-version", "3")["secret_version"] == 3


def test_a_record_that_nobody_understands_stops_every_command_until_it_is_passed_over(stack: Stack) -> None:
    sent = stack.bus.log.append(Outgoing(LAW_ACTIVATED.of(), 0, b"junk", b"nonsense"))
    offset = str(sent.offset)
    for words in (["list"], ["history"], ["activate", str(LISTS)]):
        with pytest.raises(LawUnreadableError, match=f"chopar prohibited pass-over {offset}"):
            stack.call(prohibited.app, *words)
    told = stack.call(prohibited.app, "pass-over", offset, "--reason", "a test wrote it")
    assert told == {"offset": sent.offset, "is_new": True, "by": "lawyer"}
    assert not stack.call(prohibited.app, "pass-over", offset, "--reason", "again")["is_new"]
    assert len(stack.call(prohibited.app, "history")) == 1
    assert stack.activate(WITH_ENTRY)["is_new"]


def test_lists_are_not_in_force_before_their_lead_has_passed(stack: Stack) -> None:
    stack.activate(WITH_ENTRY)
    assert stack.call(prohibited.app, "diff", "in-force", str(LISTS)) == []
    stack.time[0] += SOON
    assert stack.call(prohibited.app, "diff", "in-force", str(LISTS)) != []


def test_a_holder_is_connected_now_and_the_plan_is_neither_brought_forward_nor_does_it_end_that(stack: Stack) -> None:
    stack.activate(WITH_ENTRY, *PLANNED)
    done = stack.apply(PERIODS)
    assert len(done["differences"]) == 1
    before, now = stack.held(stack.time[0]), stack.held(stack.time[0] + SOON)
    just_before, last = stack.held(PLANNED_AT - timedelta(seconds=1)), stack.held(PLANNED_AT)
    assert changed(before, now) == [("holding", "changed")]
    assert just_before.digest == now.digest
    assert changed(now, last) == changed(before, ListVersion.from_files(WITH_ENTRY)) != []
    assert [one["holds_from"] for one in done["planned"]] == ["2026-11-30T19:00:00.000Z"]
    again = stack.apply(PERIODS)
    assert (again["is_new"], [one["is_new"] for one in again["planned"]]) == (False, [False])
    [row] = [row for row in stack.call(directory.app, "list") if row["evidence_type"] == "military-service-periods"]
    assert (row["connected"], row["changes_at"]) == (False, done["holds_from"])


def test_an_invented_evidence_type_takes_nothing_out_that_is_in_force(stack: Stack) -> None:
    stack.activate(WITH_ENTRY)
    stack.time[0] += 2 * SOON
    stack.activate(SHIPPED, *PLANNED)
    stack.apply(HOLDING.format("no-such-evidence"))
    assert changed(stack.held(stack.time[0]), stack.held(stack.time[0] + SOON)) == [("holding", "added")]
    assert "no-such-evidence: added" in stack.said


def test_lists_that_would_disconnect_a_holder_connected_minutes_before_say_so(stack: Stack) -> None:
    stack.apply(PERIODS)
    done = stack.activate(WITH_ENTRY)
    assert any("military-service-periods: connected: yes -> no" in one for one in done["differences"])
    assert "military-service-periods: connected: yes -> no" in stack.said
    assert "which would hold at that time" in stack.said


def test_what_somebody_else_activated_meanwhile_is_not_overwritten_unseen(stack: Stack) -> None:
    async def both() -> None:
        begins = await beginning(stack.session(), stack.bus, None)
        for files in (WITH_ENTRY, SHIPPED):
            await bring_into_force(
                stack.session(), files, at=begins.at, instead_of=begins.before, fetch_mode=None, by="somebody"
            )

    with pytest.raises(ConfigurationError, match="meanwhile"):
        stack.runner.run(both())
    assert stack.held(stack.time[0] + SOON).digest != stack.held(stack.time[0]).digest


def test_lists_that_are_planned_are_brought_forward(stack: Stack) -> None:
    planned = stack.activate(WITH_ENTRY, *PLANNED)
    now = stack.activate(WITH_ENTRY)
    assert (now["is_new"], now["list_digest"]) == (True, planned["list_digest"])
    assert stack.held(stack.time[0] + SOON).digest == stack.held(PLANNED_AT).digest
    again = stack.activate(WITH_ENTRY)
    assert (again["is_new"], again["holds_from"]) == (False, now["holds_from"])


def test_an_activation_names_the_plan_that_will_end_it(stack: Stack) -> None:
    planned = stack.activate(WITH_ENTRY, *PLANNED)
    place = {"provider": "tax-committee", "evidence_type": "tax-debt"}
    done = stack.activate(edited(SHIPPED, "directory.toml", "holding", place, due_hours=3))
    assert [one["list_digest"] for one in done["planned"]] == [planned["list_digest"]]
    assert re.search(r"from 2026-12-01T00:00:00\+05:00 version \w+ follows, as planned by lawyer", stack.said)


def test_a_plan_is_withdrawn_by_the_present_lists_at_its_time(stack: Stack) -> None:
    stack.activate(WITH_ENTRY, *PLANNED)
    withdrawn = stack.activate(SHIPPED, *PLANNED)
    assert withdrawn["is_new"]
    assert changed(stack.held(stack.time[0]), stack.held(PLANNED_AT + timedelta(days=1))) == []
    with pytest.raises(NotFoundError, match="no lists are planned"):
        stack.call(prohibited.app, "diff", "in-force", "planned")


def test_a_gap_is_open_until_the_lists_hold_that_close_it(stack: Stack) -> None:
    place = {"provider": "cadastre-agency", "evidence_type": "dwellings-owned"}
    stack.runner.run(record(stack, recorded(number=1, **COMMUNAL, documents=papers("private-housing-certificate"))))
    connected = edited(SHIPPED, "directory.toml", "holding", place, connected=True)
    opened = stack.activate(SHIPPED, "--fetch-on", FetchMode.INFERRED.value)
    assert opened["differences"] == ["fetch mode: verified -> inferred"]
    stack.time[0] += SOON
    stack.activate(connected, *PLANNED)
    [found] = stack.call(gap.app, "list")
    assert (found["document_type"], found["open"]) == ("private-housing-certificate", True)
    assert "planned, and not read here" in stack.said
    stack.time[0] = PLANNED_AT
    assert stack.call(gap.app, "list") == []


async def record(stack: Stack, message: ExchangeRecorded) -> None:
    encoder = Encoder(SchemaFiles.shipped(), stack.registry)
    await encoder.prepare(ExchangeRecorded)
    producer = stack.bus.producer("test")
    await producer.start()
    await producer.send([Outgoing(EXCHANGE_RECORDED.of(), 0, b"key", encoder.encode(message))])
    await producer.stop()
