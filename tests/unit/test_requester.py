"""An agency that asks, on the in-memory bus: what it sends, what it says of what comes, and when it stops waiting."""

import asyncio
import contextlib
import gc
import hashlib
import weakref
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, NoReturn

import pytest
from structlog.testing import capture_logs

from chopar.avro import SchemaFiles, frame
from chopar.bus.memory import MemoryBus
from chopar.bus.memory.faults import SendFault
from chopar.bus.port import Outgoing, TopicPartition, partition_of
from chopar.errors import BrokerUnavailableError, DeliveryError, OffsetOutOfRangeError, TooLargeError, UndecodableError
from chopar.identifiers import PersonId, agency_id
from chopar.messages.demand import Demand, DemandedDocument, DemandResolved, FetchMode, Outcome, PersonMayBeAsked
from chopar.messages.evidence import EvidenceProvided, EvidenceUnavailable, TaxDebt, UnavailableCode
from chopar.messages.record import Message
from chopar.requester.completion import Delivered, Rejected, Undelivered
from chopar.requester.requester import Event, Exchange, Requester, subject
from chopar.schema_registry import Encoder, InMemorySchemaRegistry
from chopar.topics import PARTITIONS, layouts
from tests.builders import NOW, PERSON, demand_id

HET = agency_id("electricity-het")
DEADLINE_SECONDS = 10.0
MARGIN = timedelta(minutes=2)  # between our clock and the broker's, whose time decides
UNKNOWN_SCHEMA = 999
FILES = SchemaFiles.shipped()


class Rig:
    """A requester, and the other side of its topics: the test plays the gateway and the providers."""

    def __init__(self) -> None:
        self.now = NOW
        self.monotonic = 0.0
        self.bus = MemoryBus(lambda: round(self.now.timestamp() * 1000))
        self.registry = InMemorySchemaRegistry(lambda: self.monotonic)
        self.encoder = Encoder(FILES, self.registry)
        self.requester = Requester(HET, self.bus, self.registry, files=FILES, clock=lambda: self.now)
        self.producer = self.bus.producer("others")

    async def start(self) -> None:
        admin = self.bus.admin()
        await admin.create(list(layouts([HET], [HET])))
        for name, text in FILES.texts.items():
            await self.registry.register(name, text)
        await self.encoder.prepare(*FILES.texts)

    async def ask(self, *papers: str) -> Exchange:
        return await self.requester.demand(
            procedure="electricity-supply-contract", subject=PersonId(PERSON), documents=papers or ["paper-a"]
        )

    async def put(self, exchange: Exchange, topic: str, value: bytes | Message, key: bytes | None = None) -> None:
        place = partition_of(str(exchange.demand_id).encode(), PARTITIONS)
        raw = value if isinstance(value, bytes) else self.encoder.encode(value)
        await self.producer.send([Outgoing(f"{topic}.{HET}", place, key or str(exchange.demand_id).encode(), raw)])

    async def resolve(self, exchange: Exchange, value: bytes | None = None, **changes: Any) -> None:
        [sent] = [record for record in self.bus.records(f"demand.submitted.{HET}") if record.key == key_of(exchange)]
        documents = [
            {
                "document_type": document.type,
                "outcome": Outcome.FETCH,
                "code": "ground",
                "person_may_be_asked": PersonMayBeAsked.NO,
                "next_step": "wait",
                "provider": "tax-committee",
                "evidence_type": "tax-debt",
                "fields": ("has_debt",),
                "request_id": request_id(document.type),
                **changes,
            }
            for document in exchange.demand.documents
        ]
        message = DemandResolved.from_avro(
            {
                "demand_id": exchange.demand_id,
                "demand_digest": hashlib.sha256(value or sent.value or b"").digest(),
                "requester": HET,
                "received_at": NOW,
                "on": NOW.date(),
                "list_digest": "digest",
                "fetch_mode": FetchMode.INFERRED,
                "rules_number": 1,
                "documents": documents,
                "expires_at": exchange.demand.expires_at,
            }
        )
        await self.put(exchange, "demand.resolved", message)

    async def provide(self, exchange: Exchange, paper: str = "paper-a", **changes: Any) -> None:
        await self.put(exchange, "evidence.provided", self.provided(exchange, paper, **changes))

    def provided(self, exchange: Exchange, paper: str = "paper-a", **changes: Any) -> EvidenceProvided:
        return EvidenceProvided.from_avro(
            {
                "request_id": request_id(paper),
                "demand_id": exchange.demand_id,
                "provider": "tax-committee",
                "requester": HET,
                "evidence_type": "tax-debt",
                "final": True,
                "nonce": b"n" * 32,
                "body": self.encoder.encode(debt(has_debt=True)),
                **changes,
            }
        )

    @contextlib.asynccontextmanager
    async def busy(self, exchange: Exchange) -> AsyncIterator[None]:
        """Other demands' answers on the same partition, more in each turn than one fetch takes."""
        place = partition_of(key_of(exchange), PARTITIONS)
        other = Outgoing(f"evidence.provided.{HET}", place, b"another demand", b"x")

        async def send() -> None:
            while True:
                await self.producer.send([other] * 600)

        await self.producer.send([other] * 600)
        task = asyncio.create_task(send())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def key_of(exchange: Exchange) -> bytes:
    return str(exchange.demand_id).encode()


