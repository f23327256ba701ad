"""`demand create`, `trace` and `list` on the in-memory bus, with a gateway and a holder of the test's own."""

import asyncio
import hashlib
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from chopar.avro import SchemaFiles
from chopar.bus.memory import MemoryBus
from chopar.bus.port import Record, TopicPartition, partition_of
from chopar.cli import demand_list, demand_text, demand_trace
from chopar.cli.demand_answer import Answer
from chopar.cli.demand_create import create, rehearse
from chopar.cli.demand_flags import Asked, Flags, read_flags
from chopar.cli.gateway_client import GatewayClient
from chopar.cli.output import Format, Output
from chopar.cli.topic_rows import rows_of
from chopar.envelope import Origin, outgoing
from chopar.errors import (
    BrokerUnavailableError,
    ConfigurationError,
    NotFoundError,
    SchemaRegistryUnavailableError,
    UnavailableError,
)
from chopar.identifiers import agency_id, derived_uuid
from chopar.messages.demand import Demand, DemandResolved, FetchMode, Outcome, PersonMayBeAsked, ResolvedDocument
from chopar.messages.evidence import EvidenceProvided, EvidenceUnavailable, TaxDebt, UnavailableCode
from chopar.messages.exchange import AccessEntry, DocumentEntry, ExchangeRecorded, ResolutionEntry
from chopar.messages.record import Message
from chopar.schema_registry import Decoder, Encoder, InMemorySchemaRegistry
from chopar.texts import Texts
from chopar.topics import DEMAND_RESOLVED, DEMAND_SUBMITTED, EVIDENCE_PROVIDED, EXCHANGE_RECORDED, PARTITIONS, layouts

PINFL = "31012649801148"
ASKER, HOLDER = agency_id("some-agency"), agency_id("some-holder")
FILES = SchemaFiles.shipped()


def asked(*documents: str, **more: Any) -> Asked:
    return read_flags(Flags(requester=ASKER, procedure="some-procedure", document=documents, person=PINFL, **more))


