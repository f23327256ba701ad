"""What is wrong, as somebody meets it at the command line: one sentence, the right exit code, nothing lost."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from chopar.avro import SchemaFiles
from chopar.bus.port import Outgoing, partition_of
from chopar.identifiers import parse_demand_id
from chopar.messages.demand import Demand
from chopar.schema_registry import Encoder, HttpSchemaRegistry
from chopar.topics import DEMAND_SUBMITTED, PARTITIONS
from tests.builders import demand
from tests.e2e.stack_fixture import DEADLINE_SECONDS, Cli, RunningStack, new_key

pytestmark = pytest.mark.broker

HET: Any = "electricity-het"
CLOSED = "127.0.0.1:1"
PATIENCE_SECONDS = 30.0
"""How long somebody waits to hear that nobody answers."""


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (("--bootstrap", CLOSED), 3, CLOSED),
        (("--registry", f"http://{CLOSED}"), 3, CLOSED),
        (("--gateway", f"http://{CLOSED}", "--on", "2024-01-01"), 3, CLOSED),
        (("--bootstrap", "10.0.0.1:9092"), 2, "--insecure"),
        (("--registry", "http://10.0.0.1:8081"), 2, "--insecure"),
        (("--gateway", "http://10.0.0.1:8080", "--on", "2024-01-01"), 2, "--insecure"),
        (("--bootstrap", "nonsense"), 2, "HOST:PORT"),
        (("--documnet", "x"), 2, "--document"),
        (("--on", "2024-02-31"), 2, "--on"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_reached_or_is_not_allowed_is_one_sentence(
    cli: Cli, pinfl: str, more: tuple[str, ...], code: int, words: str
) -> None:
    began = time.monotonic()
    done = cli.demand(pinfl, *more)
    assert done.code == code, done.err
    assert words in done.sentence
    assert pinfl not in done.err
    assert time.monotonic() - began < PATIENCE_SECONDS


@pytest.mark.parametrize("command", [("status",), ("demand", "list"), ("topic", "list"), ("down",)])
def test_without_a_stack_it_says_how_to_start_one(cli: Cli, tmp_path: Path, command: tuple[str, ...]) -> None:
    done = cli(*command, home=tmp_path)
    if command == ("down",):
        assert (done.code, "no stack was running" in done.out) == (0, True)
        return
    assert done.code == 3
    assert "chopar up" in done.sentence


async def test_bad_inputs_01_and_25_what_cannot_be_read_is_answered_and_the_next_goes_on(
    stack: RunningStack, cli: Cli, pinfl: str
) -> None:
    """Cut short; valid as Avro but not as a demand; with another requester in the body: each has its refusal."""
    registry = HttpSchemaRegistry(stack.address("registry"))
    encoder = Encoder(SchemaFiles.shipped(), registry)
    await encoder.prepare(Demand)
    await registry.aclose()
    keys = [new_key() for _ in range(3)]
    cut, empty, other = (
        demand(demand_id=parse_demand_id(key.decode()), subject={"kind": "person", "id": pinfl}) for key in keys
    )
    values = [
        encoder.encode(cut)[:-9],
        encoder.encode(empty.model_copy(update={"documents": ()})),
        encoder.encode(other.model_copy(update={"requester": "gas-hududgaz"})),
    ]
    topic, place = DEMAND_SUBMITTED.of(HET), partition_of(keys[0], PARTITIONS)
    await stack.send(*(Outgoing(topic, place, key, value) for key, value in zip(keys, values, strict=True)))
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        rows = {row["demand_id"]: row for row in cli("demand", "list", "--format", "json").data}
        if {key.decode() for key in keys} <= set(rows):
            break
        assert time.monotonic() < deadline, "a demand that cannot be read is not answered"
    refused = [(rows[key.decode()]["refused"], rows[key.decode()]["state"]) for key in keys]
    assert refused == [("unreadable", "ended"), ("unreadable", "ended"), ("requester_mismatch", "ended")]
    assert cli.demand(pinfl).code == 0


def test_a_home_that_cannot_be_made_is_one_sentence(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = cli("up", home=tmp_path / "file" / "home")
    assert done.code == 2
    assert "CHOPAR_HOME" in done.sentence
    assert os.listdir(tmp_path) == ["file"]
