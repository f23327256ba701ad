"""What is remembered gives the bytes that the plain way makes: for generated demands, and for mutants of them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chopar.bus.consume import Outputs
from chopar.identifiers import AgencyId, pinfl_check_digit
from chopar.messages.demand import Demand, FetchMode
from gateway.answer import Cause, Reply, answer, decided
from gateway.reading import LAYOUT, layout_of, read
from gateway.rendering import Rendering, Renderings, _specimen, make
from gateway.standing import Standing
from tests.builders import BUSINESS, NOW, NOW_MS, PERSON, SECOND_PERSON, demand, demand_id, pinfl
from tests.simulation.mutants import Mutants
from tests.standing import FILES, LISTS, demand_value, standing

DIRECTORY = (LISTS / "directory.toml").read_text(encoding="utf-8").replace("connected = true\n", "")
ALL_CONNECTED = DIRECTORY.replace("\nevidence_type = ", "\nconnected = true\nevidence_type = ")
HOLDS = standing()
CONNECTED = standing({"directory.toml": ALL_CONNECTED.encode()})
VERIFIED = standing(fetch_mode=FetchMode.VERIFIED)
DOCUMENTS = sorted(HOLDS.lists.documents)
TAX, HOUSING = "tax-debt-certificate", "private-housing-certificate"


def cause_of(asked: Demand, number: int = 0, **changes: Any) -> Cause:
    fields: dict[str, Any] = {
        "topic": f"demand.submitted.{asked.requester}",
        "partition": number % 6,
        "offset": number,
        "timestamp_ms": NOW_MS + number,
        "requester": AgencyId(asked.requester),
        "demand_id": asked.demand_id,
        "value": demand_value(asked),
        "trace": b"00-%032x-%016x-01" % (number + 1, number + 1) if number % 2 else None,
    }
    return Cause(**{**fields, **changes})


def another(asked: Demand, number: int, **changes: Any) -> Demand:
    """A demand of the same shape, of somebody else."""
    fields = {
        "demand_id": demand_id(number, NOW - timedelta(minutes=number)),
        "case_id": f"case {number}",
        "official": f"official-{number}",
        "subject": {"kind": asked.subject.kind, "id": str(301_000_000 + number)}
        if asked.subject.kind == "business"
        else {"kind": "person", "id": pinfl(number)},
        "expires_at": NOW + timedelta(hours=number + 1),
    }
    return Demand.model_validate({**asked.model_dump(), **fields, **changes})


def compare(renderings: Renderings, holds: Standing, causes: Sequence[Cause]) -> None:
    for cause in causes:
        assert renderings.answer(cause) == answer(cause, holds)


def remembered(asked: Demand, holds: Standing = HOLDS) -> Rendering:
    """The rendering of a demand's shape; there must be one."""
    made = make(cause_of(asked), asked, answer(cause_of(asked), holds), holds)
    assert made is not None
    return made


def by(rendering: Rendering, cause: Cause) -> Outputs | None:
    reading = read(cause.value)
    assert reading is not None
    return rendering.answer(cause, Reply(cause), reading)


def test_the_shipped_schema_has_the_layout_by_which_demands_are_read() -> None:
    assert layout_of(FILES.parsed(Demand.RECORD)) == LAYOUT


