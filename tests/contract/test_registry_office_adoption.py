"""Adoption leaves no trace: two registers, one with an adoption and one where the adopters were the parents from the
start, are asked everything about everybody on many days, and all that comes out is equal, byte for byte."""

import hashlib
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy import event, text
from structlog.testing import capture_logs

from chopar.avro import SchemaFiles
from chopar.bus.port import Record
from chopar.identifiers import PersonId
from chopar.messages.evidence import EvidenceRequested
from chopar.provider.provider import ProviderHandler
from chopar.schema_registry import Decoder, Encoder, InMemorySchemaRegistry
from services.registry_office.handlers import provider
from services.registry_office.model.acts import Act, ActKind, Role
from services.registry_office.model.answers import EVIDENCE_TYPES
from services.registry_office.model.names import PersonName
from services.registry_office.store import CoalescingCivilRegister, SqlCivilStore
from tests.builders import NOW, demand_id
from tests.civil_acts import (
    AUNT,
    COUSIN,
    GRANDCHILD,
    NAMES,
    SON,
    UNCLE_BY_MARRIAGE,
    WIFE,
    act,
    birth,
    family,
    number,
    who,
)

pytest_plugins = ["tests.postgres_fixture"]

ADOPTED = "Saidov Temur Odil oʻgʻli"
OF_THE_WORLD = number("2012-02-29", male=False)  # a child whose birth mother has no other act
NEW_NUMBER = number("2012-02-28", male=False)
UNKNOWN_MOTHER = number("1990-12-12", male=False)
BRIDE = number("2016-06-06", male=False)
FILES = SchemaFiles.shipped()
FIELDS = (
    "spouses", "children", "parents", "relation", "acts", "status", "act_number", "act_date", "recorded_on", "office",
    "child", "names_after", "former_spouses", "died_on", "name_before", "name_after", "father", "lone_parent",
)  # fmt: skip


def before() -> list[Act]:
    """The family without the grandchild's birth."""
    return [one for one in family() if one.number != "B-grandchild"]


def with_adoptions() -> list[Act]:
    """A child with a corrected birth, a paternity and another name, and one of a mother without other acts; adopted."""
    return [
        *before(),
        birth(GRANDCHILD, "2015-09-10", WIFE, None, number="B-first"),
        birth(GRANDCHILD, "2015-09-12", WIFE, None, number="B-grandchild", supersedes="B-first"),
        act(
            ActKind.PATERNITY,
            "2015-10-10",
            who(Role.CHILD, NAMES[GRANDCHILD], GRANDCHILD),
            who(Role.MOTHER, NAMES[WIFE], WIFE),
            who(Role.FATHER, NAMES[SON], SON),
            number="P-1",
        ),
        act(
            ActKind.NAME_CHANGE,
            "2017-01-01",
            who(Role.PERSON, NAMES[GRANDCHILD], GRANDCHILD, name_after=PersonName("Orlov", "Timur")),
            number="C-1",
        ),
        act(
            ActKind.BIRTH,
            "2012-03-09",
            who(Role.CHILD, "Q Dunyo", OF_THE_WORLD),
            who(Role.MOTHER, "Q Ona", UNKNOWN_MOTHER),
            number="B-world",
        ),
        _number_change("Q Dunyo"),
        _own_child("Q Dunyo"),
        _adoption("A-0", "B-grandchild", "Boshqa Bola", GRANDCHILD),
        _adoption("A-1", "B-grandchild", ADOPTED, GRANDCHILD),
        _adoption("A-2", "B-world", "Saidova Dunyo Odil qizi", OF_THE_WORLD),
        *afterwards(),
    ]


def without() -> list[Act]:
    """The same, born to those who adopted."""
    return [
        *before(),
        _born("B-grandchild", "2015-09-12", ADOPTED, GRANDCHILD),
        _born("B-world", "2012-03-09", "Saidova Dunyo Odil qizi", OF_THE_WORLD),
        _number_change("Saidova Dunyo Odil qizi"),
        _own_child("Saidova Dunyo Odil qizi"),
        *afterwards(),
    ]


def _number_change(name: str) -> Act:
    return act(
        ActKind.NUMBER_CHANGE,
        "2013-03-03",
        who(Role.NUMBER_BEFORE, name, OF_THE_WORLD),
        who(Role.NUMBER_AFTER, name, NEW_NUMBER, born_on=None),
        number="L-1",
    )


