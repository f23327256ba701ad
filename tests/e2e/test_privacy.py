"""A full run, then a search of all that it shows: nobody is in it who was asked about, and nothing that gives one away.

Searched are keys, headers and topic names of every record, dead letters too; logs; metrics; the command line's words;
the bodies of HTTP errors; and the values of records that are to hold metadata alone.
"""

import asyncio
import itertools
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest

from chopar.avro import SchemaFiles
from chopar.bus.port import Outgoing, Record
from chopar.schema_registry import Decoder, HttpSchemaRegistry
from chopar.topics import DEAD_LETTER_SUFFIX
from gateway.list_version import ListVersion
from tests.builders import pinfl as made_up
from tests.e2e.privacy_run import (
    GAS,
    HET,
    PLATE,
    SIX,
    TAX_REQUESTS,
    Cast,
    ask_by_library,
    ask_wrongly,
    say_wrongly,
    send_bad_records,
)
from tests.e2e.privacy_search import Search, Seen, everybodys_numbers, readable, texts, written
from tests.e2e.stack_fixture import DEADLINE_SECONDS, Cli, RunningStack
from tests.standing import LISTS

pytestmark = pytest.mark.broker

HOLD_PEOPLE = ("demand.submitted.", "evidence.requested.")
"""The topics whose values carry a PINFL until they are sealed; their dead letters carry the original bytes."""

_NEWEST = 12

LETTERS = {f"demand.submitted.{HET}{DEAD_LETTER_SUFFIX}": 1, f"{TAX_REQUESTS}{DEAD_LETTER_SUFFIX}": 4}


@dataclass(frozen=True, slots=True)
class Shown:
    """All that the stack shows after the run."""

    records: list[Record]
    outside: list[Seen]
    logs: list[Seen]
    metrics: list[Seen]
    words: list[Seen]
    exchanges: list[Seen]
    repeated: set[bytes]

    @property
    def everything(self) -> list[Seen]:
        return [*self.outside, *self.logs, *self.metrics, *self.words, *self.exchanges]


async def look(stack: RunningStack, words: list[Seen], repeated: set[bytes]) -> Shown:
    """Collect what the stack shows now."""
    records = await stack.records()
    registry = HttpSchemaRegistry(stack.address("registry"))
    decoder = Decoder(SchemaFiles.shipped(), registry)
    exchanges = [
        Seen(f"exchange.recorded, {place}", text)
        for record in records
        if record.topic == "exchange.recorded"
        for place, part in (await decoder.datum(record.value or b""))[1].items()
        for text in texts(part)
    ]
    await registry.aclose()
    return Shown(
        records=records,
        outside=list(outside_of(records, repeated)),
        logs=[Seen(path.name, path.read_text("utf-8", "replace")) for path in logs(stack.cli.home)],
        metrics=await metrics(stack),
        words=[*words, *(Seen("command line", said) for said in stack.cli.said)],
        exchanges=exchanges,
        repeated=repeated,
    )


def outside_of(records: list[Record], repeated: set[bytes]) -> Iterator[Seen]:
    """Keys, headers and topic names; and values where nobody's number has a place.

    Not of the answers that repeat an asker's own words to it (`repeated`, their keys).

    The headers with which the run sent its bad records are its own; that they go no further is what is asked.
    """
    for record in records:
        yield Seen("topic name", record.topic)
        if record.header("of-the-run") is None:
            yield Seen(f"{record.topic}, key", readable(record.key or b""))
            for name, value in record.headers:
                yield Seen(f"{record.topic}, header {name}", f"{name} {readable(value)}")
        own_words = record.topic.startswith("demand.resolved.") and record.key in repeated
        if not own_words and not record.topic.startswith(HOLD_PEOPLE):
            yield Seen(f"{record.topic}, value", readable(record.value or b""))


def logs(home: Path) -> list[Path]:
    """The logs of all processes."""
    return [path for path in sorted((home / "logs").rglob("*")) if path.is_file()]


async def metrics(stack: RunningStack) -> list[Seen]:
    """What `/metrics` of every process says."""
    found: list[Seen] = []
    async with httpx2.AsyncClient() as client:
        for process in stack.written.processes:
            if process.kind == "process":
                answer = await client.get(f"http://{process.address}/metrics")
                assert answer.status_code == 200
                found.append(Seen(f"metrics of {process.name}", answer.text))
    return found