SHAPES: dict[str, dict[str, Any]] = {
    "one document": {},
    "six documents": {"documents": tuple({"type": name} for name in DOCUMENTS[:6])},
    "refused": {"procedure": "gas-connection"},
    "unknown document": {"documents": ({"type": "no-such-paper"},)},
    "of parties": {
        "requester": "justice-notary",
        "procedure": "real-estate-sale-notary-non-residential",
        "subject": {"kind": "business", "id": BUSINESS},
        "parties": (
            {"role": "seller", "kind": "business", "id": "301234568"},
            {"role": "agent", "kind": "person", "id": SECOND_PERSON},
        ),
        "documents": ({"type": TAX, "about": "seller"}, {"type": TAX}, {"type": TAX, "about": "agent"}),
    },
    "of two persons": {
        "requester": "mia-migration",
        "procedure": "travel-passport",
        "documents": (
            {
                "type": "kinship-certificate",
                "parameters": {"second_person": SECOND_PERSON, "other": "Bobur koʻchasi 1"},
            },
        ),
    },
    "of a firm": {
        "requester": "justice-notary",
        "procedure": "real-estate-sale-notary-non-residential",
        "subject": {"kind": "business", "id": BUSINESS},
    },
    "with parameters": {
        "documents": (
            {"type": HOUSING, "parameters": {"account_address": "Bobur koʻchasi 1", "second_person": SECOND_PERSON}},
            {"type": TAX, "parameters": {"account_address": "Bobur koʻchasi 1"}},
        )
    },
    "represented": {"acting_as": "representative", "applicant": {"kind": "person", "id": SECOND_PERSON}},
    "with circumstances": {"circumstances": {"non-residential": "yes", "city-of-tashkent": "no"}},
}


@pytest.mark.parametrize("holds", [HOLDS, CONNECTED, VERIFIED], ids=["inferred", "connected", "verified"])
@pytest.mark.parametrize("changes", SHAPES.values(), ids=SHAPES)
def test_what_is_remembered_of_one_demand_answers_another_of_its_shape(
    changes: dict[str, Any], holds: Standing
) -> None:
    asked = demand(**changes)
    rendering = remembered(asked, holds)
    for number in range(1, 6):
        cause = cause_of(another(asked, number), number)
        assert by(rendering, cause) == answer(cause, holds)


def test_requests_are_among_what_is_compared() -> None:
    sent = {name: answer(cause_of(demand(**changes)), CONNECTED).after for name, changes in SHAPES.items()}
    assert {name: len(after) for name, after in sent.items() if after}.items() >= {
        ("one document", 1),
        ("of parties", 2),
        ("of two persons", 1),
        ("of a firm", 1),
        ("with parameters", 2),
        ("with circumstances", 1),
    }


def test_a_shape_is_remembered_when_it_comes_for_the_second_time() -> None:
    renderings = Renderings(HOLDS)
    counts = []
    for number in range(4):
        renderings.answer(cause_of(another(demand(), number), number))
        counts.append(renderings.remembered)
    assert counts == [0, 1, 1, 1]


def test_the_oldest_shape_is_forgotten_when_there_are_too_many() -> None:
    renderings = Renderings(HOLDS, most=4)
    for number in range(10):
        asked = cause_of(demand(procedure=f"no-such-{number}"))
        compare(renderings, HOLDS, [asked, asked, asked])
        assert renderings.remembered == min(number + 1, 4)


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": {"kind": "person", "id": "30101900010019"}},
        {"subject": {"kind": "person", "id": BUSINESS}},
        {"subject": {"kind": "person", "id": ""}},
        {"subject": {"kind": "person", "id": "３０１０１９０００１００１８"}},
        {"case_id": f"case {PERSON}"},
        {"official": f"{PERSON}"},
        {"ground": {"kind": "law", "reference": f"of {PERSON}, {BUSINESS}"}},
        {"case_id": "ʻ" * 400},
        {"case_id": "x" * 400, "official": "y" * 64},
        {"expires_at": NOW + timedelta(milliseconds=1)},
        {"expires_at": NOW - timedelta(milliseconds=1)},
        {"expires_at": NOW},
        {"expires_at": NOW + timedelta(days=30)},
        {"expires_at": datetime(1970, 1, 1, tzinfo=UTC)},
        {"expires_at": datetime(1960, 1, 1, tzinfo=UTC)},
    ],
)
def test_texts_and_times_at_the_edge(changes: dict[str, Any]) -> None:
    asked = cause_of(demand(**changes))
    alike = [cause_of(another(demand(), number), number) for number in range(3)]
    compare(Renderings(HOLDS), HOLDS, [*alike, asked, *alike])
    compare(Renderings(HOLDS), HOLDS, [asked, asked, asked, *alike])


