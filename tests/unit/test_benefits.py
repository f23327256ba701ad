"""The social register: rules of its entries, what is answered, synthetic entries."""

from datetime import UTC, date, datetime

import pytest

from chopar.errors import InvalidEntryError
from chopar.identifiers import PersonId
from chopar.messages.entitlement import cut
from chopar.population import Population
from services.benefits.model import (
    MOST_TIYIN,
    Assessment,
    Benefit,
    BenefitKind,
    Category,
    SocialFile,
    assigned_benefits_evidence,
    social_register_category_evidence,
)
from services.benefits.seed import files
from tests.builders import PERSON

FIRST, LAST = date(2026, 2, 1), date(2026, 12, 31)
TAKEN_IN = Assessment(Category.LOW_INCOME, FIRST, LAST)
BENEFIT = Benefit(BenefitKind.CHILD_BENEFIT, 5, FIRST, LAST)
FILE = SocialFile(PersonId(PERSON), TAKEN_IN, (BENEFIT,))


def test_entries_that_break_a_rule_are_refused() -> None:
    with pytest.raises(InvalidEntryError):
        Assessment(Category.LOW_INCOME, FIRST, None)
    with pytest.raises(InvalidEntryError):
        Assessment(None, FIRST, LAST)
    with pytest.raises(InvalidEntryError):
        Assessment(Category.LOW_INCOME, LAST, FIRST)
    for amount in (0, -1, MOST_TIYIN + 1):
        with pytest.raises(InvalidEntryError):
            Benefit(BenefitKind.CHILD_BENEFIT, amount, FIRST, LAST)
    with pytest.raises(InvalidEntryError):
        Benefit(BenefitKind.CHILD_BENEFIT, 1, LAST, FIRST)
    with pytest.raises(InvalidEntryError):
        SocialFile(PersonId(PERSON), TAKEN_IN, (BENEFIT, BENEFIT))


# The last day ends at 19:00 UTC, which is midnight in Tashkent.
@pytest.mark.parametrize(
    ("as_of", "registered"),
    [
        (datetime(2026, 1, 31, 18, 59, tzinfo=UTC), False),
        (datetime(2026, 1, 31, 19, 0, tzinfo=UTC), True),
        (datetime(2026, 12, 31, 18, 59, tzinfo=UTC), True),
        (datetime(2026, 12, 31, 19, 0, tzinfo=UTC), False),
    ],
)
def test_an_entry_holds_by_the_day_in_tashkent_of_the_request(as_of: datetime, registered: bool) -> None:
    category = social_register_category_evidence(FILE, source_register="r", as_of=as_of)
    assert (category.registered, category.category, category.valid_until) == (
        (True, "low-income", LAST) if registered else (False, None, None)
    )
    benefits = assigned_benefits_evidence(FILE, source_register="r", as_of=as_of).benefits
    assert benefits is not None
    assert [(benefit.kind, benefit.monthly_tiyin) for benefit in benefits] == [("child-benefit", 5)] * registered


def test_who_was_not_taken_in_is_known_and_not_registered() -> None:
    refused = SocialFile(PersonId(PERSON), Assessment(None, FIRST, None))
    now = datetime(2026, 6, 1, tzinfo=UTC)
    evidence = social_register_category_evidence(refused, source_register="r", as_of=now)
    assert (evidence.registered, evidence.category, evidence.valid_until) == (False, None, None)
    assert assigned_benefits_evidence(refused, source_register="r", as_of=now).benefits == ()


def test_where_the_ground_gives_yes_or_no_category_and_amounts_are_cut() -> None:
    now = datetime(2026, 6, 1, tzinfo=UTC)
    category = cut(social_register_category_evidence(FILE, source_register="r", as_of=now).to_avro(), ["registered"])
    assert (category["registered"], category["category"], category["valid_until"]) == (True, None, None)
    benefits = cut(assigned_benefits_evidence(FILE, source_register="r", as_of=now).to_avro(), ["benefits.kind"])
    assert benefits["benefits"] == [
        {"kind": "child-benefit", "monthly_tiyin": None, "since": None, "valid_until": None}
    ]


def test_a_populations_entries_follow_from_its_families() -> None:
    population = Population.make(1, 8000, 0)
    people = population.by_pinfl()
    found = {file.person: file for file in files(population)}
    assert 200 < len(found) < 2500
    assert all(people[person].died_on is None for person in found)
    taken_in = [file for file in found.values() if file.assessment.category is not None]
    assert 0.3 < len(taken_in) / len(found) < 0.9
    by_address: dict[str, set[Assessment]] = {}
    for number, file in found.items():
        by_address.setdefault(people[number].address.account_address, set()).add(file.assessment)
    assert {len(assessments) for assessments in by_address.values()} == {1}
    given = [(people[file.person], benefit) for file in found.values() for benefit in file.benefits]
    assert len(given) == len({person.address.account_address for person, _ in given}) > 50
    for person, benefit in given:
        minors = [
            one
            for one in population.people
            if one.address == person.address and one.died_on is None and not one.adult_on(population.on)
        ]
        assert (benefit.kind is BenefitKind.CHILD_BENEFIT) == bool(minors)
        assert person.adult_on(population.on)
    mothers = [person for person, benefit in given if benefit.kind is BenefitKind.CHILD_BENEFIT]
    assert sum(person.sex == "female" for person in mothers) > len(mothers) * 0.8
    lone = [file for file in taken_in if file.assessment.category is Category.LONE_ELDERLY]
    assert lone
    assert all(people[file.person].born_on.year < 1962 for file in lone)
