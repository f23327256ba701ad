"""The whole law once more: what the gateway remembers of an answer says what it said when it worked the answer out."""

from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice

import pytest

from chopar.identifiers import AgencyId
from chopar.messages.demand import Demand, FetchMode
from gateway.answer import Cause, answer
from gateway.rendering import MOST_DOCUMENTS, MOST_TEXTS, Renderings
from gateway.standing import Standing
from tests.builders import demand, demand_id, pinfl
from tests.oracle.asking import PARAMETERS, list_files, with_changes
from tests.oracle.test_whole_law import CONDUCTED, EVERY_ANSWER, WORLDS, kinds_of, questions
from tests.standing import demand_value, standing


@cache
def holds(world: int) -> Standing:
    mode, all_connected, all_read = WORLDS[world]
    files = with_changes(list_files(), all_connected=all_connected, all_read=all_read)
    return standing(files, fetch_mode=FetchMode(mode))


def cause_of(asked: Demand, at: datetime) -> Cause:
    requester = AgencyId(asked.requester)
    stamp = int(at.timestamp()) * 1000
    topic = f"demand.submitted.{requester}"
    return Cause(topic, 1, 2, stamp, requester, asked.demand_id, demand_value(asked), None)


@pytest.mark.parametrize(("requester", "procedure"), CONDUCTED, ids=[f"{who}-{what}" for who, what in CONDUCTED])
def test_every_answer_by_the_lists_is_remembered_as_it_was_given(requester: str, procedure: str) -> None:
    subjects = kinds_of(procedure)
    for kind in ("person", "business"):
        subject, party = (kind, None) if kind in subjects else (subjects[0], kind)
        for (day, answers, given, world), documents in questions(requester, procedure, kind).items():
            at = datetime.fromisoformat(f"{day}T10:00:00").replace(tzinfo=UTC)
            rest = iter(documents)
            most = MOST_TEXTS // (len(PARAMETERS) + 1) if given else MOST_DOCUMENTS
            while some := list(islice(rest, most)):
                first, second = (
                    demand(
                        demand_id=demand_id(number, at),
                        requester=requester,
                        procedure=procedure,
                        case_id=f"case-{number}",
                        subject={"kind": subject, "id": _id(subject, number)},
                        parties=({"role": "other", "kind": party, "id": _id(party, number + 2)},) if party else (),
                        circumstances=EVERY_ANSWER[answers],
                        documents=tuple(
                            {"type": name, "about": "other" if party else None, "parameters": _given(given, number)}
                            for name in some
                        ),
                        expires_at=at + timedelta(hours=2 + 100 * number),
                    )
                    for number in (1, 2)
                )
                renderings = Renderings(holds(world))
                causes = [cause_of(asked, at) for asked in (first, second)]
                due = [answer(cause, holds(world)) for cause in causes]
                for number in (0, 0, 1):
                    assert renderings.answer(causes[number]) == due[number], (day, some)
                assert renderings.remembered == 1


def _id(kind: str, number: int) -> str:
    return pinfl(number) if kind == "person" else str(301_234_567 + number)


def _given(given: bool, number: int) -> dict[str, str]:
    if not given:
        return {}
    return {**{name: f"{text} {number}" for name, text in PARAMETERS.items()}, "second_person": pinfl(900 + number)}