async def settled(stack: RunningStack, words: list[Seen], repeated: set[bytes], answered: set[bytes]) -> Shown:
    """Look when every bad record has its end: an answer or a dead letter."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        shown = await look(stack, words, repeated)
        keys = {record.key for record in shown.records if record.topic.startswith("demand.resolved.")}
        topics = [record.topic for record in shown.records]
        if answered <= keys and all(topics.count(topic) >= count for topic, count in LETTERS.items()):
            return shown
        assert time.monotonic() < deadline, "a bad record has no end"


@pytest.fixture(scope="module")
def numbers() -> frozenset[str]:
    return everybodys_numbers()


@pytest.fixture(scope="module")
def cast(people: list[dict[str, Any]], firms: list[dict[str, Any]], numbers: frozenset[str]) -> Cast:
    return Cast(
        person=people[0]["pinfl"],
        second=people[1]["pinfl"],
        name=people[0]["name"],
        stranger=next(number for number in map(made_up, range(500_000, 600_000)) if number not in numbers),
        firm=firms[0]["stir"],
        firm_name=firms[0]["name"],
        address=firms[0]["objects"][0]["account_address"],
    )


@pytest.fixture(scope="module")
def shown(stack: RunningStack, cli: Cli, cast: Cast) -> Shown:
    """The run, and what it shows."""
    communal = cli.demand(cast.person, *(word for paper in SIX[1:] for word in ("--document", paper)), document=SIX[0])
    assert communal.data["status"] == "answered", communal.out
    assert [cli.demand(wrong).code for wrong in (cast.malformed[0], cast.firm[:8])] == [2, 2]
    assert cli.demand(cast.stranger, requester=GAS, procedure="gas-connection").code == 1
    words = [Seen("command line", say_wrongly(stack, cast))]

    async def run() -> Shown:
        repeated = await ask_by_library(stack, cast)
        answered = set(await send_bad_records(stack, cast))
        return await settled(stack, [*words, *await ask_wrongly(stack, cast)], repeated, answered)

    return asyncio.run(run())


@pytest.fixture(scope="module")
def requests(stack: RunningStack, shown: Shown) -> list[bytes]:
    """The request ids of the run; its answers are the newest, other tests have left thousands."""

    async def read() -> list[bytes]:
        registry = HttpSchemaRegistry(stack.address("registry"))
        decoder = Decoder(SchemaFiles.shipped(), registry)
        provided = (record for record in shown.records if record.topic.startswith("evidence.provided."))
        answers = sorted(provided, key=lambda record: record.timestamp_ms)[-_NEWEST:]
        found = [(await decoder.datum(record.value or b""))[1]["request_id"] for record in answers]
        await registry.aclose()
        return found

    return asyncio.run(read())


@pytest.fixture(scope="module")
def search(cast: Cast, numbers: frozenset[str], requests: list[bytes]) -> Search:
    words = [cast.name, cast.firm_name, cast.address, cast.stranger, PLATE, *cast.malformed]
    return Search(
        words=frozenset(words),
        numbers=numbers,
        agencies=frozenset(ListVersion.load(LISTS).agencies),
        secrets=frozenset(text for request in requests for text in written(request)),
    )


def test_the_run_had_everything_in_it(shown: Shown, requests: list[bytes], cast: Cast) -> None:
    """What is searched is not empty: hits and misses, every code, dead letters, errors."""
    codes = {seen.text for seen in shown.exchanges}
    assert {
        "fetch", "gap", "not_needed", "refused", "malformed_identifier", "forbidden_characters",
        "wrong_identifier_kind", "unknown_procedure", "requester_mismatch", "unreadable", *SIX,
        "electricity-debt-certificate", "kinship-certificate", "account_address", "second_person",
    } <= codes  # fmt: skip
    assert len(set(requests)) >= 4
    processes = {"gateway", "schema-registry", "tax", "utilities", "benefits", "registry-office"}
    assert {seen.place for seen in shown.metrics} == {f"metrics of {name}" for name in processes}
    assert {f"{name}.log" for name in (*processes, "broker")} <= {seen.place for seen in shown.logs}
    values = b"".join(record.value or b"" for record in shown.records if record.topic.startswith(HOLD_PEOPLE))
    for text in (cast.person, cast.second, cast.firm, cast.name, cast.stranger, PLATE):
        assert text.encode() in values, "not in any demand, so its absence elsewhere says nothing"


def test_nobody_is_named_where_nobody_may_be(shown: Shown, search: Search) -> None:
    assert search.people_in(shown.everything) == []


def test_no_diagnosis_outside_of_values(shown: Shown, search: Search) -> None:
    outside = [seen for seen in shown.outside if not seen.place.endswith(", value")]
    assert search.diagnoses_in([*outside, *shown.metrics, *shown.logs]) == []


def test_no_log_and_no_metric_says_what_an_exchange_came_to(shown: Shown, search: Search) -> None:
    outside = [seen for seen in shown.outside if not seen.place.endswith(", value")]
    assert search.outcomes_in([*outside, *shown.metrics, *shown.logs]) == []


def test_a_request_id_is_known_to_the_asker_and_the_holder_alone(shown: Shown, search: Search) -> None:
    topics = ("demand.resolved.", "evidence.provided.")

    def theirs(seen: Seen) -> bool:
        return seen.place.startswith(topics) and seen.place.endswith(", value")

    assert search.secrets_in(filter(theirs, shown.everything))
    assert search.secrets_in(itertools.filterfalse(theirs, shown.everything)) == []


def test_a_message_id_is_never_a_request_id(shown: Shown, requests: list[bytes]) -> None:
    known = {prefix for request in requests for prefix in (request[:16], request[16:])}
    for record in shown.records:
        if record.header("ce_type") and record.header("of-the-run") is None and record.topic not in LETTERS:
            message_id = UUID((record.header("ce_id") or b"").decode("ascii"))
            assert message_id.version == 8
            assert message_id.bytes not in known


def test_dead_letters_say_why_and_where_from_and_nothing_of_the_sender(shown: Shown) -> None:
    letters = [record for record in shown.records if record.topic.endswith(DEAD_LETTER_SUFFIX)]
    names = {name for record in letters for name, _ in record.headers}
    assert {"dlq_code", "dlq_topic", "dlq_offset"} <= names
    assert not {"ce_subject", "name", "of-the-run"} & names
    assert re.search("hiv", " ".join(str(record.headers) for record in letters)) is None


@pytest.mark.parametrize("wrapped", ["{}", "x{}y", "id={},", "0001{}9"])
def test_the_search_finds_what_is_planted(shown: Shown, search: Search, cast: Cast, wrapped: str) -> None:
    """In a copy of each thing that was searched, one identifier, word, secret or diagnosis is found again."""
    secret = min(search.secrets)
    for kind in ("outside", "logs", "metrics", "words", "exchanges"):
        here: list[Seen] = getattr(shown, kind)[-1:]  # that the others are clean was searched before
        for planted in (cast.person, cast.second, cast.firm, cast.name.upper(), cast.address, PLATE, secret):
            spoilt = [replace(one, text=f"{one.text} {wrapped.format(planted)} ") for one in here]
            assert (search.secrets_in if planted == secret else search.people_in)(spoilt), (kind, planted)
    for word in ("Narcological", "hiv-absence-certificate", "disability-group"):
        assert search.diagnoses_in([Seen("log", f'{{"type": "{word}"}}')])
    assert search.diagnoses_in([Seen("topic name", "demand.submitted.disability-commission")]) == []


def test_the_search_finds_what_is_planted_in_the_stack_itself(
    stack: RunningStack, shown: Shown, search: Search, cast: Cast
) -> None:
    """From a real record and a real log file, through the same collecting."""
    log = stack.cli.home / "logs" / "planted.log"
    log.write_text(f"asked about {cast.person}\n", encoding="utf-8")

    async def plant() -> Shown:
        planted = Outgoing("operations.replayed", 0, cast.firm.encode(), b"", (("ce_source", cast.name.encode()),))
        await stack.send(planted)
        return await look(stack, [], shown.repeated)

    try:
        found = search.people_in(asyncio.run(plant()).everything)
    finally:
        log.unlink()
    assert {place.partition(":")[0] for place in found} == {
        "operations.replayed, header ce_source",
        "operations.replayed, key",
        "planted.log",
    }