def test_the_number_of_a_person_in_a_case_is_taken_out_of_the_record_here_too() -> None:
    renderings = Renderings(HOLDS)
    compare(renderings, HOLDS, [cause_of(another(demand(), number)) for number in range(3)])
    outputs = renderings.answer(cause_of(demand(case_id=f"case {PERSON}")))
    assert PERSON.encode() not in (outputs.before[0].value or b"")


def test_a_parent_acts_as_long_as_the_child_is_one() -> None:
    """The age follows from the identifier, so nothing is remembered."""
    fields = {
        "acting_as": "parent",
        "applicant": {"kind": "person", "id": SECOND_PERSON},
        "requester": "preschool-school-ministry",
        "procedure": "preschool-referral",
    }
    child = "5010120001001"
    child += str(pinfl_check_digit(child))
    causes = [
        cause_of(demand(**fields, demand_id=demand_id(number), subject={"kind": "person", "id": person}))
        for number, person in enumerate([child, child, PERSON, child, PERSON, PERSON])
    ]
    compare(Renderings(HOLDS), HOLDS, causes)
    compare(Renderings(HOLDS), HOLDS, causes[::-1])
    assert [decided(cause, HOLDS).refused for cause in causes[1:3]] == [None, "not_entitled_to_act"]


def test_a_blank_parameter_counts_as_missing_here_too() -> None:
    renderings = Renderings(CONNECTED)
    fields = {**SHAPES["of two persons"]}
    codes = set()
    for number, second in enumerate([SECOND_PERSON, PERSON, SECOND_PERSON, "  ", "", SECOND_PERSON, "x"]):
        fields["documents"] = ({"type": "kinship-certificate", "parameters": {"second_person": second}},)
        cause = cause_of(demand(**fields, demand_id=demand_id(number)), number)
        compare(renderings, CONNECTED, [cause])
        resolution = decided(cause, CONNECTED).resolution
        assert resolution is not None
        codes.add(resolution.documents[0].code.value)
    assert renderings.remembered == 1
    assert codes == {"ground", "missing_parameter", "malformed_identifier"}


def test_equal_texts_are_another_shape_than_different_ones() -> None:
    """Two documents that differ in a parameter are two, and one if they do not; the applicant may be the subject."""

    def papers(*addresses: str) -> dict[str, Any]:
        return {"documents": tuple({"type": TAX, "parameters": {"account_address": text}} for text in addresses)}

    renderings = Renderings(CONNECTED)
    for changes in (
        papers("a", "a"),
        papers("a", "b"),
        papers("b", "b"),
        papers("b", "a"),
        papers("a", "  "),
        {"applicant": {"kind": "person", "id": PERSON}},
        {"applicant": {"kind": "person", "id": SECOND_PERSON}},
        {"parties": ({"role": "seller", "kind": "person", "id": PERSON},)},
    ):
        for number in range(4):
            one = demand(**changes, demand_id=demand_id(number), case_id=f"case {number}")
            compare(renderings, CONNECTED, [cause_of(one, number)])


@pytest.mark.parametrize("field", ["case_id", "official", "person"])
def test_an_asker_that_knows_the_specimen_cannot_mislead(field: str) -> None:
    """What is the specimen's own stands in a name that all of the shape have, and in a text of their own."""
    specimen = _specimen(demand(), NOW_MS)
    text = specimen.subject.id if field == "person" else getattr(specimen, field)
    own = {"subject": {"kind": "person", "id": text}} if field == "person" else {field: text}
    named = {"documents": ({"type": text},), "parties": ({"role": text, "kind": "person", "id": SECOND_PERSON},)}
    renderings = Renderings(HOLDS)
    first = [cause_of(demand(demand_id=demand_id(number), **own, **named), number) for number in range(4)]
    later = [cause_of(demand(demand_id=demand_id(number), **named), number) for number in range(4)]
    compare(renderings, HOLDS, [*first, *later, *first])
    compare(Renderings(HOLDS), HOLDS, [*later, *first, *later])