def request_id(paper: str) -> bytes:
    return hashlib.sha256(paper.encode()).digest()


def debt(*, has_debt: bool) -> TaxDebt:
    return TaxDebt(has_debt=has_debt, fields_given=("has_debt",), source_register="register", as_of=NOW)


def word(event: Event) -> str:
    """An event in a word and its document."""
    if isinstance(event, DemandResolved):
        return "resolved"
    if isinstance(event, Undelivered):
        return f"undelivered {event.document_type}"
    if isinstance(event, Rejected):
        return f"{event.code} {event.document.document_type}"
    assert isinstance(event, Delivered)
    what = "late" if event.late else "delivered" if event.final else "deferred"
    return f"{what} {event.document.document_type}"


async def follow(exchange: Exchange) -> list[str]:
    async with asyncio.timeout(DEADLINE_SECONDS):
        return [word(event) async for event in exchange]


async def one(exchange: Exchange) -> str:
    async with asyncio.timeout(DEADLINE_SECONDS):
        return word(await anext(aiter(exchange)))


async def says_nothing(exchange: Exchange) -> None:
    """Nothing is said of what lies there, and a while of listening changes nothing."""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(aiter(exchange)), 0.1)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig()
    await made.start()
    async with made.requester:
        yield made


async def test_the_demand_lies_on_the_partition_of_its_id_and_its_answers_are_told_in_order(rig: Rig) -> None:
    exchange = await rig.ask("paper-a", "paper-b")
    [sent] = rig.bus.records(f"demand.submitted.{HET}")
    assert (sent.key, sent.partition) == (key_of(exchange), partition_of(key_of(exchange), PARTITIONS))
    await rig.resolve(exchange)
    assert await one(exchange) == "resolved"
    deferred = EvidenceUnavailable(code=UnavailableCode.DEFERRED, source_register="r", as_of=NOW)
    await rig.provide(exchange, "paper-b", body=rig.encoder.encode(deferred), final=False)
    await rig.provide(exchange, "paper-a")
    await rig.provide(exchange, "paper-a")
    await rig.provide(exchange, "paper-b")
    assert await follow(exchange) == ["deferred paper-b", "delivered paper-a", "delivered paper-b"]
    assert exchange.complete
    assert await follow(exchange) == []


async def test_the_evidence_is_what_the_provider_gave(rig: Rig) -> None:
    exchange = await rig.ask()
    await rig.resolve(exchange)
    await rig.provide(exchange)
    events = [event async for event in exchange]
    assert isinstance(events[-1], Delivered)
    assert events[-1].evidence is not None
    assert (events[-1].evidence["has_debt"], events[-1].evidence["debts"]) == (True, None)


async def test_answers_before_the_resolution_wait_and_an_unreadable_one_takes_no_other_with_it(rig: Rig) -> None:
    exchange = await rig.ask("paper-a", "paper-b")
    await rig.put(exchange, "evidence.provided", b"\x01 not our framing")
    await rig.provide(exchange, "paper-a", body=b"not ours")
    await rig.provide(exchange, "paper-a", body=rig.encoder.encode(debt(has_debt=True))[:-1])
    await rig.provide(exchange, "paper-b")
    await rig.provide(exchange, "paper-a")
    await says_nothing(exchange)
    await rig.resolve(exchange)
    assert await follow(exchange) == ["resolved", "delivered paper-b", "delivered paper-a"]


