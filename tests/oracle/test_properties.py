"""What holds of every answer, whatever the lists: total, dated, monotone, and blind to order and to names."""

import random
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import pytest

from chopar.identifiers import AgencyId, DocumentType, ProcedureId, SubjectKind
from chopar.messages.demand import FetchMode, Outcome, PersonMayBeAsked
from gateway.demand import Demand, DocumentDemand, Party
from gateway.list_version import AGENCIES, DIRECTORY, DOCUMENTS, GROUNDS, GROUPS, PROHIBITED, REGULATIONS, ListVersion
from gateway.lists.toml_text import document
from gateway.resolution import Code, Resolution, ResolvedDocument
from gateway.resolver import resolve
from tests.edited_lists import Files, put, tables
from tests.oracle.asking import PARAMETERS, list_files, lists, subject

FILES = list_files()
CERTAINTY = (PersonMayBeAsked.NO, PersonMayBeAsked.UNDETERMINED, PersonMayBeAsked.YES)
DAYS = sorted(
    {
        day + timedelta(days=off)
        for entry in lists().prohibited.values()
        if (day := entry.in_force_from) is not None
        for off in (-1, 0, 1)
    }
    | {date(2026, 11, 26)}
)
CONDITIONS = sorted({entry.condition for entry in lists().prohibited.values() if entry.condition})


@dataclass(frozen=True, slots=True)
class Question:
    """A demand for any day."""

    demand: Demand
    on: date
    mode: FetchMode

    def by(self, version: ListVersion) -> Resolution:
        return resolve(self.demand, version, self.on, self.mode, rehearsal=True)


def questions(count: int, seed: int = 7) -> Iterator[Question]:
    """Demands of those who conduct a procedure, for papers of all kinds, on days on which something changes."""
    drawn, version = random.Random(seed), lists()
    pairs = [
        (agency, procedure)
        for agency in sorted(version.agencies)
        for procedure in sorted(version.procedures)
        if version.procedures[procedure].conducted_by(agency, version.groups_of(agency, DAYS[-1]))
    ]
    types = sorted(version.documents)
    for _ in range(count):
        requester, procedure = drawn.choice(pairs)
        kinds = version.procedures[procedure].subjects
        kind = drawn.choice(sorted(kinds)).value
        other = drawn.choice(("person", "business"))
        named = sorted(version.legal_bases[procedure].documents_named)
        papers = drawn.sample(types, 3) + drawn.sample(named, min(2, len(named)))
        given = {name: value for name, value in PARAMETERS.items() if drawn.random() < 0.6}
        yield Question(
            Demand(
                requester=AgencyId(requester),
                procedure=ProcedureId(procedure),
                subject=subject(kind),
                parties=(Party("other", SubjectKind(other), subject(other).text),),
                documents=tuple(
                    DocumentDemand(DocumentType(paper), drawn.choice((None, None, "other", "nobody")), given)
                    for paper in papers
                ),
                circumstances={code: drawn.random() < 0.5 for code in CONDITIONS if drawn.random() < 0.6},
            ),
            drawn.choice(DAYS),
            drawn.choice(list(FetchMode)),
        )


def without_digest(resolution: Resolution) -> Resolution:
    return replace(resolution, list_digest="")


def test_every_document_of_every_demand_has_one_outcome_and_a_code_of_it() -> None:
    codes = {
        Outcome.FETCH: {Code.GROUND},
        Outcome.GAP: {Code.HOLDER_NOT_CONNECTED, Code.GROUND_NOT_VERIFIED},
        Outcome.NOT_NEEDED: {Code.ABOLISHED, Code.NO_GROUND_TO_KNOW, Code.NOT_ABOUT_SUBJECT},
        Outcome.REPLACED: {Code.REPLACED_BY, Code.OWN_REGISTER},
        Outcome.MAY_BE_ASKED: {Code.NAMED},
        Outcome.UNDETERMINED: {Code.START_NOT_ESTABLISHED, Code.CONDITION_UNSAID},
    }
    seen: set[Outcome] = set()
    for question in questions(600):
        resolution = question.by(lists())
        asked = list({one.key: one for one in question.demand.documents}.values())
        answered = [one for one in resolution.documents if one.replaces is None]
        assert [(one.document_type, one.about) for one in answered] == [(one.document_type, one.about) for one in asked]
        for one in resolution.documents:
            seen.add(one.outcome)
            assert one.code in codes.get(one.outcome, set(Code) - {code for some in codes.values() for code in some})
            if one.outcome is Outcome.MAY_BE_ASKED:
                assert one.person_may_be_asked is PersonMayBeAsked.YES
            if one.outcome is Outcome.FETCH:
                assert None not in (one.ground_id, one.provider)
                assert one.fields
            else:
                assert one.subject is None
    assert seen == set(Outcome)


