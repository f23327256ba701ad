"""A demand's whole way, from the asker to the document and back, on the in-memory bus and on a real Kafka."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from structlog.testing import capture_logs

from chopar.avro import SchemaFiles, frame
from chopar.bus.memory import MemoryBus
from chopar.bus.port import Bus, Outgoing, Sent, partition_of
from chopar.identifiers import BusinessId, PersonId
from chopar.messages.demand import DemandedDocument, DemandResolved
from chopar.messages.evidence import Evidence, EvidenceRequested
from chopar.messages.exchange import ExchangeRecorded
from chopar.provider.provider import Provider
from chopar.requester.completion import Delivered
from chopar.requester.requester import Event, Exchange
from chopar.schema_registry import Decoder
from services.tax.model import DebtEntry
from tests.builders import BUSINESS, PERSON, SECOND_PERSON
from tests.full_disk import full_disk
from tests.standing import LISTS
from tests.world import DEADLINE_SECONDS, World, world

# A gateway that is killed here is a cancelled task: what it had half opened is not closed, as with a real kill.
pytestmark = pytest.mark.filterwarnings("ignore:Unclosed AIOKafka:ResourceWarning")

TAX_PAPER = "tax-debt-certificate"
CONTRACT = "electricity-supply-contract"
SALE = "real-estate-sale-notary-non-residential"
HET, NOTARY = "electricity-het", "justice-notary"


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.broker)])
async def here(request: pytest.FixtureRequest, tmp_path: Path, kafka: Callable[[], Bus]) -> AsyncIterator[World]:
    bus: Bus = MemoryBus(lambda: time.time_ns() // 1_000_000) if request.param == "memory" else kafka()
    async with world(bus, tmp_path) as made:
        yield made


async def follow(exchange: Exchange) -> list[Event]:
    async with asyncio.timeout(DEADLINE_SECONDS), exchange:
        return [event async for event in exchange]


async def ask(here: World, agency: str, **demand: Any) -> list[Event]:
    async with here.requester(agency) as requester:
        return await follow(await requester.demand(**demand))


def evidence(events: list[Event]) -> dict[str, Any]:
    [resolved, delivered] = events
    assert isinstance(resolved, DemandResolved)
    assert isinstance(delivered, Delivered)
    assert delivered.evidence is not None
    return dict(delivered.evidence)


async def test_one_demand_for_one_paper_is_answered_by_tax(here: World) -> None:
    await here.prepare()
    here.start_gateway()
    await here.start_tax({PersonId(PERSON): [DebtEntry("land", 5000)]})
    found = evidence(await ask(here, HET, procedure=CONTRACT, subject=PersonId(PERSON), documents=[TAX_PAPER]))
    assert found["has_debt"] is True
    assert found["debts"] is None
    assert found["fields_given"] == ["has_debt"]


async def test_a_changed_debt_is_another_answer(here: World) -> None:
    await here.prepare()
    here.start_gateway()
    await here.start_tax({BusinessId(BUSINESS): [DebtEntry("land", 5000)]})
    demand: dict[str, Any] = {"procedure": SALE, "subject": BusinessId(BUSINESS), "documents": [TAX_PAPER]}
    assert evidence(await ask(here, NOTARY, **demand))["debts"] == [{"tax": "land", "amount_tiyin": 5000}]
    await here.store.set_debts(BusinessId(BUSINESS), [])
    found = evidence(await ask(here, NOTARY, **demand))
    assert (found["has_debt"], found["debts"]) == (False, [])


async def test_bad_input_36_somebody_whom_nobody_knows_is_no_record(here: World) -> None:
    await here.prepare()
    here.start_gateway()
    await here.start_tax()
    events = await ask(here, HET, procedure=CONTRACT, subject=PersonId(SECOND_PERSON), documents=[TAX_PAPER])
    delivered = events[-1]
    assert isinstance(delivered, Delivered)
    assert delivered.unavailable is not None
    assert delivered.unavailable.code == "no_record"
    assert delivered.unavailable.register_coverage


class RegisteredAddress(Evidence):
    RECORD: ClassVar[str] = "chopar.evidence.RegisteredAddress"

    address: str | None = None
    since: str | None = None
    kind: str | None = None


REGISTERED_ADDRESS = json.dumps(
    {
        "type": "record",
        "name": "RegisteredAddress",
        "namespace": "chopar.evidence",
        "doc": "Where a person is registered.",
        "fields": [
            *({"name": n, "type": ["null", "string"], "default": None} for n in ("address", "since", "kind")),
            {"name": "fields_given", "type": {"type": "array", "items": "string"}},
            {"name": "source_register", "type": "string"},
            {"name": "as_of", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        ],
    }
)


async def test_bad_input_32_and_a_provider_of_another_agency_is_connected_by_data_alone(
    here: World, tmp_path: Path
) -> None:
    here.files = SchemaFiles.shipped().with_texts({RegisteredAddress.RECORD: REGISTERED_ADDRESS})
    lists = tmp_path / "connected-lists"
    lists.mkdir()
    for path in LISTS.glob("*.toml"):
        (lists / path.name).write_bytes(path.read_bytes())
    await here.prepare(lists)
    here.start_gateway()
    demand: dict[str, Any] = {
        "procedure": CONTRACT,
        "subject": PersonId(PERSON),
        "documents": ["address-reference-certificate"],
    }
    [unconnected] = await ask(here, HET, **demand)
    assert isinstance(unconnected, DemandResolved)
    assert [(d.outcome.value, d.code, d.person_may_be_asked.value) for d in unconnected.documents] == [
        ("gap", "holder_not_connected", "no")
    ]

    connect(lists / "directory.toml", "mia-migration", "registered-address")
    await here.stop("gateway")
    provider = Provider("mia-migration", register="register of addresses")

    @provider.answers("registered-address")
    async def registered_address(request: EvidenceRequested, register: dict[str, str]) -> RegisteredAddress:
        return RegisteredAddress(
            address=register[request.subject.id],
            kind="permanent",
            source_register="register of addresses",
            as_of=request.as_of,
        )

    await here.start_provider(provider, {PERSON: "Bobur koʻchasi 1"}, [RegisteredAddress])
    activated = await here.activate(lists)
    assert activated.is_new
    here.start_gateway()

    async def fetched() -> list[Event] | None:
        events = await ask(here, HET, **demand)
        return events if len(events) == 2 else None

    found = evidence(await here.eventually(fetched))
    assert found["address"] == "Bobur koʻchasi 1"
    assert found["since"] is None
    assert set(found["fields_given"]) == {"address", "since", "kind"}


def connect(directory: Path, holder: str, evidence_type: str) -> None:
    """Say in the evidence directory that a holder is connected: data alone."""
    blocks = directory.read_text(encoding="utf-8").split("[[")
    changed = [
        block.replace("due_hours", "connected = true\ndue_hours")
        if f'"{holder}"' in block and f'"{evidence_type}"' in block
        else block
        for block in blocks
    ]
    assert changed != blocks
    directory.write_text("[[".join(changed), encoding="utf-8")


async def test_no_record_no_document(here: World) -> None:
    """Every answer that was released has an access record, and the digest in it is that of the answer."""
    await here.prepare()
    here.start_gateway()
    await here.start_tax({PersonId(PERSON): []})
    for _ in range(5):
        await ask(here, HET, procedure=CONTRACT, subject=PersonId(PERSON), documents=[TAX_PAPER])
    decoder = Decoder(here.files, here.registry)
    recorded = [
        await decoder.message(r.value or b"", ExchangeRecorded) for r in await here.records("exchange.recorded")
    ]
    assert len([r for r in recorded if r.access]) == 5
    assert len([r for r in recorded if r.resolution]) == 5
    assert len(await here.records(f"evidence.provided.{HET}")) == 5


async def test_bad_input_14_the_same_demand_again_gives_the_same_messages_with_the_same_ids(here: World) -> None:
    await here.prepare()
    here.start_gateway()
    await here.start_tax({PersonId(PERSON): []})
    async with here.requester(HET) as requester:
        demand = requester.compose(
            procedure=CONTRACT,
            subject={"kind": "person", "id": PERSON},  # type: ignore[arg-type]
            documents=[DemandedDocument(type=TAX_PAPER)],
        )
        await follow(await requester.send(demand))
        await follow(await requester.send(demand))
    for topic in (f"demand.resolved.{HET}", "evidence.requested.tax-committee", f"evidence.provided.{HET}"):
        first, again = await here.records(topic)
        assert (first.key, first.value, first.headers) == (again.key, again.value, again.headers), topic


async def test_bad_input_15_the_same_id_with_another_body_is_refused(here: World) -> None:
    await here.prepare()
    here.start_gateway()
    await here.start_tax({PersonId(PERSON): []})
    async with here.requester(HET) as requester:
        subject: Any = {"kind": "person", "id": PERSON}
        demand = requester.compose(procedure=CONTRACT, subject=subject, documents=[DemandedDocument(type=TAX_PAPER)])
        await follow(await requester.send(demand))
        [refused] = await follow(await requester.send(demand.model_copy(update={"case_id": "another"})))
        again = await follow(await requester.send(demand))
    assert isinstance(refused, DemandResolved)
    assert refused.refused == "id_reused"
    assert isinstance(again[0], DemandResolved)
    assert again[0].refused is None


@pytest.mark.parametrize(
    ("ahead", "code"),
    [
        (timedelta(minutes=3), "clock"),
        (timedelta(days=-31), "expired"),
        (timedelta(days=-8), "expired"),  # in time by its id, but past its own `expires_at`
        (timedelta(minutes=1), None),
    ],
)
async def test_bad_inputs_16_17_an_old_or_future_demand_is_refused(
    here: World, ahead: timedelta, code: str | None
) -> None:
    await here.prepare()
    here.start_gateway()
    async with here.requester(HET, ahead=ahead) as requester:
        exchange = await requester.demand(procedure=CONTRACT, subject=PersonId(PERSON), documents=[TAX_PAPER])
        async with asyncio.timeout(DEADLINE_SECONDS), exchange:
            resolved = await anext(aiter(exchange))
    assert isinstance(resolved, DemandResolved)
    assert resolved.refused == code
    requests = await here.records("evidence.requested.tax-committee")
    assert len(requests) == (1 if code is None else 0)


async def test_bad_inputs_01_to_06_09_13_are_answered_refused_where_the_key_is_canonical(here: World) -> None:
    """And are dead letters where it is not; the partition goes on in every case."""
    await here.prepare()
    here.start_gateway()
    await here.start_tax({PersonId(PERSON): []})
    async with here.requester(HET) as requester:
        subject: Any = {"kind": "person", "id": PERSON}
        good = requester.compose(procedure=CONTRACT, subject=subject, documents=[DemandedDocument(type=TAX_PAPER)])
        key = str(good.demand_id).encode()
        place = partition_of(key, 6)
        topic = f"demand.submitted.{HET}"
        ids = [
            requester.compose(procedure=CONTRACT, subject=subject, documents=good.documents).demand_id for _ in range(6)
        ]
        keys = [str(other).encode() for other in ids]
        values = [b"", b"\x00\x00", b"\x01abcdef", frame(1, b"\xff"), frame(999, b"x"), None]
        producer = here.bus.producer("test")
        await producer.start()
        bad = [Outgoing(topic, place, k, v) for k, v in zip(keys, values, strict=True)]
        bad += [Outgoing(topic, place, b"no demand id", b"x"), Outgoing(topic, place, None, b"x")]
        bad += [Outgoing(topic, place, key.upper(), b"x")]
        await producer.send(bad)
        await producer.stop()
        events = await follow(await requester.send(good))
    assert evidence(events)["has_debt"] is False
    decoder = Decoder(here.files, here.registry)
    answers = [
        await decoder.message(r.value or b"", DemandResolved) for r in await here.records(f"demand.resolved.{HET}")
    ]
    refused = {str(a.demand_id): a.refused for a in answers}
    assert refused == {**{k.decode(): "unreadable" for k in keys[:5]}, str(good.demand_id): None}
    letters = await here.records(f"{topic}.dlq", 1)
    assert [letter.key for letter in letters] == [b"no demand id", None, key.upper()]
    assert [letter.value for letter in letters] == [b"x", b"x", b"x"]


async def test_a_gateway_that_is_killed_and_started_again_loses_and_doubles_nothing(here: World) -> None:
    await here.prepare()
    await here.start_tax({PersonId(PERSON): []})
    async with here.requester(HET) as requester:
        exchanges = []
        for number in range(12):
            if number % 4 == 0:
                here.start_gateway()
            if number % 4 == 2:
                await here.kill("gateway")
            exchanges.append(
                await requester.demand(procedure=CONTRACT, subject=PersonId(PERSON), documents=[TAX_PAPER])
            )
        here.start_gateway()
        answers = [evidence(await follow(exchange)) for exchange in exchanges]
    assert len(answers) == 12
    for topic in (f"demand.resolved.{HET}", f"evidence.provided.{HET}", "exchange.recorded"):
        by_id: dict[bytes, set[Any]] = {}
        for record in await here.records(topic):
            by_id.setdefault(record.header("ce_id") or b"", set()).add((record.key, record.value, record.headers))
        assert all(len(copies) == 1 for copies in by_id.values()), topic
        assert len(by_id) == (24 if topic == "exchange.recorded" else 12)


async def test_a_gateway_whose_disk_was_full_takes_no_repetition_for_a_first_demand(tmp_path: Path) -> None:
    """What it had folded is lost with its transaction; whether it goes on or starts again, it says what it had said."""
    async with world(MemoryBus(lambda: time.time_ns() // 1_000_000), tmp_path) as here:
        await here.prepare()
        here.start_gateway()
        await here.start_tax({PersonId(PERSON): []})
        async with here.requester(HET) as requester:

            async def ask_once() -> Exchange:
                return await requester.demand(procedure=CONTRACT, subject=PersonId(PERSON), documents=[TAX_PAPER])

            async def answered_or_waiting() -> bool:
                answers = await here.records(f"demand.resolved.{HET}")
                return len(answers) >= len(exchanges) or not here.works("gateway")

            async def works() -> bool:
                return here.works("gateway")

            await here.eventually(works)
            exchanges = [await ask_once() for _ in range(6)]
            await here.eventually(answered_or_waiting)
            with capture_logs(), full_disk():
                while here.works("gateway"):
                    exchanges.append(await ask_once())
                    await here.eventually(answered_or_waiting)
            assert len(exchanges) > 6, "it was there when the disk was full"
            if here.ended("gateway"):  # as a supervisor does
                await here.kill("gateway")
                here.start_gateway()
            for exchange in exchanges:
                assert evidence(await follow(exchange))["has_debt"] is False
        demands = await here.records(f"demand.submitted.{HET}")
        producer = here.bus.producer("test")
        await producer.start()
        again = [Outgoing(one.topic, one.partition, one.key, one.value, one.headers) for one in demands]
        assert all(isinstance(sent, Sent) for sent in await producer.send(again))
        await producer.stop()

        async def all_answered_twice() -> bool:
            answers = await here.records(f"demand.resolved.{HET}")
            return len({(one.partition, one.offset) for one in answers}) >= 2 * len(demands)

        await here.eventually(all_answered_twice)
        assert len({one.header("ce_id") for one in await here.records(f"demand.resolved.{HET}")}) == len(exchanges)


async def test_a_demand_waits_for_the_law_and_is_then_answered(here: World) -> None:
    """Acknowledged before anything was activated: not lost, not refused."""
    await here.prepare()
    async with here.requester(HET) as requester:
        exchange = await requester.demand(procedure=CONTRACT, subject=PersonId(PERSON), documents=[TAX_PAPER])
        here.start_gateway()
        await here.start_tax({PersonId(PERSON): []})
        assert evidence(await follow(exchange))["has_debt"] is False


async def test_an_exchange_left_early_stops_reading(here: World) -> None:
    await here.prepare()
    async with here.requester(HET) as requester:
        exchange = await requester.demand(procedure=CONTRACT, subject=PersonId(PERSON), documents=[TAX_PAPER])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(aiter(exchange)), 0.2)
        await exchange.aclose()
        assert not exchange.complete
