"""The page "May they ask?" in a real browser: on a phone and a desk, by keyboard, on paper, without a script."""

from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.browser.chromium import Browser, Page

PHONE, DESK = (360, 740), (1280, 900)
TAX = {
    "requester": "electricity-het",
    "procedure": "electricity-supply-contract",
    "document": "tax-debt-certificate",
    "on": "2026-07-01",
}
CONDITION = {
    "requester": "employer", "procedure": "hiring", "document": "residence-certificate", "on": "2026-07-01",
}  # fmt: skip
QUESTIONS = {
    "form alone": {},
    "fetch": TAX,
    "long sources and a replacement": {
        "requester": "justice-psc", "procedure": "travel-passport", "document": "paper-questionnaire",
        "on": "2026-07-01",
    },
    "a circumstance": CONDITION,
    "others conduct it": {**TAX, "requester": "tax-committee"},
}  # fmt: skip
OUTSIDE = """
[...document.querySelectorAll('body *')].filter(e => {
  const box = e.getBoundingClientRect();
  return box.width > 0 && !e.classList.contains('skip') && e.tagName !== 'OPTION'
    && (box.right > innerWidth + 0.5 || box.left < -0.5);
}).map(e => e.tagName + '.' + e.className).slice(0, 5)
"""
CONTRASTS = """
(() => {
  const parts = c => (c.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = e => { for (; e; e = e.parentElement) {
    const c = parts(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0) return c; }
    return [255, 255, 255]; };
  const found = [];
  for (const e of document.querySelectorAll('body *')) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) || e.tagName === 'OPTION') continue;
    const [a, b] = [light(parts(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) found.push(e.tagName + ' ' + e.textContent.trim().slice(0, 20) + ' ' + ratio.toFixed(2));
  }
  return found;
})()
"""


def at(address: str, question: dict[str, str], **more: str) -> str:
    return f"{address}/may-they-ask?{urlencode({**question, **more})}"


def asked(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.run("location.href")).query)


