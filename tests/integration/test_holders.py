"""Demands that go to several holders at once: utility companies about an object, the social register about a person."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from chopar.bus.memory import MemoryBus
from chopar.bus.port import Bus
from chopar.identifiers import BusinessId, PersonId, agency_id
from chopar.messages.demand import DemandedDocument, DemandResolved
from chopar.messages.social import AssignedBenefits, SocialRegisterCategory
from chopar.messages.utility import UtilityDebt
from chopar.requester.completion import Delivered
from chopar.topics import EVIDENCE_PROVIDED, EVIDENCE_REQUESTED, layouts
from services.benefits.handlers import provider as benefits_provider
from services.benefits.model import Assessment, Category, SocialFile
from services.benefits.store import CoalescingSocialRegister, SqlSocialStore
from services.tax.model import DebtEntry
from services.utilities.handlers import provider_of
from services.utilities.model import COMPANIES, Account, NetworkService, ObjectDebt
from services.utilities.store import CoalescingUtilityRegister, SqlUtilityStore
from tests.builders import BUSINESS, PERSON, SECOND_PERSON
from tests.world import DEADLINE_SECONDS, World, world

pytestmark = pytest.mark.filterwarnings("ignore:Unclosed AIOKafka:ResourceWarning")

NOTARY = "justice-notary"
SHOP = "Toshkent shahri, Mirzo Ulugʻbek tumani, Oqtepa MFY, Bogʻishamol koʻchasi, 12-uy"
ELSEWHERE = "Toshkent shahri, Chilonzor tumani, Obod MFY, Furqat koʻchasi, 3-uy"
OWED = {
    "electricity-het": {NetworkService.ELECTRICITY: 500},
    "gas-hududgaz": {},
    "water-uzsuvtaminot": {NetworkService.COLD_WATER: 30, NetworkService.SEWERAGE: 12},
    "telecom-operator": {NetworkService.TELEPHONE: 0},
    "heat-supply": {NetworkService.HEAT: 0},
    "waste-collection": {NetworkService.WASTE: 7},
}
SALE = ("electricity", "gas", "water-sewerage", "telephone", "heat", "waste")


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.broker)])
async def here(request: pytest.FixtureRequest, tmp_path: Path, kafka: Callable[[], Bus]) -> AsyncIterator[World]:
    bus: Bus = MemoryBus(lambda: time.time_ns() // 1_000_000) if request.param == "memory" else kafka()
    async with world(bus, tmp_path) as made:
        await made.prepare()
        admin = made.bus.admin()
        await admin.start()
        await admin.create(list(layouts([], [*COMPANIES, benefits_provider.agency])))
        await admin.stop()
        made.start_gateway()
        yield made


@pytest.fixture
async def utilities(here: World, tmp_path: Path) -> AsyncIterator[None]:
    """All six companies in one process, each on a register of its own."""
    stores = []
    for company in COMPANIES.values():
        store = SqlUtilityStore(f"sqlite:///{tmp_path}/{company.agency}.db")
        stores.append(store)
        await store.create_schema()
        owed = OWED[company.agency]
        await store.seed([Account(f"{service}-1", service, SHOP, amount) for service, amount in owed.items()])
        await here.start_provider(provider_of(company), CoalescingUtilityRegister(store), [UtilityDebt])
    yield
    await here.close()
    for store in stores:
        await store.close()


async def ask(here: World, agency: str, **demand: Any) -> tuple[DemandResolved, dict[str, Delivered]]:
    async with here.requester(agency) as requester:
        exchange = await requester.demand(**demand)
        async with asyncio.timeout(DEADLINE_SECONDS), exchange:
            resolved, *delivered = [event async for event in exchange]
    assert isinstance(resolved, DemandResolved)
    found: dict[str, Delivered] = {}
    for event in delivered:
        assert isinstance(event, Delivered)
        found[event.document.document_type] = event
    return resolved, found


def debt_papers(address: str) -> list[DemandedDocument]:
    return [DemandedDocument(type=f"{name}-debt-certificate", parameters={"account_address": address}) for name in SALE]


@pytest.mark.usefixtures("utilities")
async def test_a_sale_at_the_notary_asks_tax_and_every_company_about_the_object(here: World) -> None:
    await here.start_tax({BusinessId(BUSINESS): [DebtEntry("land", 5000)]})
    resolved, found = await ask(
        here,
        NOTARY,
        procedure="real-estate-sale-notary-non-residential",
        subject=BusinessId(BUSINESS),
        documents=["tax-debt-certificate", *debt_papers(SHOP.replace("ʻ", "'").upper())],
    )
    assert {document.outcome.value for document in resolved.documents} == {"fetch"}
    assert {document.person_may_be_asked.value for document in resolved.documents} == {"no"}
    facts = {
        name: (event.evidence["has_debt"], event.evidence.get("amount_tiyin"), event.evidence["fields_given"])
        for name, event in found.items()
        if event.evidence is not None
    }
    whole = ["amount_tiyin", "has_debt"]
    assert facts == {
        "tax-debt-certificate": (True, None, ["debts.amount_tiyin", "debts.tax", "has_debt"]),
        "electricity-debt-certificate": (True, 500, whole),
        "water-sewerage-debt-certificate": (True, 42, whole),
        "telephone-debt-certificate": (False, 0, whole),
        "heat-debt-certificate": (False, 0, whole),
        "waste-debt-certificate": (True, 7, whole),
    }
    gas = found["gas-debt-certificate"].unavailable
    assert gas is not None
    assert (gas.code, gas.source_register) == ("no_record", "register of gas consumers' accounts")
    assert gas.register_coverage == "gas consumers' accounts, by address; synthetic entries"


@pytest.mark.usefixtures("utilities")
async def test_a_hit_and_no_record_are_of_one_size_and_hide_the_object(here: World) -> None:
    for address in (SHOP, ELSEWHERE):
        await ask(
            here,
            NOTARY,
            procedure="real-estate-sale-notary-residential",
            subject=PersonId(PERSON),
            documents=[paper for paper in debt_papers(address) if "electr" not in paper.type],
        )
    answers = await here.records(EVIDENCE_PROVIDED.of(agency_id(NOTARY)))
    assert len(answers) == 8
    assert len({len(record.value or b"") for record in answers}) == 1
    requests = [record for company in COMPANIES for record in await here.records(EVIDENCE_REQUESTED.of(company))]
    assert len(requests) == 8
    for record in [*answers, *requests]:
        told = b"".join((record.topic.encode(), record.key or b"", *(value for _, value in record.headers)))
        assert b"Bog" not in told
        assert b"Furqat" not in told


class SlowRegister:
    """A register that answers when it may."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()

    async def debt_of(self, address: str) -> ObjectDebt | None:
        await self.may_answer.wait()
        return ObjectDebt(3)