class World:
    """A bus with topics, a registry with schemas, and a gateway that fetches what is called `debt...`."""

    def __init__(self) -> None:
        self.bus = MemoryBus(lambda: int(datetime.now(UTC).timestamp() * 1000))
        self.registry = InMemorySchemaRegistry()
        self.said: list[str] = []
        self.seen: list[Demand] = []
        self.gateway_calls: list[str] = []

    async def prepare(self) -> None:
        for name, text in FILES.texts.items():
            await self.registry.register(name, text)
        admin = self.bus.admin()
        await admin.start()
        await admin.create(list(layouts([ASKER], [HOLDER])))
        await admin.stop()
        self.encoder = Encoder(FILES, self.registry)
        await self.encoder.prepare(*FILES.texts)

    async def answer_demands(self) -> None:
        topic = DEMAND_SUBMITTED.of(ASKER)
        reader = self.bus.reader({TopicPartition(topic, number): None for number in range(PARTITIONS)})
        await reader.start()
        decoder = Decoder(FILES, self.registry)
        while True:
            for records in (await reader.fetch(10, 1.0)).values():
                for record in records:
                    demand = await decoder.message(record.value or b"", Demand)
                    self.seen.append(demand)
                    await self._answer(record, demand)

    async def _answer(self, record: Record, demand: Demand) -> None:
        now = datetime.fromtimestamp(record.timestamp_ms / 1000, UTC)
        documents = [_resolved(document.type, index) for index, document in enumerate(demand.documents)]
        entries = tuple(
            DocumentEntry(
                document_type=d.document_type,
                outcome=d.outcome.value,
                code=d.code,
                provider=d.provider,
                request_hash=hashlib.sha256(d.request_id).digest() if d.request_id else None,
                due=now + timedelta(hours=1) if d.request_id else None,
            )
            for d in documents
        )
        resolution = ResolutionEntry(
            received_at=now,
            demand_hmac=bytes(32),
            list_digest="digest",
            fetch_mode="inferred",
            rules_number=1,
            procedure=demand.procedure,
            subject_kind=demand.subject.kind,
            expires_at=demand.expires_at,
            documents=entries,
        )
        recorded = ExchangeRecorded(
            demand_id=demand.demand_id, recorded_by="gateway", requester=ASKER, resolution=resolution
        )
        await self._send(record, EXCHANGE_RECORDED.of(), recorded, "/gateway")
        resolved = DemandResolved(
            demand_id=demand.demand_id,
            demand_digest=hashlib.sha256(record.value or b"").digest(),
            requester=ASKER,
            received_at=now,
            on=now.date(),
            list_digest="digest",
            fetch_mode=FetchMode.INFERRED,
            rules_number=1,
            documents=tuple(documents),
            expires_at=demand.expires_at,
        )
        await self._send(record, DEMAND_RESOLVED.of(ASKER), resolved, "/gateway")
        for document in documents:
            if document.request_id is not None and document.document_type != "debt-silent":
                await self._provide(record, demand, document, now)

    async def _provide(self, record: Record, demand: Demand, document: ResolvedDocument, now: datetime) -> None:
        body: Message = TaxDebt(fields_given=("has_debt",), source_register="r", as_of=now, has_debt=False)
        if document.document_type == "debt-unknown":
            body = EvidenceUnavailable(
                code=UnavailableCode.NO_RECORD, register_coverage="from 1997", source_register="r", as_of=now
            )
        request_id = document.request_id or b""
        access = AccessEntry(
            request_hash=hashlib.sha256(request_id).digest(),
            provider=HOLDER,
            evidence_type="tax-debt",
            procedure=demand.procedure,
            case_id=demand.case_id,
            official=demand.official,
            access_ground="g",
            fields=("has_debt",),
            final=True,
            answer_digest=bytes(32),
        )
        recorded = ExchangeRecorded(demand_id=demand.demand_id, recorded_by=HOLDER, requester=ASKER, access=access)
        await self._send(record, EXCHANGE_RECORDED.of(), recorded, f"/agencies/{HOLDER}")
        provided = EvidenceProvided(
            request_id=request_id,
            demand_id=demand.demand_id,
            provider=HOLDER,
            requester=ASKER,
            evidence_type="tax-debt",
            final=True,
            nonce=bytes(32),
            body=self.encoder.encode(body),
        )
        await self._send(record, EVIDENCE_PROVIDED.of(ASKER), provided, f"/agencies/{HOLDER}")

    async def _send(self, cause: Record, topic: str, message: Message, source: str) -> None:
        demand_id = UUID((cause.key or b"").decode())
        value = self.encoder.encode(message)
        origin = Origin(
            source=source,
            time_ms=cause.timestamp_ms,
            correlation_id=demand_id,
            causation=f"{cause.topic}/{cause.partition}/{cause.offset}",
        )
        producer = self.bus.producer("test")
        await producer.start()
        record = outgoing(topic, cause.partition, value, derived_uuid(topic, value), message.RECORD, origin)
        await producer.send([record])
        await producer.stop()

    def gateway(self) -> GatewayClient:
        async def requester(request: Request) -> Response:
            name = request.path_params["name"]
            self.gateway_calls.append(name)
            if name == "group-representative":
                return JSONResponse({"requester": name, "connected": False})
            if name == "without-topics":
                return JSONResponse({"requester": name, "connected": True})
            return JSONResponse({"code": "unknown_requester", "message": "unknown"}, status_code=404)

        async def rehearsal(request: Request) -> Response:
            body = await request.json()
            self.gateway_calls.append(body["on"])
            if body["procedure"] == "invalid":
                return JSONResponse({"code": "invalid", "message": "not valid: procedure"}, status_code=422)
            if body["procedure"] == "broken":
                return JSONResponse({"code": "law_incomplete", "message": "no list yet"}, status_code=503)
            documents = [
                _resolved(document["type"], index).model_dump(mode="json", exclude={"request_id", "due"})
                for index, document in enumerate(body["documents"])
            ]
            answer = {"on": body["on"], "list_digest": "digest", "fetch_mode": "verified", "rules_number": 1}
            return JSONResponse({**answer, "refused": None, "documents": documents})

        routes = [Route("/v1/requesters/{name}", requester), Route("/v1/rehearsals", rehearsal, methods=["POST"])]
        transport = httpx2.ASGITransport(app=Starlette(routes=routes))
        return GatewayClient(httpx2.AsyncClient(transport=transport, base_url="http://gateway.test"))

    async def create(self, what: Asked, wait_seconds: float = 10.0) -> Answer:
        return await create(
            what, self.bus, self.registry, self.gateway, wait_seconds=wait_seconds, say=self.said.append
        )