def test_the_day_and_the_topic_belong_to_what_is_remembered() -> None:
    renderings = Renderings(HOLDS)
    asked = demand(expires_at=NOW + timedelta(days=20))
    late = cause_of(asked, timestamp_ms=NOW_MS + 10 * 60 * 60 * 1000)
    later = cause_of(asked, timestamp_ms=NOW_MS + 12 * 60 * 60 * 1000)  # the next day in Tashkent
    elsewhere = cause_of(asked, topic="demand.submitted.justice-notary", requester=AgencyId("justice-notary"))
    compare(
        renderings, HOLDS, [cause_of(asked), late, cause_of(asked), late, later, elsewhere, later, elsewhere, later]
    )


TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
CASES = st.one_of(st.text(min_size=1, max_size=30), st.sampled_from(["case", "ʻ" * 399, "x" * 63, "x" * 64, PERSON]))
IDS = st.one_of(st.integers(0, 500).map(pinfl), st.sampled_from([PERSON, SECOND_PERSON, BUSINESS, "1", ""]), TEXTS)
KINDS = st.sampled_from(["person", "person", "business"])
SUBJECTS = st.fixed_dictionaries({"kind": KINDS, "id": IDS})
ROLES = st.sampled_from(["seller", "buyer", "agent"])
NAMES = st.sampled_from(["account_address", "second_person", "cadastral_number", "other"])
GIVEN = st.one_of(IDS, TEXTS, st.just("Bobur koʻchasi 1"))
PAPERS = st.fixed_dictionaries(
    {
        "type": st.sampled_from([*DOCUMENTS, TAX, TAX, HOUSING, "no-such-paper"]),
        "about": st.one_of(st.none(), ROLES),
        "parameters": st.one_of(st.just({}), st.dictionaries(NAMES, GIVEN, max_size=3)),
    }
)
CONDUCTED = [
    (agency, procedure)
    for procedure, entry in HOLDS.lists.procedures.items()
    for agency in sorted(HOLDS.lists.agencies)
    if entry.conducted_by(agency, HOLDS.lists.groups_of(agency, NOW.date()))
]
PLACES = st.sampled_from([*CONDUCTED, ("electricity-het", "no-such")])
OWN = st.fixed_dictionaries(
    {
        "case_id": CASES,
        "official": CASES,
        "reference": CASES,
        "ids": st.lists(IDS, min_size=7, max_size=7),
        "given": st.lists(GIVEN, min_size=12, max_size=12),
        "minutes": st.integers(1, 60 * 24 * 30),
    }
)
ASKED = st.fixed_dictionaries(
    {
        "place": PLACES,
        "kind": KINDS,
        "parties": st.dictionaries(ROLES, KINDS, max_size=3),
        "applicant": st.one_of(st.none(), KINDS),
        "acting_as": st.sampled_from(["self", "self", "parent", "guardian", "representative", "ex_officio"]),
        "circumstances": st.dictionaries(
            st.sampled_from(["non-residential", "city-of-tashkent", "other"]), st.sampled_from(["yes", "no"])
        ),
        "documents": st.lists(PAPERS, min_size=1, max_size=5),
        "own": st.lists(OWN, min_size=3, max_size=3),
        "keep": st.booleans(),
    }
)


