"""Evidence as people read it on one line."""

from datetime import UTC, date, datetime

import pytest

from chopar.cli.demand_text import evidence_line

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
        ({"has_debt": None}, "nothing let through"),
    ],
)
def test_evidence_on_one_line(evidence: dict[str, object], facts: str) -> None:
    assert evidence_line({**evidence, **ALWAYS}) == f"{facts} (as of 2026-11-26 05:16, the register)"
