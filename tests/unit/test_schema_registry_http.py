"""The API's bodies, codes and content types, as they go over the wire."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from prometheus_client import CollectorRegistry

from chopar.health import AsgiApp
from services.schema_registry.http import application
from services.schema_registry.http_call import CONTENT_TYPES, MAX_BODY_BYTES
from services.schema_registry.log_records import schema_key
from tests.builders import PERSON
from tests.schema_registry_fixture import Instance, memory_bus, until

TEXT = '{"type":"record","name":"R","namespace":"a","fields":[]}'
OTHER = '{"type":"record","name":"R","namespace":"a","fields":[{"name":"x","type":"int","default":0}]}'


def client_of(app: AsgiApp) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx2.AsyncClient(transport=transport, base_url="http://registry")


@pytest.fixture
async def api() -> AsyncIterator[httpx2.AsyncClient]:
    async with Instance(memory_bus()).following() as instance, client_of(instance.app) as client:
        yield client


async def push(api: httpx2.AsyncClient, subject: str = "a.R", text: str = TEXT) -> Any:
    answer = await api.post(f"/subjects/{subject}/versions", json={"schema": text})
    assert answer.status_code == 200, answer.text
    return answer.json()


def is_error(answer: httpx2.Response, status: int, number: int) -> str:
    body = answer.json()
    assert (answer.status_code, body["error_code"]) == (status, number)
    assert set(body) == {"error_code", "message"}, "old clients fail on more"
    assert answer.headers["content-type"] in CONTENT_TYPES
    assert "Traceback" not in answer.text
    return str(body["message"])


async def test_the_answers_have_exactly_the_fields_shape(api: httpx2.AsyncClient) -> None:
    row = await push(api)
    guid = row["guid"]
    whole = {"subject": "a.R", "version": 1, "id": 1, "guid": guid, "schemaType": "AVRO", "schema": TEXT}
    assert row == whole
    assert (await api.post("/subjects/a.R", json={"schema": TEXT})).json() == whole
    for path, due in {
        "/subjects": ["a.R"],
        "/subjects/a.R/versions": [1],
        "/subjects/a.R/versions/1": whole,
        "/subjects/a.R/versions/latest": whole,
        "/subjects/a.R/versions/-1": whole,
        "/subjects/a.R/versions/1/schema": json.loads(TEXT),
        "/subjects/a.R/versions/1/referencedby": [],
        "/schemas": [whole],
        "/schemas/types": ["AVRO"],
        "/schemas/ids/1": {"schema": TEXT, "guid": guid},
        "/schemas/ids/1?subject=a.R&format=resolved": {"schema": TEXT, "guid": guid},
        "/schemas/ids/1/schema": json.loads(TEXT),
        "/schemas/ids/1/subjects": ["a.R"],
        "/schemas/ids/1/versions": [{"subject": "a.R", "version": 1}],
        f"/schemas/guids/{guid}": {"schema": TEXT, "guid": guid},
        "/config": {"compatibilityLevel": "FULL_TRANSITIVE"},
        "/config/a.R?defaultToGlobal=true": {"compatibilityLevel": "FULL_TRANSITIVE"},
        "/mode": {"mode": "READWRITE"},
        "/mode/a.R?defaultToGlobal=TRUE": {"mode": "READWRITE"},
        "/contexts": ["."],
        "/": {},
    }.items():
        answer = await api.get(path)
        assert (answer.status_code, answer.json()) == (200, due), path
        assert answer.headers["content-type"] == CONTENT_TYPES[0], path


@pytest.mark.parametrize(
    ("accept", "due"),
    [
        ("", CONTENT_TYPES[0]),
        ("*/*", CONTENT_TYPES[0]),
        ("application/json", "application/json"),
        ("text/html, application/vnd.schemaregistry+json;q=0.9", CONTENT_TYPES[1]),
        (", ".join(reversed(CONTENT_TYPES)), CONTENT_TYPES[0]),
    ],
)
async def test_the_content_type_is_one_that_the_client_takes(api: httpx2.AsyncClient, accept: str, due: str) -> None:
    answer = await api.get("/subjects", headers={"Accept": accept})
    assert (answer.status_code, answer.headers["content-type"]) == (200, due)


async def test_a_client_that_takes_no_json_is_told_so_in_json(api: httpx2.AsyncClient) -> None:
    is_error(await api.get("/subjects", headers={"Accept": "text/html"}), 406, 406)


async def test_unknown_routes_and_methods_are_answered_in_json_too(api: httpx2.AsyncClient) -> None:
    for path in ("/nothing", "/subjects/a/b/c/d/e", "/schemas/ids/abc", "/schemas/ids/1/2/3", "/associations/x"):
        assert is_error(await api.get(path), 404, 404) == "HTTP 404 Not Found"
    for method, path in (("PATCH", "/subjects"), ("POST", "/schemas/ids/1"), ("PUT", "/subjects/a/versions")):
        assert is_error(await api.request(method, path), 405, 405) == "HTTP 405 Method Not Allowed"


async def test_what_is_not_here_yet_says_so(api: httpx2.AsyncClient) -> None:
    for method, path in (("PUT", "/mode"), ("DELETE", "/mode/a.R"), ("GET", "/subjects/a.R/metadata")):
        assert "yet" in is_error(await api.request(method, path), 501, 501)


BROKEN = '{"type":"record","name":"R","namespace":"a","fields":[{"name":"x","type":"string"}]}'


async def test_an_incompatible_schema_is_refused_and_asked_for_with_its_reasons(api: httpx2.AsyncClient) -> None:
    await push(api)
    await push(api, text=OTHER)
    said = is_error(await api.post("/subjects/a.R/versions", json={"schema": BROKEN}), 409, 409)
    assert said.startswith(
        'Schema being registered is incompatible with an earlier schema for subject "a.R", details: ['
    )
    reasons = [
        "x is string, but version 2 wrote int; keep that type, or use a field of another name",
        "x is string, but readers with version 2 expect int; keep that type, or use a field of another name",
        "x is not in version 1 and has no default; give it one",
    ]
    assert said.endswith(f"[{'; '.join(reasons)}], {{compatibility: 'FULL_TRANSITIVE'}}")
    for path, due in (("", reasons), ("/latest", reasons[:2]), ("/1", reasons[2:])):
        url = f"/compatibility/subjects/a.R/versions{path}"
        assert (await api.post(url, json={"schema": BROKEN})).json() == {"is_compatible": False}
        told = (await api.post(f"{url}?verbose=true", json={"schema": BROKEN})).json()
        assert told == {"is_compatible": False, "messages": due}
        assert (await api.post(f"{url}?verbose=true", json={"schema": OTHER})).json() == {"is_compatible": True}
    is_error(await api.post("/compatibility/subjects/a.R/versions/0", json={"schema": OTHER}), 422, 42202)
    is_error(await api.post("/compatibility/subjects/a.R/versions", json={"schema": "{"}), 422, 42201)
    assert (await api.get("/subjects/a.R/versions")).json() == [1, 2]


async def test_a_refusal_says_a_reason_once_for_all_versions_and_verbose_once_for_each(api: httpx2.AsyncClient) -> None:
    for default in (0, 1, 2):
        await push(api, text=OTHER.replace(":0}", f":{default}}}"))
    said = is_error(await api.post("/subjects/a.R/versions", json={"schema": BROKEN}), 409, 409)
    assert "[x is string, but versions 1 to 3 wrote int; keep" in said
    assert said.count("but readers with versions 1 to 3 expect int") == said.count("expect int") == 1
    url = "/compatibility/subjects/a.R/versions?verbose=true"
    told = (await api.post(url, json={"schema": BROKEN})).json()["messages"]
    assert [one.partition("version ")[2][0] for one in told] == ["3", "3", "2", "2", "1", "1"]


async def test_a_default_that_only_a_later_type_of_a_union_takes_is_not_registered(api: httpx2.AsyncClient) -> None:
    text = BROKEN.replace('"string"', '["int","null"],"default":null')
    for path in ("/subjects/a.R/versions", "/compatibility/subjects/a.R/versions"):
        assert "put its type first" in is_error(await api.post(path, json={"schema": text}), 422, 42201)
    is_error(await api.post("/subjects/a.R", json={"schema": text}), 404, 40401)  # to be looked up it is a schema
    await push(api, text=text.replace('["int","null"]', '["null","int"]'))


async def test_a_number_in_the_name_of_a_field_is_not_repeated(api: httpx2.AsyncClient) -> None:
    await push(api)
    text = json.dumps({"type": "record", "name": "a.R", "fields": [{"name": f"p_{PERSON}", "type": "int"}]})
    for path in ("/subjects/a.R/versions", "/compatibility/subjects/a.R/versions?verbose=true"):
        answer = await api.post(path, json={"schema": text})
        assert "has no default" in answer.text
        assert PERSON not in answer.text


async def test_levels(api: httpx2.AsyncClient) -> None:
    await push(api)
    is_error(await api.get("/config/a.R"), 404, 40408)
    is_error(await api.delete("/config/a.R"), 404, 40408)
    assert (await api.put("/config/a.R", json={"compatibility": "none"})).json() == {"compatibility": "NONE"}
    assert (await api.get("/config/a.R")).json() == {"compatibilityLevel": "NONE"}
    assert (await api.post("/compatibility/subjects/a.R/versions/1", json={"schema": '"int"'})).json() == {
        "is_compatible": True
    }
    assert (await api.put("/config", json={"compatibility": "FULL", "alias": None})).json() == {"compatibility": "FULL"}
    assert (await api.get("/config/b?defaultToGlobal=true")).json() == {"compatibilityLevel": "FULL"}
    assert (await api.delete("/config/a.R")).json() == {"compatibilityLevel": "NONE"}
    for body, number in (
        ({}, 42203),
        ({"compatibility": "SOME"}, 42203),
        ({"compatibility": 3}, 42203),
        ({"compatibility": "FULL", "compatibilityGroup": "g"}, 42205),
    ):
        is_error(await api.put("/config", json=body), 422, number)
    is_error(await api.put("/config/%20", json={"compatibility": "FULL"}), 422, 42208)


async def test_deletion_of_the_latest_and_of_nothing(api: httpx2.AsyncClient) -> None:
    await push(api)
    await push(api, text=OTHER)
    assert (await api.delete("/subjects/a.R/versions/latest")).json() == 2
    is_error(await api.delete("/subjects/a.R/versions/x"), 422, 42202)
    is_error(await api.delete("/subjects/a.R/versions/7"), 404, 40402)
    is_error(await api.delete("/subjects/none/versions/latest"), 404, 40401)
    is_error(await api.delete("/subjects/none"), 404, 40401)
    assert (await api.delete("/subjects/a.R")).json() == [1]
    assert (await api.get("/subjects?deleted=true")).json() == ["a.R"]


BAD_BODIES: dict[str, bytes] = {
    "empty": b"",
    "cut_short": b'{"schema": "{\\"type\\"',
    "not_utf8": b'{"schema": "\xff"}',
    "a_list": b"[]",
    "no_schema": b"{}",
    "schema_is_an_object": b'{"schema": {"type": "int"}}',
    "schema_is_empty": b'{"schema": ""}',
    "schema_is_no_json": b'{"schema": "{"}',
    "schema_is_no_avro": b'{"schema": "{\\"type\\": \\"money\\"}"}',
    "half_a_surrogate": b'{"schema": "\\"\\ud800\\""}',
    "deep_body": b'{"schema":' + b"[" * 200_000,
    "deep_schema": json.dumps({"schema": "[" * 200_000}).encode(),
    "json_schema": b'{"schema": "{}", "schemaType": "JSON"}',
    "references": b'{"schema": "\\"int\\"", "references": [{"name": "a", "subject": "a", "version": 1}]}',
    "metadata": b'{"schema": "\\"int\\"", "metadata": {"properties": {"owner": "x"}}}',
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
@pytest.mark.parametrize("path", ["/subjects/a.R/versions", "/subjects/a.R"])
async def test_bad_input_11_a_bad_body_is_refused_with_a_sentence(
    api: httpx2.AsyncClient, path: str, body: bytes
) -> None:
    await push(api)
    answer = await api.post(path, content=body, headers={"Content-Type": CONTENT_TYPES[0]})
    message = is_error(answer, 422, 42201)
    assert 0 < len(message) < 500
    assert (await api.get("/subjects/a.R/versions")).json() == [1]


async def test_bad_input_12_a_body_over_the_limit_is_refused(api: httpx2.AsyncClient) -> None:
    body = b'{"schema":"' + b" " * MAX_BODY_BYTES + b'"}'
    answer = await api.post("/subjects/a.R/versions", content=body, headers={"Content-Type": CONTENT_TYPES[0]})
    assert str(MAX_BODY_BYTES) in is_error(answer, 422, 42209)


async def test_only_json_is_taken_so_that_a_web_page_cannot_write(api: httpx2.AsyncClient) -> None:
    for content_type in ("text/plain", "application/x-www-form-urlencoded", ""):
        answer = await api.post(
            "/subjects/a.R/versions",
            content=json.dumps({"schema": TEXT}).encode(),
            headers={"Content-Type": content_type},
        )
        is_error(answer, 415, 415)
    assert (await api.get("/subjects")).json() == []


async def test_ids_and_versions_of_ones_own_are_refused(api: httpx2.AsyncClient) -> None:
    for more in ({"id": 5}, {"version": 3}):
        is_error(await api.post("/subjects/a.R/versions", json={"schema": TEXT, **more}), 422, 42205)
    answer = await api.post("/subjects/a.R/versions", json={"schema": TEXT, "id": -1, "version": None, "new": 1})
    assert answer.status_code == 200


@pytest.mark.parametrize("subject", ["%20", "a%00b", "%E2%80%AE", "%3A.ctx%3Aa", "x" * 256])
async def test_a_bad_subject_is_refused(api: httpx2.AsyncClient, subject: str) -> None:
    is_error(await api.post(f"/subjects/{subject}/versions", json={"schema": TEXT}), 422, 42208)


@pytest.mark.parametrize("number", ["0", "-2", "abc", "2147483648", "99999999999999", "%D9%A1"])
async def test_a_bad_version_is_refused(api: httpx2.AsyncClient, number: str) -> None:
    await push(api)
    is_error(await api.get(f"/subjects/a.R/versions/{number}"), 422, 42202)


async def test_pages_and_prefixes(api: httpx2.AsyncClient) -> None:
    for subject in ("a.R", "a.S", "b"):
        await push(api, subject)
    await push(api, "a.R", OTHER)
    assert (await api.get("/subjects?subjectPrefix=a.&offset=1&limit=5")).json() == ["a.S"]
    rows = (await api.get("/schemas?latestOnly=true&subjectPrefix=a.R")).json()
    assert [(row["subject"], row["version"]) for row in rows] == [("a.R", 2)]
    assert len((await api.get("/schemas?limit=2")).json()) == 2
    is_error(await api.get("/subjects?limit=many"), 400, 400)
    is_error(await api.get("/subjects?" + "&".join(f"p{i}=1" for i in range(60))), 400, 400)


async def test_deleted_versions_from_another_registry_are_shown_only_if_asked_for() -> None:
    instance = Instance(memory_bus())
    for number, deleted in ((1, True), (2, False)):
        value = {"subject": "a", "version": number, "id": number, "schema": f'"{"int" if deleted else "long"}"'}
        instance.schemas.apply(schema_key("a", number), json.dumps({**value, "deleted": deleted}).encode())
    async with client_of(instance.app) as api:
        assert (await api.get("/subjects/a/versions")).json() == [2]
        assert (await api.get("/subjects/a/versions?deleted=True")).json() == [1, 2]
        is_error(await api.get("/subjects/a/versions/1"), 404, 40402)
        assert (await api.get("/subjects/a/versions/1?deleted=true")).status_code == 200
        is_error(await api.post("/subjects/a", json={"schema": '"int"'}), 404, 40403)
        assert (await api.post("/subjects/a?deleted=true", json={"schema": '"int"'})).json()["version"] == 1
        assert (await api.get("/schemas/ids/1")).status_code == 200, "records that were written stay readable"
        assert (await api.get("/schemas/ids/1/subjects")).json() == []


async def test_ready_says_what_is_missing_and_reads_and_live_go_on() -> None:
    bus = memory_bus()
    bus.faults.down = True
    instance = Instance(bus)
    async with instance.following(ready=False), client_of(instance.app) as api:
        answer = await api.get("/ready")
        assert answer.status_code == 503
        assert "broker" in answer.json()["missing"]
        assert (await api.get("/live")).status_code == 200
        refused = await api.post("/subjects/a.R/versions", json={"schema": TEXT})
        is_error(refused, 503, 50003)
        assert refused.headers["retry-after"] == "1"
        bus.faults.down = False
        await until(lambda: not instance.topic.missing())
        assert (await api.get("/ready")).status_code == 200


async def test_answers_are_counted_by_status_alone(api: httpx2.AsyncClient) -> None:
    await push(api)
    await api.get("/subjects/secret-name/versions")
    metrics = (await api.get("/metrics")).text
    assert 'chopar_schema_registry_answers_total{status="200"} 1.0' in metrics
    assert 'chopar_schema_registry_answers_total{status="404"} 1.0' in metrics
    assert "secret-name" not in metrics


async def test_even_our_own_fault_is_answered_in_json() -> None:
    instance = Instance(memory_bus())
    broken = application(None, instance.topic, CollectorRegistry())  # type: ignore[arg-type]
    async with client_of(broken) as api:
        is_error(await api.get("/subjects"), 500, 50001)
