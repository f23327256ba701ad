"""Demands that the registry office answers, on the in-memory bus and on a real Kafka."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from chopar.bus.memory import MemoryBus
from chopar.bus.port import Bus
from chopar.cli.demand_text import evidence_line
from chopar.identifiers import BusinessId, PersonId, agency_id
from chopar.messages.civil_status import CIVIL_STATUS_EVIDENCE
from chopar.messages.demand import DemandedDocument, DemandResolved
from chopar.requester.completion import Delivered
from chopar.topics import EVIDENCE_PROVIDED, EVIDENCE_REQUESTED, EXCHANGE_RECORDED, layouts
from services.registry_office.handlers import COVERAGE, provider
from services.registry_office.model.acts import ActKind, Role
from services.registry_office.store import CoalescingCivilRegister, SqlCivilStore
from tests.builders import BUSINESS
from tests.civil_acts import DAUGHTER, FATHER, GRANDCHILD, MOTHER, NAMES, SON, STRANGER, WIFE, act, family, who
from tests.world import DEADLINE_SECONDS, World, world

pytestmark = pytest.mark.filterwarnings("ignore:Unclosed AIOKafka:ResourceWarning")

NOTARY, MIGRATION = "justice-notary", "mia-migration"
PASSPORT: dict[str, Any] = {"procedure": "travel-passport", "circumstances": {"on-consular-register": False}}


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.broker)])
async def here(request: pytest.FixtureRequest, tmp_path: Path, kafka: Callable[[], Bus]) -> AsyncIterator[World]:
    """A gateway and the registry office on its real register."""
    bus: Bus = MemoryBus(lambda: time.time_ns() // 1_000_000) if request.param == "memory" else kafka()
    store = SqlCivilStore(f"sqlite:///{tmp_path}/acts.db")
    async with world(bus, tmp_path) as made:
        await made.prepare()
        admin = made.bus.admin()
        await admin.start()
        await admin.create(list(layouts([], [provider.agency])))
        await admin.stop()
        made.start_gateway()
        await store.create_schema()
        await store.seed(family())
        await store.record(act(ActKind.BIRTH, "1993-08-01", who(Role.CHILD, "Volkova Anna", DAUGHTER)))
        await made.start_provider(provider, CoalescingCivilRegister(store), CIVIL_STATUS_EVIDENCE)
        yield made
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


def paper(name: str, second: PersonId | None = None, about: str | None = None) -> DemandedDocument:
    parameters = {} if second is None else {"second_person": second.text}
    return DemandedDocument(type=name, about=about, parameters=parameters)


async def test_family_kinship_and_marriage_come_instead_of_three_certificates(here: World) -> None:
    papers = [
        paper("family-composition-certificate"),
        paper("kinship-certificate", second=GRANDCHILD),
        paper("marital-status-certificate"),
    ]
    resolved, found = await ask(here, MIGRATION, subject=SON, documents=papers, **PASSPORT)
    assert {(one.outcome.value, one.person_may_be_asked.value) for one in resolved.documents} == {("fetch", "no")}
    evidence = {name: event.evidence for name, event in found.items()}
    composition, kinship, marriage = (evidence[one.type] for one in papers)
    assert composition is not None
    assert composition["spouses"] == {"count": 1, "members": [{"relation": "wife", "acts": ["M-son"]}]}
    assert composition["children"]["count"] == 1
    assert composition["parents"]["count"] == 2
    assert kinship is not None
    assert (kinship["relation"], kinship["acts"]) == ("son", ["B-grandchild"])
    assert marriage is not None
    assert (marriage["status"], marriage["act_number"], marriage["act_date"]) == ("married", "M-son", date(2014, 5, 5))
    for one in (composition, kinship, marriage):
        assert one["register_coverage"] == COVERAGE
        assert evidence_line(one)


async def test_a_firms_sale_asks_about_the_marriage_of_the_owner_who_is_a_party(here: World) -> None:
    await here.start_tax({BusinessId(BUSINESS): []})
    resolved, found = await ask(
        here,
        NOTARY,
        procedure="real-estate-sale-notary-non-residential",
        subject=BusinessId(BUSINESS),
        parties=[{"role": "owner", "kind": "person", "id": WIFE.text}],
        documents=[paper("tax-debt-certificate"), paper("civil-status-record-marriage", about="owner")],
    )
    assert [(one.outcome.value, one.provider) for one in resolved.documents] == [
        ("fetch", "tax-committee"),
        ("fetch", "justice-fhdyo"),
    ]
    marriage = found["civil-status-record-marriage"].evidence
    assert marriage is not None
    assert [one["surname"] for one in marriage["spouses"]] == ["Karimov", "Orlova"]
    assert [one["surname"] for one in marriage["names_after"]] == ["Karimova"]
    taxes = found["tax-debt-certificate"].evidence
    assert taxes is not None
    assert taxes["has_debt"] is False


async def test_the_newborns_birth_is_found_by_parent_and_child_and_cut_to_the_ground(here: World) -> None:
    _, found = await ask(
        here,
        MIGRATION,
        procedure="newborn-residence-registration",
        subject=SON,
        documents=[paper("birth-certificate-copy", second=GRANDCHILD)],
    )
    birth = found["birth-certificate-copy"].evidence
    assert birth is not None
    assert (birth["act_number"], birth["child"]["given_name"]) == ("B-grandchild", "Temur")
    assert (birth["office"], birth["recorded_on"]) == (None, None)
    assert birth["fields_given"] == ["act_number", "child", "parents"]


async def test_bad_inputs_36_37_unknown_and_ambiguous_people_look_like_others_from_outside(here: World) -> None:
    codes = {}
    for subject in (SON, STRANGER, DAUGHTER, FATHER, MOTHER):
        _, found = await ask(
            here, MIGRATION, subject=subject, documents=[paper("marital-status-certificate")], **PASSPORT
        )
        [event] = found.values()
        codes[subject] = event.unavailable.code.value if event.unavailable else None
    assert codes == {SON: None, STRANGER: "no_record", DAUGHTER: "ambiguous_subject", FATHER: None, MOTHER: None}
    answers = await here.records(EVIDENCE_PROVIDED.of(agency_id(MIGRATION)))
    assert len(answers) == 5
    assert len({len(record.value or b"") for record in answers}) == 1


async def test_nothing_personal_leaves_in_keys_headers_or_access_records(here: World) -> None:
    await ask(here, MIGRATION, subject=SON, documents=[paper("kinship-certificate", second=GRANDCHILD)], **PASSPORT)
    recorded = await here.records(EXCHANGE_RECORDED.of())
    requested = await here.records(EVIDENCE_REQUESTED.of(provider.agency))
    provided = await here.records(EVIDENCE_PROVIDED.of(agency_id(MIGRATION)))
    for record in (*recorded, *requested, *provided):
        told = b"".join((record.topic.encode(), record.key or b"", *(value for _, value in record.headers)))
        told += b"" if record in (*requested, *provided) else record.value or b""
        for secret in (SON.text, GRANDCHILD.text, NAMES[SON].split()[0], "B-grandchild", json.dumps("son")):
            assert secret.encode() not in told
    body = provided[0].value or b""
    assert SON.text.encode() not in body
    assert GRANDCHILD.text.encode() not in body


async def test_on_the_consular_register_the_passport_office_learns_of_lone_parenthood_alone(here: World) -> None:
    demand = {**PASSPORT, "circumstances": {"on-consular-register": True}}
    _, found = await ask(here, MIGRATION, subject=WIFE, documents=[paper("family-composition-certificate")], **demand)
    evidence = found["family-composition-certificate"].evidence
    assert evidence is not None
    assert (evidence["lone_parent"], evidence["acts"]) == (False, [])
    assert evidence["fields_given"] == ["acts", "lone_parent"]
