"""Evidence as people read it on one line."""

from datetime import UTC, date, datetime

import pytest

from chopar.cli.demand_text import evidence_line, evidence_rows

ALWAYS = {
    "fields_given": ["x"],
    "source_register": "the register",
    "as_of": datetime(2026, 11, 26, 5, 16, 30, tzinfo=UTC),
}


@pytest.mark.parametrize(
    ("evidence", "facts"),
    [
        ({"has_debt": True, "amount_tiyin": 2_311_899_560}, "has_debt: yes, amount: 23 118 995.60 soum"),
        ({"has_debt": False, "amount_tiyin": 0}, "has_debt: no, amount: 0.00 soum"),
        ({"has_debt": False, "amount_tiyin": None}, "has_debt: no"),
        (
            {"has_debt": True, "debts": [{"tax": "land-tax", "amount_tiyin": 7}, {"tax": "x", "amount_tiyin": None}]},
            "has_debt: yes, debts: tax land-tax, amount 0.07 soum; tax x",
        ),
        (
            {"registered": True, "category": "low-income", "valid_until": date(2027, 1, 31)},
            "registered: yes, category: low-income, valid_until: 2027-01-31",
        ),
        (
            {"benefits": [{"kind": "child-benefit", "monthly_tiyin": 36_000_000, "since": date(2026, 2, 1)}]},
            "benefits: kind child-benefit, monthly 360 000.00 soum, since 2026-02-01",
        ),
        ({"benefits": []}, "benefits: none"),
        (
            {
                "spouses": {"count": 1, "members": [{"relation": "wife", "acts": ["M-1"]}]},
                "children": {
                    "count": 2,
                    "members": [{"relation": "son", "acts": ["B-1", "P-2"]}, {"relation": None, "acts": ["B-2"]}],
                },
                "parents": {"count": 0, "members": []},
            },
            "spouses: 1 (wife by M-1), children: 2 (son by B-1 and P-2; B-2), parents: 0",
        ),
        ({"children": {"count": 3, "members": None}}, "children: 3"),
        (
            {
                "act_number": "B-1",
                "child": {"role": "child", "surname": "A", "given_name": "B", "patronymic": None, "born_on": "1990"},
                "parents": [{"role": "mother", "surname": None, "given_name": "C", "patronymic": "D", "born_on": None}],
            },
            "act_number: B-1, child: child A B, born 1990, parents: mother C D",
        ),
        ({"has_debt": None}, "nothing let through"),
    ],
)
def test_evidence_on_one_line(evidence: dict[str, object], facts: str) -> None:
    assert evidence_line({**evidence, **ALWAYS}) == f"{facts} (as of 2026-11-26 05:16, the register)"


def test_evidence_field_by_field_in_the_same_words() -> None:
    evidence = {"has_debt": True, "amount_tiyin": 7, "debts": [{"tax": "land-tax", "amount_tiyin": 7}], "x": None}
    assert evidence_rows(evidence) == [
        ("has_debt", "yes"), ("amount", "0.07 soum"), ("debts", "tax land-tax, amount 0.07 soum")
    ]  # fmt: skip


def test_the_reach_of_a_register_and_a_second_number_are_said_with_the_source() -> None:
    evidence = {"relation": "none_found", "acts": [], "register_coverage": "since 1951", "linked_by": ["N-1", "N-2"]}
    assert evidence_line({**evidence, **ALWAYS}) == (
        "relation: none_found, acts: none (as of 2026-11-26 05:16, the register: since 1951; "
        "the person has another number by N-1 and N-2)"
    )