async def test_bad_input_49_a_slow_provider_leaves_the_others_alone(here: World) -> None:
    slow, quick = SlowRegister(), SlowRegister()
    quick.may_answer.set()
    for agency, register in (("gas-hududgaz", slow), ("electricity-het", quick)):
        await here.start_provider(provider_of(COMPANIES[agency_id(agency)]), register, [UtilityDebt])
    async with here.requester(NOTARY) as requester:
        exchange = await requester.demand(
            procedure="real-estate-sale-notary-non-residential",
            subject=BusinessId(BUSINESS),
            documents=[paper for paper in debt_papers(SHOP) if paper.type.startswith(("gas", "electricity"))],
        )
        arrived = []
        async with asyncio.timeout(DEADLINE_SECONDS), exchange:
            async for event in exchange:
                if isinstance(event, Delivered):
                    arrived.append(event.document.document_type)
                    slow.may_answer.set()  # only when the other's answer is there
    assert arrived == ["electricity-debt-certificate", "gas-debt-certificate"]


async def test_the_passport_office_learns_of_the_social_register(here: World, tmp_path: Path) -> None:
    store = SqlSocialStore(f"sqlite:///{tmp_path}/social.db")
    await store.create_schema()
    today = datetime.now(UTC).date()
    until = today + timedelta(days=30)
    await store.seed([SocialFile(PersonId(PERSON), Assessment(Category.LOW_INCOME, today - timedelta(days=9), until))])
    register = CoalescingSocialRegister(store)
    await here.start_provider(benefits_provider, register, [SocialRegisterCategory, AssignedBenefits])
    demand: dict[str, Any] = {
        "procedure": "travel-passport",
        "circumstances": {"on-consular-register": True},
        "documents": ["social-register-certificate"],
    }
    _, found = await ask(here, "mia-migration", subject=PersonId(PERSON), **demand)
    evidence = found["social-register-certificate"].evidence
    assert evidence is not None
    assert (evidence["registered"], evidence["category"], evidence["valid_until"]) == (True, "low-income", until)
    _, found = await ask(here, "mia-migration", subject=PersonId(SECOND_PERSON), **demand)
    unknown = found["social-register-certificate"].unavailable
    assert unknown is not None
    assert unknown.code == "no_record"
    await here.close()
    await store.close()
