"""Alternatives as people see them: on the page, in the rehearsal, by the command line, in open data and in a diff."""

import io
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from chopar.cli.main import main
from chopar.errors import ConfigurationError
from chopar.identifiers import DocumentType
from gateway.bundle import list_files
from gateway.compared_lists import differences
from gateway.keeping import add
from gateway.list_version import DIRECTORY, GROUNDS, ListVersion
from gateway.open_data import as_csv, as_json, table
from tests.alternative_lists import FIRST, ORDER, PAPER, SECOND, THIRD, with_alternatives, written, written_to
from tests.builders import PERSON
from tests.html_shape import Shape
from tests.public_site import law_reader, site
from tests.standing import LISTS, bundle

FILES = with_alternatives(connected=[FIRST, SECOND])
VERSION = ListVersion.from_files(FILES)
QUESTION = {"requester": "electricity-het", "procedure": "electricity-supply-contract", "document": PAPER}


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    files = bundle({name: FILES[name] for name in (DIRECTORY, GROUNDS)})
    app = site(law_reader(tmp_path, files), tmp_path)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://gateway") as client:
        yield client


@pytest.mark.parametrize(
    ("language", "said", "standing"),
    [
        (
            "en",
            "Who is asked next if there is no record",
            "Our lists have a ground, but the holder is not connected yet.",
        ),
        ("ru", "Кого запрашивают дальше, если записи нет", "ещё не подключено"),
        ("uz", "Yozuv topilmasa, keyin soʻraladigan idoralar", "hali ulanmagan"),
    ],
)
async def test_the_page_names_the_next_holders(
    web: httpx2.AsyncClient, language: str, said: str, standing: str
) -> None:
    page = await web.get("/may-they-ask", params={**QUESTION, "lang": language})
    shape = Shape(page.text)
    assert shape.flaws == []
    assert said in shape.text
    assert standing in shape.text
    assert "debt-statement" in shape.text
    other = await web.get("/may-they-ask", params={**QUESTION, "document": "photo", "lang": language})
    assert said not in other.text


async def test_the_same_as_json_and_a_rehearsal_that_passes_over_the_first(web: httpx2.AsyncClient) -> None:
    demand = {
        "requester": "electricity-het",
        "procedure": "electricity-supply-contract",
        "subject": {"kind": "person", "id": PERSON},
        "documents": [{"type": PAPER}],
    }
    [document] = (await web.post("/v1/rehearsals", json=demand)).json()["documents"]
    assert (document["provider"], document["evidence_type"]) == FIRST
    assert document["alternatives"] == [
        {"provider": SECOND[0], "evidence_type": SECOND[1], "code": "ground"},
        {"provider": THIRD[0], "evidence_type": THIRD[1], "code": "holder_not_connected"},
    ]
    asked = [{"provider": FIRST[0], "evidence_type": FIRST[1]}]
    [document] = (await web.post("/v1/rehearsals", json={**demand, "asked": asked})).json()["documents"]
    assert document["provider"] == SECOND[0]
    assert [one["code"] for one in document["alternatives"]] == ["already_asked", "holder_not_connected"]
    assert (await web.post("/v1/rehearsals", json={**demand, "asked": asked * 17})).status_code == 422


def test_open_data_has_the_order_as_it_is_written() -> None:
    [row] = json.loads(as_json(table(VERSION, "alternatives")))["rows"]
    assert (row["document_type"], row["in_order"]) == (PAPER, [written(place) for place in ORDER])
    assert " | ".join(written(place) for place in ORDER) in as_csv(table(VERSION, "alternatives"))


def test_a_diff_tells_what_was_put_first() -> None:
    [one] = differences(VERSION, ListVersion.from_files(with_alternatives(ORDER[::-1], connected=[FIRST, SECOND])))
    assert (one.part, one.name) == ("alternatives", PAPER)
    assert ", ".join(written(place) for place in ORDER[::-1]) in str(one)
    [added] = differences(ListVersion.from_files(with_alternatives((), connected=[FIRST, SECOND])), VERSION)
    assert (added.part, added.kind) == ("alternatives", "added")


TABLE = f"""
[[alternatives]]
document_type = "{PAPER}"
in_order = ["{written(FIRST)}", "{written(SECOND)}"]
basis = "inferred"
"""


def test_an_order_is_added_once() -> None:
    changed, names = add(with_alternatives(()), TABLE)
    assert names == [f"alternatives {PAPER}"]
    assert [tuple(place) for place in ListVersion.from_files(changed).alternatives[DocumentType(PAPER)].in_order] == [
        FIRST,
        SECOND,
    ]
    with pytest.raises(ConfigurationError, match="have it already"):
        add(changed, TABLE)
    with pytest.raises(ConfigurationError, match="document_type"):
        add(changed, "[[alternatives]]\nbasis = 'inferred'\n")


def cli(home: Path, *words: str) -> str:
    """What a command prints; it must be done."""
    out, err = io.StringIO(), io.StringIO()
    assert main(words, environ={"CHOPAR_HOME": str(home)}, out=out, err=err) == 0, err.getvalue()
    return out.getvalue()


def test_what_explain_and_show_say(tmp_path: Path) -> None:
    at = ("--lists", str(written_to(tmp_path / "lists", {**list_files(LISTS), **FILES})))
    said = cli(tmp_path, "prohibited", "explain", "tax-debt-certificate-communal", *at)
    assert "Holders, in the order in which they are asked" in said
    assert "(debt-statement, not connected yet)" in said
    question = ("--requester", "electricity-het", "--procedure", "electricity-supply-contract")
    assert "Who is asked next if there is no record" in cli(tmp_path, "prohibited", "explain", PAPER, *question, *at)
    found = json.loads(cli(tmp_path, "prohibited", "explain", PAPER, "--format", "json", *at))
    orders = {one["entry"]: one["alternatives"] for one in found}
    assert orders["tax-debt-certificate-communal"] == [written(place) for place in ORDER]
    shown = cli(tmp_path, "prohibited", "show", SECOND[1], *at)
    assert f"in_order: {written(SECOND)}" in shown
    named = cli(tmp_path, "prohibited", "show", PAPER, *at)
    assert f"directory.toml: alternatives {PAPER}" in named