async def test_a_resolution_of_another_body_does_not_count(rig: Rig) -> None:
    exchange = await rig.ask()
    await rig.resolve(exchange, value=b"another body")
    await rig.provide(exchange)
    await says_nothing(exchange)
    await rig.resolve(exchange)
    assert await follow(exchange) == ["resolved", "delivered paper-a"]


async def test_what_is_not_ours_is_passed_over(rig: Rig) -> None:
    exchange = await rig.ask()
    await rig.put(exchange, "demand.resolved", b"x")
    await rig.resolve(exchange)
    await rig.put(exchange, "evidence.provided", b"x", key=b"another demand")
    await rig.provide(exchange, "a paper nobody demanded")
    await rig.provide(exchange, provider="cadastre-agency")
    await rig.provide(exchange, demand_id=demand_id(2))
    await rig.provide(exchange)
    assert await follow(exchange) == [
        "resolved",
        "wrong_provider paper-a",
        "wrong_demand paper-a",
        "delivered paper-a",
    ]


async def test_an_answer_that_is_no_evidence_record_is_rejected(rig: Rig) -> None:
    exchange = await rig.ask()
    await rig.resolve(exchange)
    await rig.provide(exchange, body=rig.encoder.encode(rig.provided(exchange)))
    await rig.provide(exchange)
    assert await follow(exchange) == ["resolved", "not_evidence paper-a", "delivered paper-a"]


async def test_leaving_the_iteration_and_coming_back_loses_nothing(rig: Rig) -> None:
    exchange = await rig.ask("paper-a", "paper-b")
    await rig.resolve(exchange)
    await rig.provide(exchange, "paper-a")
    await rig.provide(exchange, "paper-b")
    assert [await one(exchange) for _ in range(2)] == ["resolved", "delivered paper-a"]
    assert await follow(exchange) == ["delivered paper-b"]


async def test_an_answer_with_a_schema_not_yet_known_is_tried_again_and_holds_up_no_other_document(rig: Rig) -> None:
    exchange = await rig.ask("paper-a", "paper-b")
    await rig.resolve(exchange)
    new = len(FILES.texts) + 1
    # The first to paper-a counts although a second one can be read earlier.
    await rig.provide(exchange, "paper-a", body=frame(new, rig.encoder.encode(debt(has_debt=False))[5:]))
    await rig.provide(exchange, "paper-a")
    await rig.provide(exchange, "paper-b")
    assert [await one(exchange) for _ in range(2)] == ["resolved", "delivered paper-b"]
    await says_nothing(exchange)
    text = FILES.texts[TaxDebt.RECORD].replace('"doc"', '"doc_"', 1)
    assert await rig.registry.register(TaxDebt.RECORD, text) == new
    events = [event async for event in exchange]
    assert [word(event) for event in events] == ["delivered paper-a"]
    assert isinstance(events[0], Delivered)
    assert events[0].evidence is not None
    assert events[0].evidence["has_debt"] is False


async def test_bad_input_05_an_unknown_schema_in_an_answer_is_dropped_after_ten_seconds(rig: Rig) -> None:
    exchange = await rig.ask()
    await rig.resolve(exchange)
    await rig.provide(exchange, body=frame(UNKNOWN_SCHEMA, b"x"))
    await rig.provide(exchange)
    assert await one(exchange) == "resolved"
    rig.monotonic = 5.0
    await says_nothing(exchange)  # it was asked for from here on
    rig.monotonic = 14.9
    await says_nothing(exchange)
    rig.monotonic = 15.0
    assert await follow(exchange) == ["delivered paper-a"]


async def test_bad_input_05_answers_with_ever_new_unknown_schemas_hold_up_the_others_once(rig: Rig) -> None:
    exchange = await rig.ask()
    await rig.resolve(exchange)
    for number in range(20):
        await rig.provide(exchange, body=frame(UNKNOWN_SCHEMA + number, b"x"))
    await rig.provide(exchange)
    assert await one(exchange) == "resolved"
    await says_nothing(exchange)
    rig.monotonic = 10.0
    assert await follow(exchange) == ["delivered paper-a"]


