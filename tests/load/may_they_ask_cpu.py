"""What the page "May they ask?" costs: CPU a page, as committed and with a country's number of procedures and papers.

`python -m tests.load.may_they_ask_cpu`; the answer and the HTML, without the listener around them.
"""

import time
from datetime import date

from chopar.identifiers import SubjectKind
from chopar.texts import Language, Texts
from gateway.list_version import AGENCIES, DOCUMENTS, REGULATIONS
from gateway.may_they_ask import Question, answered
from gateway.pages.may_they_ask import Asked, MayTheyAskPage
from gateway.standing import Standing
from tests.edited_lists import put, tables
from tests.standing import bundle, standing

PAGES = 300
ASKED = ("electricity-het", "electricity-supply-contract", "tax-debt-certificate")


def country() -> Standing:
    """The committed lists with copies: 280 procedures, 400 agencies, 1,000 papers."""
    files = bundle()
    counts = ((REGULATIONS, "procedure", 280), (AGENCIES, "agency", 400), (DOCUMENTS, "document", 1000))
    for name, array, count in counts:
        found = tables(files, name, array)
        copies = [{**found[i % len(found)], "id": f"copy-{i}"} for i in range(count - len(found))]
        files = put(files, name, array, [*found, *copies])
    return standing({name: files[name] for name in (REGULATIONS, AGENCIES, DOCUMENTS)})


def milliseconds(holds: Standing) -> tuple[float, int]:
    """CPU of one page, and its size."""
    page = MayTheyAskPage(Texts.shipped(with_page=True))
    question = Question(*ASKED, date(2026, 7, 1), SubjectKind.PERSON)
    asked = Asked(question, *ASKED, on="2026-07-01", kind=SubjectKind.PERSON)
    text = ""
    for number in range(PAGES + 3):
        if number == 3:  # a language's choices are put in order once
            began = time.process_time()
        found = answered(question, holds.lists, holds.fetch_mode)
        text = page.render(asked, found, holds.lists, list(Language)[number % 3])
    return (time.process_time() - began) * 1000 / PAGES, len(text.encode())


def main() -> None:
    """Print the figures."""
    for name, holds in (("committed lists", standing()), ("280 procedures, 400 agencies, 1,000 papers", country())):
        cost, size = milliseconds(holds)
        print(f"{name}: {cost:.2f} ms CPU a page, {size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