def _resolved(document_type: str, index: int) -> ResolvedDocument:
    if document_type.startswith("debt"):
        return ResolvedDocument(
            document_type=document_type,
            outcome=Outcome.FETCH,
            code="ground",
            person_may_be_asked=PersonMayBeAsked.NO,
            next_step="wait_for_evidence",
            provider=HOLDER,
            evidence_type="tax-debt",
            fields=("has_debt",),
            request_id=bytes([index + 1]) * 32,
        )
    refused = document_type == "unheard-of"
    return ResolvedDocument(
        document_type=document_type,
        outcome=Outcome.REFUSED if refused else Outcome.NOT_NEEDED,
        code="unknown_document" if refused else "no_ground_to_know",
        person_may_be_asked=PersonMayBeAsked.NO,
        next_step="correct_demand" if refused else "go_on_without",
    )


@asynccontextmanager
async def running() -> AsyncIterator[World]:
    world = World()
    await world.prepare()
    task = asyncio.create_task(world.answer_demands())
    try:
        yield world
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_demand_is_sent_and_followed_to_its_evidence() -> None:
    async with running() as world:
        answer = await world.create(asked("debt", "paper", case="case-9", official="o-1", circumstance=("a=yes",)))
    assert (answer.status, answer.exit_code()) == ("answered", 0)
    assert answer.demand_id == world.seen[0].demand_id
    assert [d.outcome for d in answer.documents] == ["fetch", "not_needed"]
    evidence = answer.documents[0].evidence
    assert evidence is not None
    assert evidence["has_debt"] is False
    assert answer.elapsed_ms > 0
    demand = world.seen[0]
    assert (demand.case_id, demand.official, demand.circumstances) == ("case-9", "o-1", {"a": "yes"})
    assert (demand.applicant, demand.acting_as, demand.ground.kind) == (None, "self", "law")
    assert world.gateway_calls == []


async def test_no_record_is_an_answer_and_no_evidence() -> None:
    async with running() as world:
        answer = await world.create(asked("debt-unknown"))
    assert (answer.status, answer.exit_code()) == ("answered", 1)
    shown = answer.to_json()["documents"][0]
    assert (shown["unavailable"], shown["register_coverage"], shown["evidence"]) == ("no_record", "from 1997", None)


async def test_what_is_open_when_the_wait_is_over_is_shown_as_waiting() -> None:
    async with running() as world:
        answer = await world.create(asked("debt-silent", "paper"), wait_seconds=0.5)
    assert (answer.status, answer.exit_code()) == ("waiting", 1)
    assert str(answer.demand_id) in world.said[0]
    assert answer.documents[1].outcome == "not_needed"


async def test_without_a_gateway_nothing_is_answered_yet() -> None:
    world = World()
    await world.prepare()
    answer = await world.create(asked("debt"), wait_seconds=0)
    assert (answer.status, answer.exit_code(), answer.documents[0].outcome) == ("waiting", 1, None)


async def test_an_unknown_document_is_wrong_use_and_the_object_is_whole() -> None:
    async with running() as world:
        answer = await world.create(asked("unheard-of"))
    assert (answer.status, answer.exit_code()) == ("refused", 2)


