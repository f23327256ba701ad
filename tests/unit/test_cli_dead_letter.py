"""`chopar dead-letter`: what is listed and shown, masked; what is decided, once and written down."""

import asyncio
import io
import json
import os
import pwd
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typer import Abort
from typer.main import get_command

from chopar.avro import SchemaFiles, frame
from chopar.bus.dead_letter import LARGEST_BYTES, dead_letter
from chopar.bus.memory import MemoryBus, SendFault
from chopar.bus.port import Outgoing, Record
from chopar.cli import dead_letter as noun
from chopar.cli.dead_letter_list import Place, read_since
from chopar.cli.output import Format, Output
from chopar.cli.session import Session
from chopar.errors import ConfigurationError, DeliveryError, NotFoundError
from chopar.messages.demand import Demand
from chopar.messages.operations import LetterReplayed, ReplayRequested
from chopar.schema_registry import Decoder, Encoder, InMemorySchemaRegistry
from chopar.topics import DEMAND_SUBMITTED, EVIDENCE_REQUESTED, OPERATIONS_REPLAYED, dead_letter_topic, layouts
from tests.builders import NOW, NOW_MS, PERSON, demand_id

ASKER, HOLDER = "electricity-het", "tax-committee"
DEMANDS, REQUESTS = DEMAND_SUBMITTED.name + ASKER, EVIDENCE_REQUESTED.name + HOLDER
FIRST = f"{dead_letter_topic(DEMANDS)}/0/0"
WHY = ("--reason", "the parser was mended", "--by", "operator-7")


class Registry(InMemorySchemaRegistry):
    """One that commands can close."""

    async def aclose(self) -> None:
        """There is nothing to close."""