def demands_of(asked: dict[str, Any]) -> list[Demand]:
    """Demands of the same form by several people."""
    made = []
    requester, procedure = asked["place"]
    for number, own in enumerate(asked["own"]):
        ids = iter(own["ids"])

        def identifier(kind: str, ids: Any = ids, number: int = number) -> str:
            if not asked["keep"]:
                return str(next(ids))
            return pinfl(number) if kind == "person" else str(301_234_567 + number)

        given_texts = iter(own["given"])
        made.append(
            demand(
                demand_id=demand_id(number, NOW),
                requester=requester,
                procedure=procedure,
                case_id=own["case_id"],
                official=own["official"],
                subject={"kind": asked["kind"], "id": identifier(asked["kind"])},
                parties=tuple(
                    {"role": role, "kind": kind, "id": identifier(kind)} for role, kind in asked["parties"].items()
                ),
                applicant={"kind": asked["applicant"], "id": identifier("")} if asked["applicant"] else None,
                acting_as=asked["acting_as"],
                ground={"kind": "law", "reference": own["reference"]},
                circumstances=asked["circumstances"],
                documents=tuple(
                    {
                        **paper,
                        "parameters": {
                            name: text if asked["keep"] else next(given_texts, text)
                            for name, text in paper["parameters"].items()
                        },
                    }
                    for paper in asked["documents"]
                ),
                expires_at=NOW + timedelta(minutes=own["minutes"]) - timedelta(seconds=1),
            )
        )
    return made


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ASKED)
def test_generated_demands_are_answered_as_the_plain_way_answers_them(asked: dict[str, Any]) -> None:
    for holds in (HOLDS, CONNECTED):
        renderings = Renderings(holds)
        made = demands_of(asked)
        compare(
            renderings, holds, [cause_of(one, number) for number, one in enumerate([*made, *made, *reversed(made)])]
        )


def test_mutants_are_answered_as_the_plain_way_answers_them() -> None:
    asked = [demand(**changes) for changes in SHAPES.values()]
    asked.append(another(asked[0], 3, case_id="x" * 200))
    originals = [(str(one.demand_id).encode(), demand_value(one), ()) for one in asked]
    renderings = Renderings(CONNECTED)
    for number in range(3):
        compare(renderings, CONNECTED, [cause_of(another(one, number), number) for one in asked])
    assert renderings.remembered >= len(SHAPES) - 1
    mutants = Mutants(5, originals)
    for number in range(2_000):
        value = mutants.one(number).value
        for requester in ("electricity-het", "justice-notary"):
            topic = f"demand.submitted.{requester}"
            cause = cause_of(asked[0], number, value=value, topic=topic, requester=AgencyId(requester))
            assert renderings.answer(cause) == answer(cause, CONNECTED)


def _text(text: str) -> bytes:
    return bytes([len(text) * 2]) + text.encode()


PAPER = _text(TAX) + b"\x00\x00"
CASE, OFFICIAL = _text("case-1"), _text("official-7")


@pytest.mark.parametrize(
    ("plain", "otherwise"),
    [
        pytest.param(CASE, b"\x8c\x00case-1", id="a length in two bytes"),
        pytest.param(b"\x02" + PAPER + b"\x00", b"\x01\x2e" + PAPER + b"\x00", id="a block with its size"),
        pytest.param(b"\x02" + PAPER, b"\x02" + PAPER + b"\x02" + PAPER, id="two blocks"),
        pytest.param(PAPER, _text(TAX) + b"\x00\x04\x02a\x02b\x02a\x02c\x00", id="a name twice"),
        pytest.param(b"\x00" + _text(PERSON), b"\x80\x00" + _text(PERSON), id="an enum in two bytes"),
        pytest.param(str(demand_id()).encode(), str(demand_id()).upper().encode(), id="a demand id in capitals"),
        pytest.param(CASE, b"\x0c\xff\xfease-", id="bytes that are no text"),
        pytest.param(CASE, b"\x0c\xed\xa0\x80abc", id="a surrogate"),
        pytest.param(CASE, b"\x00", id="an empty case"),
        pytest.param(OFFICIAL, b"\x00", id="an empty official"),
        pytest.param(CASE + OFFICIAL, b"\x0ccase-\xca\x14\xbbfficial-7", id="half a letter in each of two texts"),
    ],
)
def test_what_is_written_otherwise_is_answered_as_it_was(plain: bytes, otherwise: bytes) -> None:
    value = demand_value(demand())
    assert value.count(plain) == 1
    changed = value.replace(plain, otherwise)
    renderings = Renderings(HOLDS)
    compare(renderings, HOLDS, [cause_of(another(demand(), number), number) for number in range(3)])
    for _ in range(4):
        compare(renderings, HOLDS, [cause_of(demand(), value=changed)])