def with_more_grounds() -> Files:
    """The lists with a second ground for each, of another field and, where one is known, another holder."""
    held = {(table["provider"], table["evidence_type"]) for table in tables(FILES, DIRECTORY, "holding")}
    grounds = tables(FILES, GROUNDS, "ground")
    second = [
        {
            **ground,
            "id": f"a-second-{ground['id']}",
            "fields": ["another_field"],
            "holder": next((who for who, what in sorted(held) if what == ground["evidence_type"]), ground["holder"]),
        }
        for ground in grounds
    ]
    holdings = [{**table, "connected": True} for table in tables(FILES, DIRECTORY, "holding")]
    return put(put(FILES, GROUNDS, "ground", [*grounds, *second]), DIRECTORY, "holding", holdings)


def shuffled(files: Files) -> ListVersion:
    drawn, files = random.Random(3), dict(files)
    for name, content in files.items():
        whole = tomllib.loads(content.decode())
        for array in whole.values():
            drawn.shuffle(array)
        names = list(whole)
        drawn.shuffle(names)
        files[name] = document("", {array: whole[array] for array in names}).encode()
    return ListVersion.from_files(files)


@pytest.mark.parametrize("files", [FILES, with_more_grounds()], ids=["as they are", "two grounds each"])
def test_the_order_in_which_entries_stand_decides_nothing(files: Files) -> None:
    before, after = ListVersion.from_files(files), shuffled(files)
    fetched = 0
    for question in questions(300, seed=11):
        answer = question.by(before)
        assert without_digest(question.by(after)) == without_digest(answer)
        fetched += any(one.outcome is Outcome.FETCH for one in answer.documents)
    assert fetched


FIRST, LAST = date(2022, 4, 1), date(2023, 3, 31)


@pytest.mark.parametrize(
    "dates",
    [{"member_from": FIRST, "member_until": LAST}, {"member_from": FIRST}, {"member_until": LAST}],
    ids=["from and until", "from", "until"],
)
def test_a_member_is_one_from_its_first_to_its_last_day(dates: dict[str, date]) -> None:
    """On a day of its membership it is answered as if it had always been a member, on others as if never."""
    members = tables(FILES, GROUPS, "member")
    dated = [{**member, **dates} for member in members]
    held = ListVersion.from_files(put(FILES, GROUPS, "member", dated))
    # That a group exists is known by its members: of each an agency stays that no question is of.
    nobody = sorted(held.agencies)[0]
    groups = sorted({member["group"] for member in members})
    without = [{**members[0], "group": group, "agency": nobody} for group in groups]
    never = ListVersion.from_files(put(FILES, GROUPS, "member", without))
    told = 0
    for question in questions(200, seed=17):
        if question.demand.requester == nobody:
            continue
        for day in (FIRST - timedelta(days=1), FIRST, LAST, LAST + timedelta(days=1)):
            asked = replace(question, on=day)
            is_member = dates.get("member_from", day) <= day <= dates.get("member_until", day)
            due = asked.by(lists() if is_member else never)
            assert without_digest(asked.by(held)) == without_digest(due)
            told += without_digest(asked.by(lists())) != without_digest(asked.by(never))
    assert told


def renamed() -> tuple[ListVersion, Callable[[str], str]]:
    """The lists with every agency, group, procedure and document type called otherwise, in another order."""
    version = lists()
    groups = {membership.group for membership in version.memberships}
    ids = sorted({*version.agencies, *groups, *version.procedures, *version.documents})
    assert len(ids) > 100
    to = {name: f"n{len(ids) - number:04d}" for number, name in enumerate(ids)}
    whole: dict[str, dict[str, tuple[str, ...]]] = {
        AGENCIES: {"agency": ("id",)},
        GROUPS: {"member": ("group", "agency")},
        REGULATIONS: {
            "procedure": ("id", "conducted_by_agencies", "conducted_by_groups", "documents_named", "data_from")
        },
        DOCUMENTS: {"document": ("id",)},
        PROHIBITED: {"entry": ("document_type", "barred_agencies", "barred_groups", "replaced_by", "holder")},
        GROUNDS: {
            "ground": ("requester_agencies", "requester_groups", "procedures", "document_type", "holder"),
        },
        DIRECTORY: {"holding": ("provider",)},
    }
    files: Files = dict(FILES)
    for name, arrays in whole.items():
        for array, keys in arrays.items():
            changed = [
                {key: _renamed(value, to) if key in keys else value for key, value in table.items()}
                for table in tables(files, name, array)
            ]
            files = put(files, name, array, changed)
    return ListVersion.from_files(files), lambda name: to.get(name, name)


def _renamed(value: Any, to: dict[str, str]) -> Any:
    return [to[part] for part in value] if isinstance(value, list) else to[value]


