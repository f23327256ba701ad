"""The social register's synthetic entries, made from the population.

Who lives at one address is one family here. The more minors it has the more likely its income does not suffice; an old
person alone may be in need too. All of that is settled by the population's seed and the address alone. Shares and
amounts are ours.
"""

from collections.abc import Iterator
from datetime import date, timedelta

from chopar.population import Person, Population, Recipe
from chopar.population.draws import Draws, settled_draws, years_after
from services.benefits.model import Assessment, Benefit, BenefitKind, Category, SocialFile, SocialStore

# Of families with 0, 1, 2, 3 and 4 or more minors, those whose income does not suffice.
_LOW_INCOME = (0.015, 0.05, 0.09, 0.17, 0.3)
_LONE_ELDERLY = 0.2
_OLD_AGE_YEARS = 65
# Of all others, those who applied and were not taken in.
_REFUSED = 0.04
# An entry holds a year; assessments lie up to so many days back, so that some have lapsed when they are read.
_LATEST_ASSESSMENT_DAYS = 330
_CHILD_TIYIN, _FURTHER_CHILD_TIYIN, _MATERIAL_AID_TIYIN = 36_000_000, 15_000_000, 44_000_000


def files(population: Population) -> Iterator[SocialFile]:
    """A file for every living member of each family that was assessed."""
    families: dict[str, list[Person]] = {}
    for person in population.people:
        if person.died_on is None:
            families.setdefault(person.address.account_address, []).append(person)
    for address, members in families.items():
        draws = settled_draws(population.seed, "social register", address)
        yield from _family(members, draws, population.on)


async def fill(store: SocialStore, recipe: Recipe) -> int:
    """Add a population's entries to a register, unless that was done; entries that are there stay as they are.

    Returns:
        How many were added.

    Raises:
        RegisterUnavailableError: retriable; nothing was added.
    """
    if await store.seeded(recipe.text):
        return 0
    return await store.seed(files(recipe.make()), recipe.text)


def _family(members: list[Person], draws: Draws, on: date) -> Iterator[SocialFile]:
    minors = [person for person in members if not person.adult_on(on)]
    adults = [person for person in members if person.adult_on(on)]
    if not adults:
        return
    alone = len(members) == 1 and years_after(adults[0].born_on, _OLD_AGE_YEARS) <= on
    category = None
    if alone and draws.chance(_LONE_ELDERLY):
        category = Category.LONE_ELDERLY
    elif draws.chance(_LOW_INCOME[min(len(minors), len(_LOW_INCOME) - 1)]):
        category = Category.LOW_INCOME
    elif not draws.chance(_REFUSED):
        return
    since = on - timedelta(days=draws.between(1, _LATEST_ASSESSMENT_DAYS))
    valid_until = None if category is None else years_after(since, 1) - timedelta(days=1)
    assessment = Assessment(category, since, valid_until)
    benefit = None if valid_until is None else _benefit(len(minors), since, valid_until)
    recipient = _recipient(adults, minors)
    for person in members:
        yield SocialFile(person.pinfl, assessment, (benefit,) if benefit and person is recipient else ())


def _benefit(minors: int, since: date, valid_until: date) -> Benefit:
    if not minors:
        return Benefit(BenefitKind.MATERIAL_AID, _MATERIAL_AID_TIYIN, since, valid_until)
    amount = _CHILD_TIYIN + (minors - 1) * _FURTHER_CHILD_TIYIN
    return Benefit(BenefitKind.CHILD_BENEFIT, amount, since, valid_until)


def _recipient(adults: list[Person], minors: list[Person]) -> Person:
    """The mother of a minor, if she lives there; else the father; else whoever comes first."""
    by_number = {person.pinfl: person for person in adults}
    for parents in ([minor.mother for minor in minors], [minor.father for minor in minors]):
        for parent in parents:
            if parent is not None and parent in by_number:
                return by_number[parent]
    return adults[0]