@pytest.mark.parametrize("topic", ["demand.resolved", "evidence.provided"])
async def test_an_envelope_that_cannot_be_read_yet_holds_up_what_comes_after_it(rig: Rig, topic: str) -> None:
    exchange = await rig.ask()
    await rig.put(exchange, topic, frame(UNKNOWN_SCHEMA, b"x"))
    await rig.resolve(exchange)
    await rig.provide(exchange)
    first = ["resolved"] if topic == "evidence.provided" else []
    assert [await one(exchange) for _ in first] == first
    await says_nothing(exchange)
    rig.monotonic = 10.0
    assert await follow(exchange) == ["resolved", "delivered paper-a"][len(first) :]


async def test_bad_input_07_with_the_registry_down_an_answer_waits_however_long(rig: Rig) -> None:
    exchange = await rig.ask()
    await rig.resolve(exchange)
    await rig.provide(exchange, body=frame(len(FILES.texts) + 1, rig.encoder.encode(debt(has_debt=True))[5:]))
    rig.registry.available = False
    assert await one(exchange) == "resolved"
    rig.monotonic = 3600.0
    rig.now = exchange.demand.expires_at + MARGIN
    await says_nothing(exchange)  # not undelivered: it came in time, it cannot be read
    rig.registry.available = True
    await rig.registry.register(TaxDebt.RECORD, FILES.texts[TaxDebt.RECORD].replace('"doc"', '"doc_"', 1))
    assert await follow(exchange) == ["delivered paper-a"]


async def test_undelivered_is_said_on_a_partition_that_is_never_quiet(rig: Rig) -> None:
    exchange = await rig.ask("paper-a", "paper-b")
    await rig.resolve(exchange)
    await rig.provide(exchange, "paper-b")
    assert [await one(exchange) for _ in range(2)] == ["resolved", "delivered paper-b"]
    rig.now = exchange.demand.expires_at + MARGIN
    async with rig.busy(exchange):
        assert await follow(exchange) == ["undelivered paper-a"]
    assert exchange.complete
    assert await follow(exchange) == []


async def test_undelivered_is_not_said_within_the_margin_between_the_clocks(rig: Rig) -> None:
    exchange = await rig.ask()
    await rig.resolve(exchange)
    assert await one(exchange) == "resolved"
    rig.now = exchange.demand.expires_at + MARGIN - timedelta(milliseconds=1)
    async with rig.busy(exchange):
        await says_nothing(exchange)
    rig.now += timedelta(milliseconds=1)
    assert await follow(exchange) == ["undelivered paper-a"]


async def test_undelivered_is_said_only_after_reading_to_an_end_asked_for_after_expiry(rig: Rig) -> None:
    exchange = await rig.ask()
    await rig.resolve(exchange)
    for _ in range(1200):  # more than two fetches before the answer
        await rig.put(exchange, "evidence.provided", b"x", key=b"another demand")
    await rig.provide(exchange)
    rig.now = exchange.demand.expires_at + MARGIN
    assert await follow(exchange) == ["resolved", "delivered paper-a"]


async def test_without_a_resolution_every_document_is_undelivered(rig: Rig) -> None:
    exchange = await rig.ask("paper-a", "paper-b")
    await rig.provide(exchange, "paper-a")  # an answer to nothing that was resolved
    rig.now = exchange.demand.expires_at + MARGIN
    assert await one(exchange) == "undelivered paper-a"
    assert not exchange.complete
    assert await follow(exchange) == ["undelivered paper-b"]


async def test_bad_input_21_an_answer_after_the_deadline_is_shown_late_and_not_lost(rig: Rig) -> None:
    exchange = await rig.ask("paper-a", "paper-b")
    await rig.resolve(exchange)
    rig.now = exchange.demand.expires_at - timedelta(milliseconds=1)
    await rig.provide(exchange, "paper-a")
    rig.now = exchange.demand.expires_at
    await rig.provide(exchange, "paper-b")
    rig.now = exchange.demand.expires_at + MARGIN
    assert await follow(exchange) == ["resolved", "delivered paper-a", "late paper-b", "undelivered paper-b"]