@pytest.mark.parametrize("language", ["uz", "ru", "en"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("question", QUESTIONS)
def test_nothing_runs_out_of_the_window(
    page: Page, address: str, question: str, size: tuple[int, int], language: str
) -> None:
    page.size(*size, is_phone=size is PHONE)
    page.open(at(address, QUESTIONS[question], lang=language))
    assert page.run("innerWidth") == size[0]
    assert page.run("document.documentElement.scrollWidth") == size[0]
    assert page.run(OUTSIDE) == []


def test_the_answer_stands_beside_the_question_on_a_desk_and_below_it_on_a_phone(page: Page, address: str) -> None:
    place = "(e => [e.left, e.top])(document.querySelector('{}').getBoundingClientRect())"
    for size, is_beside in ((DESK, True), (PHONE, False)):
        page.size(*size)
        page.open(at(address, TAX))
        (form_left, form_top), (left, top) = page.run(place.format("form")), page.run(place.format("section"))
        assert (left > form_left, top > form_top) == (is_beside, not is_beside)


def test_the_browser_finds_nothing_to_object_to_and_loads_nothing_else(
    page: Page, browser: Browser, address: str
) -> None:
    page.open(at(address, TAX, lang="en"))
    page.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")
    assert page.run("getComputedStyle(document.querySelector('button')).color") == "rgb(255, 255, 255)", "styled"
    said = [event["params"]["entry"]["text"] for event in browser.events if event["method"] == "Log.entryAdded"]
    assert [one for one in said if "favicon" not in one] == []
    requests = [e["params"]["request"]["url"] for e in browser.events if e["method"] == "Network.requestWillBeSent"]
    requests = [url for url in requests if not url.startswith("data:")]  # pictures of the browser's own calendar
    assert {urlsplit(url).path for url in requests} <= {"/may-they-ask", "/favicon.ico"}
    assert {urlsplit(url).netloc for url in requests} == {urlsplit(address).netloc}
    assert len([url for url in requests if "may-they-ask" in url]) == 1
    assert page.call("Network.getCookies")["cookies"] == []


def test_every_text_has_contrast_enough(page: Page, address: str) -> None:
    for question in (TAX, CONDITION, {**TAX, "document": "photo"}, {"on": "never"}):
        page.open(at(address, question, lang="en"))
        assert page.run(CONTRASTS) == []


def test_the_form_is_asked_and_answered_by_keyboard_alone(page: Page, address: str) -> None:
    page.size(*DESK)
    page.open(at(address, {}, lang="en"))
    order = []
    for _ in range(30):
        page.press("Tab")
        order.append(page.run("document.activeElement.id || document.activeElement.textContent.trim()"))
        focused = page.run("document.activeElement.id")
        if focused in TAX and focused != "on":
            words = page.run(f"document.querySelector('#{focused} option[value=\"{TAX[focused]}\"]').textContent")
            for letter in words:  # as one types in a list of choices
                page.press(letter)
            assert page.run("document.activeElement.value") == TAX[focused]
        if page.run("document.activeElement.type") == "submit":
            break
    assert order[0] == "Go to the answer"
    assert [one for one in order if one in {*TAX, "about"}] == [
        "requester",
        "procedure",
        "document",
        *["on"] * 4,
        "about",
    ]
    assert page.run("parseFloat(getComputedStyle(document.activeElement).outlineWidth)") >= 2, "the focus is seen"
    page.press("Enter")
    page.until("!!document.querySelector('.headline') && document.readyState === 'complete'")
    query = asked(page)
    assert {name: query[name] for name in ("requester", "procedure", "document", "lang")} == {
        "requester": [TAX["requester"]],
        "procedure": [TAX["procedure"]],
        "document": [TAX["document"]],
        "lang": ["en"],
    }
    assert page.run("document.querySelector('.headline').textContent") == "No, they may not ask for it"
    assert page.run("location.hash") == "#answer", "so that a phone shows it, and not the form again"


def test_a_circumstance_is_chosen_and_the_answer_changes(page: Page, address: str) -> None:
    page.open(at(address, CONDITION, lang="en"))
    assert page.run("document.querySelector('.headline').textContent").startswith("Not established")
    page.run("document.querySelector('.depends input[value=yes]').focus()")
    page.press(" ")
    page.press("Enter")
    page.until("!!document.querySelector('article.no')")
    assert asked(page)["circumstance.city-of-tashkent"] == ["yes"]
    assert page.run("document.querySelector('.depends input[value=yes]').checked") is True


def test_a_form_that_is_not_whole_is_not_sent(page: Page, address: str) -> None:
    page.open(at(address, {}, lang="en"))
    page.run("document.querySelector('button').focus()")
    page.press("Enter")
    assert page.run("document.activeElement.id") == "requester", "the first that is missing"
    assert page.run("document.querySelector('form').checkValidity()") is False


def test_it_works_with_scripts_switched_off(page: Page, address: str) -> None:
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    page.call("Page.navigate", url=at(address, TAX, lang="ru"))
    page.until("document.readyState === 'complete' && !!document.querySelector('.headline')")
    assert "Нет" in page.run("document.querySelector('.headline').textContent")


def test_what_a_screen_reader_is_told(page: Page, address: str) -> None:
    page.open(at(address, TAX, lang="ru"))
    assert page.run("document.documentElement.lang") == "ru"
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    roles = [(n.get("role", {}).get("value"), n.get("name", {}).get("value")) for n in nodes if not n.get("ignored")]
    assert ("heading", "Вправе ли они требовать документ?") in roles
    for name in ("Ведомство", "Государственная услуга или процедура", "Документ"):
        assert ("combobox", name) in roles
    assert ("group", "Кого касается дело") in roles
    assert {"main", "navigation", "banner", "contentinfo", "form"} <= {role for role, _ in roles}
    assert page.run("[...document.querySelectorAll('h1,h2,h3')].map(e => e.tagName)") == ["H1", "H2", "H2", "H3", "H3"]


def test_it_prints_the_answer_without_the_form(page: Page, address: str) -> None:
    page.open(at(address, TAX, lang="uz"))
    printed = page.printed()
    assert printed.startswith(b"%PDF-")
    assert 1 <= printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page/") + printed.count(b"/Type /Page ") <= 2
    page.call("Emulation.setEmulatedMedia", media="print")
    assert page.run("getComputedStyle(document.querySelector('form')).display") == "none"
    assert page.run("getComputedStyle(document.querySelector('nav')).display") == "none"
    text = page.run("document.body.innerText")
    for words in ("bu hujjatni talab qilish mumkin emas", "2022-07-01", "toʻliq emas", "https://cis-legislation.com"):
        assert words in text
    assert page.run("document.querySelector('footer code').textContent.length") == 64
