"""The run whose traces `test_privacy` searches: demands of every kind, and what is wrong in every way."""

import io
import json
from dataclasses import dataclass
from typing import Any

import httpx2

from chopar.avro import SchemaFiles, frame
from chopar.bus.port import Outgoing, partition_of
from chopar.cli.main import main
from chopar.messages.demand import Demand, DemandedDocument
from chopar.messages.dispute import DisputeReason
from chopar.requester.completion import Delivered, Upheld
from chopar.requester.disputes import Objection
from chopar.requester.requester import Requester
from chopar.schema_registry import Encoder, HttpSchemaRegistry
from chopar.topics import PARTITIONS
from tests.builders import demand
from tests.e2e.privacy_search import Seen, json_texts
from tests.e2e.stack_fixture import RunningStack, new_key

HET, GAS, NOTARY, REGISTRY_OFFICE = "electricity-het", "gas-hududgaz", "justice-notary", "justice-fhdyo"
TAX_REQUESTS = "evidence.requested.tax-committee"
SIX = (
    "psychoneurological-registration-certificate",
    "narcological-registration-certificate",
    "criminal-record-certificate",
    "tax-debt-certificate",
    "private-housing-certificate",
    "address-reference-certificate",
)
PLATE = "01A733BC"


@dataclass(frozen=True, slots=True)
class Cast:
    """Who and what is asked about."""

    person: str
    second: str
    name: str
    stranger: str
    firm: str
    firm_name: str
    address: str

    @property
    def malformed(self) -> list[str]:
        """The person's number, spoilt in every way."""
        wide = "".join(chr(0xFF10 + int(digit)) for digit in self.person)
        wrong = str((int(self.person[-1]) + 1) % 10)
        return [self.person[:13], self.person + "7", self.person[:13] + "x", self.person[:13] + wrong, wide]


async def ask_by_library(stack: RunningStack, cast: Cast) -> set[bytes]:
    """Demands as agencies send them, each followed to its end.

    Returns:
        The keys of those in which a number stands for a document: the answer to the asker repeats its own words.
    """
    repeated: set[bytes] = set()
    registry = HttpSchemaRegistry(stack.address("registry"))
    person: Any = {"kind": "person", "id": cast.person}
    second: Any = {"kind": "person", "id": cast.second}
    firm: Any = {"kind": "business", "id": cast.firm}
    residential, other = "real-estate-sale-notary-residential", "real-estate-sale-notary-non-residential"
    account = {"account_address": cast.address, "vehicle_plate": PLATE}
    demands: list[tuple[str, str, Any, Any, dict[str, Any]]] = [
        (NOTARY, other, firm, [("electricity-debt-certificate", account), ("tax-debt-certificate", {})], {}),
        (NOTARY, residential, person, [("gas-debt-certificate", account)], {}),
        (REGISTRY_OFFICE, "marriage-registration", person, [
            ("kinship-certificate", {"second_person": cast.second}),
            ("marriage-medical-examination-result", {}),
        ], {"parties": [{"role": "bride", "kind": "person", "id": cast.second}]}),
        (HET, "electricity-supply-contract", person, [("hiv-absence-certificate", {})], {"applicant": second}),
        (GAS, "gas-connection", {"kind": "person", "id": cast.stranger}, [("tax-debt-certificate", {})], {}),
        (GAS, "no-such-procedure", person, [("disability-certificate", {})], {}),
        (GAS, "gas-connection", {"kind": "person", "id": cast.name}, [("tax-debt-certificate", {})], {}),
        (GAS, "gas-connection", {"kind": "person", "id": cast.firm}, [("tax-debt-certificate", {})], {}),
        (GAS, cast.person, person, [(cast.person, {cast.second: PLATE})], {
            "case_id": f"case of {cast.person}",
            "official": cast.second,
            "ground": {"kind": "law", "reference": cast.person},
            "circumstances": {cast.person: True},
            "parties": [{"role": cast.second, "kind": "person", "id": cast.second}],
        }),
        (HET, "electricity-supply-contract", person, [("tax-debt-certificate", {})], {"case_id": cast.person}),
        *((GAS, "gas-connection", {"kind": "person", "id": wrong}, [("tax-debt-certificate", {})], {})
          for wrong in cast.malformed),
    ]  # fmt: skip
    try:
        for agency, procedure, subject, documents, more in demands:
            async with Requester(agency, stack.bus(), registry) as requester:
                composed = requester.compose(
                    procedure=procedure,
                    subject=subject,
                    documents=[DemandedDocument(type=kind, parameters=given) for kind, given in documents],
                    **more,
                )
                if documents[0][0] == cast.person:
                    repeated.add(str(composed.demand_id).encode())
                async with await requester.send(composed) as exchange:
                    events = [event async for event in exchange]
                    assert events
                    for event in events:
                        if isinstance(event, Delivered):
                            name, about = event.document.document_type, event.document.about
                            objection = Objection(name, DisputeReason.WRONG_SUBJECT, about=about)
                            await requester.dispute(exchange, objection)
                            assert [type(said) async for said in exchange] == [Upheld]
    finally:
        await registry.aclose()
    return repeated