def _own_child(name: str) -> Act:
    """Where the child itself is a parent, before anybody adopts it."""
    return act(
        ActKind.BIRTH,
        "2019-02-05",
        who(Role.CHILD, "Q Chaqaloq", BABY),
        who(Role.MOTHER, name, OF_THE_WORLD),
        number="B-baby",
    )


def afterwards() -> list[Act]:
    return [
        act(
            ActKind.NAME_CHANGE,
            "2024-05-05",
            who(Role.PERSON, ADOPTED, GRANDCHILD, name_after=PersonName("Saidov", "Amir")),
            number="C-2",
        ),
        act(
            ActKind.MARRIAGE,
            "2025-05-05",
            who(Role.HUSBAND, ADOPTED, GRANDCHILD),
            who(Role.WIFE, "B Kelin", BRIDE),
            number="M-1",
        ),
    ]


def _adoption(own: str, concerns: str, name: str, child: PersonId) -> Act:
    return act(
        ActKind.ADOPTION, "2019-04-04", who(Role.CHILD, name, child), *_adopters(), number=own, concerns=concerns
    )


def _born(own: str, on: str, name: str, child: PersonId) -> Act:
    return act(ActKind.BIRTH, on, who(Role.CHILD, name, child), *_adopters(), number=own)


def _adopters() -> tuple[Any, ...]:
    return (who(Role.MOTHER, NAMES[AUNT], AUNT), who(Role.FATHER, NAMES[UNCLE_BY_MARRIAGE], UNCLE_BY_MARRIAGE))


BABY = number("2019-02-01", male=True)
CHILDREN = [GRANDCHILD, OF_THE_WORLD]
PEOPLE = [*CHILDREN, NEW_NUMBER, WIFE, SON, AUNT, UNCLE_BY_MARRIAGE, COUSIN, UNKNOWN_MOTHER, BABY]
DAYS = [datetime.fromisoformat(day).replace(tzinfo=UTC) for day in ("2018-01-01", "2026-11-26")]


