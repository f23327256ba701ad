"""The page "May they ask?" and the same as JSON, as they go over the wire."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest

from chopar.health import AsgiApp
from chopar.messages.demand import FetchMode, Outcome
from chopar.texts import Language, Texts
from gateway.list_version import AGENCIES, PROHIBITED, REGULATIONS
from gateway.lists.vocabulary import Basis, DateBasis, TextRead
from tests.edited_lists import edited
from tests.html_shape import Shape
from tests.public_site import law_reader, reader_without_law, site
from tests.standing import LISTS, bundle, standing

TEXTS = Texts.shipped(with_page=True)
TEMPLATE = LISTS.parent / "pages" / "templates" / "may_they_ask.html"
PAGE, JSON = "/may-they-ask", "/v1/may-they-ask"
TAX = {
    "requester": "electricity-het",
    "procedure": "electricity-supply-contract",
    "document": "tax-debt-certificate",
    "on": "2026-07-01",
}
CASES = {
    "fetch / ground": TAX,
    "gap / holder_not_connected": {
        "requester": "justice-fhdyo", "procedure": "divorce-by-judgment", "document": "court-divorce-judgment",
        "on": "2026-07-01",
    },
    "not_needed / no_ground_to_know": {**TAX, "document": "psychoneurological-registration-certificate"},
    "not_needed / abolished": {
        "requester": "justice-fhdyo", "procedure": "birth-composite", "document": "care-certificate",
        "on": "2019-01-01",
    },
    "replaced / own_register": {
        "requester": "justice-fhdyo", "procedure": "birth-composite", "document": "family-composition-certificate",
        "on": "2022-05-01",
    },
    "replaced / replaced_by": {
        "requester": "justice-psc", "procedure": "travel-passport", "document": "paper-questionnaire",
        "on": "2026-07-01",
    },
    "may_be_asked / named": {
        "requester": "justice-fhdyo", "procedure": "marriage-registration",
        "document": "marriage-medical-examination-result", "on": "2019-01-01",
    },
    "undetermined / start_not_established": {
        "requester": "justice-fhdyo", "procedure": "birth-composite", "document": "identity-document-copy",
        "on": "2019-01-01",
    },
    "undetermined / condition_unsaid": {
        "requester": "employer", "procedure": "hiring", "document": "residence-certificate", "on": "2026-07-01",
    },
    "refused / not_in_procedure": {
        "requester": "justice-fhdyo", "procedure": "birth-composite",
        "document": "psychoneurological-registration-certificate", "on": "2019-01-01",
    },
}  # fmt: skip


def client_of(app: AsgiApp) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx2.AsyncClient(transport=transport, base_url="http://gateway")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> AsgiApp:
    home = tmp_path_factory.mktemp("gateway")
    return site(law_reader(home), home)


@pytest.fixture
async def web(app: AsgiApp) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(app) as client:
        yield client


async def shape(web: httpx2.AsyncClient, query: dict[str, str], status: int = 200) -> Shape:
    answer = await web.get(PAGE, params=query)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    found = Shape(answer.text)
    assert found.flaws == []
    return found


def test_the_cases_are_all_seven_outcomes() -> None:
    assert {case.split(" / ")[0] for case in CASES} == {outcome.value for outcome in Outcome}


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize("case", CASES)
async def test_every_outcome_is_told_in_every_language(web: httpx2.AsyncClient, case: str, language: Language) -> None:
    outcome, code = case.split(" / ")
    page = await shape(web, {**CASES[case], "lang": language.value})
    told = (await web.get(JSON, params={**CASES[case], "lang": language.value})).json()
    first = told["documents"][0]
    assert (first["outcome"], first["code"]) == (outcome, code)
    assert page.all("html") == [{"lang": language.value}]
    said = ("page", "outcome_refused") if outcome == "refused" else ("outcome", outcome)
    for kind, name in (said, ("code", code), ("page", f"answer_{told['person_may_be_asked']}")):
        assert TEXTS.say(kind, name, language) in page.text
    assert TEXTS.say("page", "not_complete", language) in page.text
    assert TEXTS.say("always", "paper_accepted", language) in page.text
    assert told["said"]["next_step"] in page.text
    assert told["list_digest"] in page.text
    assert "{" not in page.text, "a place that nothing was put into"
    assert "--" not in page.text, "an option of the command line"
    if first["rule"]:
        rule = first["rule"]
        assert rule["entry"] in page.text
        assert rule["act"] in page.text
        for kind in ("in_force_basis", "text_read"):
            assert TEXTS.say(kind, rule[kind], language) in page.text
        assert TEXTS.say("basis", rule["confidence"], language) in page.text
        for other in rule["also_binding"]:
            assert other in page.text
        for source in rule["source"].split(" | "):
            links = page.all("a", href=source)
            assert source in page.text
            assert len(links) == source.startswith("https://")


async def test_what_a_person_reads(web: httpx2.AsyncClient) -> None:
    page = await shape(web, {**TAX, "lang": "en"})
    for words in (
        "No, they may not ask for it",
        "Certificate of tax debts",
        "State Tax Committee",
        "2022-07-01 : the day on which the rule came into force",
        "knows 6 of the 32 that were announced",
        "a press report was read, not the text",
        "The list that is known here is not complete",
    ):
        assert words in page.text


def test_every_word_of_the_page_is_there_in_every_language() -> None:
    used = set(re.findall(r'(?:say|row)\("([a-z_]+)"(?! ~)', TEMPLATE.read_text(encoding="utf-8")))
    used |= {"answer_no", "answer_yes", "answer_undetermined", "about_subject", "about_person", "about_business"}
    used |= {"step_wait_for_evidence", "step_request_by_official_letter", "outcome_refused"}
    used |= {"unknown_requester", "unknown_procedure", "unknown_document"}
    used |= {"bad_day", "bad_kind", "not_ready", "step_say_circumstance", "step_correct_demand", "knows", "no_act"}
    assert len(used) > 40
    assert TEXTS.missing("page", frozenset(used)) == []
    for kind, words in (("in_force_basis", DateBasis), ("text_read", TextRead), ("basis", Basis)):
        assert TEXTS.missing(kind, frozenset(str(word) for word in words)) == []


def test_every_circumstance_and_parameter_of_the_lists_has_its_words() -> None:
    lists = standing().lists
    conditions = {entry.condition for entry in lists.prohibited.values()} - {""}
    parameters = {name for ground in lists.grounds.values() for name in ground.parameters}
    assert TEXTS.missing("circumstance", frozenset(conditions)) == []
    assert TEXTS.missing("parameter", frozenset(parameters)) == []


async def test_a_circumstance_is_a_question_of_yes_or_no_and_the_answer_follows(web: httpx2.AsyncClient) -> None:
    asked = CASES["undetermined / condition_unsaid"]
    key = "circumstance.city-of-tashkent"
    page = await shape(web, {**asked, "lang": "en"})
    assert {one["value"] for one in page.all("input", name=key)} == {"yes", "no", ""}
    assert "Is the hiring in the city of Tashkent?" in page.text
    barred = await shape(web, {**asked, "lang": "en", key: "yes"})
    assert "No, they may not ask for it" in barred.text
    assert "checked" in barred.all("input", name=key, value="yes")[0]
    assert "Yes, they may ask for it" in (await shape(web, {**asked, "lang": "en", key: "no"})).text
    assert "Not established" in (await shape(web, {**asked, "lang": "en", key: "perhaps"})).text


async def test_the_kind_is_asked_only_where_the_procedure_has_both(web: httpx2.AsyncClient) -> None:
    assert len((await shape(web, TAX)).all("input", name="kind")) == 2
    assert (await shape(web, CASES["fetch / ground"] | CASES["may_be_asked / named"])).all("input", name="kind") == []
    wrong = await shape(web, {**CASES["may_be_asked / named"], "kind": "business", "lang": "en"})
    assert "The procedure is not for a subject of this kind." in wrong.text
    assert len(wrong.all("input", name="kind")) == 2, "so that it can be put right"
    business = (await web.get(JSON, params={**TAX, "kind": "business"})).json()
    assert business["kind"] == "business"


async def test_who_conducts_it_is_said_where_it_is_another_agency(web: httpx2.AsyncClient) -> None:
    asked = {**CASES["may_be_asked / named"], "requester": "tax-committee", "lang": "en"}
    page = await shape(web, asked)
    [link] = [one for one in page.all("a") if "requester=justice-fhdyo" in one["href"]]
    assert "Another agency conducts this procedure." in page.text
    there = await web.get(link["href"])
    assert TEXTS.say("page", "answer_yes", Language.ENGLISH) in there.text


async def test_the_form_without_a_question(web: httpx2.AsyncClient) -> None:
    page = await shape(web, {"lang": "en"})
    assert "Choose an agency, a procedure and a paper." in page.text
    assert page.all("input", name="on")[0]["value"] == "2026-11-26", "the day of the law that was read, in Tashkent"
    assert page.all("script") == page.all("img") == page.all("link") == page.all("iframe") == []


@pytest.mark.parametrize(
    ("asked", "due"),
    [
        ({}, "uz"),
        ({"accept-language": "ru-RU,ru;q=0.9,en;q=0.8"}, "ru"),
        ({"accept-language": "de,en;q=0.3,ru;q=0.5"}, "ru"),
        ({"accept-language": "fr, *;q=0.1"}, "uz"),
        ({"accept-language": "en;q=0, ru;q=nonsense, uz;q=nan"}, "uz"),
        ({"accept-language": ";;;=,,q=1" * 500}, "uz"),
    ],
)
async def test_the_language_of_the_reader(web: httpx2.AsyncClient, asked: dict[str, str], due: str) -> None:
    answer = await web.get(PAGE, headers=asked)
    assert Shape(answer.text).all("html") == [{"lang": due}]
    assert (answer.headers["vary"], answer.headers["content-language"]) == ("Accept-Language", due)
    said = await web.get(PAGE, params={"lang": "en"}, headers=asked)
    assert Shape(said.text).all("html") == [{"lang": "en"}]
    assert "vary" not in said.headers


async def test_names_in_another_language_say_which(web: httpx2.AsyncClient, tmp_path: Path) -> None:
    for language in Language:  # in the committed lists everything has its name in every language
        page = await shape(web, {"lang": language.value})
        assert [one for one in page.all("option") if "lang" in one] == []
    files = edited(bundle(), REGULATIONS, "procedure", {"id": "old-age-pension"}, name_ru=None)
    async with client_of(site(law_reader(tmp_path, files), tmp_path)) as without:
        page = await shape(without, {"lang": "ru"})
    assert {"uz"} == {one["lang"] for one in page.all("option") if "lang" in one}


async def test_uzbek_is_printed_with_its_letters(web: httpx2.AsyncClient) -> None:
    page = await shape(web, {**TAX, "lang": "uz"})
    assert "Soliq qarzdorligi toʻgʻrisidagi ma’lumotnoma" in page.text
    assert not re.search(r"\w['`]\w", page.text)


async def test_headers_that_keep_a_browser_safe(web: httpx2.AsyncClient) -> None:
    for query in (TAX, {"on": "never"}):
        answer = await web.get(PAGE, params=query)
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "form-action 'self'; base-uri 'none'; frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "set-cookie" not in answer.headers
        assert " style=" not in answer.text, "the policy forbids it"
        assert not re.search(r"\son[a-z]+=", answer.text.replace(' name="on"', ""))


@pytest.mark.parametrize("path", [PAGE, JSON])
async def test_who_has_the_answer_is_not_sent_it_again(web: httpx2.AsyncClient, path: str) -> None:
    asked = {**TAX, "lang": "en"}
    first = await web.get(path, params=asked)
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "public, max-age=300"
    for held in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = await web.get(path, params=asked, headers={"if-none-match": held})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert again.headers["cache-control"] == first.headers["cache-control"]
    assert (await web.get(path, params=asked, headers={"if-none-match": '"other"'})).status_code == 200
    tags = {tag}
    for other in (
        {"lang": "ru"},
        {"on": "2026-07-02"},
        {"document": "photo"},
        {"kind": "business"},
        {"about": "person"},
    ):
        tags.add((await web.get(path, params={**asked, **other})).headers["etag"])
    assert len(tags) == 6


async def test_another_version_or_mode_is_another_answer(tmp_path: Path) -> None:
    tags = set()
    changed = edited(bundle(), AGENCIES, "agency", {"id": "employer"}, name_en="Another name")
    for number, (files, mode) in enumerate(
        [(bundle(), FetchMode.INFERRED), (bundle(), FetchMode.VERIFIED), (changed, FetchMode.INFERRED)]
    ):
        home = tmp_path / str(number)
        async with client_of(site(law_reader(home, files, fetch_mode=mode), home)) as web:
            tags.add((await web.get(PAGE, params=TAX)).headers["etag"])
    assert len(tags) == 3


@pytest.mark.parametrize(
    "day", ["yesterday", "2026-02-30", "2026-13-01", "0000-01-01", "20260701", "2026-W48-4", "1e9"]
)
async def test_a_day_that_is_none_is_answered_in_words(web: httpx2.AsyncClient, day: str) -> None:
    answer = await web.get(PAGE, params={**TAX, "on": day, "lang": "en"})
    assert answer.status_code == 400
    assert Shape(answer.text).flaws == []
    assert "That is not a day." in answer.text
    assert day not in answer.text
    assert answer.headers["cache-control"] == "no-store"
    told = await web.get(JSON, params={**TAX, "on": day, "lang": "ru"})
    assert (told.status_code, told.json()["code"]) == (400, "invalid")
    assert told.json()["message"] == TEXTS.say("page", "bad_day", Language.RUSSIAN)


@pytest.mark.parametrize("day", ["0001-01-01", "1899-12-31", "9999-12-31"])
async def test_any_day_is_answered(web: httpx2.AsyncClient, day: str) -> None:
    assert day in (await shape(web, {**TAX, "on": day})).text


async def test_other_flaws_of_a_question(web: httpx2.AsyncClient) -> None:
    for wrong in ({"kind": "dog"}, {"about": "object"}):
        page = await shape(web, {**TAX, **wrong, "lang": "en"}, status=400)
        assert "There is no such kind of subject" in page.text
    assert (await web.get(JSON, params={"requester": "employer"})).status_code == 400


NASTY = [
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}",
    "\x00\x1b\u202e",
    "31012649801148",
]


@pytest.mark.parametrize("nasty", NASTY)
async def test_what_the_lists_do_not_know_is_refused_and_not_repeated(web: httpx2.AsyncClient, nasty: str) -> None:
    for name in ("requester", "procedure", "document"):
        asked = {**TAX, name: nasty, "lang": "en"}
        page = await shape(web, asked, status=404)
        told = await web.get(JSON, params=asked)
        assert told.status_code == 404
        code = told.json()["code"]
        assert code == f"unknown_{name}"
        assert told.json()["near"] == []
        assert TEXTS.say("page", code, Language.ENGLISH) in page.text
        for text in ((await web.get(PAGE, params=asked)).text, told.text):
            assert nasty not in text
            assert "onerror" not in text


@pytest.mark.parametrize("language", list(Language))
async def test_of_what_no_list_knows_no_law_is_stated(web: httpx2.AsyncClient, language: Language) -> None:
    for name, near in (("requester", []), ("procedure", []), ("document", ["tax-debt-certificate"])):
        asked = {**TAX, name: "tax-debt-certificat", "lang": language.value}
        page = await shape(web, asked, status=404)
        assert TEXTS.say("page", f"unknown_{name}", language) in page.text
        for headline in ("answer_no", "answer_yes", "answer_undetermined"):
            assert TEXTS.say("page", headline, language) not in page.text
        assert len(page.all("form")) == 1
        assert [one["value"] for one in page.all("option") if "selected" in one], "what is known stays chosen"
        told = await web.get(JSON, params=asked)
        assert told.status_code == 404
        assert told.headers["cache-control"] == "no-store"
        problem = {"code": f"unknown_{name}", "message": TEXTS.say("page", f"unknown_{name}", language)}
        body = told.json()
        assert body.pop("near")[:1] == near
        assert body == problem


@pytest.mark.parametrize("nasty", NASTY)
async def test_keys_that_mean_nothing_are_passed_over(web: httpx2.AsyncClient, nasty: str) -> None:
    plain = await web.get(PAGE, params={**TAX, "lang": "en"})
    strange = {nasty: nasty, "pinfl": nasty, f"circumstance.{nasty}": "yes", "subject": nasty}
    found = await web.get(PAGE, params={**TAX, "lang": "en", **strange})
    assert (found.status_code, found.text, found.headers["etag"]) == (200, plain.text, plain.headers["etag"])
    assert (await web.get(PAGE, params={**TAX, "lang": nasty})).status_code == 200


async def test_what_stands_in_the_lists_is_shown_as_text(tmp_path: Path) -> None:
    evil = "</option></select><script>alert('1')</script>&amp;"
    sources = ["javascript:alert(1)", 'https://a.example/"><script>alert(2)</script>', "https://b.example/?a=1&b=2"]
    files: Any = edited(bundle(), AGENCIES, "agency", {"id": "electricity-het"}, name_en=evil)
    files = edited(files, PROHIBITED, "entry", {"id": "tax-debt-certificate-communal"}, act=evil, sources=sources)
    async with client_of(site(law_reader(tmp_path, files), tmp_path)) as web:
        page = await shape(web, {**TAX, "lang": "en"})
    assert page.all("script") == []
    assert evil in page.text, "as text"
    links = [one["href"] for one in page.all("a")]
    assert not [one for one in links if one.startswith("javascript:")]
    assert sources[1] in links
    assert sources[2] in links


async def test_before_any_law_was_read_the_page_says_so(tmp_path: Path) -> None:
    async with client_of(site(reader_without_law(tmp_path), tmp_path)) as web:
        page = await shape(web, {**TAX, "lang": "en"}, status=503)
        assert "The lists are not loaded yet." in page.text
        assert (await web.get(JSON, params=TAX)).status_code == 503
        assert (await web.get("/v1/lists")).status_code == 503


async def test_the_page_links_to_the_same_as_json(web: httpx2.AsyncClient) -> None:
    asked = {**CASES["undetermined / condition_unsaid"], "circumstance.city-of-tashkent": "yes", "lang": "ru"}
    page = await shape(web, asked)
    [link] = [one["href"] for one in page.all("a") if one["href"].startswith(JSON)]
    told = (await web.get(link)).json()
    assert told["circumstances"] == {"city-of-tashkent": "yes"}
    assert (told["person_may_be_asked"], told["complete"]) == ("no", False)
    assert told["said"]["person_may_be_asked"] in page.text
    for code, address in [(one["hreflang"], one["href"]) for one in page.all("a") if "hreflang" in one]:
        assert address == f"{PAGE}?{urlencode({**asked, 'lang': code})}"


async def test_head_is_get_without_the_body(web: httpx2.AsyncClient) -> None:
    table = f"/v1/lists/{standing().lists.digest}/prohibited"
    paths = [PAGE, JSON, "/v1/lists", f"{table}.json", f"{table}.csv", "/v1/law", f"{JSON}/nothing", "/v1/rehearsals"]
    for path in paths:
        got, head = await web.get(path, params=TAX), await web.head(path, params=TAX)
        assert (head.status_code, head.content, head.headers) == (got.status_code, b"", got.headers)
        if "etag" in got.headers:
            held = await web.head(path, params=TAX, headers={"if-none-match": got.headers["etag"]})
            assert (held.status_code, held.content) == (304, b"")


async def test_the_methods_and_the_api_description(web: httpx2.AsyncClient) -> None:
    assert (await web.post(PAGE, params=TAX)).status_code == 405
    paths = (await web.get("/openapi.json")).json()["paths"]
    assert {JSON, "/v1/lists", "/v1/lists/{digest}/{file}", "/v1/lists/{before}/diff/{after}"} <= set(paths)