@pytest.mark.parametrize("identifier", [PINFL[:13], "x", "", "３１０１２６４９８０１１４８", "3101264980114\x00"])
async def test_a_malformed_identifier_is_sent_as_it_is(identifier: str) -> None:
    async with running() as world:
        answer = await world.create(
            read_flags(Flags(requester=ASKER, procedure="p", document=["paper"], person=identifier))
        )
    assert world.seen[0].subject.id == identifier
    if identifier:
        assert (
            identifier not in json.dumps(answer.to_json(), default=str).replace("x", identifier if False else "x")[:0]
        )


@pytest.mark.parametrize(
    ("requester", "code"),
    [
        ("nobody", "unknown_requester"),
        ("group-representative", "requester_has_no_connection"),
        ("No Agency!", "unknown_requester"),
        ("", "unknown_requester"),
    ],
)
async def test_a_requester_without_topics_is_asked_for_at_the_gateway(requester: str, code: str) -> None:
    world = World()
    await world.prepare()
    answer = await world.create(
        read_flags(Flags(requester=requester, procedure="p", document=["a", "b"], person=PINFL))
    )
    assert (answer.demand_id, answer.status, answer.exit_code()) == (None, "refused", 2)
    assert [d.code for d in answer.documents] == [code, code]
    assert world.gateway_calls == ([requester] if requester in ("nobody", "group-representative") else [])


async def test_a_requester_whose_topics_are_missing_is_not_reached() -> None:
    world = World()
    await world.prepare()
    with pytest.raises(UnavailableError, match="--apply-topics"):
        await world.create(read_flags(Flags(requester="without-topics", procedure="p", document=["a"], person=PINFL)))


async def test_a_gateway_that_is_away_is_not_reached() -> None:
    world = World()
    await world.prepare()
    away = GatewayClient(httpx2.AsyncClient(base_url="http://127.0.0.1:1", timeout=2.0))
    what = read_flags(Flags(requester="nobody", procedure="p", document=["a"], person=PINFL))
    with pytest.raises(UnavailableError, match="chopar up"):
        await create(what, world.bus, world.registry, lambda: away, wait_seconds=1, say=world.said.append)


async def test_no_registry_is_not_reached() -> None:
    world = World()
    await world.prepare()
    world.registry.available = False
    with pytest.raises(SchemaRegistryUnavailableError):
        await world.create(asked("debt"))


async def test_no_broker_is_not_reached() -> None:
    world = World()
    await world.prepare()
    world.bus.faults.down = True
    with pytest.raises(BrokerUnavailableError):
        await world.create(asked("debt"))


async def test_a_demand_that_is_no_message_is_wrong_use() -> None:
    world = World()
    await world.prepare()
    with pytest.raises(ConfigurationError, match="case_id"):
        await world.create(asked("debt", case="c" * 401))


async def test_a_rehearsal_sends_nothing() -> None:
    world = World()
    await world.prepare()
    answer = await rehearse(asked("debt", "paper", on="2022-06-30"), world.gateway())
    assert (answer.demand_id, answer.rehearsal, answer.status, answer.exit_code()) == (None, True, "answered", 0)
    assert answer.list_digest == "digest"
    assert world.gateway_calls == ["2022-06-30"]
    assert sum(row["records"] for row in await rows_of(world.bus)) == 0


@pytest.mark.parametrize(
    ("procedure", "error", "words"),
    [("invalid", ConfigurationError, "not valid: procedure"), ("broken", UnavailableError, "503 no list yet")],
)
async def test_a_rehearsal_that_the_gateway_does_not_take(procedure: str, error: type[Exception], words: str) -> None:
    what = read_flags(Flags(requester=ASKER, procedure=procedure, document=["a"], person=PINFL, on="2022-06-30"))
    with pytest.raises(error, match=words):
        await rehearse(what, World().gateway())