class Asked:
    """A register that is asked, and all that can be seen of it."""

    def __init__(self, store: SqlCivilStore, caplog: pytest.LogCaptureFixture) -> None:
        self.store = store
        self.statements: list[Any] = []
        self.logs: list[Any] = []
        self.outputs: list[Any] = []
        self.metrics = CollectorRegistry()
        self.asking = False
        self._caplog = caplog
        for engine in (store._database.reader, store._database.writer):
            event.listen(engine.sync_engine, "before_cursor_execute", self._keep)

    def _keep(self, _: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        if self.asking:
            self.statements.append((statement, str(parameters)))

    async def ask_everything(self) -> None:
        registry = InMemorySchemaRegistry(lambda: 0.0)
        for name, schema in FILES.texts.items():
            await registry.register(name, schema)
        encoder = Encoder(FILES, registry)
        await encoder.prepare(*FILES.texts)
        register = CoalescingCivilRegister(self.store)
        handler = ProviderHandler(
            provider,
            register,
            encoder=encoder,
            decoder=Decoder(FILES, registry),
            secret=bytes(32),
            clock=lambda: NOW,
            metrics=self.metrics,
        )
        self.asking = True
        self._caplog.clear()
        with capture_logs() as logs:
            for request in requests():
                value = encoder.encode(request)
                record = Record("evidence.requested.justice-fhdyo", 0, 1, 1, None, value)
                self.outputs.append(await handler.handle(record))
        self.logs = [*logs, *((line.name, line.getMessage()) for line in self._caplog.records)]
        self.asking = False
        await register.close()

    async def rows(self) -> list[Any]:
        """What look-ups read; the journal and its serials are what they do not."""
        async with self.store._database.reading() as connection:
            tables = [f"SELECT * FROM {table} ORDER BY 1, 2" for table in ("act", "act_person")]
            return [(await connection.execute(text(table))).all() for table in tables]


def requests() -> list[EvidenceRequested]:
    made = []
    for on in DAYS:
        for person in PEOPLE:
            for evidence_type in EVIDENCE_TYPES:
                seconds: Sequence[PersonId | None] = [None]
                if evidence_type in ("kinship", "birth-act"):
                    seconds = [None, *(PEOPLE if person in CHILDREN else CHILDREN)]
                for second in seconds:
                    parameters = {} if second is None else {"second_person": second.text}
                    made.append(_request(evidence_type, person, parameters, on))
    return made


def _request(evidence_type: str, person: PersonId, parameters: dict[str, str], on: datetime) -> EvidenceRequested:
    words = f"{evidence_type} {person.text} {parameters} {on}"
    return EvidenceRequested.model_validate(
        {
            "request_id": hashlib.sha256(words.encode()).digest(),
            "demand_id": demand_id(),
            "requester": "justice-notary",
            "provider": "justice-fhdyo",
            "evidence_type": evidence_type,
            "subject": {"kind": "person", "id": person.text},
            "parameters": parameters,
            "fields": FIELDS,
            "procedure": "notary-identity-check",
            "case_id": "case-1",
            "official": "official-7",
            "access_ground": "ground-1",
            "act": "act",
            "as_of": on,
            "due": NOW + timedelta(days=1),
            "expires_at": NOW + timedelta(days=7),
        }
    )


@pytest.fixture
def postgres_url_of_another(postgres_server_uri: str) -> Iterator[str]:
    """A second empty database."""
    with psycopg.connect(postgres_server_uri, autocommit=True) as connection:
        connection.execute("CREATE DATABASE another_register")
    url = postgres_server_uri.replace("postgresql://", "postgresql+psycopg://", 1)
    yield url.replace("/postgres?", "/another_register?", 1)
    with psycopg.connect(postgres_server_uri, autocommit=True) as connection:
        connection.execute("DROP DATABASE another_register WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
async def registers(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[list[SqlCivilStore]]:
    urls = [f"sqlite:///{tmp_path}/{name}.db" for name in ("one", "two")]
    if request.param == "postgresql":
        urls = [request.getfixturevalue(f"postgres_url{one}") for one in ("", "_of_another")]
    made = [SqlCivilStore(url) for url in urls]
    for store in made:
        await store.create_schema()
    yield made
    for store in made:
        await store.close()


@pytest.mark.parametrize("seeded", [True, False], ids=["seeded", "recorded"])
async def test_an_adoption_leaves_no_trace(
    registers: list[SqlCivilStore], seeded: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    seen = []
    for store, acts in zip(registers, (with_adoptions(), without()), strict=True):
        await _fill(store, acts, seeded)
        asked = Asked(store, caplog)
        await asked.ask_everything()
        seen.append((asked, await asked.rows()))
    (adopted, rows), (born, rows_of_born) = seen
    assert len(adopted.outputs) == len(born.outputs) > 200
    for request, one, other in zip(requests(), adopted.outputs, born.outputs, strict=True):
        assert one == other, (request.evidence_type, request.as_of)
    assert adopted.statements == born.statements
    assert len(adopted.statements) == len(requests()) - len(DAYS) * len(PEOPLE)  # kinship with nobody asks nothing
    assert adopted.logs == born.logs == []
    assert _counts(adopted.metrics) == _counts(born.metrics)
    assert rows == rows_of_born
    for store in registers:
        for name in (*NAMES.values(), ADOPTED, "Orlov Timur", "Q Dunyo", "Q Ona", "Boshqa Bola"):
            assert await registers[0].named(name) == await registers[1].named(name)
        assert await store.contradictions() == ()


async def test_the_test_would_see_an_adoption(registers: list[SqlCivilStore], caplog: pytest.LogCaptureFixture) -> None:
    """Without the adoptions the tables differ, so that equal ones mean something."""
    kept = [one for one in with_adoptions() if one.kind is not ActKind.ADOPTION]
    await _fill(registers[0], kept, True)
    await _fill(registers[1], without(), True)
    assert await Asked(registers[0], caplog).rows() != await Asked(registers[1], caplog).rows()


async def _fill(store: SqlCivilStore, acts: Sequence[Act], seeded: bool) -> None:
    if seeded:
        await store.seed(acts)
        return
    for one in acts:
        await store.record(one)


def _counts(metrics: CollectorRegistry) -> list[str]:
    lines = generate_latest(metrics).decode().splitlines()
    return [line for line in lines if "_created" not in line]


def test_the_two_registers_differ_by_adoptions_alone() -> None:
    kinds = {one.kind for one in with_adoptions()}
    assert ActKind.ADOPTION in kinds
    assert ActKind.ADOPTION not in {one.kind for one in without()}
