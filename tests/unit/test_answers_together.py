"""An evidence function for all requests that come together: the same answers, one call, and nobody pays for another."""

import asyncio
import contextlib
import gc
import weakref
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from chopar.avro import SchemaFiles
from chopar.bus.failures import Failures, Handled, Verdict
from chopar.bus.handling import Handling
from chopar.bus.port import Record, TopicPartition
from chopar.errors import ConfigurationError, RegisterUnavailableError, StopError
from chopar.messages.evidence import EvidenceRequested, TaxDebt
from chopar.provider.answered_together import Gathering, Turn
from chopar.provider.provider import Answer, Deferred, NoRecord, Provider, ProviderHandler
from chopar.schema_registry import Decoder, Encoder, InMemorySchemaRegistry
from tests.builders import NOW, NOW_MS, demand_id
from tests.unit.test_provider import request

FILES = SchemaFiles.shipped()
Many = Callable[[Sequence[EvidenceRequested], Any], Awaitable[Sequence[Answer]]]


def answer_to(asked: EvidenceRequested) -> Answer:
    kind = asked.request_id[0] % 3
    if kind == 0:
        return TaxDebt(has_debt=kind == 0, source_register="register of taxpayers", as_of=asked.as_of)
    return NoRecord("since 1997") if kind == 1 else Deferred(NOW + timedelta(days=1))


class World:
    """A provider of one function for many requests, and what it was asked."""

    def __init__(self) -> None:
        self.calls: list[list[bytes]] = []
        self.now = NOW
        self.say: Callable[[Sequence[EvidenceRequested]], Sequence[Answer]] = lambda asked: [*map(answer_to, asked)]
        self.registry = InMemorySchemaRegistry()
        self.encoder = Encoder(FILES, self.registry)
        self.decoder = Decoder(FILES, self.registry)
        self.together = Provider("tax-committee", register="register of taxpayers", at_once=2)
        self.single = Provider("tax-committee", register="register of taxpayers")

        @self.together.answers_together("tax-debt")
        async def many(requests: Sequence[EvidenceRequested], register: str) -> Sequence[Answer]:
            assert register == "the register"
            self.calls.append([one.request_id for one in requests])
            await asyncio.sleep(0)
            return self.say(requests)

        async def one(asked: EvidenceRequested, register: str) -> Answer:
            return answer_to(asked)

        self.single.answers("tax-debt")(one)
        self.together.answers("clearance")(one)
        self.single.answers("clearance")(one)

    async def start(self) -> "World":
        for name, text in FILES.texts.items():
            await self.registry.register(name, text)
        await self.encoder.prepare(*FILES.texts)
        await self.decoder.message(self.encoder.encode(request()), EvidenceRequested)
        return self

    def record(self, number: int, **changes: Any) -> Record:
        asked = request(request_id=number.to_bytes(1, "big") * 32, demand_id=demand_id(number), **changes)
        key = str(asked.demand_id).encode()
        return Record(self.together.topic, 0, number, NOW_MS, key, self.encoder.encode(asked), (("ce_id", b"cause"),))

    def handler(self, provider: Provider) -> ProviderHandler:
        return ProviderHandler(
            provider,
            "the register",
            encoder=self.encoder,
            decoder=self.decoder,
            secret=b"provider secret of 32 bytes.....",
            clock=lambda: self.now,
            metrics=CollectorRegistry(),
        )

    async def handled(self, records: Sequence[Record], provider: Provider | None = None) -> list[Handled]:
        provider = provider or self.together
        handling = Handling(self.handler(provider), Failures(lambda: NOW_MS, 3), provider.at_once)
        return (await handling.run({TopicPartition(provider.topic, 0): records}))[TopicPartition(provider.topic, 0)]


@pytest.fixture
async def world() -> World:
    return await World().start()


def calls(*numbers: Sequence[int]) -> list[list[bytes]]:
    return [[number.to_bytes(1, "big") * 32 for number in call] for call in numbers]


async def test_a_batch_is_one_call_and_its_answers_are_those_of_a_function_for_one(world: World) -> None:
    records = [world.record(number, evidence_type="tax-debt" if number % 4 else "clearance") for number in range(40)]
    records.append(world.record(41, evidence_type="of-nobody"))
    found = await world.handled(records)
    assert world.calls == calls([number for number in range(40) if number % 4])
    assert [one.outputs for one in found] == [one.outputs for one in await world.handled(records, world.single)]
    assert all(one.outputs is not None and len(one.outputs.after) == 1 for one in found)


async def test_more_than_a_statement_takes_are_several_calls(world: World) -> None:
    await world.handled([world.record(7)] * 1101)
    assert [len(call) for call in world.calls] == [500, 500, 101]


async def test_a_batch_after_a_batch_is_a_call_of_its_own(world: World) -> None:
    handler = world.handler(world.together)
    for number in (1, 2):
        assert len((await handler.handle(world.record(number))).after) == 1
    assert world.calls == calls([1], [2])