async def test_a_trace_shows_every_hop_and_no_identifier() -> None:
    async with running() as world:
        answer = await world.create(asked("debt"))
        assert answer.demand_id is not None
        hops = await demand_trace.hops_of(answer.demand_id, world.bus)
    records = [(hop.record or "").rpartition(".")[2] for hop in hops]
    assert sorted(records) == ["Demand", "DemandResolved", "EvidenceProvided", "ExchangeRecorded", "ExchangeRecorded"]
    assert records[0] == "Demand"
    assert {hop.partition for hop in hops} == {partition_of(str(answer.demand_id).encode(), PARTITIONS)}
    shown = demand_trace.to_json(answer.demand_id, hops)
    assert shown["hops"][0]["after_ms"] == 0
    assert shown["hops"][1]["caused_by"].startswith(DEMAND_SUBMITTED.of(ASKER))
    out = io.StringIO()
    Output(Format.TEXT, out, out).show(shown, *demand_trace.to_text(hops))
    Output(Format.JSON, out, out).show(shown)
    assert DEMAND_SUBMITTED.of(ASKER) in out.getvalue()
    assert PINFL not in out.getvalue()


async def test_a_trace_of_a_demand_that_was_not_sent_here_is_a_no() -> None:
    world = World()
    await world.prepare()
    with pytest.raises(NotFoundError):
        await demand_trace.hops_of(demand_trace.read_demand_id("0190f5b2-7c3e-7a11-8c2d-123456789012"), world.bus)


async def test_recent_demands_with_what_is_open_late_and_ended() -> None:
    async with running() as world:
        ended = await world.create(asked("debt", "paper"))
        open_ = await world.create(asked("debt-silent"), wait_seconds=0.5)
        now = datetime.now(UTC)

        async def listed(requester: str | None = None, limit: int = 10, at: datetime = now) -> list[tuple[Any, str]]:
            found = await demand_list.recent(world.bus, world.registry, requester, limit, at)
            return [(demand.demand_id, demand.state) for demand in found]

        assert await listed() == [(open_.demand_id, "open"), (ended.demand_id, "ended")]
        assert await listed(limit=1) == [(open_.demand_id, "open")]
        assert await listed(requester="another") == []
        assert await listed(at=now + timedelta(hours=2)) == [(open_.demand_id, "late"), (ended.demand_id, "ended")]
        assert await listed(at=now + timedelta(days=8)) == [(open_.demand_id, "ended"), (ended.demand_id, "ended")]
        newest, *_ = await demand_list.recent(world.bus, world.registry, None, 2, now)
    [shown] = demand_list.to_json([newest])
    assert (shown["requester"], shown["outcomes"], shown["subject_kind"]) == (ASKER, {"fetch": 1}, "person")


async def test_topics_with_records_and_lag() -> None:
    async with running() as world:
        await world.create(asked("debt"))
        rows = {row["name"]: row for row in await rows_of(world.bus)}
    assert rows[DEMAND_SUBMITTED.of(ASKER)]["records"] == 1
    assert rows[DEMAND_SUBMITTED.of(ASKER)]["partitions"] == PARTITIONS
    assert rows[EXCHANGE_RECORDED.of()]["records"] == 2
    assert rows[f"{EXCHANGE_RECORDED.of()}.dlq"]["dead_letters"] is True
    assert rows[DEMAND_SUBMITTED.of(ASKER)]["lag"] is None


async def test_the_text_says_what_follows() -> None:
    async with running() as world:
        answer = await world.create(asked("debt", "paper", "unheard-of"))
    out = io.StringIO()
    Output(Format.TEXT, out, out).show(answer.to_json(), *demand_text.parts(answer, Texts.shipped()))
    text = out.getvalue()
    assert "has_debt: no" in text
    assert "not_needed / no_ground_to_know" in text
    assert "paper: Go on without this document." in text
    assert "The person may offer a paper unasked" in text
    assert "fetch mode inferred" in text
    assert PINFL not in text
    assert "\x1b" not in text