async def send_bad_records(stack: RunningStack, cast: Cast) -> list[bytes]:
    """Records that cannot be handled, with people inside and in headers of the sender's own; their keys."""
    registry = HttpSchemaRegistry(stack.address("registry"))
    encoder = Encoder(SchemaFiles.shipped(), registry)
    await encoder.prepare(Demand)
    demand_id = await registry.id_of(Demand.RECORD, SchemaFiles.shipped().texts[Demand.RECORD])
    await registry.aclose()
    inside = f"{cast.person} {cast.name} {cast.address}".encode()
    loose = (
        ("ce_id", b"1"),
        ("ce_subject", cast.person.encode()),
        ("ce_type", b"hiv-absence of " + cast.person.encode()),
        ("name", cast.name.encode()),
        ("of-the-run", b"yes"),
    )
    keys = [new_key() for _ in range(9)]
    mine = demand(demand_id=keys[0].decode(), subject={"kind": "person", "id": cast.person})
    whole = encoder.encode(mine)
    bad = [
        (f"demand.submitted.{GAS}", keys[0], whole),  # the body says another requester
        (f"demand.submitted.{HET}", keys[1], inside),
        (f"demand.submitted.{HET}", keys[2], frame(demand_id, inside)),
        (f"demand.submitted.{HET}", keys[3], whole[:-7]),
        (f"demand.submitted.{HET}", keys[4], frame(99_999, inside)),
        (f"demand.submitted.{HET}", b"no demand id", inside),
        (TAX_REQUESTS, keys[5], inside),
        (TAX_REQUESTS, keys[6], frame(demand_id, inside)),
        (TAX_REQUESTS, keys[7], whole),  # a demand where a request is due
        (TAX_REQUESTS, None, frame(demand_id, inside)),
    ]
    await stack.send(*(Outgoing(t, partition_of(k or b"", PARTITIONS), k, v, loose) for t, k, v in bad))
    return [key for topic, key, _ in bad if topic.startswith("demand") and key and len(key) == 36]