async def test_bad_input_18_a_provider_whose_clock_runs_ahead_is_heard_and_named(rig: Rig) -> None:
    exchange = await rig.ask("paper-a")
    await rig.resolve(exchange)
    ahead = debt(has_debt=True).model_copy(update={"as_of": NOW + timedelta(minutes=5)})
    with capture_logs() as logs:
        await rig.provide(exchange, body=rig.encoder.encode(ahead))
        assert await follow(exchange) == ["resolved", "delivered paper-a"]
    said = [(log["provider"], log["seconds"]) for log in logs if log["event"] == "answer.clock_apart"]
    assert said == [("tax-committee", 300)]


async def test_an_exchange_that_was_closed_ends(rig: Rig) -> None:
    exchange = await rig.ask()
    await exchange.aclose()
    assert await follow(exchange) == []
    other = await rig.ask()
    following = asyncio.create_task(follow(other))
    await asyncio.sleep(0)
    await other.aclose()
    assert await following == []
    assert not other.complete


def of_size(rig: Rig, size_bytes: int) -> Demand:
    """A demand whose value has exactly that many bytes."""

    def made(papers: int, case: int = 64, official: int = 64) -> Demand:
        return rig.requester.compose(
            procedure="p",
            subject=subject(PersonId(PERSON)),
            documents=[DemandedDocument(type="paper", parameters={"name": "x" * 400})] * papers,
            case_id="c" * case,
            official="o" * official,
        )

    hundred = len(rig.encoder.encode(made(100)))
    each = len(rig.encoder.encode(made(101))) - hundred
    more, rest = divmod(size_bytes - hundred, each)
    demand = made(100 + more, 64 + min(rest, 300), 64 + max(rest - 300, 0))
    assert len(rig.encoder.encode(demand)) == size_bytes
    return demand


async def test_a_demand_of_more_than_256_kib_is_refused_with_its_size_and_not_sent(rig: Rig) -> None:
    with pytest.raises(TooLargeError, match="262145 bytes; 262144 at most"):
        await rig.requester.send(of_size(rig, 256 * 1024 + 1))
    assert rig.bus.records(f"demand.submitted.{HET}") == []
    exchange = await rig.requester.send(of_size(rig, 256 * 1024))
    assert [len(record.value or b"") for record in rig.bus.records(f"demand.submitted.{HET}")] == [262144]
    await exchange.aclose()


async def test_a_demand_that_was_not_acknowledged_is_an_error(rig: Rig) -> None:
    rig.bus.faults.send = lambda record: SendFault.NOT_WRITTEN
    with pytest.raises(DeliveryError):
        await rig.ask()