@pytest.mark.parametrize("raised", [KeyError("no digits here"), SystemExit(0)])
async def test_what_one_request_makes_the_function_raise_befalls_that_request_alone(
    world: World, raised: BaseException
) -> None:
    def say(asked: Sequence[EvidenceRequested]) -> Sequence[Answer]:
        if any(one.request_id[0] == 3 for one in asked):
            raise raised
        return [*map(answer_to, asked)]

    world.say = say
    found = await world.handled([world.record(number) for number in (1, 2, 3)])
    assert [one.verdict for one in found] == [Verdict.OK, Verdict.OK, Verdict.RETRY]
    assert world.calls == calls([1, 2, 3], [1], [2], [3])


async def test_an_answer_that_cannot_be_sent_leaves_the_others_alone(world: World) -> None:
    def say(asked: Sequence[EvidenceRequested]) -> Sequence[Answer]:
        too_large = NoRecord("x" * 2_000_000)
        return [too_large if one.request_id[0] == 2 else answer_to(one) for one in asked]

    world.say = say
    found = await world.handled([world.record(number) for number in (1, 2, 3)])
    assert [one.verdict for one in found] == [Verdict.OK, Verdict.DEAD_LETTER, Verdict.OK]
    assert len(world.calls) == 1


async def test_a_register_that_is_away_is_asked_once_and_all_are_read_again(world: World) -> None:
    def say(asked: Sequence[EvidenceRequested]) -> Sequence[Answer]:
        raise RegisterUnavailableError("the register does not answer")

    world.say = say
    handler = world.handler(world.together)
    turns = [handler.handle(world.record(number)) for number in (1, 2, 3)]
    for turn in turns:
        with pytest.raises(RegisterUnavailableError):
            await turn
    assert world.calls == calls([1, 2, 3])


async def test_too_few_answers_are_nobodys_answers(world: World) -> None:
    world.say = lambda asked: [answer_to(asked[0])] if len(asked) != 1 else []
    handler = world.handler(world.together)
    turns = [handler.handle(world.record(number)) for number in (1, 2)]
    for turn in turns:
        with pytest.raises(ConfigurationError, match="tax-debt: 0 answers to 1 requests"):
            await turn


async def test_what_must_stop_the_process_stops_it(world: World) -> None:
    def say(asked: Sequence[EvidenceRequested]) -> Sequence[Answer]:
        raise StopError("going on would lose something")

    world.say = say
    with pytest.raises(StopError):
        await world.handled([world.record(number) for number in (1, 2)])
    assert world.calls == calls([1, 2])


async def test_nothing_is_asked_or_released_after_expiry(world: World) -> None:
    soon, late = NOW + timedelta(minutes=1), NOW + timedelta(days=1)

    def say(asked: Sequence[EvidenceRequested]) -> Sequence[Answer]:
        world.now += timedelta(minutes=1)
        return [*map(answer_to, asked)]

    world.say = say
    records = [world.record(1, expires_at=NOW), world.record(2, expires_at=soon), world.record(3, expires_at=late)]
    found = await world.handled(records)
    assert world.calls == calls([2, 3])
    assert [len(one.outputs.after) for one in found if one.outputs is not None] == [0, 0, 1]


async def test_who_gives_the_batch_up_gives_the_call_up(world: World) -> None:
    began, ended = asyncio.Event(), asyncio.Event()
    provider = Provider("tax-committee", register="register of taxpayers")

    @provider.answers_together("tax-debt")
    async def hangs(requests: Sequence[EvidenceRequested], register: str) -> Sequence[Answer]:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return []

    running = asyncio.create_task(world.handled([world.record(number) for number in (1, 2, 3)], provider))
    await began.wait()
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert ended.is_set()


async def test_one_request_can_be_answered_alone(world: World) -> None:
    asked = request()
    assert await world.together.answer(asked, "the register") == answer_to(asked)


async def test_two_functions_cannot_answer_one_evidence_type(world: World) -> None:
    async def another(requests: Sequence[EvidenceRequested], register: str) -> Sequence[Answer]:
        return []

    with pytest.raises(ConfigurationError, match="two functions"):
        world.together.answers_together("clearance")(another)
    with pytest.raises(ConfigurationError, match="two functions"):
        world.together.answers_together("tax-debt")(another)
    assert world.together.evidence_types == ("clearance", "tax-debt")
    assert world.together.knows("tax-debt")


class _Asked:
    """Something that tells when it is let go."""


async def test_what_was_answered_is_let_go_without_a_look_for_garbage() -> None:
    async def work(turns: Sequence[Turn[_Asked, str]]) -> None:
        await asyncio.sleep(0)
        for turn in turns:
            turn.told = "told"

    gathering = Gathering(work)
    asked = [_Asked() for _ in range(3)]
    left = [weakref.ref(one) for one in asked]
    gc.disable()
    try:
        turns = [gathering.join(one) for one in asked]
        assert [await turn for turn in turns] == ["told"] * 3
        del asked, turns
        assert [one() for one in left] == [None] * 3
    finally:
        gc.enable()