def say_wrongly(stack: RunningStack, cast: Cast) -> str:
    """The command line's words when somebody's number or name stands in a wrong place."""
    who, name = cast.person, cast.name
    create = ["demand", "create", "--requester", HET, "--procedure", "electricity-supply-contract"]
    about = [*create, "--person", who]
    paper = ["--document", "tax-debt-certificate"]
    lines = [
        [who],
        [f"--{who}"],
        ["demand", who],
        ["demand", "trace", who],
        ["demand", "dispute", who, *paper[1:], "--reason", "wrong_value"],
        ["demand", "dispute", new_key().decode(), name, "--reason", who],
        ["demand", "list", "--limit", who],
        ["demand", "list", f"--person={who}"],
        [*about, *paper, "--on", who],
        [*about, *paper, "--party", who],
        [*about, *paper, "--party", f"a={who}", "--party", f"a={name}"],
        [*about, *paper, "--circumstance", who],
        [*about, *paper, "--circumstance", f"{who}=maybe"],
        [*about, *paper, "--with", who],
        [*about, *paper, "--with", f"{who}:second_person={name}"],
        [*about, *paper, "--with", f"{who}={'7' * 500}"],
        [*about, *paper, "--acting-as", who],
        [*about, *paper, "--ground", who],
        [*about, *paper, "--wait", who],
        [*about, *paper, name],
        [*about, "--business", cast.firm, *paper],
        [*create, "--persn", who, *paper],
        ["--bootstrap", who, *about, *paper],
        ["--gateway", f"http://{who}", *about, *paper, "--on", "2024-01-01"],
        ["--format", who, "status"],
        ["prohibited", "explain", who],
        ["topic", "list", who],
        ["population", "list", "--limit", name],
    ]
    said = io.StringIO()
    for line in lines:
        code = main(line, environ={"CHOPAR_HOME": str(stack.cli.home)}, out=io.StringIO(), err=said)
        assert code != 0, line[:2]
    return said.getvalue()


async def ask_wrongly(stack: RunningStack, cast: Cast) -> list[Seen]:
    """The bodies of HTTP errors when somebody's number or name stands in a wrong place."""
    good: dict[str, Any] = {
        "requester": HET,
        "procedure": "electricity-supply-contract",
        "subject": {"kind": "person", "id": cast.person},
        "documents": [{"type": "tax-debt-certificate"}],
    }
    who, name = cast.person, cast.name
    bodies: list[Any] = [
        {**good, who: 1},
        {**good, "subject": who},
        {**good, "subject": {"kind": who, "id": name}},
        {**good, "subject": {"kind": "person", "id": who, name: who}},
        {**good, "circumstances": {who: name}},
        {**good, "documents": [{"type": "tax-debt-certificate", "parameters": {who: {name: who}}}]},
        {**good, "documents": who},
        {**good, "parties": [{"role": who * 20, "kind": "person", "id": who}]},
        {**good, "on": who},
        {**good, "acting_as": who},
        {**good, "requester": who * 20},
        [who],
        who,
    ]
    gateway, registry = stack.address("gateway"), stack.address("registry")
    tax = next(f"http://{process.address}" for process in stack.written.processes if process.name == "tax")
    seen: list[Seen] = []
    async with httpx2.AsyncClient() as client:
        answers = [await client.post(f"{gateway}/v1/rehearsals", json=body) for body in bodies]
        for raw in (f'{{"subject": "{who}', who, f'"{name}"'):
            headers = {"content-type": "application/json"}
            answers.append(await client.post(f"{gateway}/v1/rehearsals", content=raw.encode(), headers=headers))
        for path in (f"/v1/requesters/{who}", f"/{who}", f"/v1/rehearsals/{who}", f"/v1/rehearsals?on={who}"):
            answers.append(await client.get(f"{gateway}{path}"))
        for path in (f"/{who}", f"/metrics/{who}"):
            answers.append(await client.get(f"{tax}{path}"))
        for path in ("schemas/ids/{}", "subjects/{}/versions", "subjects/{}/versions/{}", "config/{}", "mode/{}", "{}"):
            answers.append(await client.get(f"{registry}/{path.format(who, who)}"))
        for text in (who, json.dumps({"type": "record", "name": who, "fields": []}), json.dumps({"type": who})):
            answers.append(await client.post(f"{registry}/subjects/{who}/versions", json={"schema": text}))
    for answer in answers:
        assert answer.status_code >= 400, answer.url.path
        seen += [Seen(f"HTTP {answer.status_code}", text) for text in json_texts(answer.text)]
    return seen