@dataclass(frozen=True, slots=True)
class Here(Session):
    """A session whose Kafka and schema registry are in this process."""

    memory: MemoryBus = field(default_factory=lambda: MemoryBus(lambda: NOW_MS))
    schemas: Registry = field(default_factory=lambda: Registry(time.monotonic))

    def bus(self) -> Any:
        """The bus in memory."""
        return self.memory

    def schema_registry(self) -> Any:
        """The registry in memory."""
        return self.schemas

    def run(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Run to the end; logs stay as they are."""
        return asyncio.run(work())


class Operator:
    """Calls commands, and looks at what they left."""

    def __init__(self) -> None:
        self.bus = MemoryBus(lambda: NOW_MS)
        self.schemas = Registry(time.monotonic)
        self.printed = self.said = ""

        async def prepare() -> None:
            admin = self.bus.admin()
            await admin.start()
            await admin.create(list(layouts([ASKER], [HOLDER])))  # type: ignore[list-item]
            for record, text in SchemaFiles.shipped().texts.items():
                await self.schemas.register(record, text)

        asyncio.run(prepare())

    def bury(self, *records: Outgoing) -> None:
        """Put records on their topics."""

        async def send() -> None:
            producer = self.bus.producer("test")
            await producer.start()
            await producer.send(records)
            await producer.stop()

        asyncio.run(send())

    def end(self, offset: int, outcome: str, code: str | None) -> None:
        """Write down what became of a replay."""

        async def send() -> None:
            encoder = Encoder(SchemaFiles.shipped(), self.schemas)
            await encoder.prepare(LetterReplayed)
            place = {"topic": dead_letter_topic(DEMANDS), "partition": 0, "offset": offset}
            done = LetterReplayed.model_validate({**place, "group": "gateway", "outcome": outcome, "code": code})
            producer = self.bus.producer("gateway")
            await producer.send([Outgoing(OPERATIONS_REPLAYED.of(), 0, b"k", encoder.encode(done))])

        asyncio.run(send())

    def call(self, *arguments: str, form: Format = Format.JSON) -> tuple[int, str]:
        """A command's exit code and what it printed; `said` is what it said beside that."""
        out, err = io.StringIO(), io.StringIO()
        session = Here(Output(form, out, err), memory=self.bus, schemas=self.schemas)
        try:
            code = get_command(noun.app).main(
                args=list(arguments), prog_name="dead-letter", standalone_mode=False, obj=session
            )
        finally:
            self.printed, self.said = out.getvalue(), err.getvalue()
        return code, out.getvalue()

    def json(self, *arguments: str) -> Any:
        """What a command that succeeds prints."""
        code, out = self.call(*arguments)
        assert code == 0, out
        return json.loads(out)

    def decisions(self) -> list[ReplayRequested]:
        """What is on `operations.replayed`."""
        decoder = Decoder(SchemaFiles.shipped(), self.schemas)

        async def read() -> list[ReplayRequested]:
            records = self.bus.records(OPERATIONS_REPLAYED.of())
            return [await decoder.message(record.value or b"", ReplayRequested) for record in records]

        return asyncio.run(read())


def letter(code: str = "undecodable", *, failed_ms: int = NOW_MS, attempts: int = 3, **changes: Any) -> Outgoing:
    """The dead letter of a record."""
    fields: dict[str, Any] = {
        "topic": DEMANDS,
        "partition": 2,
        "offset": 41,
        "timestamp_ms": NOW_MS - 5000,
        "key": str(demand_id()).encode(),
        "value": PERSON.encode(),
        "headers": (("ce_id", b"019ab123-4567-8901-8abc-a123456789bc"), ("ce_subject", PERSON.encode())),
    }
    record = Record(**{**fields, **changes})
    return dead_letter(
        record,
        code=code,
        group="gateway",
        first_failed_ms=failed_ms - 1000,
        last_failed_ms=failed_ms,
        attempts=attempts,
    )


@pytest.fixture
def operator() -> Operator:
    return Operator()


def test_a_letter_is_listed_with_reason_origin_and_times_and_without_its_value(operator: Operator) -> None:
    operator.bury(letter())
    [shown] = operator.json("list")
    assert shown == {
        "letter": FIRST,
        "state": "open",
        "code": "undecodable",
        "origin": f"{DEMANDS}/2/41",
        "received_at": "2026-11-26T07:29:55.000Z",
        "group": "gateway",
        "first_failed_at": "2026-11-26T07:29:59.000Z",
        "last_failed_at": "2026-11-26T07:30:00.000Z",
        "attempts": 3,
        "size_bytes": 36 + len(PERSON),
        "cut": False,
        "demand_id": str(demand_id()),
        "decided_by": None,
        "decided_at": None,
        "reason": None,
        "replay_code": None,
        "new_letter": None,
    }
    code, table = operator.call("list", form=Format.TEXT)
    assert (code, FIRST in table, "undecodable" in table, PERSON in table) == (0, True, True, False)


def test_no_identifier_is_shown_wherever_a_stranger_puts_it(operator: Operator) -> None:
    theirs = Outgoing(dead_letter_topic(DEMANDS), 0, PERSON.encode(), PERSON.encode(), (("name", PERSON.encode()),))
    spoilt = letter(PERSON, key=PERSON.encode())
    operator.bury(letter(key=PERSON.encode()), theirs, spoilt)
    for arguments in (["list"], *(["show", f"{dead_letter_topic(DEMANDS)}/0/{offset}"] for offset in range(3))):
        for form in Format:
            code, out = operator.call(*arguments, form=form)
            assert code == 0
            assert PERSON not in out
    assert [one["code"] for one in operator.json("list")] == ["undecodable", "no_dead_letter", "…"]
    assert [one["demand_id"] for one in operator.json("list")] == [None, None, None]


def test_filters(operator: Operator) -> None:
    hour = 60 * 60 * 1000
    operator.bury(
        letter("unknown_schema", failed_ms=NOW_MS - 3 * hour),
        letter("undecodable", failed_ms=NOW_MS - hour),
        letter("unknown_schema", topic=REQUESTS),
    )

    def found(*arguments: str) -> list[str]:
        return [f"{one['letter'].split('.')[0]} {one['code']}" for one in operator.json("list", *arguments)]

    assert found() == ["demand unknown_schema", "demand undecodable", "evidence unknown_schema"]
    assert found("--topic", "demand.") == ["demand unknown_schema", "demand undecodable"]
    assert found("--code", "unknown_schema") == ["demand unknown_schema", "evidence unknown_schema"]
    assert found("--since", "2026-11-26T06:00:00") == ["demand undecodable", "evidence unknown_schema"]
    assert found("--code", "unknown") == []


def test_since_is_read_as_people_write_it() -> None:
    assert read_since("", NOW) is None
    assert read_since("30m", NOW) == NOW - timedelta(minutes=30)
    assert read_since("7d", NOW) == NOW - timedelta(days=7)
    assert read_since("2026-11-26", NOW) == datetime(2026, 11, 26, tzinfo=UTC)
    assert read_since("2026-11-26T05:00+05:00", NOW) == datetime(2026, 11, 26, tzinfo=UTC)
    for wrong in ("yesterday", "999999d", "-3h"):
        with pytest.raises(ConfigurationError, match="--since"):
            read_since(wrong, NOW)


def test_replaying_twice_is_replaying_once_and_both_say_so(operator: Operator) -> None:
    operator.bury(letter())
    assert operator.json("replay", FIRST, *WHY, "--yes")["due"] == [FIRST]
    again = operator.json("replay", FIRST, *WHY, "--yes")
    assert (again["due"], again["already"]) == ([], [FIRST])
    [decided] = operator.decisions()
    assert (decided.action, decided.topic, decided.partition, decided.offset) == ("replay", *_parts(FIRST))
    assert decided.origin is not None
    assert (decided.origin.topic, decided.origin.partition, decided.origin.offset) == (DEMANDS, 2, 41)
    assert (decided.origin.group, decided.origin.code) == ("gateway", "undecodable")
    assert int(decided.origin.received_at.timestamp() * 1000) == NOW_MS - 5000
    assert (decided.reason, decided.requested_by) == ("the parser was mended", "operator-7")
    [shown] = operator.json("list")
    assert (shown["state"], shown["decided_by"], shown["reason"]) == (
        "requested",
        "operator-7",
        "the parser was mended",
    )
    assert operator.json("list", "--open") == []


def test_what_came_of_a_replay_is_shown(operator: Operator) -> None:
    operator.bury(letter(), letter(offset=42), letter(offset=43))
    operator.json("replay", "--all", *WHY, "--yes")
    for offset, (outcome, code) in enumerate([("handled", None), ("failed", "undecodable"), ("impossible", "cut")]):
        operator.end(offset, outcome, code)
    assert [(one["state"], one["replay_code"]) for one in operator.json("list")] == [
        ("replayed", None),
        ("failed", "undecodable"),
        ("impossible", "cut"),
    ]


def test_the_new_letter_of_a_replay_that_failed_is_named(operator: Operator) -> None:
    new = FIRST[:-1] + "3"
    operator.bury(letter(), letter(), letter(offset=42))  # the second is the first, written twice
    operator.json("replay", FIRST, *WHY, "--yes")
    operator.bury(letter("unknown_schema", failed_ms=NOW_MS, attempts=4))
    assert [one["new_letter"] for one in operator.json("list")] == [None] * 4, "it has not failed yet"
    operator.end(0, "failed", "unknown_schema")
    assert [one["new_letter"] for one in operator.json("list", "--code", "undecodable")] == [new, None, None]
    assert operator.json("show", FIRST)["new_letter"] == new
    assert f"  {new}\n" in operator.call("list", form=Format.TEXT)[1]
    for action in ("discard", "replay"):
        code, out = operator.call(action, FIRST, *WHY, "--yes", form=Format.TEXT)
        assert (code, "failed again" in out, f"its new letter is {new}\n" in out) == (1, True, True)


def test_what_is_wanted_and_so_is_done_and_what_was_named_and_is_not_is_not(operator: Operator) -> None:
    places = [f"{FIRST[:-1]}{offset}" for offset in range(4)]
    operator.bury(*(letter(offset=offset) for offset in range(4)))
    operator.json("discard", places[0], *WHY, "--yes")
    operator.json("replay", places[1], *WHY, "--yes")
    assert operator.call("discard", places[0], *WHY, "--yes")[0] == 0
    assert operator.call("replay", places[1], *WHY, "--yes")[0] == 0
    assert operator.call("replay", places[0], *WHY, "--yes")[0] == 1
    assert operator.call("discard", places[1], *WHY, "--yes")[0] == 1
    by_filter = operator.json("discard", "--all", *WHY, "--yes")
    assert (by_filter["due"], by_filter["already"], by_filter["otherwise"]) == (places[2:], places[:1], places[1:2])
    operator.end(1, "impossible", "cut")
    assert operator.call("replay", places[1], *WHY, "--yes")[0] == 1


def test_where_the_outcome_is_seen_is_said(operator: Operator) -> None:
    operator.bury(letter(), letter(offset=42))
    assert "`chopar dead-letter list`" in operator.call("replay", FIRST, *WHY, "--yes", form=Format.TEXT)[1]
    assert "`chopar dead-letter list`" not in operator.call("discard", "--all", *WHY, "--yes", form=Format.TEXT)[1]


def test_a_code_that_no_letter_has_is_met_with_those_that_are_there(operator: Operator) -> None:
    operator.bury(letter(), letter("unknown_schema", topic=REQUESTS))

    def said(*arguments: str) -> str:
        return operator.call(*arguments, form=Format.TEXT)[1]

    near = "; none has this code (did you mean undecodable?)\n"
    assert said("list", "--code", "undecodeable") == "no dead letter of these" + near
    assert said("replay", "--code", "undecodeable", *WHY) == "0 dead letters to be replayed" + near
    assert said("list", "--code", "x").endswith("(there are: undecodable; unknown_schema)\n")
    assert said("list", "--code", "x", "--topic", "evidence").endswith("(there are: unknown_schema)\n")
    assert said("list", "--code", "undecodable", "--topic", "evidence").endswith("(there are: unknown_schema)\n")
    operator.json("discard", "--all", *WHY, "--yes")
    assert said("list", "--code", "undecodable", "--open") == "no dead letter of these\n"


def test_the_decision_holds_nothing_of_key_or_value(operator: Operator) -> None:
    operator.bury(letter(key=PERSON.encode()))
    operator.json("replay", FIRST, *WHY, "--yes")
    [record] = operator.bus.records(OPERATIONS_REPLAYED.of())
    assert record.key == FIRST.encode()
    assert PERSON.encode() not in b"".join([record.value or b"", *(value for _, value in record.headers)])


def test_what_was_discarded_is_not_replayed_and_the_answer_is_no(operator: Operator) -> None:
    operator.bury(letter())
    assert operator.json("discard", FIRST, *WHY, "--yes")["due"] == [FIRST]
    code, out = operator.call("replay", FIRST, *WHY, "--yes")
    assert (code, json.loads(out)["otherwise"], json.loads(out)["due"]) == (1, [FIRST], [])
    assert [one.action for one in operator.decisions()] == ["discard"]
    assert operator.json("list")[0]["state"] == "discarded"


def test_a_filter_decides_on_many_and_leaves_what_cannot_be_replayed(operator: Operator) -> None:
    large = letter("too_large", value=b"x" * LARGEST_BYTES)
    stranger = Outgoing(dead_letter_topic(DEMANDS), 0, b"key", b"value")
    operator.bury(letter(), letter(offset=42), large, stranger)
    code, out = operator.call("replay", "--topic", "demand.", *WHY, "--yes")
    assert code == 1
    places = [f"{dead_letter_topic(DEMANDS)}/0/{offset}" for offset in range(4)]
    assert sorted(json.loads(out)["due"]) == places[:2]
    assert sorted(json.loads(out)["impossible"]) == places[2:]
    assert operator.json("discard", *places[2:], *WHY, "--yes")["due"] == places[2:]
    assert [(one.offset, one.action, one.origin is None) for one in operator.decisions()] == [
        (0, "replay", False),
        (1, "replay", False),
        (2, "discard", False),
        (3, "discard", True),
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["replay", FIRST, "--by", "operator-7", "--yes"], "said: --reason"),
        (["replay", FIRST, "--reason", "why", "--yes"], "said: --by"),
        (["replay", *WHY, "--yes"], "one of these"),
        (["replay", FIRST, "--all", *WHY, "--yes"], "one of these"),
        (["discard", FIRST, "--reason", f"of {PERSON}", "--by", "operator-7", "--yes"], "--reason: 1 to 500"),
        (["discard", FIRST, "--reason", "why", "--by", PERSON, "--yes"], "--by: 1 to 500"),
        (["show", FIRST, "--reveal"], "--reason: .*; --by"),
        (["replay"], "which ones: .*; --reason: .*; --by"),
        (["show", DEMANDS + "/0/0"], "TOPIC.dlq/PARTITION/OFFSET"),
    ],
)
def test_wrong_use_writes_nothing(
    operator: Operator, arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.getuid", lambda: 2**31 - 7)  # an account without a name, as in a container
    operator.bury(letter())
    with pytest.raises(ConfigurationError, match=words) as caught:
        operator.call(*arguments)
    assert PERSON not in str(caught.value)
    assert operator.decisions() == []


def test_who_is_not_named_decides_by_the_name_of_the_account(operator: Operator) -> None:
    operator.bury(letter())
    assert operator.call("discard", FIRST, "--reason", "why", "--yes")[0] == 0
    assert [one.requested_by for one in operator.decisions()] == [pwd.getpwuid(os.getuid()).pw_name]


def test_none_of_those_that_were_asked_for_is_not_none_at_all(operator: Operator) -> None:
    assert operator.call("list", form=Format.TEXT)[1] == "no dead letters\n"
    operator.bury(letter())
    assert operator.call("list", "--topic", "nothing", form=Format.TEXT)[1] == "no dead letter of these\n"


def test_without_yes_it_asks_and_no_is_no(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    operator.bury(letter())
    for typed, count in (("n\n", 0), ("", 0), ("y\n", 1)):
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        if count:
            assert operator.call("replay", FIRST, *WHY)[0] == 0
        else:
            with pytest.raises(Abort):
                operator.call("replay", FIRST, *WHY)
            assert ("\nNobody said yes; with --yes" in operator.said) == (typed == ""), "who said no knows"
        assert len(operator.decisions()) == count


@pytest.mark.parametrize("place", ["0/1", "1/0"])
def test_a_letter_that_is_not_there(operator: Operator, place: str) -> None:
    operator.bury(letter())
    with pytest.raises(NotFoundError, match="no dead letter"):
        operator.call("show", f"{dead_letter_topic(DEMANDS)}/{place}")


def test_show_names_the_record_and_gives_no_bytes(operator: Operator) -> None:
    schema_id = asyncio.run(operator.schemas.id_of(Demand.RECORD, SchemaFiles.shipped().texts[Demand.RECORD]))
    value = frame(schema_id, PERSON.encode())
    operator.bury(letter(value=value), letter(value=frame(9999, b"")), letter(value=b"x" * LARGEST_BYTES))
    shown = operator.json("show", FIRST)
    assert (shown["record"], shown["value_bytes"], shown["key_bytes"]) == (Demand.RECORD, len(value), 36)
    assert shown["headers"] == {"ce_id": "019ab123-4567-8901-8abc-a123456789bc"}
    assert "value_hex" not in shown
    assert value.hex() not in json.dumps(shown)
    assert operator.decisions() == []
    unknown = operator.json("show", FIRST[:-1] + "1")["record"]
    assert unknown.startswith("schema 9999")
    cut = operator.json("show", FIRST[:-1] + "2")
    assert (cut["cut"], cut["replayable"], cut["value_bytes"]) == (True, False, LARGEST_BYTES)


def test_bytes_are_revealed_after_it_was_written_down(operator: Operator) -> None:
    operator.bury(letter())
    shown = operator.json("show", FIRST, "--reveal", *WHY)
    assert bytes.fromhex(shown["value_hex"]) == PERSON.encode()
    assert bytes.fromhex(shown["key_hex"]).decode() == str(demand_id())
    assert "written down" in operator.said
    [decided] = operator.decisions()
    assert (decided.action, decided.requested_by) == ("reveal", "operator-7")
    assert operator.json("list")[0]["state"] == "open", "looking decides nothing"


def test_no_record_no_bytes(operator: Operator) -> None:
    operator.bury(letter())
    operator.bus.faults.send = lambda record: SendFault.NOT_WRITTEN
    with pytest.raises(DeliveryError):
        operator.call("show", FIRST, "--reveal", *WHY)
    assert (operator.printed, operator.said) == ("", "")


def _parts(place: str) -> tuple[str, int, int]:
    parsed = Place.parse(place)
    return parsed.topic, parsed.partition, parsed.offset
