"""The lists as open data: every table whole in JSON and CSV, by digest, and nothing beside the list directory."""

import csv
import io
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from chopar.health import AsgiApp
from gateway.bundle import install
from gateway.list_version import AGENCIES, DOCUMENTS, PROHIBITED
from gateway.open_data import TABLES
from tests.edited_lists import edited, tables
from tests.public_site import law_reader, site
from tests.standing import bundle, standing

FILES = bundle()
LISTS = standing().lists
ENTRY = {"id": "tax-debt-certificate-communal"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gateway")


@pytest.fixture(scope="module")
def app(home: Path) -> AsgiApp:
    return site(law_reader(home), home)


@pytest.fixture
async def web(app: AsgiApp) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield client


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


async def test_the_index_names_every_table_of_the_version_in_force(web: httpx2.AsyncClient) -> None:
    answer = await web.get("/v1/lists")
    told = answer.json()
    assert told["list_digest"] == LISTS.digest
    assert told["complete"] is False
    assert "not complete" in told["note"]
    assert {(one["name"], one["count"]) for one in told["tables"]} == {
        ("prohibited", len(LISTS.prohibited)),
        ("documents", len(LISTS.documents)),
        ("groups", len(LISTS.memberships)),
        ("procedures", len(LISTS.procedures)),
        ("grounds", len(LISTS.grounds)),
        ("directory", len(LISTS.directory)),
        ("alternatives", len(LISTS.alternatives)),
        ("agencies", len(LISTS.agencies)),
        ("names", len(LISTS.namings)),
    }
    assert [one["known"] for one in told["coverages"]] == [coverage.known for coverage in LISTS.coverages.values()]
    held = await web.get("/v1/lists", headers={"if-none-match": answer.headers["etag"]})
    assert (held.status_code, held.headers["cache-control"]) == (304, "public, max-age=300")


@pytest.mark.parametrize("name", TABLES)
async def test_a_table_is_the_same_in_both_forms(web: httpx2.AsyncClient, name: str) -> None:
    as_json = await web.get(f"/v1/lists/{LISTS.digest}/{name}.json")
    as_csv = await web.get(f"/v1/lists/{LISTS.digest}/{name}.csv")
    whole, rows = as_json.json(), rows_of(as_csv.text)
    assert (whole["list_digest"], whole["complete"], whole["count"]) == (LISTS.digest, False, len(whole["rows"]))
    assert as_csv.headers["content-type"].startswith("text/csv")
    assert as_csv.headers["etag"] != as_json.headers["etag"]
    assert len(rows) == len(whole["rows"])
    assert rows or name == "alternatives"  # no source names any
    assert {row["list_digest"] for row in rows} == ({LISTS.digest} if rows else set())
    assert as_csv.content.count(b"\r\n") == len(rows) + 1
    for row, due in zip(rows, whole["rows"], strict=True):
        assert list(row) == ["list_digest", *due]
        for column, value in due.items():
            if isinstance(value, str):
                assert row[column] in (value, f"'{value}")
            if isinstance(value, list):
                assert row[column].removeprefix("'") == " | ".join(value)
            if value is None:
                assert row[column] == ""
    for answer in (as_json, as_csv):
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["access-control-allow-origin"] == "*"
        again = await web.get(answer.request.url.path, headers={"if-none-match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    ("name", "file", "array"),
    [("prohibited", PROHIBITED, "entry"), ("documents", DOCUMENTS, "document"), ("agencies", AGENCIES, "agency")],
)
async def test_nothing_of_the_files_is_left_out(web: httpx2.AsyncClient, name: str, file: str, array: str) -> None:
    """Every key and value of the TOML stands in the table; what does not stand there is empty."""
    rows = (await web.get(f"/v1/lists/{LISTS.digest}/{name}.json")).json()["rows"]
    for row, due in zip(rows, tables(FILES, file, array), strict=True):
        for key, value in due.items():
            found = row[key]
            if isinstance(found, list):
                assert sorted(found) == sorted(value)
            else:
                assert found == (value if isinstance(value, bool | int | str) else value.isoformat())
        assert not [key for key in row if key not in due and row[key] and not key.startswith("coverage_")]


async def test_a_cell_that_a_program_would_run_is_made_harmless(tmp_path: Path) -> None:
    names = {
        '=HYPERLINK("http://x","a")': "electricity-het",
        "+1": "employer",
        "-2+3": "courts",
        "@SUM(A1)": "tax-committee",
        'a "quoted", line\nbroken': "health-ministry",
    }
    files = FILES
    for name, agency in names.items():
        files = edited(files, AGENCIES, "agency", {"id": agency}, name_en=name)
    reader = law_reader(tmp_path, files)
    digest = reader.newest_standing().list_digest
    transport = httpx2.ASGITransport(app=site(reader, tmp_path))
    async with httpx2.AsyncClient(transport=transport, base_url="http://gateway") as web:
        text = (await web.get(f"/v1/lists/{digest}/agencies.csv")).text
        told = (await web.get(f"/v1/lists/{digest}/agencies.json")).json()
    found = {row["id"]: row["name_en"] for row in rows_of(text)}
    for name, agency in names.items():
        assert found[agency] == (f"'{name}" if name[0] in "=+-@" else name)
    assert set(names) <= {row["name_en"] for row in told["rows"]}


async def test_another_version_and_what_differs(web: httpx2.AsyncClient, home: Path) -> None:
    files = edited(FILES, PROHIBITED, "entry", ENTRY, disposition_basis="stated")
    files = edited(files, AGENCIES, "agency", {"id": "employer"}, name_en="Any employer")
    other = install(files, home / "lists")
    told = (await web.get("/v1/lists")).json()
    assert {(one["list_digest"], one["in_force"]) for one in told["versions"]} == {
        (LISTS.digest, True),
        (other, False),
    }
    [address] = [one["diff"] for one in told["versions"] if one["diff"]]
    assert address == f"/v1/lists/{other}/diff/{LISTS.digest}"
    answer = await web.get(address)
    whole = answer.json()
    assert (whole["before"], whole["after"], whole["count"]) == (other, LISTS.digest, 2)
    assert whole["differences"][0] == {
        "part": "entry",
        "name": ENTRY["id"],
        "kind": "changed",
        "changes": {"disposition basis": {"before": "stated", "after": "inferred"}},
        "words": f"entry {ENTRY['id']}: disposition basis: stated -> inferred",
    }
    words = await web.get(address, params={"format": "text"})
    assert words.headers["content-type"] == "text/plain; charset=utf-8"
    assert whole["differences"][0]["words"] in words.text
    assert other in words.text
    assert words.headers["cache-control"] == answer.headers["cache-control"] == "public, max-age=300"
    assert words.headers["etag"] != answer.headers["etag"]
    same = (await web.get(f"/v1/lists/{other}/diff/{other}")).json()
    assert same["differences"] == []
    assert (await web.get(address, params={"format": "pdf"})).status_code == 400
    agencies = (await web.get(f"/v1/lists/{other}/agencies.json")).json()
    assert "Any employer" in {row["name_en"] for row in agencies["rows"]}


@pytest.mark.parametrize(
    "path",
    [
        "/v1/lists/{}/prohibited.json".format("0" * 64),
        f"/v1/lists/{LISTS.digest.upper()}/prohibited.json",
        f"/v1/lists/{LISTS.digest[:12]}/prohibited.json",
        f"/v1/lists/{LISTS.digest}/prohibited.toml",
        f"/v1/lists/{LISTS.digest}/prohibited",
        f"/v1/lists/{LISTS.digest}/secrets.json",
        f"/v1/lists/{LISTS.digest}/.json",
        f"/v1/lists/{LISTS.digest}/__class__.json",
        f"/v1/lists/{LISTS.digest}/..%2F..%2Fsecrets%2Fgateway-1.json",
        f"/v1/lists/{LISTS.digest}/schemas%2Fchopar.demand.Demand.json",
        "/v1/lists/..%2F..%2Fsecrets/gateway-1.csv",
        "/v1/lists/../../secrets/gateway-1",
        "/v1/lists/%2e%2e/agencies.json",
        "/v1/lists/./agencies.json",
        "/v1/lists/%00/agencies.json",
        f"/v1/lists/{LISTS.digest}%0a/agencies.json",
        f"/v1/lists/{LISTS.digest}/diff/..",
        f"/v1/lists/..%2Flists%2F{LISTS.digest}/diff/{LISTS.digest}",
        f"/v1/lists/{LISTS.digest}/diff/{'f' * 64}",
    ],
)
async def test_only_what_lies_in_the_list_directory_is_given(web: httpx2.AsyncClient, path: str) -> None:
    answer = await web.get(path)
    assert answer.status_code == 404, answer.text
    assert "secret" not in answer.text


async def test_what_lies_beside_the_list_versions_is_no_version(web: httpx2.AsyncClient, home: Path) -> None:
    """A half-written bundle, a file of a digest's name, somebody's folder."""
    lists = home / "lists"
    (lists / f".{'a' * 64}.17").mkdir(exist_ok=True)
    (lists / ("b" * 64)).write_text("no folder")
    (lists / "drafts").mkdir(exist_ok=True)
    told = (await web.get("/v1/lists")).json()["versions"]
    assert all((lists / one["list_digest"]).is_dir() and len(one["list_digest"]) == 64 for one in told)
    for name in (f".{'a' * 64}.17", "b" * 64, "drafts"):
        assert (await web.get(f"/v1/lists/{name}/agencies.json")).status_code == 404


async def test_a_version_that_was_altered_on_disk_is_not_given_as_what_it_is_called(
    web: httpx2.AsyncClient, home: Path
) -> None:
    changed = edited(FILES, AGENCIES, "agency", {"id": "employer"}, note="another version")
    digest = install(changed, home / "lists")
    with (home / "lists" / digest / AGENCIES).open("a") as file:
        file.write("# changed\n")
    answer = await web.get(f"/v1/lists/{digest}/agencies.json")
    assert answer.status_code == 503
    assert answer.json()["code"] == "law_incomplete"