async def test_one_reader_serves_all_demands_and_each_gets_its_own(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    usual = rig.bus.reader

    def counted(*args: Any, **more: Any) -> Any:
        made.append(args)
        return usual(*args, **more)

    monkeypatch.setattr(rig.bus, "reader", counted)
    exchanges = [await rig.ask() for _ in range(10)]
    following = [asyncio.create_task(follow(exchange)) for exchange in exchanges]
    for exchange in reversed(exchanges):
        await rig.resolve(exchange)
        await rig.provide(exchange)
    assert await asyncio.gather(*following) == [["resolved", "delivered paper-a"]] * 10
    assert len(made) == 1


async def test_demands_sent_at_once_are_acknowledged_or_not_each_for_itself(rig: Rig) -> None:
    demands = [
        rig.requester.compose(
            procedure="p", subject=subject(PersonId(PERSON)), documents=[DemandedDocument(type="paper-a")]
        )
        for _ in range(3)
    ]
    lost = str(demands[1].demand_id).encode()
    rig.bus.faults.send = lambda record: SendFault.NOT_WRITTEN if record.key == lost else None
    first, second, third = await rig.requester.send_all(demands)
    assert isinstance(second, DeliveryError)
    for exchange in (first, third):
        assert isinstance(exchange, Exchange)
        await rig.resolve(exchange)
        await rig.provide(exchange)
        assert await follow(exchange) == ["resolved", "delivered paper-a"]


async def test_a_broker_that_is_away_is_said_and_iterating_again_loses_nothing(rig: Rig) -> None:
    exchange = await rig.ask()
    await rig.resolve(exchange)
    assert await one(exchange) == "resolved"
    rig.bus.faults.down = True
    for _ in range(2):
        with pytest.raises(BrokerUnavailableError):
            await one(exchange)
    rig.bus.faults.down = False
    await rig.provide(exchange)
    assert await one_at_last(exchange) == "delivered paper-a"


async def lost(*_: Any) -> NoReturn:
    """The fetch of a reader that has lost its way."""
    raise BrokerUnavailableError("no broker has answered, but another client is answered")


async def test_a_reader_that_has_lost_its_way_is_replaced_where_it_stood(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    began: list[Any] = []
    usual = rig.bus.reader

    def kept(places: Any) -> Any:
        began.append(places)
        made.append(usual(places))
        return made[-1]

    monkeypatch.setattr(rig.bus, "reader", kept)
    exchange = await rig.ask()
    await rig.resolve(exchange)
    assert await one(exchange) == "resolved"

    monkeypatch.setattr(made[0], "fetch", lost)
    with pytest.raises(BrokerUnavailableError):
        await one(exchange)
    await rig.provide(exchange)
    assert await one_at_last(exchange) == "delivered paper-a"
    assert len(made) == 2
    assert sum(began[1].values()) == 1, "the resolution was read before"


async def test_leaving_while_a_reader_is_replaced_stops_both(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    stopped: list[Any] = []
    waits = asyncio.Event()
    usual = rig.bus.reader

    def kept(*places: Any) -> Any:
        reader = usual(*places)
        stop = reader.stop

        async def noted() -> None:
            if made.index(reader) == 0 and not waits.is_set():
                waits.set()
                await asyncio.Event().wait()
            stopped.append(reader)
            await stop()

        made.append(reader)
        monkeypatch.setattr(reader, "stop", noted)
        return reader

    monkeypatch.setattr(rig.bus, "reader", kept)
    await rig.ask()

    monkeypatch.setattr(made[0], "fetch", lost)
    async with asyncio.timeout(10):
        await waits.wait()
    await rig.requester.__aexit__(None, None, None)
    assert made[1] in stopped


async def one_at_last(exchange: Exchange) -> str:
    """The next event, whatever was said of the broker before."""
    while True:
        with contextlib.suppress(BrokerUnavailableError):
            return await one(exchange)


async def test_records_that_are_gone_before_they_were_read_end_every_exchange(rig: Rig) -> None:
    exchange = await rig.ask()
    place = rig.bus.log.partition(
        TopicPartition(f"evidence.provided.{HET}", partition_of(key_of(exchange), PARTITIONS))
    )
    rig.bus.faults.down = True
    place.stamp(Outgoing(f"evidence.provided.{HET}", place.place.partition, key_of(exchange), b"x"), 0)
    place.show()
    place.delete_before(1)
    rig.bus.faults.down = False
    with pytest.raises(OffsetOutOfRangeError):
        await one_at_last(exchange)
    with pytest.raises(OffsetOutOfRangeError):
        await rig.ask()


async def test_an_exchange_that_is_dropped_takes_no_more(rig: Rig) -> None:
    exchange = await rig.ask()
    kept = weakref.ref(exchange)
    del exchange
    gc.collect()
    assert kept() is None


@pytest.mark.parametrize("said", ["no", "yes", 1, None])
async def test_a_circumstance_is_true_or_false_and_no_text_that_python_takes_for_true(rig: Rig, said: Any) -> None:
    with pytest.raises(UndecodableError, match="circumstances"):
        await rig.requester.demand(
            procedure="p", subject=PersonId(PERSON), documents=["d"], circumstances={"non-resident": said}
        )


async def test_an_exchange_whose_next_holder_was_never_asked_ends_with_the_demand(rig: Rig) -> None:
    nothing = EvidenceUnavailable(code=UnavailableCode.NO_RECORD, source_register="register", as_of=NOW)
    exchange = await rig.ask()
    await rig.resolve(exchange, alternatives=({"provider": "other", "evidence_type": "tax-debt", "code": "ground"},))
    await rig.provide(exchange, body=rig.encoder.encode(nothing))
    rig.bus.faults.send = lambda record: SendFault.NOT_WRITTEN
    assert [await one(exchange), await one(exchange)] == ["resolved", "delivered paper-a"]
    with pytest.raises(DeliveryError):
        await one(exchange)
    rig.now = exchange.demand.expires_at + timedelta(hours=1)
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not exchange.complete:
            with contextlib.suppress(DeliveryError):  # it is tried until everything was read
                assert await follow(exchange) == []
            await asyncio.sleep(0)