def test_what_agencies_groups_procedures_and_papers_are_called_decides_nothing() -> None:
    version, new = renamed()

    def called(question: Question) -> Question:
        demand = question.demand
        papers = tuple(replace(one, document_type=DocumentType(new(one.document_type))) for one in demand.documents)
        who, what = AgencyId(new(demand.requester)), ProcedureId(new(demand.procedure))
        return replace(question, demand=replace(demand, requester=who, procedure=what, documents=papers))

    def told(one: ResolvedDocument) -> ResolvedDocument:
        changes: dict[str, Any] = {"document_type": new(one.document_type), "rule": None}
        for name in ("replaces", "replaced_by", "provider"):
            value = getattr(one, name)
            changes[name] = new(value) if value else value
        return replace(one, **changes)

    def rules(resolution: Resolution) -> list[tuple[str, tuple[str, ...]] | None]:
        return [(one.rule.entry, one.rule.also_binding) if one.rule else None for one in resolution.documents]

    for question in questions(300, seed=13):
        before, after = question.by(lists()), called(question).by(version)
        assert [told(one) for one in before.documents] == [replace(one, rule=None) for one in after.documents]
        assert rules(before) == rules(after)
        assert before.refused == after.refused


def entry_for(question: Question, paper: DocumentDemand, drawn: random.Random) -> dict[str, Any]:
    """A further entry that binds, or may bind, the one who asks that day."""
    kinds = ["person", "business"]
    binds = drawn.choice(({}, {"in_force_from": question.on, "in_force_basis": "in_force"}))
    later = question.on + timedelta(days=30)
    may_bind = drawn.choice(
        (
            {"condition": "a-circumstance-that-is-unsaid"},
            {"in_force_from": later, "in_force_basis": "report_date"},
        )
    )
    return {
        "id": f"a-further-entry-{drawn.randrange(10**6)}",
        "document_type": paper.document_type,
        "name_en": "A further entry",
        "barred_agencies": [question.demand.requester],
        "from_whom": kinds,
        "scope": sorted(lists().procedures[question.demand.procedure].scopes)[0],
        "in_force_basis": "unknown",
        "act": "an act",
        "disposition": drawn.choice(("abolished", "not_needed")),
        "disposition_basis": "stated",
        "data_class": "ordinary",
        "about": kinds,
        "text_read": "press",
        "confidence": drawn.choice(("stated", "inferred")),
        "sources": ["a source"],
        **drawn.choice((binds, may_bind)),
    }


@pytest.mark.parametrize("seed", range(24))
def test_a_further_entry_never_moves_the_first_question_towards_yes(seed: int) -> None:
    """What was barred stays barred, and nothing that was not `yes` becomes it.

    A paper that nobody bars and the procedure does not name becomes `undetermined` by an entry that may bind: by the
    order of the rules, an open question about a bar is said before it is looked whether the paper is named.
    """
    drawn = random.Random(seed)
    asked = [one for one in questions(40, seed=100 + seed) if lists().procedures[one.demand.procedure].scopes]
    further = [(one, entry_for(one, drawn.choice(one.demand.documents), drawn)) for one in asked[:12]]
    entries = [*tables(FILES, PROHIBITED, "entry"), *({entry["id"]: entry for _, entry in further}).values()]
    more = ListVersion.from_files(put(FILES, PROHIBITED, "entry", entries))
    for question, _ in further:
        before = {(one.document_type, one.about): one for one in question.by(lists()).documents}
        for one in question.by(more).documents:
            was = before.get((one.document_type, one.about))
            if was is None:
                continue
            assert (
                one.person_may_be_asked is not PersonMayBeAsked.YES or was.person_may_be_asked is PersonMayBeAsked.YES
            )
            if was.code is not Code.NOT_IN_PROCEDURE:
                assert CERTAINTY.index(one.person_may_be_asked) <= CERTAINTY.index(was.person_may_be_asked)


@pytest.mark.parametrize("seed", range(8))
def test_a_further_ground_never_changes_the_first_question_and_a_bar_alone_never_fetches(seed: int) -> None:
    drawn = random.Random(seed)
    asked = list(questions(25, seed=200 + seed))
    held = sorted(lists().directory)
    further = []
    for number, question in enumerate(asked):
        holder, evidence_type = drawn.choice(held)
        further.append(
            {
                "id": f"a-further-ground-{number}",
                "requester_agencies": [question.demand.requester],
                "procedures": [question.demand.procedure],
                "about": ["person", "business"],
                "document_type": drawn.choice(question.demand.documents).document_type,
                "evidence_type": evidence_type,
                "holder": holder,
                "fields": ["a_field"],
                "data_class": "ordinary",
                "act": "an act",
                "text_read": "official",
                "basis": "stated",
                "sources": ["a source"],
            }
        )
    more = ListVersion.from_files(put(FILES, GROUNDS, "ground", [*tables(FILES, GROUNDS, "ground"), *further]))
    none = ListVersion.from_files(put(FILES, GROUNDS, "ground", []))
    opened = 0
    for question in asked:
        before = {(one.document_type, one.about): one for one in question.by(lists()).documents}
        for one in question.by(more).documents:
            was = before.get((one.document_type, one.about))
            if was is not None:
                assert one.person_may_be_asked is was.person_may_be_asked
                opened += one.outcome is Outcome.FETCH and was.outcome is not Outcome.FETCH
        assert all(one.outcome is not Outcome.FETCH for one in question.by(none).documents)
    assert seed or opened  # some ground was of use, so the first assertion says something
