"""What a population is made by, without making it: two registers of one recipe hold the same people."""

from dataclasses import dataclass
from datetime import date

from chopar.population.population import DEFAULT_SEED, REFERENCE_DAY, Population

EDITION = 1
"""Raised with every change by which an equal seed gives other people, firms or facts about them."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Seed, sizes and day of a population."""

    seed: int = DEFAULT_SEED
    people: int = 10_000
    firms: int = 500
    on: date = REFERENCE_DAY

    @property
    def text(self) -> str:
        """The whole recipe on one line; equal texts give equal populations."""
        return f"edition {EDITION}, seed {self.seed}, {self.people} people, {self.firms} firms, on {self.on}"

    def make(self) -> Population:
        """Draw the population."""
        return Population.make(self.seed, self.people, self.firms, on=self.on)
