"""Where the directory names an order: resolver against oracle, for every requester and procedure, whoever was asked.

By the facts nobody has two ways to one paper. So beside every row that fetches a second one is invented here, which
fetches from somebody else, and for every paper an order in which those come first whom the rows put last.
"""

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from itertools import combinations

import pytest

from gateway.list_version import ListVersion
from gateway.lists.convert import FOLDER, convert
from gateway.lists.facts_csv import Facts, read_facts
from tests.oracle.asking import PARAMETERS, ask, in_words, with_changes
from tests.oracle.plain_reading import CsvRow, Law
from tests.oracle.test_whole_law import CONDUCTED, CONNECTED_TODAY, EVERY_ANSWER, TODAY, kinds_of

INVENTED = "courts"
CONNECTED = "invented-and-connected"
TODAY_CONNECTED = CONNECTED_TODAY | {(INVENTED, CONNECTED)}
Places = tuple[tuple[str, str], ...]


def twins(rows: Iterable[CsvRow], evidence: dict[str, CsvRow]) -> list[tuple[CsvRow, CsvRow]]:
    """For each row that fetches one more, with its evidence: other holder, sometimes other parameters or subjects."""
    made = []
    for number, row in enumerate([row for row in rows if row["disposition"] == "fetch"]):
        name = f"z-{row['id']}"
        changes = [{}, {"parameters": "plate"}, {"about": "object"}, {"about": "business", "parameters": ""}]
        twin = {**row, "id": name, "holder_agency": INVENTED, "name_en": f"invented {number}", **changes[number % 4]}
        kind = CONNECTED if number % 3 else "invented-and-not-connected"
        made.append((twin, {**evidence[row["id"]], "id": name, "evidence_type": kind}))
    return made


class InventedLaw(Law):
    """The CSV files with the invented rows."""

    def __init__(self) -> None:
        super().__init__()
        for row, evidence in twins(list(self.rows), self.evidence):
            self.rows.append(row)
            self.evidence[row["id"]] = evidence
        self.by_id = {row["id"]: row for row in self.rows}


LAW = InventedLaw()
FETCHED = [row for row in LAW.rows if row["disposition"] == "fetch"]
ALL_CONNECTED = {LAW.place_of(row) for row in FETCHED}


def order_of(document: str) -> Places:
    """The last row's holder first; of some papers one is left out."""
    places = tuple(dict.fromkeys(LAW.place_of(row) for row in reversed(FETCHED) if row["document_type"] == document))
    return places[:-1] if len(places) > 2 and len(document) % 2 else places


ORDERS = {row["document_type"]: order_of(row["document_type"]) for row in FETCHED}


@cache
def version(*, all_connected: bool) -> ListVersion:
    facts: Facts = read_facts(FOLDER / "facts")
    invented = twins(facts.prohibited, facts.evidence)
    alternatives = [
        {"document_type": document, "in_order": ["/".join(place) for place in order], "basis": "inferred"}
        for document, order in ORDERS.items()
    ]
    holding = {"provider": INVENTED, "evidence_type": CONNECTED, "connected": True, "due_hours": 24, "note": "invented"}
    ours = {**facts.ours, "alternatives": alternatives, "holding": [*facts.ours["holding"], holding]}
    files = convert(
        replace(
            facts,
            prohibited=[*facts.prohibited, *(row for row, _ in invented)],
            evidence={**facts.evidence, **{row["id"]: row for _, row in invented}},
            ours=ours,
        )
    )
    return ListVersion.from_files(with_changes(files, all_connected=all_connected, all_read=False))


def askings(documents: list[str]) -> set[frozenset[tuple[str, str]]]:
    """Who may have been asked before: nobody, one of those that matter, two, all."""
    places = sorted({place for document in documents for place in ORDERS.get(document, ())})
    return {
        frozenset(), frozenset(places),
        *(frozenset([place]) for place in places), *map(frozenset, combinations(places[:3], 2)),
    }  # fmt: skip


@pytest.mark.parametrize(("requester", "procedure"), CONDUCTED, ids=[f"{who}-{what}" for who, what in CONDUCTED])
def test_resolver_reads_orders_as_the_oracle_does(requester: str, procedure: str) -> None:
    subjects = kinds_of(procedure)
    for kind in ("person", "business"):
        subject, party = (kind, None) if kind in subjects else (subjects[0], kind)
        documents = [name for name in LAW.document_types if LAW.applicable(name, requester, procedure, kind, TODAY)]
        if not documents or not LAW.basis_in_force(procedure, TODAY):
            continue
        for given, all_connected in ((PARAMETERS, True), (PARAMETERS, False), ((), True)):
            for passed_over in askings(documents):
                resolution = ask(
                    requester=requester,
                    procedure=procedure,
                    documents=documents,
                    day=TODAY,
                    kind=subject,
                    party=party,
                    circumstances=EVERY_ANSWER[1],
                    given=given,
                    version=version(all_connected=all_connected),
                    passed_over=passed_over,
                )
                found = [in_words(document) for document in resolution.documents if document.replaces is None]
                expected = [
                    LAW.expected(
                        requester=requester,
                        procedure=procedure,
                        document=document,
                        kind=kind,
                        day=TODAY,
                        circumstances=EVERY_ANSWER[1],
                        given=set(given),
                        mode="inferred",
                        connected=ALL_CONNECTED if all_connected else TODAY_CONNECTED,
                        read_officially=False,
                        order=ORDERS.get(document, ()),
                        asked=passed_over,
                    )
                    for document in documents
                ]
                where = (requester, procedure, kind, all_connected, sorted(passed_over))
                assert dict(zip(documents, found, strict=True)) == dict(zip(documents, expected, strict=True)), where
